"""How a step gets its pictures: from the batch, or from a table on the device."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.training.pcnet.pairs import Pictures

AT_ONCE = 32


class Shown:
    """Gives (B, 3, s, s) pixels of 0 to 255 for a batch.

    table: (N, 3, s, s) uint8 on the device, or None where the batch brings its pixels.
    """

    def __init__(self, table: Tensor | None = None, augment: bool = False) -> None:
        self.table, self.augment = table, augment

    def pixels(self, batch: Mapping[str, Any], training: bool = True) -> Tensor:
        """Return the pictures of a batch, changed at random in training where that is asked."""
        if self.table is None:
            found: Tensor = batch['pixels']
        else:
            found = self.table[batch['rows']]
            found = torch.where(batch['mirror'][:, None, None, None], found.flip(3), found)
        return recoloured(found.float()) if training and self.augment else found.float()


def recoloured(pixels: Tensor) -> Tensor:
    """Return pictures (B, 3, s, s) of other light: gain, offset, gain of each colour, noise."""
    count, device = len(pixels), pixels.device

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, device=device)

    gain = between(0.75, 1.3, 1, 1, 1) * between(0.92, 1.08, 3, 1, 1)
    offset = between(-20, 20, 1, 1, 1)
    noise = between(0, 5, 1, 1, 1) * torch.randn_like(pixels)
    return (pixels * gain + offset + noise).clamp(0, 255)


def table_of(pictures: Pictures, size: int, device: torch.device, rows: Sequence[int] | None = None
             ) -> Tensor:
    """Return all pictures at size x size on the device, (N, 3, size, size) uint8.

    Resized there, bilinear with antialiasing, which differs from Pillow's by one level at most.
    rows: those that are wanted; others stay black.
    """
    from tqdm import tqdm
    table = torch.zeros(len(pictures), 3, size, size, dtype=torch.uint8, device=device)
    wanted = list(range(len(pictures)) if rows is None else rows)
    for start in tqdm(range(0, len(wanted), AT_ONCE), desc='pictures', unit='batch'):
        part = wanted[start:start + AT_ONCE]
        read = [np.ascontiguousarray(pictures.read(row)) for row in part]
        same = len({picture.shape for picture in read}) == 1
        for group in ([list(zip(part, read, strict=True))] if same else
                      [[pair] for pair in zip(part, read, strict=True)]):
            colours = torch.from_numpy(np.stack([picture for _, picture in group])).to(device)
            small = F.interpolate(colours.permute(0, 3, 1, 2).float(), (size, size),
                                  mode='bilinear', align_corners=False, antialias=True)
            index = torch.tensor([row for row, _ in group], device=device)
            table[index] = small.round().clamp(0, 255).to(torch.uint8)
    return table
