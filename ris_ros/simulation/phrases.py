"""Noun phrases of a scene: which objects "mug", "red mug", "red thing" and "small mug" fit."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ris_ros.simulation.truth import HOLDS, SceneTruth


@dataclass(frozen=True)
class Phrase:
    """
    What is said of an object by itself, and the indices of all objects that it fits.

    kind None: "thing".  colour, size None: not said.
    """

    kind: str | None
    colour: str | None
    size: str | None
    fits: tuple[int, ...]

    @property
    def is_unique(self) -> bool:
        """Whether it fits one object alone."""
        return len(self.fits) == 1


class Phrases:
    """
    All phrases of a scene that can be said without doubt.

    Left out are phrases that fit something hidden (is it meant?), and sizes where the likes
    are not clearly of two sizes.  several: phrases that fit two or more.
    """

    def __init__(self, truth: SceneTruth) -> None:
        """Collect them."""
        self.truth = truth
        self._of: list[list[Phrase]] = [[] for _ in range(len(truth))]
        for phrase in self._all():
            if truth.visible[list(phrase.fits)].all():
                for i in phrase.fits:
                    self._of[i].append(phrase)
        found = {p: None for phrases in self._of for p in phrases}   # in order, each once
        self.several = [p for p in found if not p.is_unique]
        self.single = [p for p in found if p.is_unique]
        unique = [[p for p in phrases if p.is_unique] for phrases in self._of]
        self._names = [[p for p in phrases if p.kind] or phrases for phrases in unique]

    def of(self, index: int) -> list[Phrase]:
        """Return the phrases that fit an object."""
        return self._of[index]

    def names(self, index: int) -> list[Phrase]:
        """Return the phrases that fit an object alone; those with a noun where there are any."""
        return self._names[index]

    def _all(self) -> Iterator[Phrase]:
        truth = self.truth
        groups: dict[tuple[str | None, str | None], list[int]] = {}
        for i, names in enumerate(zip(truth.kinds, truth.colours, strict=True)):
            for key in ((names[0], None), names, (None, names[1])):
                groups.setdefault(key, []).append(i)
        for (kind, colour), fits in groups.items():
            yield Phrase(kind, colour, None, tuple(fits))
            if kind and len(fits) > 1:
                yield from self._sizes(kind, colour, fits)

    def _sizes(self, kind: str, colour: str | None, fits: list[int]) -> Iterator[Phrase]:
        """Split likes into small and large, where they clearly are of two sizes."""
        large = [i for i in fits if self.truth.sizes[i] == 'large']
        small = [i for i in fits if self.truth.sizes[i] == 'small']
        if large and small and (self.truth.relations['bigger'][np.ix_(large, small)]
                                > HOLDS).all():
            yield Phrase(kind, colour, 'large', tuple(large))
            yield Phrase(kind, colour, 'small', tuple(small))
