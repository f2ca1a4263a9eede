"""The node: camera and sentence in, mask, 3D target and one result out.

Here are its ROS entities alone: callbacks hand what arrives to the `Session`, which decides
everything and speaks through the ports.  All ROS work happens on the executor's thread, all
model work on the worker's.
"""
from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import replace
from typing import Any

import rclpy
from diagnostic_msgs.srv import SelfTest
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ris_ros.nodes.intake import CameraIntake
from ris_ros.nodes.parameters import LiveParameters
from ris_ros.nodes.ports import (
    BURST_QOS,
    MessageConverter,
    RosClock,
    RosPublisher,
    RosSurroundings,
    check_statuses,
    examine_conversion,
)
from ris_ros.nodes.spinning import (
    Spinner,
    StopRequest,
    answer_always,
    leave_at_once,
    spin_until_shutdown,
    start_ros,
)
from ris_ros.nodes.transforms import TfFrames, require_tf2
from ris_ros.service.frames import Stamped, StreamName
from ris_ros.service.health import Check, worst
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.segmenters import SegmenterFactory, profile_segmenter
from ris_ros.service.selftest import examine_models
from ris_ros.service.session import Session
from ris_ros.service.switching import Choice, SwitchingModels
from ris_ros.service.text import carriable
from ris_ros.service.worker import SegmenterLike
from ris_ros.types import BadInputError, Level, RisError

BUSY_TICK_S = 0.05  # how often waiting commands are looked after when no image arrives
IDLE_TICK_S = 0.5   # how often the clock and the camera are looked at without a command
SWITCH_S = 0.0005   # after which a thread gives way; a reply waits for it, and 5 ms are Python's

Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def reported(transition: Transition) -> Transition:
    """Return a transition's callback that logs what it raises; rclpy keeps it to itself."""
    @functools.wraps(transition)
    def run(self: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            self.report(f'{transition.__name__} failed:\n'
                        + ''.join(traceback.format_exception(error)))
            return TransitionCallbackReturn.ERROR
    return run


class RisNode(LifecycleNode):
    """Lifecycle node `ris_node`; activates itself when the parameter `autostart` is true.

    segmenter_factory(parameters, method_settings) builds what grounds sentences; the default
    is the Segmenter of the parameters `profile` and `method`.  It is called on the worker's
    thread.  stop: asked when the process is to end, so that loading models does not delay it.
    """

    def __init__(self, segmenter_factory: SegmenterFactory = profile_segmenter,
                 stop: StopRequest | None = None, **kwargs: Any) -> None:
        super().__init__('ris_node', **kwargs)
        self._factory = segmenter_factory
        self._stop_request = stop or StopRequest()
        # Another factory than the package's has no method settings.
        self._followed = -1   # changes of the parameters that were looked at
        self._live = LiveParameters(self, segmenter_factory is profile_segmenter)
        self._publisher = RosPublisher(self)
        self._replies_ready = self.create_guard_condition(self._on_replies)
        self._models = SwitchingModels(self._wake)
        clock = RosClock(self)
        self._steady = clock.steady
        self._intake = CameraIntake(self, self._on_frame, self.settings.image_transport)
        self._transforms = TfFrames(self)
        self._session = Session(
            self._models, MessageConverter(), clock, self._intake,
            RosSurroundings(self, self._live, self._publisher, self._transforms),
            self._publisher)
        # The command topic is there from the start, so that nobody's command meets silence.
        self.create_subscription(String, '~/command', self._on_command, BURST_QOS)
        self.create_service(Trigger, '~/cancel', self._on_cancel)
        self.create_service(Trigger, '~/clear', self._on_clear)
        self.create_service(Trigger, '~/segment', self._on_segment)
        self.create_service(SelfTest, '~/self_test', self._on_self_test)
        # Steady, for with simulated time a paused clock would stop the heartbeat too.
        self._tick = self.create_timer(IDLE_TICK_S, self._on_tick, clock=clock.steady)
        # Transitions may take minutes; what is not in their group goes on meanwhile.
        transitions = ReentrantCallbackGroup()
        self._autostart_timer = self.create_timer(
            0.0, self._on_autostart, callback_group=transitions, clock=clock.steady)
        answer_always(self.services, self.report, transitions)

    @property
    def settings(self) -> NodeParameters:
        """The parameters as they are now."""
        return self._live.current

    # ---- lifecycle -----------------------------------------------------------------------

    @reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the models and run them once; FAILURE with a clear log if that cannot be."""
        p = self.settings
        self._session.begin_loading()
        try:
            if p.target_frame:
                require_tf2()
            choice = self._live.choice()
            self.get_logger().info(f'loading {choice}, on device {p.device}')
            seconds = self._wait_for_models(self._builder(choice), p.warmup)
        except RisError as error:
            return self._refuse_to_configure(str(error))
        except Exception as error:
            return self._refuse_to_configure(f'{type(error).__name__}: {error}')
        self._publisher.open_outputs()
        self.get_logger().info(f'models ready after {seconds:.1f} s')
        self._models.loaded = choice
        self._session.loaded(choice)
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and begin to take commands."""
        self._open_topics()
        self._session.activate()
        return super().on_activate(state)

    @reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the camera; open commands end as CANCELED."""
        self._stop('the node was deactivated')
        return super().on_deactivate(state)

    @reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models."""
        self._free('the node is not configured')
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivating and cleaning up do."""
        return self._end('the node was shut down')

    @reported
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an error in a transition."""
        return self._end('a transition of the node failed; see its log')

    def wind_up(self) -> None:
        """End open commands while their results can still be published."""
        self._stop('the node is going down')

    def close(self) -> None:
        """See the last results off; called when the process ends."""
        self.wind_up()
        self._publisher.wait_until_delivered(1.0)
        self._models.close(timeout_s=0.0)

    def report(self, text: str) -> None:
        """Log what went wrong."""
        self.get_logger().error(carriable(text))

    def _end(self, reason: str) -> TransitionCallbackReturn:
        self._stop(reason)
        self._free(reason)
        return TransitionCallbackReturn.SUCCESS

    def _stop(self, reason: str) -> None:
        self._intake.close()
        self._transforms.close()
        self._session.stop(reason)

    def _open_topics(self) -> None:
        """Listen to what the parameters ask for, and to nothing else."""
        self._intake.open(self._with_depth)
        if self.settings.target_frame:
            self._transforms.open()
        else:
            self._transforms.close()

    def _free(self, reason: str) -> None:
        self._session.unload(reason)
        self._publisher.close_outputs()

    @property
    def _with_depth(self) -> bool:
        return self.settings.use_depth != 'false'

    def _refuse_to_configure(self, reason: str) -> TransitionCallbackReturn:
        self.report(f'cannot configure: {reason}')
        self._session.refuse(reason)
        return TransitionCallbackReturn.FAILURE

    def _builder(self, choice: Choice) -> Callable[[], SegmenterLike]:
        """Return what builds the models of a choice, under the parameters of this moment."""
        p = replace(self.settings, method=choice.method, profile=choice.profile)
        return lambda: self._factory(p, choice.settings)

    def _follow_choice(self) -> None:
        """Build other models in the background where the parameters ask for them."""
        loaded, changes = self._models.loaded, self._live.changes
        if loaded is None or (changes == self._followed and self._models.coming is None):
            return   # the next configuring takes what is asked for then
        self._followed = changes
        wanted = self._live.choice()
        change = self._models.follow(wanted, self._builder(wanted), self.settings.warmup)
        if change is None:
            self._session.expect(self._models.coming)
        elif change.failure is None:
            self.get_logger().info(f'{change.choice} has taken over, built in '
                                   f'{change.seconds:.1f} s')
            self._session.loaded(change.choice)
        else:
            self.report(f'{change.choice} cannot be built: {change.failure}; {loaded} stays')
            self._live.restore(loaded)
            self._session.expect(None, f'{change.choice} could not be built: {change.failure}')

    def _wait_for_models(self, factory: Callable[[], SegmenterLike], warm_up: bool) -> float:
        """Return how long loading took; meanwhile the node's other callbacks go on."""
        future = self._session.load(factory, warm_up)
        future.add_done_callback(lambda _: self._wake())
        # The callbacks stay on this one thread, so that nothing else has to be locked.
        spinner = None if self.executor is None else Spinner(self.executor, self.report)
        while not future.done():
            if self._stop_request.asked or not rclpy.ok(context=self.context):
                raise RisError('interrupted while the models were loading')
            if spinner is None or not spinner.once(0.1):
                wait_for([future], timeout=0.1)
        return future.result()

    def _wake(self) -> None:
        with suppress(InvalidHandle):  # the node has been destroyed meanwhile
            self._replies_ready.trigger()

    # ---- callbacks: they hand on what arrives and decide nothing -------------------------

    def _on_autostart(self) -> None:
        self._autostart_timer.cancel()
        self.destroy_timer(self._autostart_timer)
        self._session.publish_status()
        if (self.settings.autostart
                and self.trigger_configure() == TransitionCallbackReturn.SUCCESS):
            self.trigger_activate()

    def _on_frame(self, stream: StreamName, message: Stamped) -> None:
        self._session.on_frame(stream, message)
        self._pace()

    def _on_command(self, message: String) -> None:
        self._session.on_command(message.data)
        self._pace()

    def _on_cancel(self, _request: Trigger.Request, response: Trigger.Response
                   ) -> Trigger.Response:
        count = self._session.on_cancel()
        response.success = count > 0
        response.message = f'{count} canceled' if count else 'no command is being worked on'
        return response

    def _on_clear(self, _request: Trigger.Request, response: Trigger.Response
                  ) -> Trigger.Response:
        self._publisher.clear()
        response.success, response.message = True, 'markers are cleared'
        return response

    async def _on_segment(self, _request: Trigger.Request, response: Trigger.Response
                          ) -> Trigger.Response:
        """Answer when the command has ended; other callbacks go on meanwhile."""
        ended: Any = Future()   # of a Result
        try:
            self._session.repeat(ended.set_result)
        except BadInputError as error:
            response.message = str(error)
            return response
        self._pace()
        ending = (await ended).ending
        response.success = ending.outcome.level is Level.OK
        response.message = carriable(': '.join(filter(None, (ending.outcome.name,
                                                             ending.message))))
        return response

    async def _on_self_test(self, _request: SelfTest.Request, response: SelfTest.Response
                            ) -> SelfTest.Response:
        """Try what is loaded on a picture of its own; other callbacks go on meanwhile."""
        ended: Any = Future()   # of a list of Checks

        def end(checks: list[Check]) -> None:
            if not ended.done():
                ended.set_result(checks)
        limit = self.settings.command_timeout_s
        self._models.examine(examine_models).add_done_callback(lambda done: end(
            done.result() if done.exception() is None
            else [Check('models', Level.ERROR, str(done.exception()))]))
        timer = self.create_timer(limit, lambda: end([Check(
            'prepare', Level.ERROR, f'the models did not come to it within {limit:g} s')]),
            callback_group=ReentrantCallbackGroup(), clock=self._steady)
        try:
            checks = [*self._session.checks(), examine_conversion(), *await ended]
        finally:
            self.destroy_timer(timer)
        name = self.get_fully_qualified_name().lstrip('/')
        response.id, response.status = name, check_statuses(name, checks)
        response.passed = bytes([worst(checks) is not Level.ERROR])
        return response

    def _on_replies(self) -> None:
        self._session.on_replies()
        self._try_to_follow()
        self._pace()

    def _on_tick(self) -> None:
        if self._intake.is_open:  # parameters may have been changed
            self._open_topics()
        self._session.on_tick()
        self._try_to_follow()
        self._pace()

    def _try_to_follow(self) -> None:
        try:
            self._follow_choice()
        except RisError as error:   # a setting that does not fit its profile
            self.report(f'{error}; the models stay as they are')
            if self._models.loaded is not None:
                self._live.restore(self._models.loaded)

    def _pace(self) -> None:
        """Look at the time often while a command is open, and seldom else."""
        idle = min(IDLE_TICK_S, self.settings.status_period_s)
        period_ns = int(1e9 * (BUSY_TICK_S if self._session.busy else idle))
        if self._tick.timer_period_ns != period_ns:
            self._tick.timer_period_ns = period_ns
            self._tick.reset()


def main(args: list[str] | None = None,
         segmenter_factory: SegmenterFactory = profile_segmenter) -> int:
    """Run the node until it is told to stop, and end the process; return 2 if it cannot start."""
    stop = start_ros(args)
    sys.setswitchinterval(SWITCH_S)
    try:
        node = RisNode(segmenter_factory, stop)
    except BadInputError as error:
        print(f'ris_node: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    spin_until_shutdown(node, stop, node.wind_up, node.close)
    leave_at_once(0)
    return 0


if __name__ == '__main__':
    sys.exit(main())
