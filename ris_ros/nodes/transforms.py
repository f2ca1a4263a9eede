"""Transforms of tf2 at an image's stamp; tf2_ros is imported where a target frame is set."""
from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from ris_ros.geometry import RigidTransform
from ris_ros.service.frames import Stamped
from ris_ros.service.text import shortened
from ris_ros.types import BadInputError, MissingDependencyError

KEPT_S = 10.0   # as tf2 does by default; a command looks for its transform from its start on


def require_tf2() -> Any:
    """Return tf2_ros; raises MissingDependencyError that says what to do without."""
    try:
        return importlib.import_module('tf2_ros')
    except ImportError as error:
        raise MissingDependencyError(
            f'target_frame needs tf2_ros, which cannot be imported ({error}); install it '
            '(sudo apt install ros-$ROS_DISTRO-tf2-ros-py), or leave target_frame empty to get '
            'targets in the frame of the camera') from error


class TfFrames:
    """Listens to /tf and /tf_static between `open` and `close`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tf2: Any = None
        self._buffer: Any = None
        self._listener: Any = None

    def open(self) -> None:
        """Listen, if nobody does yet; raises MissingDependencyError without tf2_ros."""
        if self._listener is None:
            self._tf2 = require_tf2()
            self._buffer = self._tf2.Buffer(cache_time=Duration(seconds=KEPT_S))
            # Without a thread of its own: all callbacks stay on the executor's.
            self._listener = self._tf2.TransformListener(self._buffer, self._node,
                                                         spin_thread=False)

    def close(self) -> None:
        """Let go of the topics; what was heard is forgotten."""
        if self._listener is not None:
            unregister = getattr(self._listener, 'unregister', None)   # not in ROS 2 Humble
            if unregister is not None:
                unregister()
            else:
                for name in ('tf_sub', 'tf_static_sub'):
                    self._node.destroy_subscription(getattr(self._listener, name))
        self._buffer = self._listener = None

    def forget(self) -> None:
        """Forget what was heard, as after a jump of the clock; what is static stays."""
        if self._buffer is not None:
            self._buffer.clear()

    def transform(self, target: str, image: Stamped) -> RigidTransform | str:
        """Return the transform from the image's frame at its stamp, or why there is none yet."""
        if self._buffer is None:
            return 'nobody listens to /tf yet'
        try:
            found = self._buffer.lookup_transform(
                target.lstrip('/'), image.frame_id.lstrip('/'),
                Time.from_msg(image.message.header.stamp))
        except self._tf2.TransformException as error:
            return shortened(str(error), 300)
        turn, move = found.transform.rotation, found.transform.translation
        try:
            return RigidTransform.of(np.array([turn.x, turn.y, turn.z, turn.w]),
                                     np.array([move.x, move.y, move.z]))
        except BadInputError as error:
            return str(error)
