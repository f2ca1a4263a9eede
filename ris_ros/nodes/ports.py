"""The session's ports over rclpy: clocks, what is asked of the graph, publishers, conversion."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from ris_ros.geometry import DEPTH_ENCODINGS, Calibration, RigidTransform
from ris_ros.nodes.messages import (
    array_to_image,
    calibration_from_info,
    camera_from_info,
    compressed_to_rgb,
    diagnostic_array,
    diagnostic_status,
    image_to_depth,
    image_to_rgb,
    stamp_to_seconds,
)
from ris_ros.nodes.outputs import Outputs, result_message
from ris_ros.nodes.parameters import LiveParameters
from ris_ros.nodes.transforms import TfFrames
from ris_ros.service.commands import CommandRecord
from ris_ros.service.frames import FrameSet, Stamped
from ris_ros.service.health import Check
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.results import Result, Status
from ris_ros.service.text import carriable, shortened
from ris_ros.service.worker import Reply
from ris_ros.types import Camera, Level

# Deep enough that no command and no result of a burst is lost on its way.
BURST_QOS = QoSProfile(depth=10_000)


class RosClock:
    """The node's clock and a steady one, in seconds."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ros: Any = node.get_clock()
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)

    def ros_s(self) -> float:
        """Return the node's time, simulated with `use_sim_time`."""
        return 1e-9 * self._ros.now().nanoseconds

    def steady_s(self) -> float:
        """Return a time that no clock change touches."""
        return 1e-9 * self.steady.now().nanoseconds

    def simulated(self) -> bool:
        """Say whether the node's time comes from /clock."""
        return bool(self._ros.ros_time_is_active)

    def is_offered(self) -> bool:
        """Say whether somebody publishes /clock."""
        return self._node.count_publishers('/clock') > 0


class RosSurroundings:
    """The node's parameters, its topics' names, who publishes and listens, and tf2."""

    def __init__(self, node: Node, parameters: LiveParameters, publisher: RosPublisher,
                 frames: TfFrames) -> None:
        self._node, self._parameters = node, parameters
        self._publisher, self._frames = publisher, frames

    def parameters(self) -> NodeParameters:
        """Return the parameters as they are now."""
        return self._parameters.current

    def image_topic(self) -> str:
        """Return the full name of the colour topic, remapped as it is."""
        return self._node.resolve_topic_name(
            'image/compressed' if self.parameters().image_transport == 'compressed' else 'image')

    def depth_is_offered(self) -> bool:
        """Say whether somebody publishes depth."""
        # count_publishers does not remap names by itself.
        return self._node.count_publishers(self._node.resolve_topic_name('depth/image')) > 0


    def wants_detail(self, parameters: NodeParameters) -> bool:
        """Say whether somebody looks at boxes and the places of candidates."""
        return self._publisher.watched(parameters)

    def clock_jumped(self) -> None:
        """Forget the transforms that were heard."""
        self._frames.forget()

    def transform(self, target: str, image: Stamped) -> RigidTransform | str:
        """Return the transform from the image's frame at its stamp, or why there is none yet."""
        return self._frames.transform(target, image)


class RosPublisher:
    """Publishes results and status; the outputs too once `open_outputs` was called.

    After the end of the context nothing can be published any more, and nothing is tried.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._result = node.create_publisher(DiagnosticArray, '~/result', BURST_QOS)
        self._status = node.create_publisher(
            DiagnosticArray, '~/status',
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics',
                                                  QoSProfile(depth=10))
        self._outputs: Outputs | None = None

    def open_outputs(self) -> None:
        """Create the publishers of masks and targets."""
        self._outputs = Outputs(self._node)

    def close_outputs(self) -> None:
        """Take the publishers of masks and targets down, if there are any."""
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None

    def outputs(self, reply: Reply, frames: FrameSet, parameters: NodeParameters) -> None:
        """Publish masks and targets with the header of their image."""
        assert self._outputs is not None, 'the node is not configured'
        record: CommandRecord = reply.token.record
        self._outputs.publish(reply, frames.image.message.header, parameters, record)

    def watched(self, parameters: NodeParameters) -> bool:
        """Say whether somebody looks at boxes and the places of candidates."""
        return self._outputs is not None and self._outputs.watched(parameters)

    def clear(self) -> None:
        """Take all markers out of the viewers."""
        if self._outputs is not None and self._can_speak():
            self._outputs.clear(self._header())

    def result(self, result: Result) -> None:
        """Publish a command's end, with the header of its image where it had one; log it."""
        if not self._can_speak():
            return
        record, ending = result.record, result.ending
        header = (self._header() if record.frames is None
                  else record.frames.image.message.header)
        self._result.publish(result_message(self._node.get_name(), result, header))
        text = f'command {record.id}: {ending.outcome.name} {shortened(ending.message, 300)}'
        if ending.outcome.level is Level.OK:
            self.note(text)
        else:
            self.warn(text)

    def status(self, status: Status) -> None:
        """Publish how the node stands."""
        if not self._can_speak():
            return
        level = 0 if status.active and not status.warning else 1
        message = diagnostic_status(level,
                                    f'{self._node.get_name()}: status', status.message,
                                    status.values)
        self._status.publish(diagnostic_array(self._header(), [message]))

    def diagnostics(self, checks: Sequence[Check]) -> None:
        """Publish how each part of the node fares, under its full name."""
        if self._can_speak():
            name = self._node.get_fully_qualified_name().lstrip('/')
            self._diagnostics.publish(diagnostic_array(self._header(),
                                                       check_statuses(name, checks)))

    # rclpy binds a line of code to the severity of its first call, hence one function each.
    def note(self, text: str) -> None:
        """Log at level INFO."""
        self._node.get_logger().info(carriable(text))

    def warn(self, text: str) -> None:
        """Log at level WARN."""
        self._node.get_logger().warning(carriable(text))

    def wait_until_delivered(self, seconds: float) -> None:
        """Wait until all readers have the results, at most so long."""
        if self._can_speak():
            self._result.wait_for_all_acked(Duration(seconds=seconds))

    def _can_speak(self) -> bool:
        return bool(rclpy.ok(context=self._node.context))

    def _header(self) -> Header:
        return Header(stamp=self._node.get_clock().now().to_msg())


def check_statuses(name: str, checks: Sequence[Check]) -> list[DiagnosticStatus]:
    """Return checks as messages; name: whose parts they are about."""
    return [diagnostic_status(check.level.value, f'{name}: {check.name}', check.message,
                              check.values, name) for check in checks]


class MessageConverter:
    """Camera messages to arrays; see `ris_ros.service.sight.Converter`."""

    def rgb(self, image: Any) -> np.ndarray:
        """Return a colour image as (H, W, 3) uint8 RGB."""
        return (compressed_to_rgb(image) if isinstance(image, CompressedImage)
                else image_to_rgb(image))

    def depth(self, depth: Any, unit: str) -> np.ndarray:
        """Return a depth image as (H, W) float32 metres, NaN where nothing was measured."""
        return image_to_depth(depth, unit)

    def depth_unit(self, depth: Any, unit: str) -> str:
        """Return the unit that a depth image is read in."""
        return DEPTH_ENCODINGS[depth.encoding][1] if unit == 'auto' else unit

    def camera(self, info: Any) -> Camera:
        """Return the pinhole camera of a CameraInfo."""
        return camera_from_info(info)

    def calibration(self, info: Any) -> Calibration:
        """Return all that a CameraInfo says."""
        return calibration_from_info(info)


def examine_conversion() -> Check:
    """Send a picture and depth there and back through their messages."""
    picture = np.arange(3 * 12, dtype=np.uint8).reshape(3, 4, 3)
    depth = np.array([[500, 0], [1250, 65535]], np.uint16)
    read = MessageConverter()
    metres = read.depth(array_to_image(depth, '16UC1', Header()), 'auto')
    right = np.array_equal(read.rgb(array_to_image(picture, 'rgb8', Header())), picture) and (
        np.allclose(metres, np.where(depth, depth / 1000, np.nan), equal_nan=True))
    return Check('conversion', Level.OK if right else Level.ERROR,
                 'images come out as they went in' if right else 'images come out changed')


class Content:
    """What a message holds but for its header; equal where two hold the same.

    A frame shown again, as by a camera of a picture that stands still, is the same picture;
    another one that happens to bear the same stamp is not.
    """

    def __init__(self, message: Any) -> None:
        self._message = message
        fields = [name for name in message.get_fields_and_field_types() if name != 'header']
        # Pictures last: what else differs is seen before millions of bytes are compared.
        self._fields = sorted(fields, key=lambda name: name == 'data')

    def __eq__(self, other: object) -> bool:
        """Compare all fields but the header."""
        if self is other:
            return True
        if not isinstance(other, Content) or type(self._message) is not type(other._message):
            return False
        return all(_same(getattr(self._message, name), getattr(other._message, name))
                   for name in self._fields)

    def __hash__(self) -> int:
        """Return a hash of a thousandth of the content, as quick as it need be."""
        data = getattr(self._message, 'data', b'')
        shape = [getattr(self._message, name, None) for name in ('height', 'width', 'encoding')]
        return hash((len(data), bytes(data[::max(len(data) // 1000, 1)]), *shape))


def _same(one: Any, other: Any) -> bool:
    same = one == other
    return bool(np.all(same))


def stamped(message: Any, **more: Any) -> Stamped:
    """Return a message with a header as the session takes it; more: further fields of it."""
    stamp = message.header.stamp
    return Stamped(stamp_to_seconds(stamp), message, Content(message), message.header.frame_id,
                   **more)
