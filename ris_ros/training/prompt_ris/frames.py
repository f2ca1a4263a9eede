"""Where a training step finds its pictures: in the batch, or in tables on the device.

Both give the same: what CLIP sees, SAM's embeddings, and the true masks on the mask grid.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.methods.prompt_ris.layout import Layout, resized
from ris_ros.training.engine.mirror import flipped

Embed = Callable[[Tensor], Tensor]      # (G, 3, h, w) pixels to embeddings


@dataclass(frozen=True, eq=False)
class Shown:
    """G pictures of a step.

    pixels: (G, 3, h, w) float32 in [0, 255], of layout.clip.  embeddings: (G, C, h, w), or a
    function that computes them, or None.
    """

    pixels: Tensor
    embeddings: Callable[[], Tensor]


class Frames(Protocol):
    """What gives the pictures and the true masks of a batch."""

    layout: Layout

    def shown(self, batch: Mapping[str, Any]) -> Shown:
        """Return the pictures of a batch."""
        ...

    def truth(self, batch: Mapping[str, Any], scale: int) -> Tensor:
        """Return (B, rows, columns) float32: the covered part of each cell of the picture.

        scale: cells of the mask grid are divided so many times on each side.
        """
        ...


class DrawnFrames:
    """Pictures, masks and embeddings that the source read for this batch.

    Names in a batch: pixels (G, 3, h, w) uint8 of layout.clip; masks (B, rows, columns) uint8,
    the covered part times 255; embeddings (G, C, h, w) float16, or sam (G, 3, h, w) uint8.
    """

    def __init__(self, layout: Layout, embed: Embed, scale: int = 1) -> None:
        """scale: at which the masks were drawn."""
        self.layout, self.embed, self.scale = layout, embed, scale

    def shown(self, batch: Mapping[str, Any]) -> Shown:
        """Return the pictures of a batch."""
        if 'embeddings' in batch:
            return Shown(batch['pixels'].float(), batch['embeddings'].float)
        return Shown(batch['pixels'].float(), lambda: self.embed(batch['sam'].float()))

    def truth(self, batch: Mapping[str, Any], scale: int) -> Tensor:
        """Return the covered part of each cell."""
        return coarser(batch['masks'].float() / 255, self.scale, scale)


class TableFrames:
    """All pictures of a set on the device, for sets that fit.

    Names in a batch: rows (G,) int64 pictures; mirror (G,) bool; targets (B, T) int64 object
    numbers from 1 on, -1 for none.  A step then moves no picture at all.
    """

    def __init__(self, layout: Layout, scale: int, device: torch.device | str, embed: Embed,
                 cached: bool, mirrored: bool) -> None:
        """scale: of the true masks.  cached: keep embeddings; else pixels for SAM.

        mirrored: keep those of the mirrored pictures too.
        """
        self.layout, self.scale, self.device = layout, scale, torch.device(device)
        self.embed, self.cached, self.mirrored = embed, cached, mirrored
        self._parts: dict[str, list[Tensor]] = {'pixels': [], 'sam': [], 'cover': []}
        self._counts: list[int] = []

    def add(self, colour: Tensor, instances: Tensor) -> None:
        """Add pictures: colour (n, H, W, 3) uint8, instances (n, H, W) uint8, 0 for none."""
        layout = self.layout
        seen = colour.to(self.device).permute(0, 3, 1, 2)
        self._parts['pixels'].append(resized(seen, layout.clip).to(torch.uint8))
        small = resized(seen, layout.sam)
        if self.cached:
            parts = [self.embed(small)]
            if self.mirrored:
                parts.append(self.embed(small.flip(3)))
            self._parts['sam'].append(torch.stack(parts, 1).half())
        else:
            self._parts['sam'].append(small.to(torch.uint8))
        cells = tuple(n * self.scale for n in layout.cells)
        for picture in instances.to(self.device):
            count = int(picture.max())
            numbers = torch.arange(1, count + 1, device=self.device, dtype=picture.dtype)
            single = (picture[None] == numbers[:, None, None]).float()
            cover = F.interpolate(single[None], size=cells, mode='area')[0]
            self._parts['cover'].append((cover * 255).round().to(torch.uint8))
            self._counts.append(count)

    def close(self) -> None:
        """Join what was added; call once, before the first batch."""
        cells = tuple(n * self.scale for n in self.layout.cells)
        nothing = torch.zeros(1, *cells, dtype=torch.uint8, device=self.device)
        self.pixels = torch.cat(self._parts['pixels'])
        self.sam = torch.cat(self._parts['sam'])
        self.cover = torch.cat([*self._parts['cover'], nothing])
        counts = torch.tensor(self._counts, device=self.device)
        self.first = counts.cumsum(0) - counts
        self.counts = counts
        self._parts.clear()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._counts)

    def shown(self, batch: Mapping[str, Any]) -> Shown:
        """Return the pictures of a batch."""
        rows, mirror = batch['rows'], batch['mirror']
        pixels = flipped(self.pixels[rows], mirror).float()
        if self.cached:
            return Shown(pixels, lambda: self.sam[rows, mirror.long()].float())
        return Shown(pixels, lambda: self.embed(flipped(self.sam[rows], mirror).float()))

    def truth(self, batch: Mapping[str, Any], scale: int) -> Tensor:
        """Return the covered part of each cell, of all objects that a sentence fits together."""
        targets = batch['targets']
        each = len(targets) // len(batch['rows'])
        rows = batch['rows'].repeat_interleave(each)
        mirror = batch['mirror'].repeat_interleave(each)
        there = (targets > 0) & (targets <= self.counts[rows, None])
        place = torch.where(there, self.first[rows, None] + targets - 1, len(self.cover) - 1)
        cover = self.cover[place].sum(dim=1, dtype=torch.float32).clamp(max=255) / 255
        return flipped(coarser(cover, self.scale, scale), mirror)


def coarser(cover: Tensor, made: int, wanted: int) -> Tensor:
    """Return coverage (B, h, w) at a smaller scale than it was made at, or as it is."""
    return cover if made == wanted else F.avg_pool2d(cover[:, None], made // wanted)[:, 0]
