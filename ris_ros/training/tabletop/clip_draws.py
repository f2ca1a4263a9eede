"""
Batches of the small CLIP: views of scenes as patches, captions, which is true of which.

A view of a region keeps the region's patches and a random part of the rest, which makes a step
several times cheaper, as in FLIP (CVPR 2023); a part of the steps, most of the late ones, runs
on all patches.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.tabletop.clip_texts import (
    SPOILED,
    Names,
    caption,
    names_of,
    truth_table,
)
from ris_ros.training.tabletop.clip_views import GRID, PATCH, Views, from_patches, to_patches
from ris_ros.training.tabletop.settings import ClipSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RING = np.ones((3, 3), np.uint8)
PLACES = GRID * GRID
# What stands where the picture is masked away: HybridGL's released constant in normalised
# space, black in RGB (the paper's I * m), and the normalised mean.
FILLS = np.array([[0.48145466, 0.4578275, 0.40821073],
                  [-m / s for m, s in zip(MEAN, STD, strict=True)], [0, 0, 0]], np.float32)


@dataclass(frozen=True)
class Kept:
    """
    Patches kept of a view in a sort of step.

    share: of the numbers of views that such a step can afford.  early, late: how often such a
    step comes before and after `full_from`.
    """

    region: int
    crop: int
    whole: int
    share: float
    early: float
    late: float


# Steps on all patches are needed early too: a network that only ever saw a few of them tells
# kinds far worse on all.
KEPT = (Kept(24, 48, 70, 1.0, 0.75, 0.35), Kept(64, 90, 120, 0.5, 0.15, 0.05),
        Kept(PLACES, PLACES, PLACES, 0.2, 0.10, 0.60))


def keep(rng: np.random.Generator, wanted: np.ndarray | None, number: int, kept: int
         ) -> np.ndarray:
    """Choose patches: the wanted (n, P) bool first, then others at random; (n, kept) int64."""
    if kept >= PLACES:
        return np.tile(np.arange(PLACES), (number, 1))
    order = rng.random((number, PLACES))
    if wanted is not None:
        # Next, what lies around them: it tells whether the object ends where its mask does.
        around = np.stack([cv2.dilate(w.reshape(GRID, GRID).astype(np.uint8), RING).ravel()
                           for w in wanted])
        order = order + wanted + around
    return np.argpartition(-order, kept, axis=1)[:, :kept]


def region_arrays(rng: np.random.Generator, views: Views, scenes: np.ndarray,
                  masks: np.ndarray, kept: int) -> dict[str, np.ndarray]:
    """
    Return regions as the network is shown them; scenes (n,), masks (n, S, S) bool.

    sharp, blurred (n, K, 16, 16, 3) uint8, cut (n, K, 16, 16) bool, index (n, K) int64, fill
    (n, 1, 1, 1, 3) float32 and global_cls (n,) float32: 0 where the global CLS token stays out
    of the fusion, as in the paper's equation, 1 where it takes part.
    """
    cut = to_patches(masks)
    index = keep(rng, np.any(cut, axis=(2, 3)), len(scenes), kept)
    rows, scene_rows = np.arange(len(scenes))[:, None], scenes[:, None]
    return {'sharp': views.sharp[scene_rows, index], 'blurred': views.blurred[scene_rows, index],
            'cut': cut[rows, index], 'index': index,
            'fill': FILLS[rng.integers(len(FILLS), size=len(scenes))][:, None, None, None],
            'global_cls': np.full(len(scenes), float(rng.random() >= 0.5), np.float32)}


class ClipSource:
    """Draws batches of all sorts of views and the captions of what they show."""

    def __init__(self, views: Views, tokenizer: WordTokenizer, settings: ClipSettings) -> None:
        """tokenizer: of the network's vocabulary."""
        self.views, self.tokenizer, self.settings = views, tokenizer, settings

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> dict[str, Any]:
        """
        Return a batch.

        local, hybrid: see `region_arrays`.  crop, whole: patches (n, K, 16, 16, 3) uint8 and
        index (n, K).  dense: pictures (n, S, S, 3) uint8, row (T,) the picture of each object
        and weight (T, P) float32, adding up to one.  The views stand in the order local,
        hybrid, crop, dense, whole: text (C, L) int64 captions; true (V, C) bool, which is true
        of which view; named (m,) views of one object each, kind and colour (m,) its names.
        """
        s, late = self.settings, fraction >= self.settings.full_from
        kept = KEPT[int(rng.choice(len(KEPT), p=[k.late if late else k.early for k in KEPT]))]
        count = {k: max(2, round(kept.share * getattr(s, k)))
                 for k in ('local', 'hybrid', 'crop', 'whole')}
        batch: dict[str, Any] = {}
        shown: list[list[Names]] = []
        for kind in ('local', 'hybrid'):
            scenes, masks, names = self.views.regions(rng, count[kind])
            batch[kind] = region_arrays(rng, self.views, scenes, masks, kept.region)
            shown += names
        images, names = self.views.crops(rng, count['crop'])
        batch['crop'] = self._some(rng, images, kept.crop)
        batch['dense'], more = self._dense(rng, s.dense)
        shown += names + more
        images, whole = self.views.whole(rng, count['whole'])
        batch['whole'] = self._some(rng, images, kept.whole)
        return batch | self._words(rng, shown, whole)

    def _some(self, rng: np.random.Generator, patches: np.ndarray, kept: int
              ) -> dict[str, np.ndarray]:
        index = keep(rng, None, len(patches), kept)
        return {'patches': patches[np.arange(len(patches))[:, None], index], 'index': index}

    def _dense(self, rng: np.random.Generator, number: int
               ) -> tuple[dict[str, np.ndarray], list[list[Names]]]:
        """Draw scenes and where their objects lie; the borders of objects count for nothing."""
        views, rows, weights = self.views, [], []
        scenes = rng.integers(len(views.store), size=number)
        shown: list[list[Names]] = []
        for row, scene in enumerate(scenes):
            for thing in views.store.by_scene[int(scene)]:
                mask = views.instances[int(scene)] == thing.instance
                cover = mask.reshape(GRID, PATCH, GRID, PATCH).mean((1, 3), np.float32).ravel()
                weight = cover * (cover > 0.25 * cover.max())
                rows.append(row)
                weights.append(weight / weight.sum())
                shown.append([names_of(thing)])
        return {'pictures': from_patches(views.sharp[scenes]),
                'row': np.array(rows, np.int64).reshape(-1),
                'weight': np.array(weights, np.float32).reshape(-1, PLACES)}, shown

    def _words(self, rng: np.random.Generator, single: list[list[Names]],
               whole: list[list[Names]]) -> dict[str, np.ndarray]:
        pairs = [caption(rng, names[int(rng.integers(len(names)))]) for names in single + whole
                 if names[0].kind != SPOILED]
        named = [i for i, names in enumerate(single) if names[0].kind in KINDS]
        text = np.asarray(self.tokenizer([text for text, _ in pairs]))
        return {'text': text, 'true': truth_table(single + whole, [said for _, said in pairs]),
                'named': np.array(named, np.int64),
                'kind': numbers(single, named, 'kind', list(KINDS)),
                'colour': numbers(single, named, 'colour', list(COLOURS))}


def numbers(shown: Sequence[Sequence[Names]], rows: Sequence[int], what: str,
            known: list[str]) -> np.ndarray:
    """Return the names of the only object of some views as numbers, (m,) int64."""
    return np.array([known.index(str(getattr(shown[i][0], what))) for i in rows], np.int64)
