"""Separate peaks of a response map: an ambiguous sentence fits several objects (ours).

The paper prompts SAM with the whole map and one point, which can show one answer only.  Where
the map has several separate regions, each becomes a prompt of its own, so that what else fits
is seen by whoever decides.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional


def region_of(above: Tensor, seeds: Tensor) -> Tensor:
    """Return the connected regions (B, h, w) bool of `above` that hold the seeds.

    above: (B, h, w) bool.  seeds: (B,) int64 cells, counted row by row.  Diagonal neighbours
    are connected.  A seed that is not above has an empty region.
    """
    count = len(above)
    region = torch.zeros_like(above)
    region.view(count, -1)[torch.arange(count, device=above.device), seeds] = True
    region &= above
    size = region.sum()
    while True:
        grown = functional.max_pool2d(region[:, None].float(), 3, 1, 1)[:, 0] > 0
        region = grown & above
        now = region.sum()
        if now == size:
            return region
        size = now


def peaks_of(logits: Tensor, most: int, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the separate regions of B response maps: rows (K,), maps (K, h, w), peaks (K,).

    logits: (B, h, w).  Regions are joined cells above `least`, most of them `most` per map, the
    highest first; a map without any keeps its highest cell.  maps: the response map with every
    other region lowered to `least`, as it is where there is one region only.  peaks: the
    highest logit.  The regions of a map stand together, in the order of the maps.
    """
    left, above = logits.clone(), logits > least
    rows, regions, peaks = [], [], []
    all_rows = torch.arange(len(logits), device=logits.device)
    for turn in range(most):
        peak, seed = left.flatten(1).max(dim=1)
        going = all_rows if turn == 0 else torch.nonzero(peak > least)[:, 0]
        if not len(going):
            break
        region = region_of(above[going], seed[going])
        rows.append(going)
        regions.append(region)
        peaks.append(peak[going])
        left[going] = left[going].masked_fill(region, float('-inf'))
    row, region, peak = torch.cat(rows), torch.cat(regions), torch.cat(peaks)
    order = torch.argsort(row, stable=True)
    row, region, peak = row[order], region[order], peak[order]
    other = above[row] & ~region
    return row, torch.where(other, logits.new_tensor(least), logits[row]), peak
