"""Crops of many regions at once, resized as Pillow's bicubic filter does.

Captioners and CLIP were trained on pictures that Pillow resized with antialiasing, so crops
have to be made the same way.  Here every region is cut, padded and resized on the device: one
gather and two batched products (columns, then rows, each rounded to whole grey values as
Pillow does), without a loop over regions and without pictures on the host.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require('torch', 'models')

Fit = Literal['cover', 'stretch']
# Half width of the cubic kernel, in output pixels of a reduction.
SUPPORT = 2.0
FIXED_POINT = float(1 << 22)
# Values of one part's cut-outs, in float64 (64 MiB).
PART_VALUES = 1 << 23


@dataclass(frozen=True, eq=False)
class Window:
    """One axis of N crops.  All (N,) int64.

    start, length: what is cut from the image.  pad: black in front of it.  side: length with
    the padding of both ends.  resized: `side` after the resize.  offset: first of the
    resized pixels that is kept.
    """

    start: Tensor
    length: Tensor
    pad: Tensor
    side: Tensor
    resized: Tensor
    offset: Tensor

    def take(self, part: Tensor) -> Window:
        """Return some of the crops."""
        return Window(self.start[part], self.length[part], self.pad[part], self.side[part],
                      self.resized[part], self.offset[part])


def windows(boxes: Tensor, size: int, fit: Fit, exact: bool) -> tuple[Window, Window]:
    """Return the windows on rows and on columns of N boxes (N, 4) x, y, w, h.

    The short side is padded evenly at both ends; where the difference is odd, one more pixel
    at the far end makes the crop square (`exact`), or it stays one pixel short.
    fit: 'cover' makes the short side `size` and keeps the centre, 'stretch' resizes both
    sides to `size`.
    """
    x, y, w, h = boxes.long().unbind(1)
    w, h = w.clamp(min=1), h.clamp(min=1)
    longest = torch.maximum(w, h)

    def padded(length: Tensor) -> tuple[Tensor, Tensor]:
        pad = (longest - length) // 2
        return pad, longest if exact else length + 2 * pad

    (pad_y, side_y), (pad_x, side_x) = padded(h), padded(w)
    shortest = torch.minimum(side_y, side_x)

    def scaled(side: Tensor) -> tuple[Tensor, Tensor]:
        resized = (size * side) // shortest if fit == 'cover' else torch.full_like(side, size)
        return resized, torch.round((resized - size) / 2).long()

    return (Window(y, h, pad_y, side_y, *scaled(side_y)),
            Window(x, w, pad_x, side_x, *scaled(side_x)))


def kernel(distance: Tensor) -> Tensor:
    """Return the cubic kernel (a = -0.5) at distances in kernel units."""
    d = distance.abs()
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def axis_weights(window: Window, size: int, longest: int) -> Tensor:
    """Return the weights of the cut pixels, (N, size, longest) float64.

    longest: pixels per row of the result, at least the greatest length.  Weights of what is
    padding are left out, as it is black; they count in the normalisation.
    """
    device = window.start.device
    scale = window.side.double() / window.resized
    wide = scale.clamp(min=1)
    out = torch.arange(size, device=device) + window.offset[:, None]
    centre = (out.double() + 0.5) * scale[:, None]
    reach = SUPPORT * wide[:, None]
    first = (centre - reach + 0.5).floor().clamp(min=0)
    last = torch.minimum((centre + reach + 0.5).floor(), window.side[:, None].double())
    pixel = torch.arange(int(window.side.max()), device=device, dtype=torch.float64)
    weights = kernel((pixel - centre[..., None] + 0.5) / wide[:, None, None])
    weights *= (pixel >= first[..., None]) & (pixel < last[..., None])
    weights /= weights.sum(-1, keepdim=True)
    taken = torch.arange(longest, device=device)
    index = (taken + window.pad[:, None]).clamp(max=len(pixel) - 1)
    weights = weights.gather(2, index[:, None].expand(-1, size, -1))
    weights *= (taken < window.length[:, None])[:, None]
    # Pillow's fixed point: without it sums that end in one half round the other way.
    return torch.copysign((weights.abs() * FIXED_POINT + 0.5).floor(), weights) / FIXED_POINT


def square_crops(inside: Tensor, outside: Tensor | None, masks: Tensor, boxes: Tensor,
                 size: int, fit: Fit = 'cover', exact: bool = True) -> Tensor:
    """Return N padded square crops, (N, 3, size, size) float32 whole numbers in [0, 255].

    inside, outside: (3, H, W) float32 pictures in [0, 255], shown where the mask is set and
    where it is not; None for black.  masks: (N, H, W) bool.  boxes: (N, 4) x, y, w, h.
    fit, exact: see `windows`.
    """
    if not len(boxes):
        return torch.zeros(0, 3, size, size, device=inside.device)
    rows, columns = windows(boxes, size, fit, exact)
    # Similar sizes together, so that little of the common frame is empty.
    order = torch.argsort(torch.maximum(rows.length, columns.length), descending=True)
    edges = torch.stack([rows.length, columns.length])[:, order].cpu()
    out = torch.empty(len(boxes), 3, size, size, device=inside.device)
    start = 0
    while start < len(order):
        high, wide = (int(v) for v in edges[:, start:].amax(1))
        count = max(1, PART_VALUES // (3 * max(high, size) * max(wide, size)))
        part = order[start:start + count]
        high, wide = (int(v) for v in edges[:, start:start + count].amax(1))
        out[part] = _resized(inside, outside, masks, part, rows.take(part),
                             columns.take(part), (high, wide), size)
        start += count
    return out


def stretched(image: Tensor, size: int) -> Tensor:
    """Return a (3, H, W) float32 picture in [0, 255] as (3, size, size), as Pillow would."""
    def weights(length: int) -> Tensor:
        one = torch.full((1,), length, device=image.device)
        none = torch.zeros_like(one)
        whole = Window(none, one, none, one, torch.full_like(one, size), none)
        return axis_weights(whole, size, length)[0]

    across, down = weights(image.shape[2]), weights(image.shape[1])
    return _whole(down @ _whole(image.double() @ across.T)).float()


def _resized(inside: Tensor, outside: Tensor | None, masks: Tensor, part: Tensor,
             rows: Window, columns: Window, frame: tuple[int, int], size: int) -> Tensor:
    device = inside.device
    y = rows.start[:, None] + torch.arange(frame[0], device=device)
    x = columns.start[:, None] + torch.arange(frame[1], device=device)
    y = y.clamp(0, inside.shape[-2] - 1)[:, :, None]
    x = x.clamp(0, inside.shape[-1] - 1)[:, None, :]
    shown = masks[part[:, None, None], y, x]
    if outside is None:
        cut = inside[:, y, x] * shown
    else:
        cut = torch.where(shown, inside[:, y, x], outside[:, y, x])
    # In double precision every sum is exact.
    across = axis_weights(columns, size, frame[1]).transpose(1, 2)
    down = axis_weights(rows, size, frame[0])
    lines = _whole(cut.transpose(0, 1).double() @ across[:, None])
    return _whole(down[:, None] @ lines).float()


def _whole(values: Tensor) -> Tensor:
    return (values + 0.5).floor_().clamp_(0, 255)
