"""TRIS' calibration loss, which the released code has and the paper has not.

What the map lights of a picture must not look like the other texts of the batch to a frozen CLIP.
That tower is loaded only where the loss has a weight, and sees all stages of a step at once.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.models.sampling import IMAGENET_MEAN, IMAGENET_STD
from ris_ros.training.pcnet import losses
from ris_ros.training.pcnet.showing import Shown

if TYPE_CHECKING:
    from ris_ros.models.clip import ClipModel


class CalibrationLoss:
    """The loss over a frozen CLIP; pixels keep ImageNet's statistics, as released."""

    def __init__(self, clip: ClipModel, texts: Sequence[str]) -> None:
        """texts: all of the data set, in the order of `Pairs.texts`."""
        self.clip = clip
        # Text by text once, and kept: the batches bring their numbers.
        parts = [clip.encode_text(texts[i:i + 256]) for i in range(0, len(texts), 256)]
        self.texts = torch.cat(parts) if parts else torch.zeros(0, clip.embed_dim)
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(IMAGENET_MEAN, device=clip.device).view(shape)
        self.std = torch.tensor(IMAGENET_STD, device=clip.device).view(shape)

    def __call__(self, batch: Mapping[str, Any], own: Tensor, shown: Shown) -> Tensor:
        """Return the mean over stages.  own: (N, B, grid^2) logits of the own texts."""
        stages, images, cells = own.shape
        grid, size = round(cells ** 0.5), self.clip.image_size
        pixels = (shown.pixels(batch, training=False) / 255 - self.mean) / self.std
        side = pixels.shape[-1]
        lit = F.interpolate(own.reshape(-1, 1, grid, grid), (side, side), mode='bilinear',
                            align_corners=False).sigmoid().unflatten(0, (stages, images))
        seen = F.interpolate((lit * pixels).flatten(0, 1), (size, size), mode='bilinear',
                             align_corners=False)
        features = self.clip.model.encode_image(seen).unflatten(0, (stages, images))
        texts = self.texts[batch['name'][:images]]
        return torch.stack([losses.calibration(f, texts) for f in features]).mean()
