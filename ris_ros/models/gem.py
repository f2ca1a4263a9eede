"""From GEM patch features and a sentence to a response map and region means."""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.models.sampling import normalise

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional


def gem_input(image: np.ndarray, size: int, mean: tuple[float, ...], std: tuple[float, ...],
              device: torch.device | str = 'cpu') -> Tensor:
    """Return the (1, 3, size, size) network input of an (H, W, 3) uint8 image.

    The image is squashed to a square by PIL's bicubic (antialiased) resize.
    """
    pil = require('PIL.Image', 'models')
    small = np.asarray(pil.fromarray(image).resize((size, size), pil.Resampling.BICUBIC))
    tensor = torch.from_numpy(small.copy()).to(device).permute(2, 0, 1).float() / 255
    return normalise(tensor, mean, std)[None]


def similarity_map(features: Tensor, text: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """Return the dot product of patches and text, upsampled bilinearly to (size, size).

    features: (P, D) unit norm.  text: (D,) unit norm.
    """
    similarity = (features @ text).reshape(1, 1, *grid)
    return functional.interpolate(similarity, size=(size, size), mode='bilinear',
                                  align_corners=False)[0, 0]


def min_max(values: Tensor) -> Tensor:
    """Return `values` stretched to [0, 1]; a constant map says nothing and becomes all ones."""
    low, high = values.min(), values.max()
    # Below this the differences are rounding, which must not be stretched to a preference.
    varies = high - low > 1e-6 * (high.abs() + low.abs())
    return torch.where(varies, (values - low) / (high - low).clamp(min=1e-30),
                       torch.ones_like(values))


def coherence_map(similarity: Tensor, out: tuple[int, int]) -> Tensor:
    """Return the response map at image size, (H, W) in [0, 1] (HybridGL's G_co).

    Min-max, antialiased bilinear resize, min-max again.
    """
    resized = functional.interpolate(min_max(similarity)[None, None], size=out, mode='bilinear',
                                     align_corners=False, antialias=True)[0, 0]
    return min_max(resized)


def response_map(features: Tensor, text: Tensor, grid: tuple[int, int], side: int,
                 out: tuple[int, int]) -> Tensor:
    """Return `coherence_map` of `similarity_map` in one step, (H, W) in [0, 1].

    Both resizes are linear and work on rows and columns by themselves, so that together they
    are one matrix per axis; the min-max between them changes nothing, as the one at the end
    undoes every shift and scale.
    """
    rows = _resize_matrix(grid[0], side, out[0], features.device)
    columns = _resize_matrix(grid[1], side, out[1], features.device)
    full = rows @ (features @ text).reshape(grid) @ columns.T
    low, high = torch.aminmax(full)
    if not high - low > 1e-6 * (high.abs() + low.abs()):  # as in `min_max`
        return torch.ones_like(full)
    return full.sub_(low).div_(high - low)


@lru_cache(maxsize=16)
def _resize_matrix(patches: int, side: int, out: int, device: torch.device) -> Tensor:
    """Return (out, patches): bilinear to `side`, then antialiased bilinear to `out`."""
    with torch.inference_mode(False), torch.no_grad():
        x = torch.eye(patches, device=device)[None, None]
        for size, antialias in ((side, False), (out, True)):
            x = functional.interpolate(x, size=(size, patches), mode='bilinear',
                                       align_corners=False, antialias=antialias)
        return x[0, 0]


@dataclass(frozen=True, eq=False)
class Runs:
    """N masks as runs of pixels in row order.

    start, end (exclusive), owner: (R,) int64.  count: N.
    """

    start: Tensor
    end: Tensor
    owner: Tensor
    count: int


def runs_of(masks: Tensor) -> Runs:
    """Return the runs of (N, H, W) bool masks."""
    flat = masks.flatten(1)
    length = flat.shape[1] + 1
    # An unset pixel around each mask: every run begins and ends with a change.
    line = functional.pad(functional.pad(flat, (0, 1)).flatten(), (1, 0))
    change = (line[1:] != line[:-1]).nonzero()[:, 0]
    start, end = change[0::2], change[1::2]
    owner = start.div(length, rounding_mode='floor')
    return Runs(start - owner * length, end - owner * length, owner, len(masks))


def sums_inside(guidance: Tensor, runs: Runs) -> Tensor:
    """Return the sum of a (H, W) map over each mask, (N,) float64.

    Differences of one running sum: every pixel of the map is read once, however many masks.
    """
    running = functional.pad(guidance.flatten().cumsum(0, dtype=torch.float64), (1, 0))
    sums = torch.zeros(runs.count, dtype=torch.float64, device=guidance.device)
    return sums.index_add_(0, runs.owner, running[runs.end] - running[runs.start])


def means_inside_and_outside(guidance: Tensor, masks: Tensor | Runs, areas: Tensor
                             ) -> tuple[Tensor, Tensor]:
    """Return the mean of a map inside and outside of N masks, two (N,) float tensors.

    guidance: (H, W) float32.  masks: (N, H*W) float32 or bool, or runs.  areas: (N,) pixels.
    All masks at once: the sum outside is the total less the sum inside.  The mean of
    nothing (an empty mask, or the outside of a mask that covers the image) is 0.
    """
    flat = guidance.flatten()
    if isinstance(masks, Runs):
        inside = sums_inside(guidance, masks)
    elif masks.dtype == torch.bool:  # too many to keep as float32: one chunk at a time
        inside = torch.cat([part.float() @ flat for part in masks.split(16)])
    else:
        inside = masks @ flat
    total, pixels = guidance.sum(), guidance.numel()
    outside = total - inside
    return inside / areas.clamp(min=1), outside / (pixels - areas).clamp(min=1)
