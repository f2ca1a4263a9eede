"""Rigid motions between frames; quaternions are (x, y, z, w) as in geometry_msgs."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.orientation import rotate
from ris_ros.types import BadInputError


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """From points in one frame to the same points in another: turned, then moved.

    rotation: (4,) unit quaternion.  translation: (3,) metres.
    """

    rotation: np.ndarray
    translation: np.ndarray

    @classmethod
    def of(cls, rotation: np.ndarray, translation: np.ndarray) -> RigidTransform:
        """Return the transform, its quaternion made one of length 1.

        Raises BadInputError for numbers that are none, and a quaternion of no length.
        """
        q = np.asarray(rotation, dtype=np.float64)
        t = np.asarray(translation, dtype=np.float64)
        length = float(np.linalg.norm(q)) if q.shape == (4,) else 0.0
        if t.shape != (3,) or not np.isfinite(t).all() or not np.isfinite(length) or (
                abs(length - 1) > 0.1):
            raise BadInputError(f'the rotation {q.tolist()} with the translation {t.tolist()} is '
                                'no rigid transform; correct who publishes it')
        return cls(q / length, t)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 3) points in the other frame, float64.

        >>> half = np.sqrt(0.5)
        >>> turn = RigidTransform.of(np.array([0, 0, half, half]), np.array([1.0, 0, 0]))
        >>> turn.points(np.array([1.0, 0.0, 0.5])).round(6).tolist()
        [1.0, 1.0, 0.5]
        """
        axes = np.stack([rotate(self.rotation, axis) for axis in np.eye(3)])
        return np.asarray(points, dtype=np.float64) @ axes + self.translation

    def orientation(self, quaternion: np.ndarray) -> np.ndarray:
        """Return a (4,) orientation in the other frame.

        >>> half = np.sqrt(0.5)
        >>> turn = RigidTransform.of(np.array([0, 0, half, half]), np.zeros(3))
        >>> turn.orientation(np.array([0, 0, half, half])).round(6).tolist()
        [0.0, 0.0, 1.0, 0.0]
        """
        a, w = self.rotation[:3], self.rotation[3]
        b, v = np.asarray(quaternion, dtype=np.float64)[:3], float(quaternion[3])
        return np.append(w * b + v * a + np.cross(a, b), w * v - a @ b)
