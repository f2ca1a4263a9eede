"""A simulated RGB-D camera over a simulated tabletop, behaving like a driver.

Publishes `image` (rgb8), `depth/image` (16UC1, registered) and `camera_info`, reliable, which
every reader can take (RViz by default only this), all three with one stamp.  The parameter
`scene` or `~/scene` (std_msgs/String) takes the seed of the scene to show, the topic also
`pause`; until the first scene nothing is published.  `~/state` (latched String, JSON) tells
the seed, the stamp from which it is seen, and how many images were sent.  Where tf2_msgs is
installed /tf_static tells where the camera stands over the table (parameter `table_frame`: in the
table's middle, z up).
"""
from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from ris_ros.geometry import RigidTransform, quaternion_of
from ris_ros.nodes.messages import array_to_image, camera_to_info
from ris_ros.nodes.spinning import leave_at_once, spin_until_shutdown, start_ros
from ris_ros.types import RisError

IMAGE_QOS = QoSProfile(depth=5)


class TabletopCamera(Node):
    """Node `tabletop_camera`; parameters `rate_hz`, `frame_id` and `scene` (-1: none yet)."""

    def __init__(self) -> None:
        super().__init__('tabletop_camera')
        rate = self.declare_parameter('rate_hz', 15.0).value
        self._frame_id = self.declare_parameter('frame_id', 'camera_color_optical_frame').value
        self._image = self.create_publisher(Image, 'image', IMAGE_QOS)
        self._depth = self.create_publisher(Image, 'depth/image', IMAGE_QOS)
        self._info = self.create_publisher(CameraInfo, 'camera_info', IMAGE_QOS)
        self._state = self.create_publisher(
            String, '~/state', QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self.create_subscription(String, '~/scene', self._on_scene, QoSProfile(depth=10))
        self._table_frame = str(self.declare_parameter('table_frame', 'tabletop').value)
        tf2 = tf2_messages()
        self._tf = None if tf2 is None else self.create_publisher(
            tf2.TFMessage, '/tf_static',
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._tf2 = tf2
        self._frame: Any = None
        self._seed: int | None = None
        self._first_stamp_ns: int | None = None
        self._sent = 0
        self.create_timer(1.0 / max(float(rate or 15.0), 0.1), self._on_timer)
        self.create_timer(0.5, self._publish_state)
        scene = self.declare_parameter('scene', -1).value
        if scene is not None and scene >= 0:
            self._show(str(scene))

    def _on_scene(self, message: String) -> None:
        if message.data.strip() == 'pause':
            self._frame = None
            self._publish_state()
            return
        self._show(message.data)

    def _show(self, text: str) -> None:
        try:
            seed = int(text)
            if seed < 0:
                raise ValueError(text)
            frame, pose = render_scene(seed)
        except (ValueError, RisError) as error:
            self.get_logger().error(f'no scene {text[:40]!r}: {error}')
            return
        self._frame, self._seed, self._first_stamp_ns = frame, seed, None
        if self._tf is not None and self._tf2 is not None:
            header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._table_frame)
            self._tf.publish(self._tf2.TFMessage(transforms=[
                transform_message(header, self._frame_id, pose)]))

    def _on_timer(self) -> None:
        if self._frame is None:
            return
        now = self.get_clock().now()
        header = Header(stamp=now.to_msg(), frame_id=self._frame_id)
        self._info.publish(camera_to_info(self._frame.camera, header))
        self._depth.publish(array_to_image(self._frame.depth, '16UC1', header))
        self._image.publish(array_to_image(self._frame.color, 'rgb8', header))
        self._sent += 1
        if self._first_stamp_ns is None:
            self._first_stamp_ns = now.nanoseconds
            self._publish_state()

    def _publish_state(self) -> None:
        self._state.publish(String(data=json.dumps({
            'seed': self._seed, 'first_stamp_ns': self._first_stamp_ns,
            'paused': self._frame is None, 'images_sent': self._sent,
            'subscribers': self._image.get_subscription_count()})))


def render_scene(seed: int) -> tuple[Any, RigidTransform]:
    """Return the RenderedFrame of a scene, and the way from its camera's frame to the table's.

    The picture is made once, for nothing in it moves.
    """
    from ris_ros.simulation import TabletopWorld
    world = TabletopWorld(seed)
    try:
        origin, *ends = (np.asarray(world.to_world(point), dtype=float)
                         for point in (np.zeros(3), *np.eye(3)))
        axes = np.stack([end - origin for end in ends], axis=1)
        return world.render(), RigidTransform.of(quaternion_of(axes), origin)
    finally:
        world.close()


def transform_message(header: Header, child: str, pose: RigidTransform) -> TransformStamped:
    """Return where the frame `child` stands in that of the header."""
    message = TransformStamped(header=header, child_frame_id=child)
    turn, move = message.transform.rotation, message.transform.translation
    turn.x, turn.y, turn.z, turn.w = map(float, pose.rotation)
    move.x, move.y, move.z = map(float, pose.translation)
    return message


def tf2_messages() -> ModuleType | None:
    """Return the messages of tf2, None where they are not installed."""
    try:
        return importlib.import_module('tf2_msgs.msg')
    except ImportError:
        return None


def main(args: list[str] | None = None) -> int:
    """Run the camera until it is told to stop."""
    stop = start_ros(args)
    spin_until_shutdown(TabletopCamera(), stop)
    leave_at_once(0)
    return 0


if __name__ == '__main__':
    sys.exit(main())
