"""What every patch of a rendered picture shows: kinds and colours, a lesson before sentences.

A sentence says which few patches are meant; the names of all things say something of every
patch, and cost one pass of the image tower per picture.  Source: ours, for a CLIP that starts
from nothing.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.methods.prompt_ris.network import Picture, PromptRis
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.mirror import flipped
from ris_ros.training.tabletop.shards import SceneStore

BACKGROUND = 0.25       # weight of a patch that shows nothing but the table, beside an object's


class NameTable:
    """The share of every kind and colour in every patch of the pictures of a set.

    shares: (N, K + 1 + C + 1, rows, columns) float16; kinds first, each of the two groups with
    "none of them" in front and summing to one.  sizes: channels of the two groups.
    """

    def __init__(self, store: SceneStore, grid: tuple[int, int], device: torch.device | str
                 ) -> None:
        """grid: patch rows and columns of a picture."""
        kinds, colours = list(KINDS), list(COLOURS)
        self.sizes = (len(kinds) + 1, len(colours) + 1)
        shares = []
        for scene, truth in enumerate(store.truths):
            instances = np.asarray(store.instances(scene))
            shares.append(np.concatenate([
                _shares(_numbers(names, known)[instances], size, grid) for names, known, size in
                zip((truth.kinds, truth.colours), (kinds, colours), self.sizes, strict=True)]))
        self.shares = torch.from_numpy(np.stack(shares)).to(device)

    def of(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the shares (G, channels, rows, columns) float32 of a batch's pictures."""
        return flipped(self.shares[batch['rows']].float(), batch['mirror'])


def _numbers(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Return per object number the class, 0 for the background and for names not known."""
    return np.array([0, *(known.index(n) + 1 if n in known else 0 for n in names)])


def _shares(shown: np.ndarray, classes: int, grid: tuple[int, int]) -> np.ndarray:
    """Return (classes, rows, columns) float16: the part of each patch that each class covers.

    shown: (H, W) int, the class at each pixel.
    """
    height, width = shown.shape
    rows = np.arange(height) * grid[0] // height
    columns = np.arange(width) * grid[1] // width
    patch = rows[:, None] * grid[1] + columns
    count = np.bincount((patch * classes + shown).ravel(),
                        minlength=grid[0] * grid[1] * classes).reshape(-1, classes)
    return (count / count.sum(axis=1, keepdims=True)).T.reshape(classes, *grid).astype(np.float16)


class NamesHead(nn.Module):
    """Reads kinds and colours from patches as they are before a sentence reaches them."""

    def __init__(self, width: int, sizes: tuple[int, int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, sum(sizes))

    def loss(self, picture: Picture, shares: Tensor) -> Tensor:
        """Return the mean cross-entropy of kinds and of colours, summed."""
        patches = picture.begun.image[:, 1:]
        logits = self.out(self.norm(patches)).float().transpose(1, 2)
        shares = shares.flatten(2)
        weight = 1 - (1 - BACKGROUND) * shares[:, 0]
        losses = [-(part * F.log_softmax(said, dim=1)).sum(dim=1)
                  for said, part in zip(logits.split(self.sizes, dim=1),
                                        shares.split(self.sizes, dim=1), strict=True)]
        return (torch.stack(losses).sum(dim=0) * weight).sum() / weight.sum()


class Learning(nn.Module):
    """A network and the head that is not kept with it, which learn together."""

    def __init__(self, network: PromptRis, names: NamesHead) -> None:
        super().__init__()
        self.network, self.names = network, names
