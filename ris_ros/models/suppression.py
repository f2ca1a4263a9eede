"""Which of several masks or boxes stay where they overlap: the greedy choice, all at once."""
from __future__ import annotations

from typing import TYPE_CHECKING

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require('torch', 'models')

ROWS_VALUES = 1 << 21   # pairs of boxes compared at once: 8 MiB of each number


def intersections(masks: Tensor, others: Tensor | None = None) -> Tensor:
    """Return the pixels that (N, H, W) bool masks share with others, (N, M) float32, exact.

    others: (M, H, W) bool, by default the masks themselves.
    """
    flat = masks.flatten(1).float()
    second = flat if others is None else others.flatten(1).float()
    with torch.autocast(masks.device.type, enabled=False):  # half precision cannot count so far
        return flat @ second.T


def nms(xyxy: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the indices of boxes that overlap no better one kept, best score first.

    xyxy: (N, 4) corners.  scores: (N,); ties keep their order.  threshold: of the boxes' IoU.
    As torchvision's `nms` chooses, number by number, but that imports seconds' worth of torch.
    """
    order = torch.argsort(scores.float(), descending=True, stable=True)
    boxes = xyxy.float()[order]
    left, top, right, bottom = boxes.T
    area = (right - left) * (bottom - top)
    rows = []
    for part in boxes.split(max(1, ROWS_VALUES // max(len(boxes), 1))):
        x0, y0, x1, y1 = part.T[:, :, None]
        width = (torch.minimum(x1, right) - torch.maximum(x0, left)).clamp_(min=0)
        height = (torch.minimum(y1, bottom) - torch.maximum(y0, top)).clamp_(min=0)
        both = width * height
        overlap = both / ((x1 - x0) * (y1 - y0) + area - both)
        rows.append(overlap.double() > threshold)   # the threshold is not rounded
    return order[_greedy(torch.cat(rows).tril_(-1))]


def unshared(masks: Tensor, quality: Tensor, threshold: float) -> Tensor:
    """Return the indices, ascending, of masks that share little with every better one kept.

    masks: (N, H, W) bool.  quality: (N,); ties go to the first.  Two masks share the part of
    the smaller one that lies in both: parts of an object lie in its mask as a whole, and both
    of two neighbours in the mask of the pair, whatever their boxes are.
    """
    order = torch.argsort(quality, descending=True, stable=True)
    both = intersections(masks[order])
    area = both.diagonal()
    share = both / torch.minimum(area[:, None], area[None]).clamp(min=1)
    return order[_greedy((share > threshold).tril(-1))].sort().values


def _greedy(beaten_by: Tensor) -> Tensor:
    """Return who is left, (N,) bool, where the best of all beat others, then the next best.

    beaten_by: (N, N) bool, row by column, the better ones first.  Who is beaten only by those
    that are beaten themselves comes back, until nothing changes: the greedy choice, row by row
    at worst, in two or three rounds as a rule.
    """
    kept = torch.ones(len(beaten_by), dtype=torch.bool, device=beaten_by.device)
    while True:
        now = ~(beaten_by & kept).any(dim=1)
        if bool((now == kept).all()):
            return kept
        kept = now
