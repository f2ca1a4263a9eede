"""Orientation of the target pose; quaternions are (x, y, z, w) as in geometry_msgs."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.types import BadInputError

ORIENTATIONS = ('camera_ray', 'identity', 'top_down')


def orientation_quaternion(policy: str, point: np.ndarray,
                           down: Sequence[float] = (0.0, 1.0, 0.0)) -> np.ndarray:
    """Return the (4,) unit quaternion x, y, z, w whose z axis is the way to approach.

    policy: 'identity' keeps the axes of the frame; 'camera_ray' approaches along the ray
    from the origin (the camera) through `point` (3,); 'top_down' approaches along `down`,
    the direction of gravity in the same frame (in the optical frame of a level camera +y).
    The x axis is turned as little as possible from the frame's.  Raises BadInputError for
    an unknown policy, or a point or a direction of no length.

    >>> orientation_quaternion('identity', np.zeros(3)).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    if policy == 'identity':
        return np.array([0.0, 0.0, 0.0, 1.0])
    if policy == 'camera_ray':
        return _quaternion_to_axis(np.asarray(point, dtype=np.float64))
    if policy == 'top_down':
        return _quaternion_to_axis(np.asarray(down, dtype=np.float64))
    raise BadInputError(
        f'pose orientation {policy!r} is unknown; choose one of {", ".join(ORIENTATIONS)}')


def rotate(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the (3,) vector turned by the unit quaternion x, y, z, w.

    >>> rotate(np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])).tolist()
    [0.0, -1.0, 0.0]
    """
    q, w = np.asarray(quaternion, dtype=np.float64)[:3], float(quaternion[3])
    vector = np.asarray(vector, dtype=np.float64)
    turned = 2.0 * np.cross(q, vector)
    return vector + w * turned + np.cross(q, turned)


def quaternion_of(axes: np.ndarray) -> np.ndarray:
    """Return the (4,) unit quaternion whose turned x, y, z axes are the columns of (3, 3) `axes`.

    axes: a right-handed rotation matrix.

    >>> quaternion_of(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])).round(3).tolist()
    [0.0, 0.0, 0.707, 0.707]
    """
    m = np.asarray(axes, dtype=np.float64)
    # Four times the products of the components; the largest square divides without loss.
    products = np.array([
        [1 + m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0],
         m[2, 1] - m[1, 2]],
        [m[1, 0] + m[0, 1], 1 - m[0, 0] + m[1, 1] - m[2, 2], m[2, 1] + m[1, 2],
         m[0, 2] - m[2, 0]],
        [m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], 1 - m[0, 0] - m[1, 1] + m[2, 2],
         m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1],
         1 + m[0, 0] + m[1, 1] + m[2, 2]]])
    row = products[int(products.diagonal().argmax())]
    return row / np.linalg.norm(row) + 0.0


def _quaternion_to_axis(direction: np.ndarray) -> np.ndarray:
    """Return the shortest rotation that takes +z to `direction`."""
    length = float(np.linalg.norm(direction))
    if direction.shape != (3,) or not np.isfinite(length) or length < 1e-9:
        raise BadInputError(f'{direction} is no direction')
    x, y, z = direction / length
    if z < -1.0 + 1e-9:  # straight back: any axis across does, take x
        return np.array([1.0, 0.0, 0.0, 0.0])
    # Half-angle form: the axis is z cross direction = (-y, x, 0), w = 1 + cos(angle).
    quaternion = np.array([-y, x, 0.0, 1.0 + z])
    return quaternion / np.linalg.norm(quaternion)
