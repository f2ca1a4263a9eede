"""From GEM patch features and a sentence to a response map and region means."""
from __future__ import annotations

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


def means_inside_and_outside(guidance: Tensor, masks: Tensor, areas: Tensor
                             ) -> tuple[Tensor, Tensor]:
    """Return the mean of a map inside and outside of N masks, two (N,) float32 tensors.

    guidance: (H, W) float32.  masks: (N, H*W) float32 or bool.  areas: (N,) pixels.
    All masks in one product: the sum outside is the total less the sum inside.  The mean of
    nothing (an empty mask, or the outside of a mask that covers the image) is 0.
    """
    flat = guidance.flatten()
    if masks.dtype == torch.bool:  # too many to keep as float32: one chunk at a time
        inside = torch.cat([part.float() @ flat for part in masks.split(16)])
    else:
        inside = masks @ flat
    total, pixels = guidance.sum(), guidance.numel()
    outside = total - inside
    return inside / areas.clamp(min=1), outside / (pixels - areas).clamp(min=1)
