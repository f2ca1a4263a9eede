"""Where depth cannot tell whether there is a thing, so that another proposer should look there.

Source: ours.  That is what stands but is in no mask, what was not measured, and what lies flat on
a plane in a colour that the plane does not have: paper, cards, glass, shiny and dark things.
"""
from __future__ import annotations

import numpy as np

from ris_ros.lazy import require

SMALL = 4            # colours are looked at on every so many pixels
BIN = 12.0           # side of a bin of colour, Lab units
COMMON = 0.08        # share of a plane from which on a bin is the plane's own colour
ODD = 22.0           # Lab distance from all of these that is another colour
TINT = 9.0           # the same in a and b alone: a shadow keeps them
SHADE = 0.35         # brightness of the plane in shadow over that in light, at least
OPEN = 13            # pixels: thinner bands are edges and the second camera's shadows
LEAST_PIXELS = 500   # of a region
MOST_SHARE = 0.06    # of the picture
MOST_REGIONS = 8


def uncovered(rgb: np.ndarray, measured: np.ndarray, flat: np.ndarray, inside: np.ndarray,
              masks: np.ndarray) -> np.ndarray:
    """Return where there may be things that no mask covers, (H, W) bool.

    rgb: (H, W, 3) uint8.  measured, flat, inside: (H, W) bool, where depth was measured, what
    lies on a plane, and what stands on it.  masks: (N, H, W) bool, what depth proposes.
    At most MOST_REGIONS connected regions, the largest.

    >>> rgb = np.full((480, 640, 3), 120, np.uint8)
    >>> rgb[200:260, 300:380] = 250, 240, 60
    >>> yes, none = np.ones((480, 640), bool), np.zeros((0, 480, 640), bool)
    >>> found = uncovered(rgb, yes, yes, ~yes, none)
    >>> bool(found[230, 340]), bool(found[100, 100])
    (True, False)
    """
    cv2 = require('cv2', 'models')
    covered = masks.any(axis=0)
    candidates = ((inside | ~measured | _odd(rgb, flat)) & ~covered).view(np.uint8)
    candidates[[0, -1]] = 0   # what the picture cuts off is seldom whole
    candidates[:, [0, -1]] = 0
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (OPEN, OPEN))
    candidates = cv2.morphologyEx(candidates, cv2.MORPH_OPEN, disc)
    count, label, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    near = _near_plane(flat)
    fits = (area >= LEAST_PIXELS) & (area <= MOST_SHARE * rgb.shape[0] * rgb.shape[1])
    # Beyond the table there is the room, where much is unmeasured.
    fits &= np.bincount(label.ravel(), near.ravel(), count) > 0.5 * area
    fits[0] = False
    chosen = np.flatnonzero(fits)
    chosen = chosen[np.argsort(-area[chosen], kind='stable')][:MOST_REGIONS]
    keep = np.zeros(count, bool)
    keep[chosen] = True
    return keep[label]


def prompts(regions: np.ndarray) -> np.ndarray:
    """Return the innermost pixel of each connected region, (n, 2) float64 x, y.

    regions: (H, W) bool.

    >>> regions = np.zeros((20, 30), bool)
    >>> regions[5:10, 11:20] = True
    >>> [[bool(11 <= x < 20), bool(5 <= y < 10)] for x, y in prompts(regions)]
    [[True, True]]
    """
    cv2 = require('cv2', 'models')
    count, label = cv2.connectedComponents(regions.view(np.uint8), connectivity=4)
    deep = cv2.distanceTransform(regions.view(np.uint8), cv2.DIST_L2, 3)
    order = np.argsort(deep.ravel(), kind='stable')
    deepest = np.zeros(count, np.int64)
    deepest[label.ravel()[order]] = order   # the last write, the deepest, stays
    rows, columns = np.divmod(deepest[1:], regions.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float64)


def _odd(rgb: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Return what lies flat in a colour that is not the plane's, nor the plane's in shadow."""
    cv2 = require('cv2', 'models')
    height, width = flat.shape
    size = max(width // SMALL, 1), max(height // SMALL, 1)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    on = cv2.resize(flat.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if on.sum() < 100:
        return np.zeros(flat.shape, bool)
    colours = lab[on]
    bins, which, number = np.unique(np.round(colours / BIN).astype(np.int32), axis=0,
                                    return_inverse=True, return_counts=True)
    common = np.flatnonzero(number >= COMMON * len(colours))
    if not len(common):   # the plane has no colour of its own
        return np.zeros(flat.shape, bool)
    sums = np.stack([np.bincount(which.ravel(), colours[:, k], len(bins)) for k in range(3)], 1)
    own = (sums / number[:, None])[common].astype(np.float32)
    off = colours[:, None] - own[None]
    tint = np.hypot(off[..., 1], off[..., 2])
    darker = (off[..., 0] < 0) & (colours[:, None, 0] > SHADE * own[None, :, 0])
    alike = (np.hypot(tint, off[..., 0]) < ODD) & (tint < TINT) | darker & (tint < TINT)
    odd = np.zeros(on.shape, np.uint8)
    odd[on] = ~alike.any(axis=1)
    return (cv2.resize(odd, (width, height), interpolation=cv2.INTER_NEAREST) > 0) & flat


def _near_plane(flat: np.ndarray) -> np.ndarray:
    """Return the convex outline of what lies on a plane, (H, W) uint8."""
    cv2 = require('cv2', 'models')
    outline = np.zeros(flat.shape, np.uint8)
    points = cv2.findNonZero(cv2.erode(flat.view(np.uint8), np.ones((5, 5), np.uint8)))
    if points is not None:
        cv2.fillConvexPoly(outline, cv2.convexHull(points), 1)
    return outline
