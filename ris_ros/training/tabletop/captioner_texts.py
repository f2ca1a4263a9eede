"""What the small captioner is shown and what it has to say: regions as TAS cuts them, frames.

A region is the box around a proposal, sharp inside the mask and blurred around it, padded with
black to a square (TAS section 3.3); now and then it is black around the mask, the other view of
table 5.  A frame is the whole picture, its sides stretched to the square.  Frames are told as
"a red mug and a blue bowl on a table", from left to right: "and" throughout, because the small
parser counts a comma in front of a thing as part of its name.
"""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.tabletop.clip_texts import BACKGROUND
from ris_ros.training.tabletop.shards import SceneStore, Thing

MOST_TOLD = 6          # things of a frame; where it shows more, the largest
WORDS = ('a', 'an', 'and', 'on', BACKGROUND, *KINDS, *COLOURS)
TABLE_SHARE = 0.08     # regions that show no object
BLACK_SHARE = 0.15     # regions with black instead of blur around them
MOSTLY = 0.5           # part of a thing that a window has to show for it to be told
# TAS blurs with 75 x 75 pixels, which in OpenCV's rule is a sigma of 11.6; a picture of a
# quarter of the size blurred with a quarter of it looks the same and costs a sixteenth.
SHRINK, MARGIN, SIGMA, KERNEL = 4, 36, 11.6 / 4, 19


def named(colour: str, kind: str) -> str:
    """Return "a red mug", "an orange can"."""
    return f'{"an" if colour[0] in "aeiou" else "a"} {colour} {kind}'


def told(things: Sequence[Thing], mirrored: bool = False) -> str:
    """Return the caption of a frame, or of a mirrored one, that shows the given things."""
    largest = sorted(things, key=lambda t: -t.pixels)[:MOST_TOLD]
    ordered = sorted(largest, key=lambda t: t.box[0] + t.box[2], reverse=mirrored)
    names = ' and '.join(named(t.colour, t.kind) for t in ordered)
    return f'{names} on a {BACKGROUND}' if names else f'a {BACKGROUND}'


def squared(picture: np.ndarray, size: int) -> np.ndarray:
    """Return an (h, w, 3) uint8 picture padded evenly with black and resized to (size, size)."""
    h, w = picture.shape[:2]
    scale = size / max(h, w)
    new = max(1, round(w * scale)), max(1, round(h * scale))
    small = cv2.resize(picture, new, interpolation=cv2.INTER_AREA if scale < 1
                       else cv2.INTER_CUBIC)
    out = np.zeros((size, size, 3), np.uint8)
    y, x = (size - new[1]) // 2, (size - new[0]) // 2
    out[y:y + new[1], x:x + new[0]] = small
    return out


class Shown:
    """Draws pictures of a scene store with their captions."""

    def __init__(self, store: SceneStore) -> None:
        """Keep the store; pictures are read as they are drawn."""
        self.store = store

    def regions(self, rng: np.random.Generator, number: int, size: int
                ) -> tuple[np.ndarray, list[str]]:
        """Draw regions: (n, size, size, 3) uint8 and what each shows."""
        out, captions = np.empty((number, size, size, 3), np.uint8), []
        for row in range(number):
            thing = self.store.things[int(rng.integers(len(self.store.things)))]
            instances = np.asarray(self.store.instances(thing.scene))
            if rng.random() < TABLE_SHARE:
                mask, text = self._free(rng, instances == 0), f'a {BACKGROUND}'
            else:
                mask = self._jitter(rng, instances == thing.instance, thing.box)
                text = named(thing.colour, thing.kind)
            picture = self.region(rng, self.store.color(thing.scene), mask)
            if rng.random() < 0.5:
                picture = picture[:, ::-1]
            out[row] = squared(picture, size)
            captions.append(text)
        return out, captions

    def region(self, rng: np.random.Generator, color: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the box of an (H, W) bool mask, black or blurred outside of it."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        inside = mask[y0:y1, x0:x1, None]
        sharp = np.asarray(color[y0:y1, x0:x1])
        if rng.random() < BLACK_SHARE:
            return np.where(inside, sharp, 0).astype(np.uint8)
        top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
        around = np.ascontiguousarray(color[top:y1 + MARGIN, left:x1 + MARGIN])
        h, w = around.shape[:2]
        small = cv2.resize(around, (-(-w // SHRINK), -(-h // SHRINK)),
                           interpolation=cv2.INTER_AREA)
        soft = cv2.resize(cv2.GaussianBlur(small, (KERNEL, KERNEL), SIGMA), (w, h),
                          interpolation=cv2.INTER_LINEAR)
        return np.where(inside, sharp, soft[y0 - top:y1 - top, x0 - left:x1 - left])

    def _jitter(self, rng: np.random.Generator, mask: np.ndarray, box: tuple[int, int, int, int]
                ) -> np.ndarray:
        """Proposals are not perfect: grow, shrink, shift or cut the true mask a little."""
        draw = rng.random()
        if draw < 0.4:
            return mask
        side = int(rng.integers(2, 8))
        kernel = np.ones((side, side), np.uint8)
        if draw < 0.55:
            return cv2.dilate(mask.astype(np.uint8), kernel) > 0
        if draw < 0.7:
            changed = cv2.erode(mask.astype(np.uint8), kernel) > 0
        elif draw < 0.85:
            changed = np.roll(mask, tuple(int(v) for v in rng.integers(-4, 5, 2)), (0, 1))
        else:
            changed = mask.copy()
            x0, y0, x1, y1 = box
            part = rng.uniform(0.08, 0.35)
            if rng.random() < 0.5:
                cut = round(part * (y1 - y0))
                changed[slice(y0, y0 + cut) if rng.random() < 0.5 else slice(y1 - cut, y1)] = False
            else:
                cut = round(part * (x1 - x0))
                changed[:, slice(x0, x0 + cut) if rng.random() < 0.5 else slice(x1 - cut, x1)] = \
                    False
        return changed if changed.sum() > 0.4 * mask.sum() else mask

    def _free(self, rng: np.random.Generator, free: np.ndarray) -> np.ndarray:
        """All that is no object, or a patch of it: what a proposer finds between the things."""
        if rng.random() < 0.6:
            height, width = free.shape
            y, x = int(rng.integers(height - 60)), int(rng.integers(width - 60))
            h, w = (int(v) for v in rng.integers(30, 200, 2))
            patch = np.zeros(free.shape, np.uint8)
            if rng.random() < 0.5:
                patch[y:y + h, x:x + w] = 1
            else:
                cv2.ellipse(patch, (x + 30, y + 30), (w // 2, h // 2), 0, 0, 360, 1, -1)
            if (free & (patch > 0)).sum() > 300:
                return free & (patch > 0)
        return free

    def windows(self, rng: np.random.Generator, number: int, size: int, part: float = 0.5
                ) -> tuple[np.ndarray, list[str]]:
        """Draw parts of pictures, told like whole ones: things as small, but fewer of them.

        part: of either side of the picture that a window has.
        """
        out, captions = np.empty((number, size, size, 3), np.uint8), []
        for row, scene in enumerate(rng.integers(len(self.store), size=number)):
            color, instances = (np.asarray(picture(int(scene))) for picture in (
                self.store.color, self.store.instances))
            h, w = (round(part * n) for n in instances.shape)
            y, x = (int(rng.integers(n + 1)) for n in (instances.shape[0] - h,
                                                            instances.shape[1] - w))
            place = slice(y, y + h), slice(x, x + w)
            seen = np.bincount(instances[place].ravel(), minlength=256)
            things = [t for t in self.store.by_scene[int(scene)]
                      if seen[t.instance] > MOSTLY * t.pixels]
            mirrored = rng.random() < 0.5
            small = cv2.resize(np.ascontiguousarray(color[place]), (size, size),
                               interpolation=cv2.INTER_AREA)
            out[row] = small[:, ::-1] if mirrored else small
            captions.append(told(things, mirrored))
        return out, captions

    def frames(self, rng: np.random.Generator, number: int, size: int
               ) -> tuple[np.ndarray, list[str]]:
        """Draw whole pictures: (n, size, size, 3) uint8 and what each shows."""
        return self.windows(rng, number, size, 1.0)
