"""A small segmenter that works by colour: a real answer without any weights.

Used where a test is about ROS and not about networks.  It knows saturated red, green and
blue, and a few words that make it misbehave or leave something out on purpose.
"""
from __future__ import annotations

import time
from collections.abc import Hashable

import numpy as np

from ris_ros.types import Candidate, Outcome, Scene, Segmentation, View

CHANNELS = {'red': 0, 'green': 1, 'blue': 2}
MIN_PIXELS = 50


class ColourSegmenter:
    """Finds the red, green or blue pixels; several colours without a word are ambiguous."""

    def __init__(self) -> None:
        self._kept: tuple[Hashable, Scene] | None = None

    def prepare(self, view: View, key: Hashable = None) -> Scene:
        self._kept = None
        scene = self._look(view)
        self._kept = key, scene
        return scene

    def kept(self, key: Hashable) -> Scene | None:
        return self._kept[1] if self._kept is not None and self._kept[0] == key else None

    def forget(self) -> None:
        self._kept = None

    def _look(self, view: View) -> Scene:
        pixels = view.rgb.astype(np.int16)
        masks = []
        for channel in CHANNELS.values():
            others = np.delete(pixels, channel, axis=2).max(axis=2)
            masks.append(pixels[:, :, channel] - others > 60)
        stack = np.stack(masks)
        areas = stack.sum(axis=(1, 2))
        return Scene('colour', view, stack, np.array([box_of(mask) for mask in stack], 'f4'),
                     areas.astype(np.int64), np.ones(3, np.float32))

    def ground(self, scene: Scene, expression: str, max_candidates: int) -> Segmentation:
        words = expression.lower().split()
        if 'explode' in words:
            raise RuntimeError('asked to explode')
        if 'slowly' in words:
            time.sleep(1.0)
        while 'endlessly' in words:
            sum(range(100_000))  # computes, as a network does
        named = [index for colour, index in CHANNELS.items() if colour in words]
        wanted = [index for index in (named or range(3)) if scene.areas[index] >= MIN_PIXELS]
        candidates = tuple(
            Candidate(rank, index, 1.0 / rank, scene.masks[index],
                      tuple(float(v) for v in scene.boxes[index]))
            for rank, index in enumerate(wanted[:max_candidates], 1))
        empty = np.zeros(scene.image.shape[:2], bool)
        heat = None if 'coldly' in words else heat_of(scene.image, named)
        if not candidates:
            return Segmentation(empty, 0.0, 0.0, Outcome.NO_MATCH, 'nothing has that colour',
                                heatmap=heat)
        if len(wanted) > 1:
            return Segmentation(candidates[0].mask, 1.0, 0.0, Outcome.AMBIGUOUS,
                                'several colours fit', candidates, heatmap=heat)
        return Segmentation(candidates[0].mask, 1.0, 1.0, Outcome.SUCCEEDED_2D, '', candidates,
                            heatmap=heat)


def heat_of(image: np.ndarray, named: list[int]) -> np.ndarray:
    """Return (H, W) float32 in [0, 1]: the brightest of the channels that were named."""
    return image[:, :, named or slice(None)].max(axis=2).astype(np.float32) / 255


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return (0.0, 0.0, 0.0, 0.0)
    return (float(columns.min()), float(rows.min()), float(np.ptp(columns) + 1),
            float(np.ptp(rows) + 1))
