"""From response maps to masks: peaks, masks on the grid of a map, and what the maps say inside."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional


@dataclass(frozen=True, eq=False)
class Cells:
    """Masks on the grid of a map.

    share: (N, P) float32, rows add up to 1 (0 for an empty mask): a mean over the mask.
    touched: (N, P) bool, cells that the mask covers at least in part.
    """

    share: Tensor
    touched: Tensor


def cells_of(masks: Tensor, grid: int) -> Cells:
    """Return (N, H, W) bool masks on a grid x grid map."""
    if not len(masks):
        nothing = torch.zeros(0, grid * grid, device=masks.device)
        return Cells(nothing, nothing > 0)
    cover = functional.adaptive_avg_pool2d(masks[:, None].float(), grid).flatten(1)
    return Cells(cover / cover.sum(dim=1, keepdim=True).clamp(min=1e-9), cover > 0)


def features_of(last: Tensor, first: Tensor, cells: Cells) -> dict[str, np.ndarray]:
    """Return what `calibration` reads of N masks for one sentence, (N,) float64 each.

    last, first: (g, g) logits of the last and the first stage.
    """
    flat = last.flatten()
    peak = torch.where(cells.touched, flat, flat.min()).amax(dim=1)
    found = {'peak': peak, 'inside': cells.share @ flat, 'first': cells.share @ first.flatten()}
    return {name: value.double().cpu().numpy() for name, value in found.items()}


def peak_of(heatmap: np.ndarray) -> tuple[int, int]:
    """Return row and column of the first highest pixel of an (H, W) map."""
    row, column = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return row, column


def peaks_of(heatmap: np.ndarray, logits: np.ndarray, most: int, share: float
             ) -> list[tuple[int, int]]:
    """Return the peaks of one map as rows and columns of the picture, the highest first.

    heatmap: (H, W) in [0, 1]; its first maximum is the first peak.  logits: (g, g); further
    peaks (ours) are cells that no neighbour exceeds and whose place in the heat map reaches
    `share` of the first, at most `most` in all.
    """
    height, width = heatmap.shape
    first = peak_of(heatmap)
    if most < 2 or heatmap[first] <= 0:
        return [first]
    grid = logits.shape[0]
    padded = np.pad(logits, 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max(axis=(2, 3))
    rows, columns = np.nonzero(logits >= around)
    ys = ((rows + 0.5) * height / grid).astype(int)
    xs = ((columns + 0.5) * width / grid).astype(int)
    own = (abs((rows + 0.5) * height / grid - first[0]) <= height / grid) & (
        abs((columns + 0.5) * width / grid - first[1]) <= width / grid)
    good = np.flatnonzero((heatmap[ys, xs] >= share * heatmap[first]) & ~own)
    good = good[np.argsort(-heatmap[ys[good], xs[good]], kind='stable')][:most - 1]
    return [first, *((int(ys[k]), int(xs[k])) for k in good)]


def highest_inside(heatmap: np.ndarray, masks: np.ndarray, peak: tuple[int, int], step: int = 4
                   ) -> np.ndarray:
    """Return the highest value of a map inside of N masks, (N,) float64.

    Exact for masks that hold the peak, which is all that decides; the others are looked at on
    every `step`-th row and column.
    """
    if not len(masks):
        return np.zeros(0)
    small = masks[:, ::step, ::step].reshape(len(masks), -1)
    values = np.where(small, heatmap[::step, ::step].reshape(1, -1), 0.0).max(axis=1)
    holds = masks[:, peak[0], peak[1]]
    top = float(heatmap[peak])
    # A sampled value may equal the maximum on a flat top; it does not hold the first one.
    values = np.minimum(values, np.nextafter(np.float64(top), -1.0))
    return np.where(holds, top, values)
