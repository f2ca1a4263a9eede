"""What stands on the supporting planes: pixels above them by more than noise.

Source: ours.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.geometry.noise import DepthNoise
from ris_ros.geometry.planes import SupportPlane, along, ground_axes, heights
from ris_ros.lazy import require
from ris_ros.types import Camera

LEAST_M = 0.004     # what is flatter is not told from the plane
SIGMAS = 4.0        # of the smoothed height, above which something stands
HIGHEST_M = 0.5     # above a plane; beyond it is the room or the robot
SMOOTH = 5          # pixels, side of the mean filter
GROW = 2            # pixels by which the lower threshold may widen what passed the upper one
LOWER = 0.375       # the lower threshold over the upper one
OUTLINE_M = 0.06    # beyond a plane's outline things still stand on it
CELL_M = 0.01       # of the picture of the outline
RIM = 1.5           # unmeasured pixels this near to something belong to it
HOLE = 60           # smaller gaps are filled, and unmeasured ones up to HOLE_UNMEASURED
HOLE_UNMEASURED = 4000


def filled(depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return depth with gaps closed by the nearest reading, and where it came from.

    depth_m: (H, W) float metres, NaN where nothing was measured; at least one reading.
    Returns (H, W) each: float32 metres, bool measured, float32 pixels to the nearest reading,
    int32 flat index of that reading.

    >>> z, measured, far, source = filled(np.array([[1.0, np.nan, 2.0]] * 3))
    >>> sorted(set(z.ravel().tolist())), int(measured.sum()), float(far.max()) > 0
    ([1.0, 2.0], 6, True)
    """
    cv2 = require('cv2', 'models')
    ok = np.isfinite(depth_m) & (depth_m > 0)
    far, label = cv2.distanceTransformWithLabels((~ok).view(np.uint8), cv2.DIST_L2, 3,
                                                 labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(label.max()) + 1, np.int32)
    table[label[ok]] = np.flatnonzero(ok)
    source = table[label]
    return depth_m.astype(np.float32).ravel()[source], ok, far, source


def standing(gaps_filled: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
             planes: Sequence[SupportPlane], camera: Camera, raw: DepthNoise,
             smooth: DepthNoise) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels stand on the planes and which lie on them, (H, W) bool each.

    gaps_filled: as `filled` returns it.  raw, smooth: noise of the depth, and of the depth
    through a mean filter of SMOOTH pixels.

    A pixel stands where its smoothed height passes SIGMAS standard deviations, at its range and
    slant, and LEAST_M, below HIGHEST_M and over the outline of the plane.  The noise is not
    taken smaller than the plane's own readings scatter at that range.

    >>> z = np.full((60, 80), 0.8, np.float32)
    >>> plane = SupportPlane(np.array([0, 0, -1.0]), 0.8, np.zeros(6, np.float32),
    ...                      np.array([[x, y, 0.8] for x in (-1., 1.) for y in (-1., 1.)]), 1, 1)
    >>> z[20:40, 30:50] = 0.75
    >>> camera, law = Camera(80, 80, 40, 30, 80, 60), DepthNoise(0.0003, 0.0)
    >>> int(standing(filled(z), [plane], camera, law, law)[0].sum())
    400
    """
    cv2 = require('cv2', 'models')
    z, ok, far, source = gaps_filled
    inside, weak, flat = (np.zeros(z.shape, bool) for _ in range(3))
    raw_sigma = raw.sigma(z)
    for plane in planes:
        h = heights(plane, z, camera)
        slant = np.abs(along(plane.normal, z, camera)) / z
        bound = _bound(plane, h, z, ok, slant * smooth.sigma(z))
        # Clipped first: a mean over a high thing's edge would make it wider.
        mean = cv2.blur(np.clip(h, -2 * bound, 2 * bound), (SMOOTH, SMOOTH))
        flat |= (np.abs(mean) < bound) & (np.abs(h) < 3 * bound)
        spread = 2 * slant * raw_sigma
        low = (mean > LOWER * bound) & (h > LOWER * bound - spread) & (h < HIGHEST_M)
        low = _over_outline(plane, z, low, camera)
        weak |= low
        inside |= low & (mean > bound) & (h > bound - spread)
    inside &= ~flat
    inside = np.where(ok, inside, inside.ravel()[source] & (far <= RIM))
    inside = _morph(inside, cv2.MORPH_OPEN, 3)
    inside |= weak & ok & _morph(inside, cv2.MORPH_DILATE, 2 * GROW + 1)
    return inside | _gaps(inside, ok), flat & ok


def _bound(plane: SupportPlane, h: np.ndarray, z: np.ndarray, ok: np.ndarray,
           sigma: np.ndarray) -> np.ndarray:
    """Return the (H, W) height, metres, above which something stands."""
    near = ok[::4, ::4] & (np.abs(h[::4, ::4]) < 6 * np.maximum(sigma[::4, ::4], LEAST_M / 4))
    factor: np.ndarray | float = 1.0
    if near.sum() > 400:
        ranges = z[::4, ::4][near]
        cv2 = require('cv2', 'models')
        mean = cv2.blur(h, (SMOOTH, SMOOTH))[::4, ::4][near]
        off = np.abs(mean) / sigma[::4, ::4][near]
        order = np.argsort(ranges)
        parts = np.array_split(order, min(8, len(order) // 100))
        middles = np.array([np.median(ranges[p]) for p in parts])
        # Things that stand are among the readings: the lower half speaks for the plane.
        wider = np.array([np.quantile(off[p], 0.5) / 0.6745 for p in parts])
        factor = np.interp(z, middles, np.clip(wider, 1.0, 3.0)).astype(np.float32)
    return np.maximum(np.float32(LEAST_M), SIGMAS * factor * sigma)


def _over_outline(plane: SupportPlane, z: np.ndarray, wanted: np.ndarray, camera: Camera
                  ) -> np.ndarray:
    """Return which of the wanted pixels stand over the convex outline of a plane's readings."""
    cv2 = require('cv2', 'models')
    axes = np.stack(ground_axes(plane), axis=1)
    outline = cv2.convexHull((plane.on @ axes).astype(np.float32).reshape(-1, 1, 2))[:, 0]
    low = outline.min(axis=0) - 2 * OUTLINE_M
    size = np.minimum(np.ceil((outline.max(axis=0) + 2 * OUTLINE_M - low) / CELL_M), 4000)
    width, height = size.astype(int) + 1
    picture = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(picture, np.round((outline - low) / CELL_M).astype(np.int32), 1)
    pad = round(OUTLINE_M / CELL_M)
    picture = cv2.dilate(picture, np.ones((2 * pad + 1,) * 2, np.uint8))
    picture[[0, -1]] = 0
    picture[:, [0, -1]] = 0
    right, ahead = (along(axis, z, camera)[wanted] for axis in axes.T)
    column = np.clip(((right - low[0]) / CELL_M + 0.5).astype(np.int32), 0, width - 1)
    row = np.clip(((ahead - low[1]) / CELL_M + 0.5).astype(np.int32), 0, height - 1)
    over = np.zeros(z.shape, bool)
    over[wanted] = picture[row, column] > 0
    return over


def _morph(mask: np.ndarray, operation: int, size: int) -> np.ndarray:
    cv2 = require('cv2', 'models')
    found: np.ndarray = cv2.morphologyEx(mask.view(np.uint8), operation,
                                         np.ones((size, size), np.uint8))
    return found > 0


def _gaps(inside: np.ndarray, ok: np.ndarray) -> np.ndarray:
    """Return the gaps in what stands that are small, or unmeasured and not large."""
    cv2 = require('cv2', 'models')
    count, label = cv2.connectedComponents((~inside).view(np.uint8), connectivity=4)
    size = np.bincount(label.ravel(), minlength=count)
    unmeasured = np.bincount(label[~ok], minlength=count)
    small = (size < HOLE) | ((unmeasured > 0.7 * size) & (size < HOLE_UNMEASURED))
    small[0] = False
    return small[label]
