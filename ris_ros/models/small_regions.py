"""Holes and islands of masks: filled and dropped for all masks in one pass.

Same results as `segment_anything.utils.amg.remove_small_regions`, mask by mask.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require('torch', 'models')

# Pixels labelled at once: bounds the label image (int32) to about 64 MiB.
CHUNK_PIXELS = 1 << 24


def remove_small_regions(masks: Tensor, area: int) -> tuple[Tensor, Tensor]:
    """Fill holes and drop islands below `area` pixels, for all masks.

    masks: (N, H, W) bool.  Returns masks and (N,) bool, which were changed.  A mask whose
    every island is too small keeps the largest.  Connectivity 8.
    """
    array = masks.cpu().numpy()
    step = max(1, CHUNK_PIXELS // array[0].size)
    cleaned, changed = [], []
    for start in range(0, len(array), step):
        filled, holes = _drop_regions(array[start:start + step], area, holes=True)
        kept, islands = _drop_regions(filled, area, holes=False)
        cleaned.append(kept)
        changed.append(holes | islands)
    return (torch.from_numpy(np.concatenate(cleaned)).to(masks.device),
            torch.from_numpy(np.concatenate(changed)).to(masks.device))


def _drop_regions(masks: np.ndarray, area: int, holes: bool) -> tuple[np.ndarray, np.ndarray]:
    """One labelling for a stack of masks, their rows set one below the other on a sheet.

    Only the rows that a mask touches and one on either side are labelled.  What lies beyond
    them is background, part of the region that holds the outer row.
    """
    cv2 = require('cv2', 'models')
    n, height, width = masks.shape
    owner_of_row, row, first, last = _touched_rows(masks)
    lines = np.cumsum(np.bincount(owner_of_row, minlength=n) + 1)  # an empty row after each
    target = np.arange(len(row)) + owner_of_row
    sheet = np.zeros((lines[-1], width), dtype=np.uint8)
    cut = masks[owner_of_row, row]
    sheet[target] = ~cut if holes else cut
    count, labels = cv2.connectedComponents(sheet, connectivity=8)
    # Counted here: OpenCV's own statistics take five times as long as the labels.
    sizes = np.bincount(labels.ravel(), minlength=count)
    top = np.concatenate([[0], lines[:-1]])
    # Labels grow down the sheet, so that each mask's end with the greatest in its rows.
    ends = np.maximum.accumulate(np.maximum.reduceat(labels.max(axis=1), top))
    owner = np.searchsorted(ends, np.arange(count))
    above, below = labels[top, 0], labels[lines - 2, 0]
    if holes:
        np.add.at(sizes, above, first * width)
        np.add.at(sizes, below, (height - 1 - last) * width)
    small = sizes < area
    small[0] = False
    changed = np.zeros(n, dtype=bool)
    changed[owner[small]] = True
    if not changed.any():
        return masks, changed
    # In `working` each region is kept or dropped; label 0 is everything else.
    keep = ~small
    keep[0] = False
    if not holes:
        lost = np.setdiff1d(owner[1:], owner[keep])
        regions = np.flatnonzero(np.isin(owner, lost) & (np.arange(count) > 0))
        # The largest region of each mask that would vanish; the first one on a tie.
        ranked = regions[np.lexsort((regions, -sizes[regions], owner[regions]))]
        keep[ranked[np.unique(owner[ranked], return_index=True)[1]]] = True
    working = keep.take(labels)[target]
    out = masks.copy()
    out[owner_of_row, row] = ~working if holes else working
    if holes and (small[above] | small[below]).any():
        beyond = np.arange(height)
        out |= (((beyond < first[:, None]) & small[above, None])
                | ((beyond > last[:, None]) & small[below, None]))[:, :, None]
    return out, changed


def _touched_rows(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of N masks from one above the first set pixel to one below the last.

    Owner and row of each, one mask after the other, and (N,) first and last row.  An empty
    mask has its first row, and the next.
    """
    rows = masks.max(axis=2)
    height = rows.shape[1]
    first = np.maximum(rows.argmax(axis=1) - 1, 0)
    last = np.minimum(height - rows[:, ::-1].argmax(axis=1), height - 1)
    last = np.where(rows.any(axis=1), last, np.minimum(1, height - 1))
    length = last - first + 1
    owner = np.repeat(np.arange(len(masks)), length)
    start = np.cumsum(length) - length
    return owner, np.arange(len(owner)) - start[owner] + first[owner], first, last
