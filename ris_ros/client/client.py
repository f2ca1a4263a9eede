"""RisClient: says something to the node and brings the one answer."""
from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError  # not Python 3.10's own
from contextlib import suppress
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ris_ros.client.answer import Answer, answer_of
from ris_ros.types import BadInputError, RisError

BURST = QoSProfile(depth=10_000)   # as the node's own
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SETTLE_S = 0.3      # each side learns of the other by itself; a result may come before ours does
LOOK_S = 0.02       # how often it is looked whether the node is there
CHECK_S = 0.25      # how often answers that do not come are looked after
GRACE_S = 5.0       # beyond the node's own time limit, on a busy machine or network
NODE_LIMIT_S = 60.0  # of a node that does not say its own


class Pending:
    """An answer that is on its way: wait for it with `result`, or `await` it.

    It can be awaited in asyncio, and in coroutines of the executor that spins the node which
    was given to the client.
    """

    def __init__(self, command_id: str, text: str, deadline: float) -> None:
        self.command_id, self.text, self.deadline = command_id, text, deadline
        self._future: Future[Answer] = Future()

    def done(self) -> bool:
        """Say whether the answer is there."""
        return self._future.done()

    def result(self, timeout_s: float | None = None) -> Answer:
        """Return the answer.

        Raises RisError where none will come, concurrent.futures.TimeoutError after timeout_s.
        """
        return self._future.result(timeout_s)

    def add_done_callback(self, call: Callable[[Pending], None]) -> None:
        """Have something called with this when it is done, on the thread that notices it."""
        self._future.add_done_callback(lambda _: call(self))

    def __await__(self) -> Generator[Any, None, Answer]:
        """Wait within a coroutine."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:   # of rclpy's executor, which asks again whenever something happens
            while not self._future.done():
                yield
            return self._future.result()
        return (yield from asyncio.wrap_future(self._future, loop=loop).__await__())

    def settle(self, outcome: Answer | RisError) -> None:
        """Give the answer, or say why there is none; what comes later is dropped."""
        with suppress(InvalidStateError):   # it has one already
            if isinstance(outcome, Answer):
                self._future.set_result(outcome)
            else:
                self._future.set_exception(outcome)


class RisClient:
    """Talks to one ris_node.

    node_name: of the ris_node, with its namespace where it has one (`/robot1/ris_node`).
    node: one of yours to live on; then your executor has to spin it, `await client.send(...)`
    works in its callbacks, and `ask` only outside of them.  Without, the client spins a node of
    its own on a thread, and `ask` works anywhere.  Use it as a context manager, or `close` it.

    ::

        with RisClient() as ris:
            x, y, z = ris.ask('the red mug left of the bowl').target()
    """

    def __init__(self, node_name: str = 'ris_node', node: Node | None = None) -> None:
        self._name = node_name.rstrip('/')
        if not self._name:
            raise BadInputError('node_name is empty; name the ris_node, as ris_node or '
                                '/robot1/ris_node')
        self._context: Context | None = None
        self._thread: threading.Thread | None = None
        self._node = node if node is not None else self._own_node()
        self._executor = SingleThreadedExecutor(context=self._node.context)
        self._closed = False
        self._pending: dict[str, Pending] = {}
        self._lock = threading.Lock()
        self._prefix, self._numbers = uuid.uuid4().hex[:8], itertools.count(1)
        self._status: Any = None
        self._seen_at: float | None = None
        group = ReentrantCallbackGroup()
        self._command = self._node.create_publisher(String, f'{self._name}/command', BURST)
        self._results = self._node.create_subscription(
            DiagnosticArray, f'{self._name}/result', self._on_result, BURST,
            callback_group=group)
        self._states = self._node.create_subscription(
            DiagnosticArray, f'{self._name}/status', self._on_status, LATCHED,
            callback_group=group)
        self._cancel = self._node.create_client(Trigger, f'{self._name}/cancel',
                                                callback_group=group)
        self._timer = self._node.create_timer(
            CHECK_S, self._expire, callback_group=group,
            clock=Clock(clock_type=ClockType.STEADY_TIME))
        if node is None:
            self._executor.add_node(self._node)
            self._thread = threading.Thread(target=self._spin, name='ris-client', daemon=True)
            self._thread.start()

    # ---- life ----------------------------------------------------------------------------

    def __enter__(self) -> RisClient:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Leave ROS; answers that have not come will not come."""
        if self._closed:
            return
        self._closed = True
        self._executor.shutdown(timeout_sec=1.0)
        if self._thread is not None:
            self._thread.join(5.0)
            self._node.destroy_node()
            rclpy.try_shutdown(context=self._context)
        else:
            self._node.destroy_timer(self._timer)
            self._node.destroy_publisher(self._command)
            for subscription in (self._results, self._states):
                self._node.destroy_subscription(subscription)
            self._node.destroy_client(self._cancel)
        self._give_up('the client was closed', lambda _: True)

    def _own_node(self) -> Node:
        # The ROS wheels of the package index do not set it, a sourced ROS 2 does.
        os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
        self._context = Context()
        # A context of its own, so that it does not matter what else the process does with ROS.
        rclpy.init(context=self._context, args=[])
        return rclpy.create_node(f'ris_client_{uuid.uuid4().hex[:8]}', context=self._context,
                                 use_global_arguments=False, start_parameter_services=False)

    def _spin(self) -> None:
        while not self._closed and rclpy.ok(context=self._context):
            with suppress(ExternalShutdownException):
                self._executor.spin_once(timeout_sec=0.2)

    # ---- what the node is like -----------------------------------------------------------

    @property
    def status(self) -> Mapping[str, str]:
        """What the node said last of itself, as `state` and `method`; empty before it did."""
        message = self._status
        if message is None:
            return {}
        first = message.status[0]
        return {**{pair.key: pair.value for pair in first.values}, 'message': first.message}

    @property
    def connected(self) -> bool:
        """Whether a node takes commands and its answers arrive here."""
        there = bool(self._command.get_subscription_count()
                     and self._node.count_publishers(self._results.topic_name))
        if not there:
            self._seen_at = None
        elif self._seen_at is None:
            self._seen_at = time.monotonic()
        return self._seen_at is not None and time.monotonic() - self._seen_at >= SETTLE_S

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the node takes commands; raises RisError that says what it lacks."""
        if not self.wait(lambda: self.connected and self.status.get(
                'state', 'INACTIVE') != 'INACTIVE', timeout_s):
            raise RisError(self._whats_missing(timeout_s))

    def wait_until_connected(self, timeout_s: float = 10.0) -> None:
        """Wait until a node is there, active or not; raises RisError where none is."""
        if not self.wait(lambda: self.connected, timeout_s):
            raise RisError(self._whats_missing(timeout_s))

    def wait(self, condition: Callable[[], object], timeout_s: float = 10.0) -> bool:
        """Wait until a condition holds; say whether it does.

        A node that was given and that nobody spins is spun meanwhile.
        """
        end = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < end:
            self._pass(LOOK_S)
        return bool(condition())

    def _whats_missing(self, waited_s: float) -> str:
        if not self.connected:
            return (f'no ris_node listens to {self._command.topic_name} after {waited_s:g} s; '
                    'start one, name it with its namespace (/robot1/ris_node), and check '
                    'ROS_DOMAIN_ID on both sides')
        return (f'the node takes no commands after {waited_s:g} s: '
                f'{self.status.get("message", "it says nothing of itself")}')

    def _pass(self, seconds: float) -> None:
        """Let time go by; spins the node that was given where nobody else does."""
        if self._thread is not None or self._node.executor not in (None, self._executor):
            time.sleep(seconds)
            return
        # An executor of our own, for a node keeps the last that it was added to.
        self._executor.add_node(self._node)
        try:
            self._executor.spin_once(timeout_sec=seconds)
        finally:
            self._executor.remove_node(self._node)

    # ---- commands ------------------------------------------------------------------------

    def ask(self, text: str, timeout_s: float | None = None, **more: Any) -> Answer:
        """Say something and wait for the answer, whatever it is.

        text: the sentence.  timeout_s: the node's time limit for it, (0, 3600]; None leaves
        that to the node.  more: further keys of the command.  Raises RisError where no node
        is there or no answer comes.
        """
        self.wait_until_connected()
        pending = self.send(text, timeout_s, **more)
        while not pending.done():
            if self._thread is None:
                self._pass(LOOK_S)
            else:
                with suppress(FutureTimeoutError):
                    return pending.result(CHECK_S)
            self._expire()
        return pending.result()

    def send(self, text: str, timeout_s: float | None = None, **more: Any) -> Pending:
        """Say something; the answer is waited for or awaited later.

        As `ask`; raises RisError at once where no node is there to hear it.
        """
        if not isinstance(text, str):
            raise BadInputError(f'a command is a text, not {type(text).__name__}')
        if self._closed:
            raise RisError('the client was closed')
        if not self._command.get_subscription_count():
            raise RisError(self._whats_missing(0.0))
        identity = str(more.pop('id', f'{self._prefix}-{next(self._numbers)}'))
        request = {'id': identity, 'text': text, **more}
        if timeout_s is not None:
            request['timeout_s'] = timeout_s
        limit = timeout_s if isinstance(timeout_s, int | float) else float(
            self.status.get('command_timeout_s', NODE_LIMIT_S))
        pending = Pending(identity, text, time.monotonic() + limit + GRACE_S)
        with self._lock:
            if identity in self._pending:
                raise BadInputError(f'the id {identity!r} is on its way already')
            self._pending[identity] = pending
        self._command.publish(String(data=json.dumps(request)))
        return pending

    def cancel(self, timeout_s: float = 5.0) -> bool:
        """End all that the node is working on as CANCELED; say whether there was anything.

        Raises RisError where the node does not answer.
        """
        if not self.wait(self._cancel.service_is_ready, timeout_s):
            raise RisError(self._whats_missing(timeout_s))
        future = self._cancel.call_async(Trigger.Request())
        if not self.wait(future.done, timeout_s):
            raise RisError(f'the node did not answer within {timeout_s:g} s')
        return bool(future.result().success)

    # ---- what arrives --------------------------------------------------------------------

    def _on_result(self, message: DiagnosticArray) -> None:
        try:
            answer = answer_of(message)
        except RisError as error:
            self._node.get_logger().warning(str(error))
            return
        with self._lock:
            pending = self._pending.pop(answer.command_id, None)
        if pending is not None:   # else another client's
            pending.settle(answer)

    def _on_status(self, message: DiagnosticArray) -> None:
        if message.status:
            self._status = message

    def _expire(self) -> None:
        now = time.monotonic()
        self._give_up('no answer came in time; the node may have ended, see its log',
                      lambda pending: now > pending.deadline)

    def _give_up(self, reason: str, whom: Callable[[Pending], bool]) -> None:
        with self._lock:
            lost = [pending for pending in self._pending.values() if whom(pending)]
            for pending in lost:
                del self._pending[pending.command_id]
        for pending in lost:
            pending.settle(RisError(f'{pending.text!r}: {reason}'))
