"""Where masked things are in the room: on the ground, how high, how large.  Source: ours."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.camera import strided
from ris_ros.geometry.planes import SupportPlane, along, ground_axes, heights
from ris_ros.types import Camera

STRIDE = 2            # pixels between the readings that are looked at
LEAST_READINGS = 12   # of a mask, to say where it is
LOW, HIGH = 3.0, 98.0  # percentiles: bottom and top of a thing; what lies beyond is noise
ENDS = (4.0, 96.0)    # of its extent on the ground
SAMPLES = 64          # readings of a thing that are held over another's footprint


@dataclass(frozen=True, eq=False)
class Places:
    """Where N things are; metres, on ground axes: to the camera's right, and away from it.

    known: (N,) bool, whether there is enough depth; all else is NaN (0 for `over`) where not.
    middle: (N, 2) middle of the footprint, from the point below the camera.  axes: (N, 2, 2) unit
    vectors along the footprint's longer and shorter side.  extent: (N, 2) their lengths.
    bottom, top: (N,) heights above the plane.  size: (N,) square metres that are seen.
    over: (N, N) share of a's readings over b's footprint, [0, 1].
    """

    known: np.ndarray
    middle: np.ndarray
    axes: np.ndarray
    extent: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    size: np.ndarray
    over: np.ndarray

    @property
    def range(self) -> np.ndarray:
        """(N,) metres along the ground from below the camera."""
        return np.hypot(self.middle[:, 0], self.middle[:, 1])

    @property
    def apart(self) -> np.ndarray:
        """(N, N) metres between the middles of the footprints."""
        return np.linalg.norm(self.middle[:, None] - self.middle[None], axis=2)


def places_of(masks: np.ndarray, depth_m: np.ndarray, camera: Camera, plane: SupportPlane
              ) -> Places:
    """Return where the things under (N, H, W) bool masks are; N may be 0.

    depth_m: (H, W) float metres, NaN where nothing was measured.  plane: what they stand on.

    >>> plane = SupportPlane(np.array([0, 0, -1.0]), 1.0, np.zeros(6, np.float32),
    ...                      np.zeros((0, 3)), 1.0, 1.0)
    >>> depth, masks = np.full((60, 80), 1.0), np.zeros((1, 60, 80), bool)
    >>> masks[0, 20:40, 20:60], depth[20:40, 20:60] = True, 0.9
    >>> found = places_of(masks, depth, Camera(100, 100, 39.5, 29.5, 80, 60), plane)
    >>> float(found.top[0].round(3)), bool(found.extent[0, 0] > found.extent[0, 1])
    (0.1, True)
    """
    count = len(masks)
    depth, small = strided(depth_m, camera, STRIDE)
    with np.errstate(invalid='ignore'):
        ok = np.isfinite(depth) & (depth > 0)
    owner, pixel = np.nonzero(masks[:, ::STRIDE, ::STRIDE].reshape(count, ok.size)
                              & ok.ravel())
    readings = np.bincount(owner, minlength=count)
    known = readings >= LEAST_READINGS
    z = np.where(ok, depth, 1)
    values = np.stack([along(axis, z, small).ravel()[pixel] for axis in ground_axes(plane)]
                      + [heights(plane, z, small).ravel()[pixel], z.ravel()[pixel]], axis=1)
    ground = values[:, :2].astype(np.float64)
    axes = _axes(ground, owner, count)
    turned = np.einsum('pk,pak->pa', ground, axes[owner])
    ends = [[percentile(turned[:, k], owner, count, at) for at in ENDS] for k in (0, 1)]
    low, high = (np.stack([ends[k][end] for k in (0, 1)], axis=1) for end in (0, 1))
    middle = np.einsum('na,nak->nk', (low + high) / 2, axes)
    height = values[:, 2].astype(np.float64)
    far = percentile(values[:, 3].astype(np.float64), owner, count, 50.0)
    pixels = masks.sum(axis=(1, 2), dtype=np.int64)
    found = {
        'middle': middle, 'axes': axes, 'extent': high - low,
        'bottom': percentile(height, owner, count, LOW),
        'top': percentile(height, owner, count, HIGH),
        'size': pixels * far ** 2 / (camera.fx * camera.fy)}
    for value in found.values():
        value[~known] = np.nan
    return Places(known, over=_over(ground, owner, count, axes, low, high, known), **found)


def percentile(values: np.ndarray, owner: np.ndarray, count: int, at: float) -> np.ndarray:
    """Return the nearest-rank percentile of each owner's values, (count,); NaN without any.

    values, owner: (P,), owner sorted from 0.

    >>> percentile(np.array([3.0, 1, 2, 9]), np.array([0, 0, 0, 2]), 3, 50.0).tolist()
    [2.0, nan, 9.0]
    """
    order = np.lexsort((values, owner))
    number = np.bincount(owner, minlength=count)
    first = np.cumsum(number) - number
    rank = first + np.round((number - 1) * at / 100).astype(np.int64)
    out = np.full(count, np.nan)
    out[number > 0] = values[order][rank[number > 0]]
    return out


def _axes(ground: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """Return the principal axes of each owner's readings on the ground, (N, 2, 2)."""
    number = np.maximum(np.bincount(owner, minlength=count), 1)
    mean = np.stack([np.bincount(owner, ground[:, k], count) for k in (0, 1)], 1) / number[:, None]
    off = ground - mean[owner]
    spread = np.zeros((count, 2, 2))
    for a, b in ((0, 0), (0, 1), (1, 1)):
        spread[:, a, b] = spread[:, b, a] = np.bincount(
            owner, off[:, a] * off[:, b], count) / number
    vectors = np.linalg.eigh(spread)[1]           # columns, the smallest first
    axes = vectors[:, :, ::-1].swapaxes(1, 2)
    # One of the two ways of each axis, always the same: to the right, or else away.
    sign = np.where(np.abs(axes[:, :, 0]) > 1e-9, np.sign(axes[:, :, 0]), np.sign(axes[:, :, 1]))
    return axes * np.where(sign == 0, 1, sign)[:, :, None]


def _over(ground: np.ndarray, owner: np.ndarray, count: int, axes: np.ndarray, low: np.ndarray,
          high: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return (N, N): share of a's readings within b's footprint."""
    number = np.bincount(owner, minlength=count)
    first = np.cumsum(number) - number
    if not known.any():
        return np.zeros((count, count))
    rank = first[:, None] + np.floor(
        (np.arange(SAMPLES) + 0.5) / SAMPLES * number[:, None]).astype(np.int64)
    points = ground[np.minimum(rank, len(ground) - 1)]          # (N, S, 2)
    at = np.einsum('nsk,mak->nmsa', points, axes)
    inside = ((at >= low[None, :, None]) & (at <= high[None, :, None])).all(axis=3)
    return inside.mean(axis=2) * (known[:, None] & known[None])
