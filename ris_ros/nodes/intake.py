"""The camera's topics, looked at only when somebody needs an image.

Taking a message of the middleware costs much more than letting a newer one push it out, and a
node that stands by should cost nothing.  So the executor waits for images only while a command
waits for one; otherwise the newest few lie in the middleware until they are collected.
"""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import (  # type: ignore[no-redef]
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )

from ris_ros.nodes.ports import stamped
from ris_ros.service.frames import Stamped, StreamName

# Sensor data: best effort fits every publisher.  Only the newest count, but colour and depth
# that belong together may come some images apart.
IMAGE_QOS = QoSProfile(depth=3, reliability=ReliabilityPolicy.BEST_EFFORT)
# A CameraInfo that was sent once, before the node was there, comes to such readers alone.
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STREAMS: Mapping[StreamName, tuple[str, Any]] = {
    'image': ('image', Image), 'depth': ('depth/image', Image),
    'info': ('camera_info', CameraInfo)}
COMPRESSED = ('image/compressed', CompressedImage)


class OnDemandGroup(CallbackGroup):
    """Has the executor wait for its entities only while `wanted`.

    Their events too: waiting for an event of a subscription alone keeps a core busy as long as
    it holds messages that nobody takes (rmw_fastrtps 8.4).
    """

    def __init__(self) -> None:
        super().__init__()
        self.wanted = False

    def can_execute(self, entity: Any) -> bool:
        """Say whether the executor may wait for an entity and run its callback."""
        return self.wanted

    def beginning_execution(self, entity: Any) -> bool:
        """Allow every callback that has been chosen."""
        return True

    def ending_execution(self, entity: Any) -> None:
        """Do nothing: callbacks of this group do not exclude one another."""


class CameraIntake:
    """The subscriptions to the camera, open between `open` and `close`.

    on_frame(stream, message) is called for messages that come while eagerly listened for.
    transport: of the colour image, 'raw' or 'compressed'.
    See `ris_ros.service.ports.Intake`.
    """

    def __init__(self, node: Node, on_frame: Callable[[StreamName, Stamped], None],
                 transport: str = 'raw') -> None:
        self._node, self._on_frame = node, on_frame
        self._topics = dict(STREAMS)
        if transport == 'compressed':
            self._topics['image'] = COMPRESSED
        self._new_group()
        self._subscriptions: list[tuple[StreamName, bool, Any]] = []
        self._with_depth: bool | None = None  # None while closed
        self._seen: set[StreamName] = set()
        self._last_number: dict[StreamName, int] = {}
        self._lost: Counter[StreamName] = Counter()
        self._lost_before: Counter[StreamName] = Counter()

    def open(self, with_depth: bool) -> None:
        """Subscribe, or subscribe anew where depth was or was not wanted before."""
        if with_depth is self._with_depth:
            return
        self.close()
        self._new_group()
        self._with_depth = with_depth
        for stream in STREAMS:
            if with_depth or stream == 'image':
                self._subscribe(stream, IMAGE_QOS)

    def _new_group(self) -> None:
        # An old one would remember every subscription it ever held.
        self._group = OnDemandGroup()

    @property
    def is_open(self) -> bool:
        """Whether the camera is subscribed to."""
        return self._with_depth is not None

    def close(self) -> None:
        """Let go of the camera."""
        for _, _, subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._last_number.clear()
        self._seen.clear()
        self._with_depth, self._group.wanted = None, False

    def listen(self, eagerly: bool) -> None:
        """Have messages handed to `on_frame` as they come, or leave them until collected."""
        self._group.wanted = eagerly

    def collect(self) -> Iterable[tuple[StreamName, Stamped]]:
        """Yield what lies in the middleware, stream by stream, oldest first."""
        self._look_for_lasting()
        for stream, lasting, subscription in self._subscriptions:
            for message, about in taken(subscription):
                yield stream, self._stamped(stream, lasting, message, about)

    def lost(self) -> int:
        """Return how many colour images the middleware has lost, as it last told.

        It tells while somebody listens.
        """
        return self._lost['image']

    def _subscribe(self, stream: StreamName, qos: QoSProfile, lasting: bool = False) -> None:
        topic, kind = self._topics[stream]
        callback: Callable[..., None] = partial(self._on_message, stream, lasting)
        if not hasattr(Subscription, 'CallbackType'):  # ROS 2 Humble tells nothing of messages
            callback = partial(self._on_bare_message, stream, lasting)
        more: dict[str, Any] = {
            'callback_group': self._group,
            'qos_overriding_options': QoSOverridingOptions.with_default_policies(
                entity_id='latched' if lasting else None)}
        try:
            subscription = self._node.create_subscription(
                kind, topic, callback, qos, event_callbacks=SubscriptionEventCallbacks(
                    message_lost=partial(self._on_lost, stream)), **more)
        except UnsupportedEventTypeError:  # not every middleware counts what it loses
            subscription = self._node.create_subscription(kind, topic, callback, qos, **more)
        self._subscriptions.append((stream, lasting, subscription))

    def _look_for_lasting(self) -> None:
        """Subscribe to a CameraInfo that was sent once for all time, if somebody keeps one.

        Only then, for a camera that sends it with every image would warn of such a reader.
        """
        if not self._with_depth or 'info' in self._seen or any(
                lasting for _, lasting, _ in self._subscriptions):
            return
        topic = self._node.resolve_topic_name(self._topics['info'][0])
        if any(publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
               for publisher in self._node.get_publishers_info_by_topic(topic)):
            self._subscribe('info', LATCHED_QOS, lasting=True)

    def _on_message(self, stream: StreamName, lasting: bool, message: Any,
                    about: Mapping[str, Any]) -> None:
        self._on_frame(stream, self._stamped(stream, lasting, message, about))

    def _on_bare_message(self, stream: StreamName, lasting: bool, message: Any) -> None:
        self._on_message(stream, lasting, message, {})

    def _on_lost(self, stream: StreamName, event: Any) -> None:
        self._lost[stream] += event.total_count_change

    def _stamped(self, stream: StreamName, lasting: bool, message: Any,
                 about: Mapping[str, Any]) -> Stamped:
        self._seen.add(stream)
        if lasting:
            return stamped(message, lasting=True)
        now = time.time_ns()
        waited = 1e-9 * (now - (about.get('received_timestamp') or now))
        return stamped(message, waited_s=max(waited, 0.0),
                       passed_over=self._passed_over(stream, about))

    def _passed_over(self, stream: StreamName, about: Mapping[str, Any]) -> int:
        """Return how many messages came since the last that was taken, as their numbers say.

        What the middleware lost is not among them.  Where it gives no numbers, as ROS 2 Humble
        does not, none is counted.
        """
        number, last = about.get('publication_sequence_number'), self._last_number.get(stream)
        if number is None:
            return 0
        self._last_number[stream] = number
        if last is None or number <= last:  # the first, or of another publisher
            self._lost_before[stream] = self._lost[stream]
            return 0
        missing = number - last - 1
        lost = min(self._lost[stream] - self._lost_before[stream], missing)
        self._lost_before[stream] += lost
        return missing - lost


def taken(subscription: Any) -> Iterable[tuple[Any, Mapping[str, Any]]]:
    """Yield the messages that a subscription holds, with what the middleware says of them."""
    while True:
        with subscription.handle:
            found = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if found is None:
            return
        yield found
