"""The node: camera and sentence in, mask, 3D target and one result out.

All ROS work happens on the executor's thread, all model work on the worker's.  Callbacks
store what arrives and call `_advance`, which starts the current command as soon as a fresh
image is there and the models are free.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from ris_ros.nodes import parameters as ros_parameters
from ris_ros.nodes.measuring import measure
from ris_ros.nodes.messages import (
    diagnostic_array,
    diagnostic_status,
    image_to_rgb,
    stamp_to_seconds,
)
from ris_ros.nodes.outputs import Outputs, result_details, result_message
from ris_ros.nodes.parameters import NodeParameters
from ris_ros.nodes.spinning import (
    StopRequest,
    leave_at_once,
    spin_until_shutdown,
    start_ros,
)
from ris_ros.service.commands import CommandBoard, Ending, Record, State
from ris_ros.service.frames import Frame, FrameStore
from ris_ros.service.segmenters import SegmenterFactory, method_defaults, profile_segmenter
from ris_ros.service.waiting import choose_frame, no_frame
from ris_ros.service.worker import Job, Reply, Worker
from ris_ros.target import Measurement
from ris_ros.types import BadInputError, Level, Outcome, RisError

# Sensor data, deep enough that a busy machine does not cost images; only the newest count.
IMAGE_QOS = QoSProfile(depth=15, reliability=ReliabilityPolicy.BEST_EFFORT)
TICK_S = 0.05  # how often waiting commands are looked after when no image arrives
REFUSED = 'the node could not be configured'
STREAMS = (('image', 'image', Image), ('depth', 'depth/image', Image),
           ('info', 'camera_info', CameraInfo))


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
        self._settings: NodeParameters | None = None
        self._declare_parameters()
        self._result_publisher = self.create_publisher(
            DiagnosticArray, '~/result', QoSProfile(depth=10))
        self._status_publisher = self.create_publisher(
            DiagnosticArray, '~/status',
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._board = CommandBoard(self._publish_result)
        self._frames = FrameStore()
        self._outputs: Outputs | None = None
        self._image_subscriptions: list[Any] = []
        self._running: Record | None = None
        self._active = False
        self.computing = False  # whether the models are still busy after `close`
        self._inactive_reason = 'the node is not active yet'
        self._last_time = 0.0
        self._last_status: tuple[float, str] = (0.0, '')
        # The command topic is there from the start, so that nobody's command meets silence.
        self.create_subscription(String, '~/command', self._on_command, QoSProfile(depth=10))
        self.create_service(Trigger, '~/cancel', self._on_cancel)
        self._replies_ready = self.create_guard_condition(self._on_replies)
        self._worker = Worker(self._replies_ready.trigger)
        # Steady, for with simulated time a paused clock would stop the heartbeat too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._steady = steady
        self.create_timer(TICK_S, self._on_tick, clock=steady)
        self._autostart_timer = self.create_timer(0.0, self._on_autostart, clock=steady)

    # ---- lifecycle -----------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the models and run them once; FAILURE with a clear log if that cannot be."""
        p = self.settings
        self._inactive_reason = 'the models are loading'
        self._publish_status()
        try:
            settings = self._method_settings(p)
            self.get_logger().info(
                f'loading method {p.method}, profile {p.profile}, on device {p.device}')
            seconds = self._wait_for_models(
                lambda: self._factory(p, settings), p.warmup)
        except RisError as error:
            return self._refuse_to_configure(str(error))
        except Exception as error:
            return self._refuse_to_configure(f'{type(error).__name__}: {error}')
        self._outputs = Outputs(self)
        self.get_logger().info(f'models ready after {seconds:.1f} s')
        self._inactive_reason = 'the node is configured but not active'
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and begin to take commands."""
        options = QoSOverridingOptions.with_default_policies()
        for stream, topic, kind in STREAMS:
            if stream != 'image' and self.settings.use_depth == 'false':
                continue
            self._image_subscriptions.append(self.create_subscription(
                kind, topic, partial(self._on_message, stream), IMAGE_QOS,
                qos_overriding_options=options))
        self._active = True
        self._publish_status()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the camera; open commands end as CANCELED."""
        self._stop('the node was deactivated')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models."""
        self._worker.unload()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        self._inactive_reason = 'the node is not configured'
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivating and cleaning up do."""
        self._stop('the node was shut down')
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an error in a transition."""
        self._stop('a transition of the node failed')
        return self.on_cleanup(state)

    def wind_up(self) -> None:
        """End open commands while their results can still be published."""
        self._stop('the node is going down')

    def close(self) -> None:
        """See the last results off and end the worker; called when the process ends."""
        self.wind_up()
        if rclpy.ok(context=self.context):
            self._result_publisher.wait_for_all_acked(Duration(seconds=1.0))
        self.computing = not self._worker.close(timeout_s=2.0)

    def _stop(self, reason: str) -> None:
        self._active = False
        self._inactive_reason = reason
        for subscription in self._image_subscriptions:
            self.destroy_subscription(subscription)
        self._image_subscriptions.clear()
        self._frames.clear()
        if rclpy.ok(context=self.context):
            self._board.end_all(Ending(Outcome.CANCELED, reason), self._now())
            self._publish_status()

    def _on_autostart(self) -> None:
        self._autostart_timer.cancel()
        self.destroy_timer(self._autostart_timer)
        self._publish_status()
        if (self.settings.autostart
                and self.trigger_configure() == TransitionCallbackReturn.SUCCESS):
            self.trigger_activate()

    def _refuse_to_configure(self, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f'cannot configure: {reason}')
        self._inactive_reason = f'{REFUSED}: {reason}'
        self._publish_status()
        return TransitionCallbackReturn.FAILURE

    def _wait_for_models(self, factory: Callable[[], Any], warm_up: bool) -> float:
        future = self._worker.load(factory, warm_up)
        while True:
            try:
                return future.result(timeout=0.2)
            except FutureTimeoutError:
                if self._stop_request.asked or not rclpy.ok(context=self.context):
                    raise RisError('interrupted while the models were loading') from None

    # ---- parameters ----------------------------------------------------------------------

    def _declare_parameters(self) -> None:
        table = ros_parameters.parameter_table()
        ros_parameters.declare(self, table)
        p = self.settings
        self._settings_problem: str | None = None
        self._settings_class: type | None = None
        try:
            # Another factory than the package's has no method settings.
            if self._factory is profile_segmenter:
                self._settings_class, defaults = method_defaults(p.method, p.profile)
                own = ros_parameters.method_table(p.method, defaults)
                ros_parameters.declare(self, own)
                table += own
        except RisError as error:  # told at configure, where its answer can be FAILURE
            self._settings_problem = str(error)
        validate = ros_parameters.validator(table)

        def on_set(changed: list[Any]) -> SetParametersResult:
            self._settings = None
            return validate(changed)

        self.add_on_set_parameters_callback(on_set)

    @property
    def settings(self) -> NodeParameters:
        """The parameters as they are now; read again after every change."""
        if self._settings is None:
            self._settings = ros_parameters.read(self)
        return self._settings

    def _method_settings(self, p: NodeParameters) -> Any:
        if self._settings_problem:
            raise BadInputError(self._settings_problem)
        if self._settings_class is None:
            return None
        return ros_parameters.read_method_settings(self, p.method, self._settings_class)

    # ---- what arrives --------------------------------------------------------------------

    def _on_message(self, stream: str, message: Any) -> None:
        getattr(self._frames, stream).add(stamp_to_seconds(message.header.stamp), message)
        if self._board.current is not None:
            self._advance()

    def _on_command(self, message: String) -> None:
        now = self._now()
        if not self._active:
            self._board.refuse(message.data, now,
                               Ending(Outcome.NOT_ACTIVE, self._inactive_reason))
            return
        p = self.settings
        record = self._board.submit(message.data, now, p.command_timeout_s, p.busy_policy,
                                    p.queue_size)
        if record.state is not State.DONE:
            self.get_logger().info(f'command {record.id}: {record.text}')
        self._publish_status()  # the id is known before the models begin
        self._advance()

    def _on_cancel(self, _request: Trigger.Request, response: Trigger.Response
                   ) -> Trigger.Response:
        count = self._board.end_all(Ending(Outcome.CANCELED, 'canceled on request'), self._now())
        response.success = count > 0
        response.message = f'{count} canceled' if count else 'no command is being worked on'
        return response

    def _on_tick(self) -> None:
        now = self._now()
        if now < self._last_time - 0.01:
            self.get_logger().warning('the clock jumped back; images are forgotten')
            self._frames.clear()
            self._board.end_all(Ending(Outcome.CANCELED, 'the clock jumped back'), now)
        self._last_time = now
        for record in self._board.expired(now):
            self._board.end(record, Ending(
                Outcome.TIMEOUT, f'no result within {record.timeout_s:g} s'), now)
        self._advance()
        since, state = self._last_status
        if (self._steady_now() - since >= self.settings.status_period_s
                or self._state_text() != state):
            self._publish_status()

    # ---- commands ------------------------------------------------------------------------

    def _advance(self) -> None:
        """Start the current command if its image is there and the models are free."""
        record = self._board.current
        if record is None or record.state is not State.WAITING or self._running is not None:
            return
        now, p = self._now(), self.settings
        want_depth = self._wants_depth(p)
        frame = choose_frame(self._frames, record, now, want_depth, p)
        if frame is not None:
            self._start(record, frame, want_depth, p)
        elif now - record.waiting_since > p.image_timeout_s:
            topic = self.resolve_topic_name('image')
            self._board.end(record, no_frame(self._frames, record, topic, p), now)

    def _wants_depth(self, p: NodeParameters) -> bool:
        if p.use_depth != 'auto':
            return p.use_depth == 'true'
        # count_publishers does not remap names by itself.
        topic = self.resolve_topic_name('depth/image')
        return bool(self._frames.depth.items) or self.count_publishers(topic) > 0

    def _start(self, record: Record, frame: Frame, want_depth: bool, p: NodeParameters) -> None:
        self._board.start(record)
        self._running = record
        header = frame.image.message.header
        record.details.update(header=header, parameters=p,
                              image_age_ms=1e3 * (self._now() - frame.image.stamp))
        self._worker.submit(Job(
            token=record, text=record.text,
            scene_key=(header.frame_id, header.stamp.sec, header.stamp.nanosec),
            read_image=partial(image_to_rgb, frame.image.message),
            measure=partial(measure, frame=frame, want_depth=want_depth, parameters=p),
            max_candidates=p.max_candidates))
        self._publish_status()

    def _on_replies(self) -> None:
        for reply in self._worker.fetch():
            record: Record = reply.token
            self._running = None
            if record.state is not State.DONE:  # else superseded or canceled: dropped
                self._board.end(record, self._deliver(record, reply), self._now())
        self._advance()

    def _deliver(self, record: Record, reply: Reply) -> Ending:
        """Publish an answered command's outputs and return how it ends."""
        if reply.failure is not None:
            return Ending(*reply.failure, details={'infer_ms': 1e3 * reply.infer_s})
        measured, header = reply.measured, record.details['header']
        assert isinstance(measured, Measurement)
        try:
            assert self._outputs is not None
            self._outputs.publish(reply, header, record.details['parameters'])
        except Exception as error:  # whatever a method returned, its command must end
            return Ending(Outcome.MODEL_ERROR, f'the output cannot be published: {error}')
        return Ending(measured.outcome, measured.message, result_details(reply, header))

    def _publish_result(self, record: Record, ending: Ending) -> None:
        now, p = self._now(), self.settings
        header = record.details.get('header') or Header(stamp=self.get_clock().now().to_msg())
        details: dict[str, Any] = {'method': p.method,
                                   'total_ms': 1e3 * (now - record.received), **ending.details}
        if 'header' in record.details:
            details['image_age_ms'] = record.details['image_age_ms']
            details['stamp_to_result_ms'] = 1e3 * (now - stamp_to_seconds(header.stamp))
        self._result_publisher.publish(result_message(
            self.get_name(), record, ending, header, details, p.max_candidates))
        text = f'command {record.id}: {ending.outcome.name} {ending.message}'.rstrip()
        # rclpy binds a line of code to the severity of its first call, hence two lines.
        if ending.outcome.level is Level.OK:
            self.get_logger().info(text)
        else:
            self.get_logger().warning(text)

    # ---- status --------------------------------------------------------------------------

    def _state_text(self) -> str:
        current = self._board.current
        if not self._active:
            return 'INACTIVE'
        return current.state.value if current is not None else 'IDLE'

    def _publish_status(self) -> None:
        p, current, state = self.settings, self._board.current, self._state_text()
        newest = self._frames.newest_stamp()
        values = {
            'state': state, 'command_id': current.id if current else None,
            'command': current.text if current else None, 'open': len(self._board.open),
            'method': p.method, 'profile': p.profile,
            'images_received': self._frames.image.received,
            'depth_received': self._frames.depth.received,
            'camera_info_received': self._frames.info.received,
            'image_age_ms': None if newest is None else 1e3 * (self._now() - newest),
        }
        message = self._inactive_reason if state == 'INACTIVE' else state.lower()
        status = diagnostic_status(0 if self._active else 1, f'{self.get_name()}: status',
                                   message, values)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._status_publisher.publish(diagnostic_array(header, [status]))
        self._last_status = (self._steady_now(), state)

    def _now(self) -> float:
        return 1e-9 * self.get_clock().now().nanoseconds

    def _steady_now(self) -> float:
        return 1e-9 * self._steady.now().nanoseconds


def main(args: list[str] | None = None,
         segmenter_factory: SegmenterFactory = profile_segmenter) -> int:
    """Run the node until it is told to stop; return the exit code."""
    stop = start_ros(args)
    try:
        node = RisNode(segmenter_factory, stop)
    except BadInputError as error:
        print(f'ris_node: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    spin_until_shutdown(node, stop)
    if node.computing:
        leave_at_once(0)
    return 0


if __name__ == '__main__':
    sys.exit(main())
