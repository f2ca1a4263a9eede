"""Scenes and batches for the small matcher: patches of pictures, statements, where things are."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ris_ros.models.matcher import PROMPT
from ris_ros.models.wordpiece import WordPiece
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.simulation.truth import SceneTruth
from ris_ros.training.engine.arrays import for_each, made_once
from ris_ros.training.tabletop.settings import MatcherSettings
from ris_ros.training.tabletop.shards import SceneStore, scene_digest
from ris_ros.training.tabletop.statements import CONTENT, FOREIGN, Speaker, Statement

IGNORE = -100
HIDDEN = np.float32(1e-6)      # weight of a patch that nothing is to see
PROMPT_TOKENS = 1 + len(PROMPT.split())
SAID = ('ids', 'valid', 'match', 'known', 'meant', 'words', 'primary')


class Pictures:
    """
    All scenes of a store at the matcher's size, cut into patches, and what stands where.

    patches: (S, P, p * p * 3) uint8, pixels of a patch row by row.  cover: (S, M, P) uint8,
    the part of a patch that instance i + 1 takes, 255 the whole.  Both are on disk, shared by
    the processes that draw.
    """

    def __init__(self, store: SceneStore, size: int, patch: int, cache: Path) -> None:
        """cache: folder for the arrays, made once."""
        self.size, self.patch, self.grid = size, patch, size // patch
        self.truths: list[SceneTruth] = store.truths
        arrays = made_once(
            cache / f'matcher_pictures_{scene_digest(store)}_{size}_{patch}',
            {'scenes': len(store), 'size': size, 'patch': patch},
            lambda create: self._shrink(store, create), ('patches', 'cover'))
        self.patches, self.cover = arrays['patches'], arrays['cover']

    def _shrink(self, store: SceneStore, create: dict[str, Callable[..., np.ndarray]]) -> None:
        """Shrink every scene, bicubically as `Matcher.pixels` does."""
        n, places = len(store), self.grid**2
        most = max((len(truth) for truth in self.truths), default=0)
        patches = create['patches']((n, places, self.patch**2 * 3), np.uint8)
        cover = create['cover']((n, most, places), np.uint8)

        def one(s: int) -> None:
            small = np.array(Image.fromarray(np.ascontiguousarray(store.color(s))).resize(
                (self.size, self.size), Image.Resampling.BICUBIC))
            patches[s] = self._cut(small)
            # Every second pixel is enough for parts of patches, and quicker.
            instances = np.ascontiguousarray(store.instances(s))[::2, ::2]
            for i in range(len(self.truths[s])):
                mask = (instances == i + 1).astype(np.uint8) * 255
                cover[s, i] = cv2.resize(mask, (self.grid, self.grid),
                                         interpolation=cv2.INTER_AREA).ravel()

        for_each(one, n, 'shrinking')

    def _cut(self, image: np.ndarray) -> np.ndarray:
        cut = image.reshape(self.grid, self.patch, self.grid, self.patch, 3).swapaxes(1, 2)
        return cut.reshape(self.grid**2, -1)


class MatcherSource:
    """Draws batches; half of the pictures are mirrored, words and truth with them."""

    def __init__(self, pictures: Pictures, tokenizer: WordPiece, settings: MatcherSettings
                 ) -> None:
        """Keep the parts and the names of all objects as numbers."""
        self.pictures, self.tokenizer, self.settings = pictures, tokenizer, settings
        kinds, colours = list(KINDS), list(COLOURS)
        self.names = [np.array([[kinds.index(kind) + 1, colours.index(colour),
                                 int(size == 'large')] for kind, colour, size in
                                zip(t.kinds, t.colours, t.sizes, strict=True)]
                               ).reshape(-1, 3) for t in pictures.truths]

    def draw(self, rng: np.random.Generator, index: int, fraction: float
             ) -> dict[str, np.ndarray]:
        """Return a batch, see `batch`; some of the late ones keep every patch."""
        s, places = self.settings, self.pictures.grid**2
        scenes, kept = s.scenes, s.kept
        if fraction > s.all_patches_from and rng.random() < s.all_patches_odds:
            scenes, kept = max(1, s.scenes // 2), places
        return self.batch(rng, scenes, s.statements, min(kept, places))

    def batch(self, rng: np.random.Generator, scenes: int, statements: int, kept: int
              ) -> dict[str, np.ndarray]:
        """
        Return B pictures with C statements of at most T tokens each, K patches kept of each.

        patches (B, K, p * p * 3) uint8, index (B, K) their places, weight (B, K) how many
        patches each stands for.  ids, valid (B, C, T).  match (B, C) 0 or 1.  known, meant
        (B, C, T, K) float32: per token the distribution over patches of what its phrase fits
        by itself and, for the first phrase's tokens and [CLS], of the objects meant; all zero
        where there is none.  words, primary (B, C, T) bool: tokens that IteRPrimE's rules
        weigh.  kind, colour, size (B, K): names of what a patch shows, kind 0 for the table;
        IGNORE where that is not clear.
        """
        pictures = self.pictures
        picks = rng.integers(len(pictures.truths), size=scenes)
        mirror = rng.random(scenes) < 0.5
        index, weight = self._keep(rng, pictures.cover[picks].max(1) > 0, kept)
        patches = pictures.patches[picks[:, None], index]
        side = pictures.patch
        cut = patches.reshape(scenes, kept, side, side, 3)
        cut[mirror] = cut[mirror, :, :, ::-1]
        cover = pictures.cover[picks[:, None], :, index].astype(np.float32) / 255   # B, K, M
        if rng.random() < self.settings.hidden_odds:
            # A hidden patch is seen by nothing, and nobody is told to look at it.
            hidden = rng.random(index.shape) < rng.random((scenes, 1)) * self.settings.hidden
            weight, cover = np.where(hidden, HIDDEN, weight), cover * ~hidden[..., None]
        row, column = np.divmod(index, pictures.grid)
        index = np.where(mirror[:, None], row * pictures.grid + pictures.grid - 1 - column, index)
        said = []
        for b, scene in enumerate(picks):
            truth = pictures.truths[scene]
            speaker = Speaker(truth.mirrored() if mirror[b] else truth, rng)
            said.append([speaker.draw() for _ in range(statements)])
        shown = _shown([self.names[scene] for scene in picks], cover)
        return {'patches': patches, 'index': index, 'weight': weight,
                **dict(zip(SAID, self._said(said, cover), strict=True)),
                **dict(zip(('kind', 'colour', 'size'), shown, strict=True))}

    def _keep(self, rng: np.random.Generator, wanted: np.ndarray, kept: int
              ) -> tuple[np.ndarray, np.ndarray]:
        """
        Choose patches, those with objects first; return places and weights (B, kept).

        A patch of the table stands for as many as were left out per one kept.
        """
        b, places = wanted.shape
        if kept >= places:
            return np.tile(np.arange(places), (b, 1)), np.ones((b, places), np.float32)
        order = rng.random((b, places)) + 2 * wanted
        index = np.argpartition(-order, kept, axis=1)[:, :kept]
        mine = np.take_along_axis(wanted, index, 1)
        free = (~wanted).sum(1, keepdims=True) / np.maximum((~mine).sum(1, keepdims=True), 1)
        return index, np.where(mine, 1.0, free).astype(np.float32)

    def _said(self, said: list[list[Statement]], cover: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids, valid, match, known, meant, words and primary of a batch."""
        b, c = len(said), len(said[0])
        t = PROMPT_TOKENS + max(len(s.words) for row in said for s in row)
        ids = np.full((b, c, t), self.tokenizer.pad_id)
        words, primary = np.zeros((2, b, c, t), bool)
        match = np.zeros((b, c), np.int64)
        known, meant = np.zeros((2, b, c, t, cover.shape[1]), np.float32)
        for i, row in enumerate(said):
            for j, statement in enumerate(row):
                tokens = self.tokenizer.encode(PROMPT + statement.text)
                ids[i, j, :len(tokens)] = tokens
                match[i, j] = bool(statement.targets)
                roles = np.array(statement.roles)
                at = PROMPT_TOKENS + np.arange(len(roles))
                for k, fits in enumerate(statement.fits):
                    known[i, j, at[roles == k + 1]] = _spread(cover[i], fits)
                meant[i, j, [0, *at[roles == 1]]] = _spread(cover[i], statement.targets)
                heavy = [w in CONTENT or (r > 0 and w != FOREIGN)
                         for w, r in zip(statement.words, statement.roles, strict=True)]
                words[i, j, at[heavy]] = True
                primary[i, j, at[roles == 1][-1]] = True
        return ids, ids != self.tokenizer.pad_id, match, known, meant, words, primary


def _spread(cover: np.ndarray, instances: tuple[int, ...]) -> np.ndarray:
    """Return instances' cover (K, M) of the patches as a distribution (K,), or zeros."""
    total = cover[:, [i - 1 for i in instances]].sum(1)
    return total / max(float(total.sum()), 1e-6)


def _shown(names: list[np.ndarray], cover: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return kind, colour and size (B, K) of what patches show; cover: (B, K, M)."""
    best, part = cover.argmax(2), cover.max(2)
    out = np.full((3, *best.shape), IGNORE)
    for b, table in enumerate(names):
        clear = part[b] > 0.35
        out[:, b, clear] = table[best[b, clear]].T
        out[0, b, cover[b].sum(1) < 0.05] = 0
    return out[0], out[1], out[2]
