"""Pictures with left and right exchanged, of those of a batch that are to be so."""
from __future__ import annotations

import torch
from torch import Tensor


def flipped(pictures: Tensor, mirror: Tensor) -> Tensor:
    """Return (n, ..., W) pictures, those of `mirror` (n,) bool with left and right exchanged."""
    which = mirror.view(-1, *[1] * (pictures.ndim - 1))
    return torch.where(which, pictures.flip(-1), pictures)
