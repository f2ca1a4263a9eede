"""An image-text matcher ready for use: each image and each sentence is worked through once.

What a sentence asks of an image is then only the fusion layers: the image's tokens, keys and
values and the sentence's own layers are kept.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.models.albef import Albef, AlbefConfig, attention_gradient, load_albef
from ris_ros.models.clip import CLIP_MEAN, CLIP_STD
from ris_ros.models.device import autocast
from ris_ros.models.sampling import normalise
from ris_ros.models.wordpiece import WordPiece
from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ris_ros.models.kinds import Source
else:
    torch = require('torch', 'models')

PROMPT = 'there is a '
PROMPT_PIECES = 4  # [CLS] there is a


@dataclass(frozen=True, eq=False)
class Look:
    """One image, or one per sentence: its pixels and the fusion layers' keys and values.

    pixels: (n, 3, s, s) normalised.  keys: per fusion layer two (n, heads, 1 + P, d).
    """

    pixels: Tensor
    keys: list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Reading:
    """One prompted sentence: its ids and the (T, width) output of the text layers."""

    ids: tuple[int, ...]
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class Attended:
    """Cross-attention of n sentences at one layer, and how well each matches.

    maps, gradients: per sentence (heads, T, rows, columns) float32, the image's CLS token left
    out; gradients of the raw match logit, clamped at 0 from below.  match: (n,) in [0, 1].
    """

    maps: list[Tensor]
    gradients: list[Tensor]
    match: Tensor


class Matcher:
    """Says whether a sentence fits an image, and where it looked.

    Raises WeightsError where the vocabulary is not the network's: another size, or a prompt
    "there is a" that is not three pieces, on which the token positions rely.
    """

    def __init__(self, model: Albef, tokenizer: WordPiece, device: str = 'cpu',
                 precision: str = 'fp32', text_cache: int = 1024) -> None:
        self.model: Albef = model.to(device).eval().requires_grad_(False)
        self.config, self.tokenizer = model.config, tokenizer
        self.device, self.precision = device, precision
        self._texts: OrderedDict[str, Reading] = OrderedDict()
        self._text_cache = text_cache
        if len(tokenizer.ids) > self.config.vocab:
            raise WeightsError(f'the vocabulary has {len(tokenizer.ids)} pieces, the matcher '
                               f'knows {self.config.vocab}; it must be the one of the weights')
        prompt = tokenizer.encode(PROMPT.strip())[:PROMPT_PIECES]
        if len(prompt) != PROMPT_PIECES or tokenizer.unknown_id in prompt:
            raise WeightsError('the vocabulary must hold the words "there", "is" and "a"')

    def check_layer(self, layer: int) -> None:
        """Raise BadInputError unless a layer attends to the image."""
        first, end = self.config.fusion_layer, self.config.text_layers
        if not first <= layer < end - 1:
            raise BadInputError(f'the Grad-CAM layer must lie in [{first}, {end - 2}] for this '
                                f'matcher, not {layer}: earlier layers do not see the image, '
                                'and of the last only the first token is read')

    def pixels(self, image: np.ndarray) -> Tensor:
        """Return the (1, 3, s, s) normalised input of an (H, W, 3) uint8 RGB image.

        Stretched to the square bicubically, as the released code does.
        """
        pil = require('PIL.Image', 'models')
        small = pil.fromarray(image).resize((self.config.image_size,) * 2, pil.Resampling.BICUBIC)
        tensor = torch.from_numpy(np.array(small)).to(self.device).permute(2, 0, 1).float()
        return normalise(tensor[None] / 255, CLIP_MEAN, CLIP_STD)

    def look(self, pixels: Tensor) -> Look:
        """Return what the fusion layers need of (n, 3, s, s) normalised pixels."""
        with autocast(self.device, self.precision, later_gradient=True):
            return Look(pixels, self.model.image_keys(self.model.visual_encoder(pixels)))

    def known_pieces(self, expression: str) -> int:
        """Return how many pieces of an expression the vocabulary has."""
        ids = self.tokenizer.encode(PROMPT + expression)[PROMPT_PIECES:]
        if self.tokenizer.separator:
            ids = ids[:-1]
        return sum(i != self.tokenizer.unknown_id for i in ids)

    def pieces_of(self, expression: str) -> tuple[int, ...]:
        """Return the ids of an expression behind the prompt.

        Raises BadInputError for one that is longer than the network's position table.
        """
        pieces = tuple(self.tokenizer.encode(PROMPT + expression))
        if len(pieces) > self.config.positions:
            raise BadInputError(f'the sentence has {len(pieces)} word pieces, the matcher '
                                f'takes {self.config.positions}; say it shorter: '
                                f'"{expression[:40]}..."')
        return pieces

    def read(self, expressions: Sequence[str]) -> list[Reading]:
        """Return the readings of expressions, each prompted; known ones come from the cache.

        Raises BadInputError for one that is longer than the network's position table.
        """
        ids = {e: self.pieces_of(e) for e in expressions}
        new = [e for e in ids if e not in self._texts]
        if new:
            padded, valid = _padded([torch.tensor(ids[e]) for e in new], self.tokenizer.pad_id)
            with autocast(self.device, self.precision, later_gradient=True):
                hidden = self.model.read(padded.to(self.device), valid.to(self.device))
            for e, row in zip(new, hidden, strict=True):
                self._texts[e] = Reading(ids[e], row[:len(ids[e])].clone())
        found = []
        for e in expressions:
            self._texts.move_to_end(e)
            found.append(self._texts[e])
        while len(self._texts) > self._text_cache:
            self._texts.popitem(last=False)
        return found

    def attend(self, look: Look, readings: Sequence[Reading], seen: Tensor | None,
               layer: int) -> Attended:
        """Run the fusion layers for n sentences over one image (or n images).

        seen: (n, rows, columns) bool, the patches that may be attended to; CLS always may.
        layer: the cross-attention to watch, counted from 0 in all layers.
        """
        hidden, valid = _padded([r.hidden for r in readings], 0)
        tokens = None
        if seen is not None:
            tokens = torch.nn.functional.pad(seen.flatten(1), (1, 0), value=True)
        with autocast(self.device, self.precision, later_gradient=True):
            weights, gradient, match = attention_gradient(
                self.model, hidden, valid.to(self.device), look.keys, tokens, layer)
        grid = (self.config.grid,) * 2
        lengths = [len(r.ids) for r in readings]
        return Attended([w[:, :n, 1:].unflatten(-1, grid) for w, n in zip(
            weights, lengths, strict=True)], [g[:, :n, 1:].clamp(min=0).unflatten(
                -1, grid) for g, n in zip(gradient, lengths, strict=True)], match)


    def match(self, look: Look, readings: Sequence[Reading]) -> Tensor:
        """Return how well n sentences match one image (or n images), (n,) in [0, 1]."""
        hidden, valid = _padded([r.hidden for r in readings], 0)
        with torch.no_grad(), autocast(self.device, self.precision, later_gradient=True):
            fused = self.model.fuse(hidden, valid.to(self.device), look.keys)
            return self.model.itm_head(fused[:, 0]).float().softmax(dim=-1)[:, 1]


def _padded(rows: Sequence[Tensor], value: int) -> tuple[Tensor, Tensor]:
    """Return rows of different length as one tensor, and which of its (n, T) places are real."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
    return padded, torch.arange(padded.shape[1])[None] < lengths[:, None]


def load_network(source: Source) -> Matcher:
    """Return the matcher of a manifest entry; see `ris_ros.models.kinds`.

    Its vocabulary stands in its configuration ("vocabulary", a list) or is the network behind
    the role 'vocabulary', by default BERT's.
    """
    state, config = source.weights()
    words = config.pop('vocabulary', None)
    if words is None:
        words = source.companion('vocabulary', 'bert_vocabulary')
    sizes = AlbefConfig.from_dict(config)
    return Matcher(load_albef(state, sizes), WordPiece(words, sizes.separator), source.device,
                   source.precision)
