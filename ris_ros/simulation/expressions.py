"""
Referring expressions of a scene, with their true targets.

Truth is that of `simulation.truth`.  An expression is kept only when it fits exactly one
object by a clear margin; ambiguous and absent ones are made on purpose and carry their own
tags.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ris_ros.simulation.catalogue import COLOURS, HELD_OUT_KINDS, KINDS
from ris_ros.simulation.truth import HOLDS, SceneTruth, holders

ANSWERABLE_TAGS = ('attribute', 'position', 'relation', 'size')
PER_SCENE = {'attribute': 3, 'position': 2, 'relation': 3, 'size': 1, 'ambiguous': 1, 'absent': 1}


@dataclass(frozen=True)
class Part:
    """A noun phrase of a sentence, as said, and the instances that it fits by itself."""

    text: str
    instances: tuple[int, ...]


@dataclass(frozen=True)
class Expression:
    """
    What is said, its tag, and the instances it fits (from 1).

    Answerable: the targets are what is meant, one object or, where several are named, all of
    them.  Not answerable with targets: ambiguous, it fits each of them.  Not answerable
    without: absent, it fits nothing.
    unseen: a target's kind is held out of training.  tags: further groups that the sentence
    belongs to.  family: the kind of template it was made from, and parts: the noun phrases in
    it, the target's first; empty on the plain table.
    """

    text: str
    tag: str
    targets: tuple[int, ...]
    answerable: bool
    unseen: bool = False
    tags: tuple[str, ...] = ()
    family: str = ''
    parts: tuple[Part, ...] = ()

    @property
    def kind(self) -> str:
        """Return answerable, ambiguous or absent."""
        if self.answerable:
            return 'answerable'
        return 'ambiguous' if self.targets else 'absent'


Candidate = tuple[str, str, tuple[int, ...]]
POSITION_FORMS: dict[str, tuple[str, ...]] = {
    'left': ('the {} on the left', 'the left {}', 'the leftmost {}'),
    'right': ('the {} on the right', 'the right {}', 'the rightmost {}'),
    'top': ('the {} at the top', 'the top {}'),
    'bottom': ('the {} at the bottom', 'the bottom {}'),
}
MIDDLE_FORMS = ('the {} in the middle', 'the middle {}')
RELATION_FORMS: dict[str, tuple[str, ...]] = {
    'left': ('the {} to the left of the {}', 'the {} left of the {}'),
    'right': ('the {} to the right of the {}', 'the {} right of the {}'),
    'behind': ('the {} behind the {}',),
    'front': ('the {} in front of the {}',),
    'on': ('the {} on the {}', 'the {} on top of the {}'),
    'inside': ('the {} in the {}', 'the {} inside the {}'),
    'next_to': ('the {} next to the {}',),
}
BETWEEN_FORM = 'the {} between the {} and the {}'


def _attribute(truth: SceneTruth) -> Iterator[Candidate]:
    for phrase, fits in sorted(truth.named.items()):
        if len(fits) == 1:
            yield f'the {phrase}', 'attribute', fits


def _several(truth: SceneTruth) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Phrases that fit two or more objects, all of them visible."""
    for phrase, fits in sorted(truth.named.items()):
        if len(fits) > 1 and truth.visible[list(fits)].all():
            yield phrase, fits


def _position(truth: SceneTruth) -> Iterator[Candidate]:
    for phrase, fits in _several(truth):
        for position, forms in POSITION_FORMS.items():
            leader = truth.leader(position, fits)
            if leader is not None:
                for form in forms:
                    yield form.format(phrase), 'position', (leader,)
        middle = truth.middle_of(fits) if len(fits) == 3 else None
        if middle is not None:
            for form in MIDDLE_FORMS:
                yield form.format(phrase), 'position', (middle,)


def _relation(truth: SceneTruth) -> Iterator[Candidate]:
    anchors = [(p, fits[0]) for p, fits in sorted(truth.named.items()) if len(fits) == 1]
    for phrase, fits in _several(truth):
        for anchor_phrase, anchor in anchors:
            if (not truth.visible[anchor] or anchor in fits
                    or truth.kinds[anchor] == truth.kinds[fits[0]]):
                continue
            for relation, forms in RELATION_FORMS.items():
                found = holders(truth.relations[relation][:, anchor], fits)
                if found and len(found) == 1:
                    for form in forms:
                        yield form.format(phrase, anchor_phrase), 'relation', found
        yield from _between(truth, phrase, fits, anchors)


def _between(truth: SceneTruth, phrase: str, fits: tuple[int, ...],
             anchors: list[tuple[str, int]]) -> Iterator[Candidate]:
    for i, (first, a) in enumerate(anchors):
        for second, b in anchors[i + 1:]:
            if a in fits or b in fits or a == b or not truth.visible[[a, b]].all():
                continue
            found = holders(truth.columns_between[:, a, b], fits)
            if found and len(found) == 1:
                yield BETWEEN_FORM.format(phrase, first, second), 'relation', found


def _size(truth: SceneTruth) -> Iterator[Candidate]:
    for phrase, fits in _several(truth):
        ranked = sorted(fits, key=lambda i: truth.scales[i])
        bigger = truth.relations['bigger']
        two = len(fits) == 2
        if bigger[ranked[-1], ranked[-2]] > HOLDS:
            for word in ('bigger', 'larger') if two else ('biggest', 'largest'):
                yield f'the {word} {phrase}', 'size', (ranked[-1],)
        if bigger[ranked[1], ranked[0]] > HOLDS:
            yield f'the {"smaller" if two else "smallest"} {phrase}', 'size', (ranked[0],)


def _ambiguous(truth: SceneTruth) -> Iterator[Candidate]:
    for phrase, fits in sorted(truth.named.items()):
        if len(fits) >= 2 and truth.visible[list(fits)].sum() >= 2:
            yield f'the {phrase}', 'ambiguous', fits


def _absent(truth: SceneTruth, rng: np.random.Generator) -> Iterator[Candidate]:
    kinds = sorted(set(KINDS) - set(truth.kinds))
    colours = sorted(COLOURS)
    for kind in rng.permutation(kinds)[:2]:
        yield f'the {kind}', 'absent', ()
        yield f'the {colours[int(rng.integers(len(colours)))]} {kind}', 'absent', ()


def sample_expressions(truth: SceneTruth) -> tuple[Expression, ...]:
    """
    Return at most eleven expressions of a scene: PER_SCENE says how many of each tag.

    Deterministic in the scene's seed.
    """
    rng = np.random.Generator(np.random.PCG64([truth.seed, 20260103]))
    made: Mapping[str, list[Candidate]] = {
        'attribute': list(_attribute(truth)), 'position': list(_position(truth)),
        'relation': list(_relation(truth)), 'size': list(_size(truth)),
        'ambiguous': list(_ambiguous(truth)), 'absent': list(_absent(truth, rng))}
    chosen = []
    for tag, number in PER_SCENE.items():
        usable = [c for c in made[tag]
                  if tag in ('absent', 'ambiguous') or truth.visible[c[2][0]]]
        for k in _spread(usable, number, rng):
            text, _, targets = usable[k]
            chosen.append(Expression(text, tag, tuple(i + 1 for i in targets),
                                     tag in ANSWERABLE_TAGS,
                                     any(truth.kinds[i] in HELD_OUT_KINDS for i in targets)))
    return tuple(chosen)


def _spread(candidates: list[Candidate], number: int, rng: np.random.Generator) -> list[int]:
    """Pick candidates at random, but one target twice only when there are no others left."""
    order = [int(i) for i in rng.permutation(len(candidates))]
    first: list[int] = []
    later: list[int] = []
    used: set[tuple[int, ...]] = set()
    for i in order:
        (later if candidates[i][2] in used else first).append(i)
        used.add(candidates[i][2])
    return (first + later)[:number]
