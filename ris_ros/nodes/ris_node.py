"""The node: camera and sentence in, mask, 3D target and one result out.

Here are its ROS entities alone: callbacks hand what arrives to the `Session`, which decides
everything and speaks through the ports.  All ROS work happens on the executor's thread, all
model work on the worker's.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

import rclpy
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ris_ros.nodes.parameters import LiveParameters
from ris_ros.nodes.ports import (
    MessageConverter,
    RosClock,
    RosPublisher,
    RosSurroundings,
    stamped,
)
from ris_ros.nodes.spinning import (
    StopRequest,
    leave_at_once,
    spin_until_shutdown,
    start_ros,
)
from ris_ros.service.frames import StreamName
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.segmenters import SegmenterFactory, profile_segmenter
from ris_ros.service.session import Session
from ris_ros.service.worker import SegmenterLike, Worker
from ris_ros.types import BadInputError, RisError

# Sensor data, deep enough that a busy machine does not cost images; only the newest count.
IMAGE_QOS = QoSProfile(depth=15, reliability=ReliabilityPolicy.BEST_EFFORT)
TICK_S = 0.05  # how often waiting commands are looked after when no image arrives
STREAMS: tuple[tuple[StreamName, str, Any], ...] = (
    ('image', 'image', Image), ('depth', 'depth/image', Image),
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
        # Another factory than the package's has no method settings.
        self._live = LiveParameters(self, segmenter_factory is profile_segmenter)
        self._publisher = RosPublisher(self)
        self._replies_ready = self.create_guard_condition(self._on_replies)
        self._worker = Worker(self._replies_ready.trigger)
        clock = RosClock(self)
        self._session = Session(self._worker, MessageConverter(), clock,
                                RosSurroundings(self, self._live), self._publisher)
        self._image_subscriptions: list[Any] = []
        self.computing = False  # whether the models are still busy after `close`
        # The command topic is there from the start, so that nobody's command meets silence.
        self.create_subscription(String, '~/command', self._on_command, QoSProfile(depth=10))
        self.create_service(Trigger, '~/cancel', self._on_cancel)
        # Steady, for with simulated time a paused clock would stop the heartbeat too.
        self.create_timer(TICK_S, self._on_tick, clock=clock.steady)
        self._autostart_timer = self.create_timer(0.0, self._on_autostart, clock=clock.steady)

    @property
    def settings(self) -> NodeParameters:
        """The parameters as they are now."""
        return self._live.current

    # ---- lifecycle -----------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the models and run them once; FAILURE with a clear log if that cannot be."""
        p = self.settings
        self._session.begin_loading()
        try:
            settings = self._live.method_settings()
            self.get_logger().info(
                f'loading method {p.method}, profile {p.profile}, on device {p.device}')
            seconds = self._wait_for_models(lambda: self._factory(p, settings), p.warmup)
        except RisError as error:
            return self._refuse_to_configure(str(error))
        except Exception as error:
            return self._refuse_to_configure(f'{type(error).__name__}: {error}')
        self._publisher.open_outputs()
        self.get_logger().info(f'models ready after {seconds:.1f} s')
        self._session.loaded()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and begin to take commands."""
        options = QoSOverridingOptions.with_default_policies()
        for stream, topic, kind in STREAMS:
            if stream != 'image' and self.settings.use_depth == 'false':
                continue
            self._image_subscriptions.append(self.create_subscription(
                kind, topic, partial(self._on_frame, stream), IMAGE_QOS,
                qos_overriding_options=options))
        self._session.activate()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the camera; open commands end as CANCELED."""
        self._stop('the node was deactivated')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models."""
        self._session.unload()
        self._publisher.close_outputs()
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
        self._publisher.wait_until_delivered(1.0)
        self.computing = not self._worker.close(timeout_s=2.0)

    def _stop(self, reason: str) -> None:
        for subscription in self._image_subscriptions:
            self.destroy_subscription(subscription)
        self._image_subscriptions.clear()
        self._session.stop(reason)

    def _refuse_to_configure(self, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f'cannot configure: {reason}')
        self._session.refuse(reason)
        return TransitionCallbackReturn.FAILURE

    def _wait_for_models(self, factory: Callable[[], SegmenterLike], warm_up: bool) -> float:
        future = self._session.load(factory, warm_up)
        while True:
            try:
                return future.result(timeout=0.2)
            except FutureTimeoutError:
                if self._stop_request.asked or not rclpy.ok(context=self.context):
                    raise RisError('interrupted while the models were loading') from None

    # ---- callbacks: they hand on what arrives and decide nothing -------------------------

    def _on_autostart(self) -> None:
        self._autostart_timer.cancel()
        self.destroy_timer(self._autostart_timer)
        self._session.publish_status()
        if (self.settings.autostart
                and self.trigger_configure() == TransitionCallbackReturn.SUCCESS):
            self.trigger_activate()

    def _on_frame(self, stream: StreamName, message: Any) -> None:
        self._session.on_frame(stream, stamped(message))

    def _on_command(self, message: String) -> None:
        self._session.on_command(message.data)

    def _on_cancel(self, _request: Trigger.Request, response: Trigger.Response
                   ) -> Trigger.Response:
        count = self._session.on_cancel()
        response.success = count > 0
        response.message = f'{count} canceled' if count else 'no command is being worked on'
        return response

    def _on_replies(self) -> None:
        self._session.on_replies()

    def _on_tick(self) -> None:
        self._session.on_tick()


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
