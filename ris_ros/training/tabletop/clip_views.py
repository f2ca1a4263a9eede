"""
Pictures that the small CLIP is trained on: regions of scenes, crops and whole frames.

Masks are those of the simulator, moved a little, and those that the small SAM proposes, with
its faults.  Everything is drawn at CLIP's own size and cut into patches.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ris_ros.models.sampling import blur
from ris_ros.training.engine.arrays import for_each, made_once
from ris_ros.training.tabletop.clip_texts import BACKGROUND, SPOILED, Names, names_of
from ris_ros.training.tabletop.proposals import KnownProposals
from ris_ros.training.tabletop.shards import SceneStore, Thing, scene_digest

SIZE, PATCH, BLUR = 224, 16, 15
GRID = SIZE // PATCH


def to_patches(images: np.ndarray) -> np.ndarray:
    """Cut (n, S, S, ...) pictures into (n, GRID * GRID, PATCH, PATCH, ...) patches."""
    cut = images.reshape(len(images), GRID, PATCH, GRID, PATCH, *images.shape[3:])
    return np.ascontiguousarray(cut.swapaxes(2, 3)).reshape(
        len(images), GRID * GRID, PATCH, PATCH, *images.shape[3:])


def from_patches(patches: np.ndarray) -> np.ndarray:
    """Put patches together again, the inverse of `to_patches`."""
    grid = patches.reshape(len(patches), GRID, GRID, *patches.shape[2:])
    return np.ascontiguousarray(grid.swapaxes(2, 3)).reshape(
        len(patches), SIZE, SIZE, *patches.shape[4:])


def _shrink(store: SceneStore, create: dict[str, Callable[..., np.ndarray]]) -> None:
    """Fill the arrays of `Views`, several scenes at once."""
    n = len(store)
    sharp, blurred = (create[name]((n, GRID * GRID, PATCH, PATCH, 3), np.uint8)
                      for name in ('sharp', 'blurred'))
    instances = create['instances']((n, SIZE, SIZE), np.uint8)

    def one(s: int) -> None:
        color = np.ascontiguousarray(store.color(s))
        for kept, picture in ((sharp, color), (blurred, blur(color, BLUR))):
            small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            kept[s] = to_patches(small[None])[0]
        instances[s] = cv2.resize(np.ascontiguousarray(store.instances(s)), (SIZE, SIZE),
                                  interpolation=cv2.INTER_NEAREST)

    for_each(one, n, 'shrinking')


class Views:
    """
    Pictures of a scene store at the network's size, and the batches drawn from them.

    sharp, blurred: (S, P, 16, 16, 3) uint8 patches, so that a batch touches only those that it
    keeps; blurred as HybridGL does (15 x 15, sigma 2.6).  instances: (S, 224, 224) uint8.  All
    are on disk, shared by the processes that draw.
    """

    def __init__(self, store: SceneStore, cache: Path, proposals: KnownProposals | None = None
                 ) -> None:
        """cache: folder for the arrays, made once.  proposals: of the store's first scenes."""
        self.store, self.proposals = store, proposals
        arrays = made_once(
            cache / f'clip_views_{scene_digest(store)}',
            {'scenes': len(store), 'size': SIZE, 'patch': PATCH, 'blur': BLUR},
            lambda create: _shrink(store, create), ('sharp', 'blurred', 'instances'))
        self.sharp, self.blurred = arrays['sharp'], arrays['blurred']
        self.instances = arrays['instances']

    def regions(self, rng: np.random.Generator, number: int
                ) -> tuple[np.ndarray, np.ndarray, list[list[Names]]]:
        """Draw regions: scene indices, masks (n, S, S) bool, and what each shows.

        A spoiled proposal comes with the true mask of the object that it shows best, so that
        the captions of that object have to choose between the two.
        """
        rows: list[tuple[int, np.ndarray, Names]] = []
        while len(rows) < number:
            rows += self._region(rng)
        scenes, masks, names = zip(*rows[:number], strict=True)
        return np.array(scenes), np.stack(masks), [[n] for n in names]

    def _region(self, rng: np.random.Generator) -> list[tuple[int, np.ndarray, Names]]:
        found = self.proposals
        draw = rng.random()
        if draw < 0.03 and found is not None and len(found.free):
            pick = int(rng.choice(found.free))
            return [(int(found.scene[pick]), found.mask(pick), Names(BACKGROUND, None))]
        if draw < 0.06:
            scene = self.store.things[int(rng.integers(len(self.store.things)))].scene
            return [(scene, self._background(rng, scene), Names(BACKGROUND, None))]
        if draw < 0.26 and found is not None and len(found.good):
            return [self.proposed(int(rng.choice(found.good)))]
        if draw < 0.48 and found is not None and len(found.bad):
            pick = int(rng.choice(found.bad))
            scene, mask, names = self.proposed(pick)
            whole = self.instances[scene] == found.instance[pick]
            return [(scene, mask, Names(SPOILED, None)), (scene, self._jitter(rng, whole), names)]
        thing = self.store.things[int(rng.integers(len(self.store.things)))]
        whole = self.instances[thing.scene] == thing.instance
        return [(thing.scene, self._jitter(rng, whole), names_of(thing))]

    def proposed(self, pick: int) -> tuple[int, np.ndarray, Names]:
        """Return a proposal with the names of the object that it shows best."""
        assert self.proposals is not None
        scene = int(self.proposals.scene[pick])
        thing = next(t for t in self.store.by_scene[scene]
                     if t.instance == self.proposals.instance[pick])
        return scene, self.proposals.mask(pick), names_of(thing)

    def _background(self, rng: np.random.Generator, scene: int) -> np.ndarray:
        """All that is no object, or a blob of it: what a proposer finds between the things."""
        free = self.instances[scene] == 0
        if rng.random() < 0.5:
            y, x = rng.integers(0, SIZE - 40, 2)
            h, w = rng.integers(25, 90, 2)
            blob = np.zeros_like(free)
            blob[y:y + h, x:x + w] = True
            if (free & blob).sum() > 300:
                return free & blob
        return free

    def _jitter(self, rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        """Proposals are not perfect: sometimes grow, shrink or shift the true mask a little."""
        draw = rng.random()
        if draw < 0.5:
            return mask
        kernel = np.ones((3, 3), np.uint8)
        if draw < 0.65:
            return cv2.dilate(mask.astype(np.uint8), kernel) > 0
        if draw < 0.8:
            thin = cv2.erode(mask.astype(np.uint8), kernel) > 0
            return thin if thin.sum() > 30 else mask
        return np.roll(mask, tuple(int(v) for v in rng.integers(-1, 2, 2)), (0, 1))

    def crops(self, rng: np.random.Generator, number: int
              ) -> tuple[np.ndarray, list[list[Names]]]:
        """Draw crops at full resolution as patches: TAS's, and stretched ones."""
        out, shown = np.empty((number, SIZE, SIZE, 3), np.uint8), []
        padded = number // 2
        scenes, masks, names = self.regions(rng, padded)
        for row in range(padded):
            out[row] = self._padded(rng, int(scenes[row]), masks[row])
        shown += names
        for row in range(padded, number):
            thing = self.store.things[int(rng.integers(len(self.store.things)))]
            out[row] = self._stretched(rng, thing)
            shown.append([names_of(thing)])
        return to_patches(out), shown

    def _padded(self, rng: np.random.Generator, scene: int, mask: np.ndarray) -> np.ndarray:
        """Cut a region out as TAS does: its box, black or blurred around it, in a black square.

        Not with `bicubic.square_crops`: equal to Pillow bit by bit, it takes more than ten times
        as long.
        """
        color = np.asarray(self.store.color(scene))
        height, width = color.shape[:2]
        full = cv2.resize(mask.astype(np.float32), (width, height),
                          interpolation=cv2.INTER_LINEAR) > 0.5
        if not full.any():
            return np.zeros((SIZE, SIZE, 3), np.uint8)
        x, y, w, h = cv2.boundingRect(full.astype(np.uint8))
        inside, crop = full[y:y + h, x:x + w, None], color[y:y + h, x:x + w]
        soft = blur(np.ascontiguousarray(crop), BLUR)
        crop = np.where(inside, crop, soft if rng.random() < 0.3 else 0)
        side = max(crop.shape[:2])
        square = np.zeros((side, side, 3), np.uint8)
        top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
        square[top:top + crop.shape[0], left:left + crop.shape[1]] = crop
        shrinks = side > SIZE
        return cv2.resize(square, (SIZE, SIZE),
                          interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    def _stretched(self, rng: np.random.Generator, thing: Thing) -> np.ndarray:
        """Cut an object out with a little around it, masked half of the time, and stretch it."""
        x0, y0, x1, y1 = thing.box
        dx, dy = (rng.uniform(0, 0.15) * (b - a) for a, b in ((x0, x1), (y0, y1)))
        box = (slice(max(0, int(y0 - dy)), int(y1 + dy) + 1),
               slice(max(0, int(x0 - dx)), int(x1 + dx) + 1))
        crop = np.asarray(self.store.color(thing.scene)[box])
        if rng.random() < 0.5:
            inside = np.asarray(self.store.instances(thing.scene)[box]) == thing.instance
            crop = np.where(inside[..., None], crop, 0)
        return cv2.resize(np.ascontiguousarray(crop), (SIZE, SIZE),
                          interpolation=cv2.INTER_LINEAR)

    def whole(self, rng: np.random.Generator, number: int
              ) -> tuple[np.ndarray, list[list[Names]]]:
        """Draw scenes as they are."""
        scenes = rng.integers(len(self.store), size=number)
        shown = [[*map(names_of, self.store.by_scene[int(s)]), Names(BACKGROUND, None)]
                 for s in scenes]
        return self.sharp[scenes], shown
