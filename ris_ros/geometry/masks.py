"""Erosion of masks, so that depth is not read at an object's ragged edge."""
from __future__ import annotations

import numpy as np


def erode(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return the (H, W) bool mask worn off by `pixels` with a square element.

    Pixels beyond the image count as inside: an object cut by the image border is not worn
    off there, for its true edge is elsewhere.

    >>> mask = np.zeros((5, 5), bool)
    >>> mask[1:4, 1:4] = True
    >>> np.argwhere(erode(mask, 1)).tolist()
    [[2, 2]]
    """
    mask = np.asarray(mask, dtype=bool)
    if pixels <= 0 or not mask.any():
        return mask.copy()
    height, width = mask.shape
    padded = np.pad(mask, pixels, constant_values=True)
    rows = padded[0:height].copy()
    for offset in range(1, 2 * pixels + 1):
        rows &= padded[offset:offset + height]
    worn = rows[:, 0:width].copy()
    for offset in range(1, 2 * pixels + 1):
        worn &= rows[:, offset:offset + width]
    return worn


def box_around(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of a mask's box, one pixel wider so that its edge is seen.

    mask: (H, W) bool.  Without a pixel the box is empty.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[3:5, 0] = True
    >>> box_around(mask)
    (slice(2, 6, None), slice(0, 2, None))
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return (slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 2),
            slice(max(int(columns[0]) - 1, 0), int(columns[-1]) + 2))


def erode_safely(mask: np.ndarray, pixels: int, keep_ratio: float = 0.2,
                 keep_pixels: int = 25) -> tuple[np.ndarray, int]:
    """Erode by as much of `pixels` as leaves enough; return the mask and what was taken off.

    Enough is `keep_ratio` of the mask and `keep_pixels` pixels.  A pen or the rim of a bowl
    is thinner than any sensible erosion and must not vanish, hence the smaller steps.

    >>> line = np.zeros((5, 40), bool)
    >>> line[2] = True
    >>> worn, pixels = erode_safely(line, 3)
    >>> int(worn.sum()), pixels
    (40, 0)
    """
    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        return mask.copy(), 0
    box = box_around(mask)
    area = int(mask.sum())
    enough = max(keep_ratio * area, min(keep_pixels, area))
    for step in range(pixels, 0, -1):
        worn = erode(mask[box], step)
        if int(worn.sum()) >= enough:
            result = np.zeros_like(mask)
            result[box] = worn
            return result, step
    return mask.copy(), 0
