"""Batches of a data set in the REFER layout: pictures read by the worker that draws them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ris_ros.datasets.base import read_image
from ris_ros.methods.prompt_ris.layout import Layout, resized
from ris_ros.training.engine.arrays import Mapped, epoch_rows
from ris_ros.training.prompt_ris.refer_corpus import Annotated
from ris_ros.training.prompt_ris.sentences import Said, choose, targets_array
from ris_ros.types import BadInputError


@dataclass(frozen=True)
class ReferSource:
    """Goes through the pictures in epochs, each in an order of its own.

    tokenizer: texts and a length to (n, L) ids.  length: tokens of a sentence.  embeddings: of
    SAM on disk, in the order of the pictures; None: its pixels are drawn.  scale: of the masks.
    """

    pictures: Sequence[Annotated]
    tokenizer: Any
    length: int
    layout: Layout
    images: int
    sentences: int
    word_deletion: float
    seed: int
    scale: int = 1
    embeddings: Mapped | None = None

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> dict[str, Any]:
        """Return a batch as `DrawnFrames` reads it."""
        rows = epoch_rows(self.seed, index, self.images, len(self.pictures))
        said: list[Said] = []
        batch: dict[str, list[Any]] = {'pixels': [], 'sam': [], 'masks': []}
        for row in rows:
            picture = self.pictures[int(row)]
            chosen = choose(picture.sentences, self.sentences, self.word_deletion, rng)
            said += chosen
            seen = read_pixels(picture)
            batch['pixels'].append(resized(seen, self.layout.clip).to(torch.uint8)[0])
            if self.embeddings is None:
                batch['sam'].append(resized(seen, self.layout.sam).to(torch.uint8)[0])
            batch['masks'] += [self._mask(picture, one) for one in chosen]
        out = {name: torch.stack(parts) for name, parts in batch.items() if parts}
        if self.embeddings is not None:
            out['embeddings'] = torch.from_numpy(np.stack([self.embeddings[int(r)]
                                                           for r in rows]))
        return {**out, 'tokens': self.tokenizer([s.text for s in said], self.length),
                'targets': targets_array(said), 'rows': rows}

    def _mask(self, picture: Annotated, said: Said) -> torch.Tensor:
        rows, columns = (n * self.scale for n in self.layout.cells)
        if not said.targets:
            return torch.zeros(rows, columns, dtype=torch.uint8)
        whole = np.logical_or.reduce([picture.masks[t].load() for t in said.targets])
        return covered(torch.from_numpy(whole), (rows, columns))


def covered(mask: torch.Tensor, cells: tuple[int, int]) -> torch.Tensor:
    """Return the covered part of each cell, times 255, uint8, of an (H, W) bool mask."""
    cover = F.interpolate(mask[None, None].float(), size=cells, mode='area')[0, 0]
    return (cover * 255).round().to(torch.uint8)


def read_pixels(picture: Annotated) -> torch.Tensor:
    """Return (1, 3, H, W) uint8 of a picture; raises BadInputError where it does not fit."""
    array = read_image(picture.path)
    if array.shape[:2] != picture.size:
        raise BadInputError(f'{picture.path} is {array.shape[1]}x{array.shape[0]}, its '
                            f'annotations are for {picture.size[1]}x{picture.size[0]}')
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]
