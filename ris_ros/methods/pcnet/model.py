"""A trained PCNet ready for use: pictures and sentences in, response maps out."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.logistic import Logistic
from ris_ros.methods.pcnet.calibration import PLAIN
from ris_ros.methods.pcnet.network import PCNet
from ris_ros.methods.pcnet.referring import Looked
from ris_ros.models.device import autocast

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

TEXTS_KEPT = 4096
TINY = 1e-5


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture, seen once.

    tokens: (1, P, C) of the tower.  looked: what each stage reads of it when a sentence is
    asked by itself.
    """

    tokens: Tensor
    looked: Sequence[Looked]


@dataclass(frozen=True)
class Asked:
    """A sentence as the network reads it: its text and the cues of the stages before the last."""

    text: str
    cues: tuple[str, ...]


class PCNetModel:
    """Network, tokenizer, texts that were read before, and the calibration of its answers."""

    def __init__(self, network: PCNet, fit: Logistic | None = None, device: str = 'cpu',
                 precision: str = 'fp32') -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.calibration = fit or PLAIN
        self.device, self.precision = device, precision
        self._texts: OrderedDict[str, Tensor] = OrderedDict()

    @property
    def stages(self) -> int:
        """N."""
        return self.network.config.stages

    @property
    def grid(self) -> int:
        """Cells per side of a map."""
        return self.network.config.grid

    def autocast(self) -> AbstractContextManager:
        """Return the context of this model's precision, without gradients."""
        return autocast(self.device, self.precision)

    def look(self, rgb: np.ndarray) -> Seen:
        """Return what depends on an (H, W, 3) uint8 RGB picture alone."""
        pixels = torch.from_numpy(resized(rgb, self.network.config.image_size))
        with self.autocast():
            tokens = self.network.image_tokens(pixels.to(self.device)[None])
            return Seen(tokens, self.network.looks(tokens))

    def respond(self, seen: Seen, asked: Sequence[Asked], context: str = 'alone') -> Tensor:
        """Return the maps of S sentences at every stage, (N, S, g, g) float32 logits.

        context: 'alone', or 'companions' among the texts that the network keeps.  No map
        depends on the other sentences.  Raises BadInputError for a network without companions.
        """
        count = self.stages - 1
        texts = [text for a in asked for text in (a.text, *a.cues[:count])]
        with self.autocast():
            features = self.encode(texts).unflatten(0, (len(asked), 1 + count))
            text, cues = features[:, 0], features[:, 1:]
            if context == 'alone':
                maps = self.network.answer(seen.looked, text, cues)
            else:
                maps = self.network.answer_beside(seen.tokens, text, cues)
        return torch.stack(maps).float().unflatten(2, (self.grid, self.grid))

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return (n, C) float32 embeddings; a text that was read before costs nothing."""
        new = [t for t in dict.fromkeys(texts) if t not in self._texts]
        if new:
            tokens = self.network.tokenise(new)[0]
            longest = int((tokens != 0).sum(dim=1).max())
            found = self.network.encode_tokens(tokens[:, :longest].to(self.device)).float()
            self._texts.update(zip(new, found, strict=True))
        for text in texts:
            self._texts.move_to_end(text)
        out = torch.stack([self._texts[text] for text in texts])
        while len(self._texts) > TEXTS_KEPT:
            self._texts.popitem(last=False)
        return out

    def notes(self, text: str) -> tuple[str, ...]:
        """Return what a user must know of how a sentence was read, a sentence each."""
        network, notes = self.network, []
        cut = network.tokenise([text])[1][0]
        if cut:
            held = network.config.text_length - 2
            notes.append(f'the sentence has {held + cut} words or pieces of words, this network '
                         f'reads {held}: the rest was left out')
            if not network.config.keep_end:
                notes.append('as released, a text that is too long loses its end token and is '
                             'read as if it were empty')
        unknown = getattr(network.tokenizer, 'unknown_words', lambda _: ())(text)
        if unknown:
            words = ', '.join(f'"{word}"' for word in dict.fromkeys(unknown))
            notes.append(f'this network does not know {words}')
        return tuple(notes)


def resized(rgb: np.ndarray, size: int) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 as the network sees it, (3, size, size) uint8.

    Aspect is not kept; bilinear with antialiasing, as torchvision resizes Pillow's pictures.
    """
    pil = require('PIL.Image', 'models')
    small = pil.fromarray(rgb).resize((size, size), pil.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def heatmaps(maps: Tensor, size: tuple[int, int], image_size: int, normalise: str = 'relu'
             ) -> Tensor:
    """Return response maps at the picture's size, (S, H, W) float32 in [0, 1].

    maps: (S, g, g) logits.  As released: bilinear to the network's input size (align_corners
    false), ReLU, bilinear to the picture (align_corners true), divided by the maximum + 1e-5.
    normalise: 'relu', or 'minmax' of the map in place of ReLU and maximum (ours).
    """
    large = functional.interpolate(maps[:, None], size=(image_size, image_size), mode='bilinear',
                                   align_corners=False)
    if normalise == 'relu':
        large = functional.relu(large)
    else:
        large = large - large.amin(dim=(2, 3), keepdim=True)
    full = functional.interpolate(large, size=size, mode='bilinear', align_corners=True)[:, 0]
    return full / (full.amax(dim=(1, 2), keepdim=True) + TINY)
