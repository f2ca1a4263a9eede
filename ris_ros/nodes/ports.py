"""The session's ports over rclpy: clocks, what is asked of the graph, publishers, conversion."""
from __future__ import annotations

from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header

from ris_ros.geometry import depth_to_metres
from ris_ros.nodes.messages import (
    camera_from_info,
    diagnostic_array,
    diagnostic_status,
    image_to_array,
    image_to_rgb,
    stamp_to_seconds,
)
from ris_ros.nodes.outputs import Outputs, result_message
from ris_ros.nodes.parameters import LiveParameters
from ris_ros.service.frames import FrameSet, Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.results import Result, Status
from ris_ros.service.worker import Reply
from ris_ros.types import Camera, Level


class RosClock:
    """The node's clock and a steady one, in seconds."""

    def __init__(self, node: Node) -> None:
        self._ros = node.get_clock()
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)

    def ros_s(self) -> float:
        """Return the node's time, simulated with `use_sim_time`."""
        return 1e-9 * self._ros.now().nanoseconds

    def steady_s(self) -> float:
        """Return a time that no clock change touches."""
        return 1e-9 * self.steady.now().nanoseconds


class RosSurroundings:
    """The node's parameters, its topics' names and who publishes on them."""

    def __init__(self, node: Node, parameters: LiveParameters) -> None:
        self._node, self._parameters = node, parameters

    def parameters(self) -> NodeParameters:
        """Return the parameters as they are now."""
        return self._parameters.current

    def image_topic(self) -> str:
        """Return the full name of the colour topic, remapped as it is."""
        return self._node.resolve_topic_name('image')

    def depth_is_offered(self) -> bool:
        """Say whether somebody publishes depth."""
        # count_publishers does not remap names by itself.
        return self._node.count_publishers(self._node.resolve_topic_name('depth/image')) > 0


class RosPublisher:
    """Publishes results and status; the outputs too once `open_outputs` was called.

    After the end of the context nothing can be published any more, and nothing is tried.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._result = node.create_publisher(DiagnosticArray, '~/result', QoSProfile(depth=10))
        self._status = node.create_publisher(
            DiagnosticArray, '~/status',
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
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
        self._outputs.publish(reply, frames.image.message.header, parameters)

    def result(self, result: Result) -> None:
        """Publish a command's end, with the header of its image where it had one; log it."""
        if not self._can_speak():
            return
        record, ending = result.record, result.ending
        header = (self._header() if record.frames is None
                  else record.frames.image.message.header)
        self._result.publish(result_message(self._node.get_name(), result, header))
        text = f'command {record.id}: {ending.outcome.name} {ending.message}'.rstrip()
        if ending.outcome.level is Level.OK:
            self.note(text)
        else:
            self.warn(text)

    def status(self, status: Status) -> None:
        """Publish how the node stands."""
        if not self._can_speak():
            return
        message = diagnostic_status(0 if status.active else 1,
                                    f'{self._node.get_name()}: status', status.message,
                                    status.values)
        self._status.publish(diagnostic_array(self._header(), [message]))

    # rclpy binds a line of code to the severity of its first call, hence one function each.
    def note(self, text: str) -> None:
        """Log at level INFO."""
        self._node.get_logger().info(text)

    def warn(self, text: str) -> None:
        """Log at level WARN."""
        self._node.get_logger().warning(text)

    def wait_until_delivered(self, seconds: float) -> None:
        """Wait until all readers have the results, at most so long."""
        if self._can_speak():
            self._result.wait_for_all_acked(Duration(seconds=seconds))

    def _can_speak(self) -> bool:
        return bool(rclpy.ok(context=self._node.context))

    def _header(self) -> Header:
        return Header(stamp=self._node.get_clock().now().to_msg())


class MessageConverter:
    """Camera messages to arrays; see `ris_ros.service.sight.Converter`."""

    def rgb(self, image: Any) -> np.ndarray:
        """Return a colour image as (H, W, 3) uint8 RGB."""
        return image_to_rgb(image)

    def depth(self, depth: Any, unit: str) -> np.ndarray:
        """Return a depth image as (H, W) float32 metres, NaN where nothing was measured."""
        return depth_to_metres(image_to_array(depth), depth.encoding, unit)

    def camera(self, info: Any) -> Camera:
        """Return the pinhole camera of a CameraInfo."""
        return camera_from_info(info)


def stamped(message: Any) -> Stamped:
    """Return a message with a header as the session takes it.

    Two messages of one frame_id and one stamp count as the same.
    """
    stamp, frame_id = message.header.stamp, message.header.frame_id
    return Stamped(stamp_to_seconds(stamp), message, (frame_id, stamp.sec, stamp.nanosec),
                   frame_id)
