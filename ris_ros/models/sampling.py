"""Region views of an image for all masks at once: bilinear sampling of composites.

A composite (mask times one picture plus the rest of another) that is then resized without
antialiasing looks at 2x2 source pixels per output pixel only.  So the mask and the pictures
are read at those four taps and combined there: exactly what compositing at full resolution
and resizing gives, for a fraction of the memory, and without a loop over masks.
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

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def blur(image: np.ndarray, kernel: int) -> np.ndarray:
    """Return the Gaussian-blurred (H, W, 3) uint8 image.

    kernel: odd side length in pixels; OpenCV's rule gives sigma (15 -> 2.6), borders are
    reflected (HybridGL released code; the paper only says "Gaussian blur").
    """
    return require('cv2', 'models').GaussianBlur(image, (kernel, kernel), 0)


def axis_taps(n_in: int, n_out: int, device: torch.device | str = 'cpu'
              ) -> tuple[Tensor, Tensor]:
    """Return index (2, n_out) int64 and weight (2, n_out) float32 of the taps on one axis.

    Half-pixel centres, no antialiasing: torch's bilinear interpolation.
    """
    scale = torch.tensor(n_in / n_out, dtype=torch.float32, device=device)
    source = scale * (torch.arange(n_out, dtype=torch.float32, device=device) + 0.5) - 0.5
    return _taps(source.clamp(min=0), torch.tensor(n_in - 1, device=device))


def _taps(source: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.minimum(source.floor().long(), last)
    high = torch.minimum(low + 1, last)
    weight = source - low
    return torch.stack([low, high]), torch.stack([1 - weight, weight])


class Taps:
    """The four taps of every output pixel of an (H, W) -> (h, w) bilinear resize.

    `read` returns pictures at the taps, (..., 4, h, w); `weight` is (4, h, w).
    """

    def __init__(self, size: tuple[int, int], out: tuple[int, int],
                 device: torch.device | str = 'cpu') -> None:
        rows, row_weight = axis_taps(size[0], out[0], device)
        columns, column_weight = axis_taps(size[1], out[1], device)
        self.index = (rows[:, None, :, None] * size[1] + columns[None, :, None, :]).flatten(0, 1)
        self.weight = (row_weight[:, None, :, None] * column_weight[None, :, None, :]
                       ).flatten(0, 1)

    def read(self, pictures: Tensor) -> Tensor:
        """Return (..., H, W) pictures at the taps, (..., 4, h, w)."""
        flat = pictures.flatten(-2)
        taken = flat.index_select(-1, self.index.flatten())
        return taken.unflatten(-1, self.index.shape)

    def resize(self, pictures: Tensor) -> Tensor:
        """Return (..., h, w) float32: the plain bilinear resize."""
        return self.weigh(pictures).sum(-3)

    def weigh(self, pictures: Tensor) -> Tensor:
        """Return (..., H, W) pictures at the taps, times their weights, (..., 4, h, w)."""
        return self.read(pictures) * self.weight


def composite(taps: Taps, inside: Tensor, outside: Tensor, masks: Tensor) -> Tensor:
    """Return the resized composites of N masks, (N, 3, h, w) float32.

    inside, outside: (3, H, W) float32, or (3, 1, 1) for a constant colour.
    masks: (N, H, W) bool, or what `Taps.weigh` makes of them, for several composites of the
    same masks.  `inside` shows where the mask is set.
    """
    def at_taps(picture: Tensor) -> Tensor:
        if picture.shape[-2:] == (1, 1):
            return picture[:, None].expand(-1, 4, *taps.weight.shape[1:])
        return taps.read(picture)

    back, front = at_taps(outside), at_taps(inside)
    difference = front - back
    weighted = taps.weigh(masks) if masks.dtype == torch.bool else masks
    out = (back * taps.weight).sum(1).expand(len(masks), -1, -1, -1).clone()
    for tap in range(4):
        out.addcmul_(weighted[:, None, tap], difference[None, :, tap])
    return out


def crops(image: Tensor, masks: Tensor, boxes: Tensor, size: int, fill: Tensor,
          supersample: int = 2) -> Tensor:
    """Return the N box crops resized to squares, (N, 3, size, size), background filled.

    image: (3, H, W) float32.  masks: (N, H, W) bool.  boxes: (N, 4) x, y, w, h in pixels,
    stretched to the square.  fill: (3, 1, 1) colour outside the mask.
    supersample: samples per output pixel and axis, averaged, against aliasing.
    """
    height, width = image.shape[-2:]
    fine = size * supersample
    steps = (torch.arange(fine, device=image.device, dtype=torch.float32) + 0.5) / fine
    limits = torch.tensor([height - 1, width - 1], device=image.device)
    ys, y_weight = _taps((boxes[:, 1:2] + steps * boxes[:, 3:4] - 0.5).clamp(0, height - 1),
                         limits[0])
    xs, x_weight = _taps((boxes[:, 0:1] + steps * boxes[:, 2:3] - 0.5).clamp(0, width - 1),
                         limits[1])
    rows = torch.arange(len(masks), device=image.device)[:, None, None]
    out = torch.zeros(len(masks), 3, fine, fine, device=image.device)
    for tap_y in range(2):
        for tap_x in range(2):
            y, x = ys[tap_y][:, :, None], xs[tap_x][:, None, :]
            weight = y_weight[tap_y][:, :, None] * x_weight[tap_x][:, None, :]
            shown = masks[rows, y, x][:, None] * weight[:, None]
            colour = image[:, y, x].transpose(0, 1)
            out += shown * colour + (weight[:, None] - shown) * fill
    return torch.nn.functional.avg_pool2d(out, supersample) if supersample > 1 else out


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return (image - mean) / std per channel; images (..., 3, h, w) in [0, 1]."""
    return (images - images.new_tensor(mean)[:, None, None]) / \
        images.new_tensor(std)[:, None, None]
