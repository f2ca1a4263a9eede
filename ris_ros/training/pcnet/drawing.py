"""Draws batches: pictures, what is said of them, and nothing else.

The object that goes to the drawing processes holds texts as token ids, the packed proposals' rows
and a way to the pictures' colours.  There is no mask and no box in it, and no way to one.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.methods.pcnet.model import resized
from ris_ros.training.engine.arrays import epoch_rows
from ris_ros.training.engine.task import Batch
from ris_ros.training.pcnet.pairs import Pairs, Picture, Pictures

ROUND = 32       # the number of texts of a step is rounded up to this: fewer shapes for a GPU


@dataclass(frozen=True)
class Drawing:
    """How batches are drawn; see `PCNetTraining` for the meanings."""

    images: int
    extra: int
    stages: int
    unit: str = 'reference'
    siblings: float = 0.0
    mirror: bool = False
    pixels: bool = True
    image_size: int = 320
    seed: int = 0
    references: int = 0      # of each picture whose sentences have to agree
    sentences: int = 0       # about each of them
    contraries: bool = True  # are read too


class PairsSource:
    """Batches of pairs; a batch is a function of the seed and its number.

    tokens: (T, L) of every text, in the order of `pairs.texts()`.
    """

    def __init__(self, pairs: Pairs, pictures: Pictures, tokens: np.ndarray, drawing: Drawing
                 ) -> None:
        self.drawing, self.tokens = drawing, tokens
        self.pictures = pictures if drawing.pixels else None
        number = {text: i for i, text in enumerate(pairs.texts())}
        number[''] = -1
        cues = drawing.stages - 1
        rows, mirrored, first, said = [], [], [0], []
        for p in pairs.pictures:
            if p.said and (drawing.mirror or not p.mirrored):
                said += _numbers(p, number, cues)
                rows.append(p.row)
                mirrored.append(p.mirrored)
                first.append(len(said))
        # One line a sentence: reference within the picture, text, contrary, head, cues.
        self.said = np.array(said, np.int32).reshape(len(said), 4 + cues)
        self.first = np.array(first, np.int64)
        self.rows, self.mirrored = np.array(rows, np.int64), np.array(mirrored, bool)
        self.units = self._units()

    def _units(self) -> np.ndarray:
        """Return what an epoch goes through: (picture, reference), the latter -1 for any."""
        pictures = np.arange(len(self.rows))
        if self.drawing.unit == 'picture':
            return np.stack([pictures, np.full(len(pictures), -1)], axis=1)
        owner = np.repeat(pictures, np.diff(self.first))
        return np.unique(np.stack([owner, self.said[:, 0]], axis=1), axis=0)

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> Batch:
        """Return batch `index`.

        rows (B,) int64 of the pictures and mirror (B,) bool, or pixels (B, 3, s, s) uint8.
        tokens (U, L) int64 of the step's different texts.  Into these point text (E,), cues
        (E, N - 1) and contrary (E,) int64; E = (1 + extra) B, own texts first.  turned (E,) bool:
        there is a contrary.  known (extra, B) bool: the further text is about the picture.
        name (E,) int64: equal for equal texts.  With `references` also, of R references with K
        sentences each: group_text (R K B,), group_cues (R K B, N - 1) and group_contrary (R K B,)
        into the tokens, group_said and group_turned (R K B,) bool, the latter where there is a
        contrary too.
        """
        drawing = self.drawing
        chosen = self.units[epoch_rows(drawing.seed, index, drawing.images, len(self.units))]
        lines = np.empty((1 + drawing.extra, drawing.images), np.int64)
        known = np.zeros((drawing.extra, drawing.images), bool)
        for column, (picture, reference) in enumerate(chosen):
            lines[:, column], known[:, column] = self._sentences(rng, int(picture),
                                                                 int(reference))
        grouped, there = self._groups(rng, chosen[:, 0], lines[0])
        said = self.said[np.concatenate([lines.ravel(), grouped])]
        texts = np.concatenate([said[:, 1:3], said[:, 4:]], axis=1)
        wanted = drawing.contraries & (texts[:, 1] >= 0)
        texts[:, 1] = np.where(wanted, texts[:, 1], texts[:, 0])
        different, place = np.unique(texts, return_inverse=True)
        place = place.reshape(texts.shape)
        tokens = self.tokens[different].astype(np.int64)
        longest = max(2, int((tokens != 0).sum(axis=1).max()))
        padded = np.zeros((-(-len(tokens) // ROUND) * ROUND, longest), np.int64)
        padded[:len(tokens)] = tokens[:, :longest]
        padded[len(tokens):] = padded[0]
        rows, mirror = self.rows[chosen[:, 0]], self.mirrored[chosen[:, 0]]
        group = place[lines.size:]
        place, turned = place[:lines.size], wanted
        batch = {'rows': rows, 'mirror': mirror, 'tokens': padded, 'text': place[:, 0],
                 'contrary': place[:, 1], 'cues': place[:, 2:], 'turned': turned[:lines.size],
                 'known': known, 'name': said[:lines.size, 1].astype(np.int64)}
        if len(grouped):
            batch |= {'group_text': group[:, 0], 'group_contrary': group[:, 1],
                      'group_cues': group[:, 2:], 'group_said': there,
                      'group_turned': there & turned[lines.size:]}
        if self.pictures is not None:
            batch['pixels'] = np.stack([self._pixels(int(r), bool(m))
                                        for r, m in zip(rows, mirror, strict=True)])
        return batch

    def _groups(self, rng: np.random.Generator, pictures: np.ndarray, own: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray]:
        """Return lines of sentences about the same things, (R K B,), and which are there.

        Where a picture has fewer, its own line stands in and does not count.
        """
        references, sentences = self.drawing.references, self.drawing.sentences
        lines = np.tile(own, (references, sentences, 1))
        there = np.zeros(lines.shape, bool)
        if not references:
            return lines.ravel(), there.ravel()
        for column, picture in enumerate(pictures.tolist()):
            start, end = int(self.first[picture]), int(self.first[picture + 1])
            part = self.said[start:end, 0]
            for r, reference in enumerate(rng.permutation(np.unique(part))[:references]):
                found = rng.permutation(np.flatnonzero(part == reference))[:sentences]
                lines[r, :len(found), column] = start + found
                there[r, :len(found), column] = True
        return lines.ravel(), there.ravel()

    def _pixels(self, row: int, mirrored: bool) -> np.ndarray:
        assert self.pictures is not None
        pixels = resized(self.pictures.read(row), self.drawing.image_size)
        return np.ascontiguousarray(pixels[..., ::-1]) if mirrored else pixels

    def _sentences(self, rng: np.random.Generator, picture: int, reference: int
                   ) -> tuple[Sequence[int], np.ndarray]:
        """Return the lines of an own and the further texts, and which of these are known.

        As released: other references of the picture, a random one and a random sentence of it,
        with replacement; where there is none, any sentence of the data set.
        """
        start, end = int(self.first[picture]), int(self.first[picture + 1])
        part = self.said[start:end, 0]
        if reference < 0:
            reference = int(rng.choice(np.unique(part)))
        own = start + int(rng.choice(np.flatnonzero(part == reference)))
        lines, known = [own], np.zeros(self.drawing.extra, bool)
        others = np.unique(part[part != reference])
        for k in range(self.drawing.extra):
            if not len(others):
                lines.append(int(rng.integers(len(self.said))))
                continue
            known[k] = True
            mine = np.flatnonzero(np.isin(part, others))
            if rng.random() < self.drawing.siblings:
                heads = self.said[start:end, 3]
                alike = mine[heads[mine] == self.said[own, 3]]
                mine = alike if len(alike) else mine
            other = int(rng.choice(np.unique(part[mine])))
            lines.append(start + int(rng.choice(mine[part[mine] == other])))
        return lines, known


def _numbers(picture: Picture, number: dict[str, int], cues: int) -> list[list[int]]:
    references = {name: i for i, name in enumerate(dict.fromkeys(
        s.reference for s in picture.said))}
    return [[references[s.reference], number[s.text], number[s.opposite],
             number[s.cues[0]] if s.cues else -1, *(number[c] for c in s.cues[:cues])]
            for s in picture.said]
