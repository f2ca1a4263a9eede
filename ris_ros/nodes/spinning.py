"""How every node process of the package runs until it is told to stop."""
from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

LAST_CALLS_S = 0.1  # for messages that had arrived, but not been looked at, before the signal


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
    """End the process without the interpreter's own end; for when a thread still computes.

    A network cannot be interrupted, and the interpreter's end under one aborts the process.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def spin_until_shutdown(node: Any, stop: StopRequest) -> None:
    """Spin a node until SIGINT, SIGTERM or a shutdown of the context, then destroy it.

    A node's method `wind_up` is called first, while it can still publish and is spun a little
    longer; its method `close` after that.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        # Not spin(): a signal that comes just as a peer leaves can be missed in its wait.
        while rclpy.ok() and not stop.asked:
            executor.spin_once(timeout_sec=0.2)
        if hasattr(node, 'wind_up'):
            node.wind_up()
            end = time.monotonic() + LAST_CALLS_S
            while rclpy.ok() and (left := end - time.monotonic()) > 0:
                executor.spin_once(timeout_sec=left)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if hasattr(node, 'close'):
            node.close()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
