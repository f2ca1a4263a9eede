"""How a step gets its pictures: from the batch, or from a table on the device."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.training.engine.mirror import flipped
from ris_ros.training.pcnet.pairs import Pictures
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from ris_ros.methods.pcnet.network import PCNet

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
            found = flipped(self.table[batch['rows']], batch['mirror'])
        return recoloured(found.float()) if training and self.augment else found.float()


class KeptMaps:
    """The last maps of a tower that does not learn, worked out once: pictures and mirror images.

    table: (N, 2, D, g, g) bfloat16.
    """

    def __init__(self, network: PCNet, shown: Shown, rows: Sequence[int]) -> None:
        """Work them out for the rows that are wanted, in eval mode.

        Raises BadInputError where the pictures are not all on the device.
        """
        from tqdm import tqdm
        if shown.table is None:
            raise BadInputError('tower=kept works on pictures that are kept on the device; set '
                                'pictures=device')
        training, pictures = network.training, shown.table
        network.eval()
        self.table = torch.zeros(0, device=pictures.device)
        with torch.no_grad():
            for row in tqdm(rows, desc='maps', unit='picture'):
                pair = torch.stack([pictures[row], pictures[row].flip(2)]).float()
                maps = network.last_map(pair)
                if not len(self.table):
                    self.table = maps.new_zeros(len(pictures), *maps.shape, dtype=torch.bfloat16)
                self.table[row] = maps.bfloat16()
        network.train(training)

    def maps(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the (B, D, g, g) float32 maps of a batch's pictures."""
        return self.table[batch['rows'], batch['mirror'].long()].float()


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
