"""The pinhole camera: checks, deprojection and projection."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.types import BadInputError, Camera

FARTHEST_OFF_AXIS = 11.0  # focal lengths: the tangent of 85 degrees


def camera_from_matrix(matrix: Sequence[float] | np.ndarray, width: int, height: int) -> Camera:
    """Return the checked camera of a row-major 3x3 (or 3x4) pinhole matrix.

    matrix: 9 or 12 numbers, or a (3, 3) or (3, 4) array, in pixels.
    Raises BadInputError as `check_camera` does, or when the matrix has another size.

    >>> camera_from_matrix([500, 0, 320, 0, 500, 240, 0, 0, 1], 640, 480).cx
    320.0
    """
    values = np.asarray(matrix, dtype=np.float64).ravel()
    if values.size not in (9, 12):
        raise BadInputError(
            f'the camera matrix has {values.size} numbers; give 9 (K) or 12 (P)')
    rows = values.reshape(3, -1)
    camera = Camera(fx=float(rows[0, 0]), fy=float(rows[1, 1]), cx=float(rows[0, 2]),
                    cy=float(rows[1, 2]), width=int(width), height=int(height))
    check_camera(camera)
    return camera


def check_camera(camera: Camera, shape: tuple[int, ...] | None = None) -> None:
    """Raise BadInputError unless the camera can deproject an image of `shape` (H, W, ...).

    An uncalibrated driver publishes zeros, hence the check of the focal lengths.

    >>> check_camera(Camera(500, 500, 320, 240, 640, 480), (480, 640))
    >>> check_camera(Camera(0, 0, 320, 240, 640, 480))
    Traceback (most recent call last):
        ...
    ris_ros.types.BadInputError: the focal lengths are 0 and 0 pixels; calibrate ...
    """
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not all(np.isfinite(numbers)):
        raise BadInputError('the camera matrix holds NaN or infinity; calibrate the camera')
    if camera.fx <= 0 or camera.fy <= 0:
        raise BadInputError(
            f'the focal lengths are {camera.fx:g} and {camera.fy:g} pixels; '
            'calibrate the camera (both must be positive)')
    if camera.width <= 0 or camera.height <= 0:
        raise BadInputError(
            f'the camera says its image is {camera.width}x{camera.height}; calibrate the camera')
    # A region of interest may lie far from the axis; whether the whole is plausible is judged by
    # `judge_calibration`.
    off = [max(-centre, centre - (size - 1), 0.0) / focal for centre, size, focal in (
        (camera.cx, camera.width, camera.fx), (camera.cy, camera.height, camera.fy))]
    if max(off) > FARTHEST_OFF_AXIS:
        raise BadInputError(
            f'the principal point ({camera.cx:g}, {camera.cy:g}) is far outside the '
            f'{camera.width}x{camera.height} image; calibrate the camera')
    if shape is not None and (camera.height, camera.width) != tuple(shape[:2]):
        raise BadInputError(
            f'the calibration is for {camera.width}x{camera.height} pixels but the image has '
            f'{shape[1]}x{shape[0]}; use the intrinsics of this very image')


def strided(depth_m: np.ndarray, camera: Camera, step: int) -> tuple[np.ndarray, Camera]:
    """Return every `step`-th row and column of (H, W) depth as float32, and the camera of these.

    >>> depth, small = strided(np.ones((480, 640)), Camera(500, 500, 320, 240, 640, 480), 2)
    >>> depth.shape, small.fx, small.cx, small.width
    ((240, 320), 250.0, 160.0, 320)
    """
    depth = depth_m[::step, ::step].astype(np.float32)
    return depth, Camera(camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step,
                         depth.shape[1], depth.shape[0])


def deproject(u: np.ndarray, v: np.ndarray, depth_m: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the (M, 3) float64 points behind pixels.

    u: (M,) columns, v: (M,) rows, pixel centres at integers.  depth_m: (M,) metres along z.

    >>> camera = Camera(500, 500, 320, 240, 640, 480)
    >>> deproject(np.array([420]), np.array([240]), np.array([2.0]), camera).tolist()
    [[0.4, 0.0, 2.0]]
    """
    z = np.asarray(depth_m, dtype=np.float64)
    x = (np.asarray(u, dtype=np.float64) - camera.cx) / camera.fx * z
    y = (np.asarray(v, dtype=np.float64) - camera.cy) / camera.fy * z
    return np.stack([x, y, z], axis=-1)


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the (M, 2) float64 pixel coordinates (u, v) of (M, 3) points with z > 0.

    >>> project(np.array([[0.4, 0.0, 2.0]]), Camera(500, 500, 320, 240, 640, 480)).tolist()
    [[420.0, 240.0]]
    """
    points = np.asarray(points, dtype=np.float64)
    u = points[..., 0] / points[..., 2] * camera.fx + camera.cx
    v = points[..., 1] / points[..., 2] * camera.fy + camera.cy
    return np.stack([u, v], axis=-1)
