"""The 3D target of a mask: a point on the object, its cloud, pose and size."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.camera import check_camera, deproject
from ris_ros.geometry.masks import box_around, erode_safely
from ris_ros.geometry.orientation import orientation_quaternion
from ris_ros.types import BadInputError, Camera, RisError

MAD_TO_SIGMA = 1.4826  # a normal distribution's standard deviation over its MAD
TARGET_POINTS = ('surface', 'centre')
BIN_M = 0.01           # resolution at which gaps in depth are looked for


class NoDepthError(RisError):
    """The mask holds too little valid depth; `valid_ratio` and `n_valid` say how little."""

    def __init__(self, message: str, valid_ratio: float, n_valid: int) -> None:
        super().__init__(message)
        self.valid_ratio = valid_ratio
        self.n_valid = n_valid


@dataclass(frozen=True)
class GeometrySettings:
    """How a target is measured.

    erode_px: pixels taken off the mask's edge [0, 50].  min_valid_ratio: least share of the
    eroded mask with valid depth [0, 1].  min_valid_px: least number of such pixels.
    min_m, max_m: readings outside this range are invalid, metres.  gap_m: an empty stretch
    of depth this long parts the object from what shines through or lies behind it.
    min_mode_ratio: a depth mode this much smaller than the largest is not the object.
    outlier_sigmas: readings further from the median than this many robust standard
    deviations are dropped.  point: 'surface' takes the measurement nearest to the robust
    centre, 'centre' that centre itself, which lies in the hollow of a mug or a bowl.
    orientation: see `orientation_quaternion`.
    """

    erode_px: int = 3
    min_valid_ratio: float = 0.1
    min_valid_px: int = 10
    min_m: float = 0.1
    max_m: float = 10.0
    gap_m: float = 0.05
    min_mode_ratio: float = 0.5
    outlier_sigmas: float = 4.0
    point: str = 'surface'
    orientation: str = 'camera_ray'


@dataclass(frozen=True, eq=False)
class TargetGeometry:
    """Where the object is, in metres in the camera's optical frame.

    point: (3,) float64, the target, by default a measured point of the visible surface.
    centre: (3,) float64, median of each coordinate of the cloud; may be in mid-air.
    pixel: (u, v) of the surface measurement nearest to the centre, inside the mask.
    valid_ratio: share of the eroded mask with valid depth, [0, 1].  n_valid: that many pixels.
    cloud: (M, 3) float32, the object's points after outlier rejection.
    orientation: (4,) quaternion x, y, z, w.  extent: (3,) size of the cloud along x, y, z.
    """

    point: np.ndarray
    centre: np.ndarray
    pixel: tuple[int, int]
    valid_ratio: float
    n_valid: int
    cloud: np.ndarray
    orientation: np.ndarray
    extent: np.ndarray


def target_geometry(mask: np.ndarray, depth_m: np.ndarray, camera: Camera,
                    settings: GeometrySettings | None = None) -> TargetGeometry:
    """Measure the object under `mask`.

    mask: (H, W) bool.  depth_m: (H, W) float metres, NaN invalid, registered to the colour
    image.  The point is the surviving measurement nearest to the robust centre (the median
    of each coordinate), so it is on the object even where the centre is not, as in a bowl
    or a ring.  Raises BadInputError for an unusable camera or sizes that differ, NoDepthError
    for a mask with too little depth.

    >>> mask, depth = np.zeros((48, 64), bool), np.full((48, 64), 1.0)
    >>> mask[10:30, 20:40], depth[10:30, 20:40] = True, 0.8
    >>> found = target_geometry(mask, depth, Camera(60, 60, 32, 24, 64, 48))
    >>> round(float(found.point[2]), 3), found.valid_ratio
    (0.8, 1.0)
    """
    settings = settings or GeometrySettings()
    mask = np.asarray(mask, dtype=bool)
    if settings.point not in TARGET_POINTS:
        raise BadInputError(
            f'target point {settings.point!r} is unknown; choose {" or ".join(TARGET_POINTS)}')
    if mask.shape != depth_m.shape:
        raise BadInputError(
            f'the depth image is {depth_m.shape[1]}x{depth_m.shape[0]} but the colour image is '
            f'{mask.shape[1]}x{mask.shape[0]}; publish depth registered to colour')
    check_camera(camera, mask.shape)
    v, u, z, valid_ratio = _valid_depths(mask, depth_m, settings)
    keep = _object_depths(z, settings)
    points = deproject(u[keep], v[keep], z[keep], camera)
    axes = np.ascontiguousarray(points.T)  # numpy is several times as fast along rows
    centre = np.median(axes, axis=1)
    nearest = int(np.argmin(np.sum((axes - centre[:, None]) ** 2, axis=0)))
    point = points[nearest] if settings.point == 'surface' else centre
    pixel = (int(u[keep][nearest]), int(v[keep][nearest]))
    return TargetGeometry(
        point=point, centre=centre, pixel=pixel, valid_ratio=valid_ratio, n_valid=int(z.size),
        cloud=points.astype(np.float32),
        orientation=orientation_quaternion(settings.orientation, point),
        extent=axes.max(axis=1) - axes.min(axis=1))


def nearest_depth_mode(z: np.ndarray, gap_m: float, min_mode_ratio: float) -> np.ndarray:
    """Return which of the (M,) depths belong to the nearest mode that is big enough, (M,) bool.

    Depths are cut where a stretch of `gap_m` is all but empty.  Of the modes at least
    `min_mode_ratio` as large as the largest the nearest is the object: a mask that spills
    over the edge, and a sensor that looks through holes, both add what is behind.

    >>> nearest_depth_mode(np.array([0.5, 0.51, 0.52, 1.5, 1.51]), 0.05, 0.5).tolist()
    [True, True, True, False, False]
    """
    z = np.asarray(z, dtype=np.float64)
    start = float(z.min())
    bins = ((z - start) / BIN_M).astype(np.int64)
    counts = np.bincount(bins)
    # A few flying pixels between object and background must not bridge the gap.
    empty = counts <= 0.002 * z.size
    needed = max(round(gap_m / BIN_M), 1)
    mode_of_bin, mode, run = np.zeros(counts.size, dtype=np.int64), 0, 0
    for index, is_empty in enumerate(empty):
        run = run + 1 if is_empty else 0
        if run == needed:
            mode += 1
        mode_of_bin[index] = mode
    modes = mode_of_bin[bins]
    sizes = np.bincount(modes)
    chosen = int(np.flatnonzero(sizes >= min_mode_ratio * sizes.max())[0])
    return modes == chosen


def _valid_depths(mask: np.ndarray, depth_m: np.ndarray, settings: GeometrySettings
                  ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return rows, columns and depths of the eroded mask's valid pixels, and their share."""
    box = box_around(mask)  # an object is small: all that follows looks at its box alone
    worn, _ = erode_safely(mask[box], settings.erode_px)
    v, u = np.nonzero(worn)
    z = depth_m[box][worn]
    with np.errstate(invalid='ignore'):
        valid = np.isfinite(z) & (z >= settings.min_m) & (z <= settings.max_m)
    n_valid = int(valid.sum())
    ratio = n_valid / z.size if z.size else 0.0
    if n_valid < max(settings.min_valid_px, 1) or ratio < settings.min_valid_ratio:
        raise NoDepthError(
            f'only {n_valid} pixels ({100 * ratio:.0f} %) of the object have depth between '
            f'{settings.min_m:g} and {settings.max_m:g} m; move the camera or the limits',
            valid_ratio=ratio, n_valid=n_valid)
    return v[valid] + box[0].start, u[valid] + box[1].start, z[valid].astype(np.float64), ratio


def _object_depths(z: np.ndarray, settings: GeometrySettings) -> np.ndarray:
    """Return which of the (M,) depths are the object's: one mode, without its outliers."""
    keep = nearest_depth_mode(z, settings.gap_m, settings.min_mode_ratio)
    median = float(np.median(z[keep]))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(z[keep] - median)))
    # Flat faces have a spread of nearly nothing; the floor is a depth camera's own noise.
    limit = settings.outlier_sigmas * max(spread, 0.005)
    return keep & (np.abs(z - median) <= limit)
