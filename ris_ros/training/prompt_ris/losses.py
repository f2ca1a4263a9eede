"""The losses of Prompt-RIS: segmentation (binary cross-entropy and Dice) and ICL.

Section 3.3, equations 7 to 9.  All are computed in float32: a Dice coefficient of a mask with
itself comes to 1 + 1e-7, whose ln(1 - O) is not a number.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CLAMP = 1e-6        # O is kept in [CLAMP, 1 - CLAMP]
SMOOTH = 1.0        # of the Dice loss, pixels (open in the paper: ours)


def segmentation_loss(logits: Tensor, target: Tensor, smooth: float = SMOOTH
                      ) -> tuple[Tensor, Tensor]:
    """Return binary cross-entropy and Dice loss per mask, two (B,) float32.

    logits, target: (B, h, w); target: the covered part of each cell, in [0, 1].  Dice with
    squared denominators, as V-Net has it (reference 36 of the paper).
    """
    logits, target = logits.float().flatten(1), target.float().flatten(1)
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction='none').mean(dim=1)
    probability = logits.sigmoid()
    both = 2 * (probability * target).sum(dim=1) + smooth
    sizes = probability.square().sum(dim=1) + target.square().sum(dim=1) + smooth
    return cross, 1 - both / sizes


def overlaps(logits: Tensor) -> Tensor:
    """Return the Dice coefficients (G, b, b) of the masks of each picture, equation 7.

    logits: (G, b, h, w).
    """
    masks = logits.float().flatten(2).sigmoid()
    both = masks @ masks.transpose(1, 2)
    sizes = masks.square().sum(dim=2)
    return 2 * both / (sizes[:, :, None] + sizes[:, None, :]).clamp(min=CLAMP)


def contrastive_loss(logits: Tensor, objects: Tensor, weights: Tensor) -> Tensor:
    """Return the instance contrastive loss per picture, (G,) float32, equation 8.

    logits: (G, b, h, w) of b sentences about each picture.  objects: (G, b) int64, equal for
    the sentences that mean one object; below zero for sentences that mean no single object,
    which take no part.  weights: (G, b), the IoU of each mask with its own truth; no gradient
    flows through it (open in the paper: ours).
    """
    with torch.autocast(logits.device.type, enabled=False):
        overlap = overlaps(logits).clamp(CLAMP, 1 - CLAMP)
        same = (objects[:, :, None] == objects[:, None, :]).float()
        pair = -(same * overlap.log() + (1 - same) * (1 - overlap).log())
        part = (objects >= 0).float()
        pair = pair * part[:, :, None] * part[:, None, :] * weights.detach().float()[:, :, None]
        return pair.sum(dim=(1, 2)) / objects.shape[1] ** 2


def iou_of(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU (B,) of logits above 0 with targets above one half, both (B, h, w)."""
    mask, truth = logits.detach().flatten(1) > 0, target.flatten(1) > 0.5
    both = (mask & truth).sum(dim=1).float()
    return both / (mask | truth).sum(dim=1).clamp(min=1).float()
