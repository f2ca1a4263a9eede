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
    BACKGROUND,
    SPOILED,
    Names,
    any_caption,
    caption,
    names_of,
    plain_caption,
    related_table,
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
        or patch and weight (T, P) float32, adding up to one.  The views stand in the order
        local, hybrid, crop, dense, whole: text (C, L) int64 captions; true (V, C) bool, which
        is true of which view; related (C, C) bool, which captions follow from each other;
        named (m,) views of one object each, kind and colour (m,) its names.
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
        batch['dense'], more, patches = self._dense(rng, s.dense, s.dense_patches)
        shown += names + more
        named = [i for i, n in enumerate(shown) if n[0].kind in KINDS]
        images, whole = self.views.whole(rng, count['whole'])
        batch['whole'] = self._some(rng, images, kept.whole)
        texts = 2 + round(kept.share * s.texts)
        return batch | words(rng, self.tokenizer, shown + patches, whole, named, texts)

    def _some(self, rng: np.random.Generator, patches: np.ndarray, kept: int
              ) -> dict[str, np.ndarray]:
        index = keep(rng, None, len(patches), kept)
        return {'patches': patches[np.arange(len(patches))[:, None], index], 'index': index}

    def _dense(self, rng: np.random.Generator, number: int, patches: int
               ) -> tuple[dict[str, np.ndarray], list[list[Names]], list[list[Names]]]:
        """
        Draw scenes, where their objects lie, and single patches with what each shows.

        The borders of objects count for nothing.  Without patches of the bare table nothing
        would say that it is no object, and the peak of a map would lie there.
        """
        views, rows, weights = self.views, [], []
        scenes = rng.integers(len(views.store), size=number)
        shown: list[list[Names]] = []
        single: list[tuple[int, int, Names]] = []
        for row, scene in enumerate(scenes):
            cover = _covers(views, int(scene))
            for thing in views.store.by_scene[int(scene)]:
                weight = cover[thing.instance]
                weight = weight * (weight > 0.25 * weight.max())
                rows.append(row)
                weights.append(weight / weight.sum())
                shown.append([names_of(thing)])
            single += [(row, place, names) for place, names in
                       self._patches(rng, int(scene), cover, patches)]
        for row, place, _ in single:
            rows.append(row)
            weights.append(np.eye(1, PLACES, place, dtype=np.float32)[0])
        return {'pictures': from_patches(views.sharp[scenes]),
                'row': np.array(rows, np.int64).reshape(-1),
                'weight': np.array(weights, np.float32).reshape(-1, PLACES)
                }, shown, [[names] for _, _, names in single]

    def _patches(self, rng: np.random.Generator, scene: int, cover: dict[int, np.ndarray],
                 number: int) -> list[tuple[int, Names]]:
        """Draw patches, half of them of the bare table, with what the others mostly show."""
        bare = np.flatnonzero(cover[0] > 0.98)
        anywhere = rng.choice(PLACES, size=number - number // 2, replace=False)
        found = [(int(p), Names(BACKGROUND, None)) for p in rng.permutation(bare)[:number // 2]]
        for place in (int(p) for p in anywhere):
            if cover[0][place] > 0.98:
                found.append((place, Names(BACKGROUND, None)))
            found += [(place, names_of(thing)) for thing in self.views.store.by_scene[scene]
                      if cover[thing.instance][place] > 0.7]
        return found


def _covers(views: Views, scene: int) -> dict[int, np.ndarray]:
    """Return which part of each patch an instance covers, (P,) float32; 0: no object."""
    picture = views.instances[scene].reshape(GRID, PATCH, GRID, PATCH)
    wanted = [0, *(thing.instance for thing in views.store.by_scene[scene])]
    return {i: (picture == i).mean((1, 3), np.float32).ravel() for i in wanted}


def words(rng: np.random.Generator, tokenizer: WordTokenizer, single: list[list[Names]],
          whole: list[list[Names]], named: list[int], texts: int) -> dict[str, np.ndarray]:
    """
    Return captions of views, true of one object each and of whole pictures, as numbers.

    named: views of one object whose names are told apart by heads as well.  texts: captions
    beside those, of things shown or not.  See `ClipSource.draw` for what is returned.
    """
    pairs = [caption(rng, names[int(rng.integers(len(names)))]) for names in single
             if names[0].kind != SPOILED]
    pairs += [plain_caption(rng, names[int(rng.integers(len(names)))]) for names in whole]
    pairs += [any_caption(rng) for _ in range(texts)]
    said = [names for _, names in pairs]
    return {'text': np.asarray(tokenizer([text for text, _ in pairs])),
            'true': truth_table(single + whole, said), 'related': related_table(said),
            'named': np.array(named, np.int64),
            'kind': numbers(single, named, 'kind', list(KINDS)),
            'colour': numbers(single, named, 'colour', list(COLOURS))}


def numbers(shown: Sequence[Sequence[Names]], rows: Sequence[int], what: str,
            known: list[str]) -> np.ndarray:
    """Return the names of the only object of some views as numbers, (m,) int64."""
    return np.array([known.index(str(getattr(shown[i][0], what))) for i in rows], np.int64)
