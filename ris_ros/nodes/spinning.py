"""How every node process of the package runs until it is told to stop."""
from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ris_ros.service.text import carriable

LAST_CALLS_S = 0.1  # for messages that had arrived, but not been looked at, before the signal
LONGEST_WAIT_S = 0.5  # without anything to do; a signal is seen no later
MOST_FAILURES = 100  # in a row; then the node is beyond help, and whoever started it may try anew


class StopRequest:
    """Whether the process was asked to stop.

    A plain flag: what has a lock could hang when a second signal interrupts the first.
    """

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: Any) -> None:
        """Ask for the end; fits as a signal handler."""
        self.asked = True


def start_ros(args: list[str] | None = None) -> StopRequest:
    """Initialise rclpy so that SIGINT and SIGTERM only ask for the end; main thread only.

    rclpy's own handlers end the context at once, and a node can no longer say how what it was
    doing has ended.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = StopRequest()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.ask)
    return stop


def leave_at_once(code: int) -> None:
    """End the process without the interpreter's own end.

    That end takes seconds with the libraries of networks loaded, and under a network that still
    computes, which nothing can interrupt, it aborts the process.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Spinner:
    """Runs a node's callbacks one by one; what fails in one does not end the node."""

    def __init__(self, executor: Executor, report: Callable[[str], None]) -> None:
        self._executor, self._report = executor, report
        self._failures = 0

    def once(self, timeout_s: float) -> bool:
        """Wait for one callback and run it; False where this cannot be done within a callback.

        Raises what ends the context, and after MOST_FAILURES failures in a row the last one.
        """
        try:
            self._executor.spin_once(timeout_sec=timeout_s)
        except ExternalShutdownException:
            raise
        except Exception as error:
            if 'already spinning' in str(error):  # as later versions of rclpy say
                return False
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                raise
            self._report('a callback failed and the node goes on:\n'
                         + ''.join(traceback.format_exception(error)))
        else:
            self._failures = 0
        return True


def answer_always(services: Iterable[Any], report: Callable[[str], None],
                  group: CallbackGroup | None = None) -> None:
    """Have services send an empty response where their callback fails.

    Without, a client that asks for a transition that is not possible ends the node, and where
    the node goes on, the client waits for ever.  group: to move the services into.
    """
    for service in services:
        service.callback = _answering(service.callback, report)
        if group is not None:
            service.callback_group = group
            group.add_entity(service)


def _answering(callback: Callable[[Any, Any], Any], report: Callable[[str], None]
               ) -> Callable[[Any, Any], Any]:
    if inspect.iscoroutinefunction(callback):
        async def answer_later(request: Any, response: Any) -> Any:
            try:
                return await callback(request, response)
            except Exception as error:
                report(f'a request ({type(request).__qualname__}) could not be answered: {error}')
                return type(response)()
        return answer_later

    def answer(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except Exception as error:
            report(f'a request ({type(request).__qualname__}) could not be answered: {error}')
            return type(response)()
    return answer


def spin_until_shutdown(node: Node, stop: StopRequest,
                        wind_up: Callable[[], None] = lambda: None,
                        close: Callable[[], None] = lambda: None) -> None:
    """Spin a node until SIGINT, SIGTERM or a shutdown of the context, then destroy it.

    wind_up() is called first, while the node can still publish and is spun a little longer;
    close() after that.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = Spinner(executor, lambda text: node.get_logger().error(carriable(text)))
    try:
        # Not spin(): a signal that comes just as a peer leaves can be missed in its wait.
        while rclpy.ok() and not stop.asked:
            spinner.once(LONGEST_WAIT_S)
        wind_up()
        end = time.monotonic() + LAST_CALLS_S
        while rclpy.ok() and (left := end - time.monotonic()) > 0:
            spinner.once(left)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        close()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
