"""What makes sentences about one scene: phrases, words and templates put together."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ris_ros.simulation.catalogue import HELD_OUT_KINDS
from ris_ros.simulation.expressions import Expression, Part
from ris_ros.simulation.phrases import Phrase, Phrases
from ris_ros.simulation.truth import SceneTruth
from ris_ros.simulation.wording import FORMS, Words

Made = Expression | None
Telling = Callable[['Teller', int], Made]
COVERED = 0.25            # part of the outline from which a target counts as covered


@dataclass(frozen=True)
class Family:
    """A kind of sentence: its main tag, how often trainers hear it, and what makes it."""

    tag: str
    weight: float
    tell: Telling


FAMILIES: dict[str, Family] = {}


def family(name: str, tag: str, weight: float = 1.0) -> Callable[[Telling], Telling]:
    """Enter a function under FAMILIES."""
    def enter(function: Telling) -> Telling:
        FAMILIES[name] = Family(tag, weight, function)
        return function
    return enter


class Teller:
    """Makes sentences about one scene."""

    def __init__(self, truth: SceneTruth, rng: np.random.Generator, varied: float = 0.35,
                 alone: float = 0.0) -> None:
        """
        Collect what can be said.

        varied: how often a word is replaced by another for the same.  alone: how often a
        place or relation is told of an object that its noun names already.
        """
        self.truth, self.rng, self.alone = truth, rng, alone
        self.words, self.phrases = Words(rng, truth.kinds, varied), Phrases(truth)
        self.visible = [int(i) for i in np.flatnonzero(truth.visible)]
        self._said: dict[Phrase, str] = {}

    def choose(self, options: Sequence[Any]) -> Any:
        """Return one of the options, or None where there are none."""
        return options[int(self.rng.integers(len(options)))] if len(options) else None

    def head(self, i: int, noun: bool = True) -> Phrase | None:
        """Return a phrase for what is meant that leaves something to be told."""
        unique = self.rng.random() < self.alone
        return self.choose([p for p in self.phrases.of(i) if p.is_unique == unique
                            and (p.kind or not noun)])

    def likes(self, i: int, size: bool = True) -> Phrase | None:
        """Return a phrase with a noun that fits the object and others."""
        return self.choose([p for p in self.phrases.of(i) if not p.is_unique and p.kind
                            and (size or not p.size)])

    def name(self, i: int) -> Phrase:
        """Return a phrase that fits an object alone, rather a short one; there must be one."""
        names = sorted(self.phrases.names(i), key=lambda p: (p.size is not None, p.colour is None))
        chosen: Phrase = names[0] if self.rng.random() < 0.4 else self.choose(names)
        return chosen

    def named(self, options: Sequence[Any]) -> list[Phrase]:
        """Choose one of the objects, or groups of objects, and return their names."""
        chosen = self.choose(options)
        if chosen is None:
            return []
        return [self.name(i) for i in (chosen if isinstance(chosen, Sequence) else [chosen])]

    def anchors(self, head: Phrase) -> list[int]:
        """Return objects that `head` can be compared with: named by other phrases alone."""
        return [j for j in self.visible if j not in head.fits and self.phrases.names(j)]

    def text(self, phrase: Phrase) -> str:
        """Return a phrase in words."""
        return self.words.phrase(phrase.kind, phrase.colour, phrase.size)

    def sentence(self, form_name: str, tag: str, targets: Sequence[int], head: Phrase | None,
                 others: Sequence[Phrase] = (), forms: Sequence[str] | None = None,
                 tags: Sequence[str] = (), answerable: bool = True, **slots: str) -> Expression:
        """
        Fill a template of FORMS[form_name], or of `forms`.

        targets: indices of what is meant or fits.  head, others: the phrases for {t}, {a}, {b}.
        """
        said = [(p, self.text(p)) for p in ([head] if head else []) + list(others)]
        texts = [text for _, text in said]
        keys = (['t'] if head else []) + ['a', 'b']
        form = self.words.pick(forms or FORMS[form_name])
        text = self.words.say(form, **dict(zip(keys, texts, strict=False)), **slots)
        truth = self.truth
        covered = any(truth.covered[i] > COVERED for i in targets)
        tags = [t for t in dict.fromkeys([*tags, *(['covered'] if covered else [])]) if t != tag]
        return Expression(
            text, tag, _ids(targets), answerable,
            any(truth.kinds[i] in HELD_OUT_KINDS for i in targets), tuple(tags),
            parts=tuple(Part(text, _ids(p.fits)) for p, text in said))


def _ids(indices: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) + 1 for i in indices)
