"""
What is said of a scene: many sentences for trainers, a fixed few for the cluttered splits.

    with TabletopWorld(200000) as world:
        for said in describe(world.truth, numpy.random.default_rng(0), count=12):
            print(said.kind, said.targets, said.text)

Both draw from the same families (`tellings`, `denials`, `pitfalls`) and so from the same truth.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from ris_ros.simulation import denials, tellings  # noqa: F401 - they enter FAMILIES
from ris_ros.simulation.expressions import Expression
from ris_ros.simulation.pitfalls import PITFALLS
from ris_ros.simulation.teller import FAMILIES, Teller
from ris_ros.simulation.truth import SceneTruth
from ris_ros.simulation.wording import said_words
from ris_ros.types import BadInputError

__all__ = ['ALL_FAMILIES', 'PER_CLUTTER', 'clutter_expressions', 'describe', 'said_words']

ALL_FAMILIES = tuple(sorted((*FAMILIES, *PITFALLS)))
TRIES = 16                # families asked for one sentence before there is none
ALONE = 0.3               # for trainers: places are told of things that need none, too
# How many sentences of each tag a cluttered scene is asked, where it has so many.
PER_CLUTTER = {
    'attribute': 2, 'position': 2, 'relation': 3, 'size': 2, 'support': 1, 'nearest': 2,
    'farthest': 1, 'directly': 1, 'compound': 1, 'ordinal': 1, 'negation': 2, 'several': 2,
    'ambiguous': 1, 'ambiguous_position': 1, 'ambiguous_relation': 1, 'absent': 1,
    'absent_anchor': 1, 'false_relation': 2, 'false_ordinal': 1, 'false_negation': 1}
CLUTTER_TRIES = 12        # objects that a family is asked about for one sentence
TRAINING_ONLY = ('caption',)     # nobody asks for an object like this


def describe(truth: SceneTruth, rng: np.random.Generator, count: int = 20, *,
             about: Iterable[int] | None = None, unanswerable: float = 0.25,
             families: Collection[str] | None = None, varied: float = 0.35
             ) -> list[Expression]:
    """
    Return up to `count` different sentences about a scene, new ones for every state of `rng`.

    about: instances (from 1) that are meant; None takes all that are visible.  Sentences that
    fit nothing, or several alike, make up the share `unanswerable` in [0, 1] of the draws; they
    are about anything.  families: names from ALL_FAMILIES to draw from.  varied: how often a
    word is replaced by a synonym, [0, 1].  Only what is visible is spoken of, so that a scene
    may have less to say.  Held-out kinds are named where they stand, and never called absent;
    scenes for training have none.  For a picture in the mirror: `truth.mirrored()`.
    Raises BadInputError for an unknown family or instance, or shares outside [0, 1].
    """
    chosen = set(ALL_FAMILIES if families is None else families)
    if chosen - set(ALL_FAMILIES):
        raise BadInputError(f'no family {", ".join(sorted(chosen - set(ALL_FAMILIES)))}; take '
                            f'from {", ".join(ALL_FAMILIES)}')
    if not (0 <= unanswerable <= 1 and 0 <= varied <= 1):
        raise BadInputError('unanswerable and varied are shares from 0 to 1')
    wanted = list(range(1, len(truth) + 1)) if about is None else list(about)
    if any(not 1 <= i <= len(truth) for i in wanted):
        raise BadInputError(f'the scene has the instances 1 to {len(truth)}, not {wanted}')
    teller = Teller(truth, rng, varied, ALONE)
    meant = [i - 1 for i in wanted if truth.visible[i - 1]]
    # Sorted, since the order of FAMILIES is that of imports.
    true = _Odds({n: f.weight for n, f in sorted(FAMILIES.items()) if n in chosen})
    false = _Odds({n: p.weight for n, p in sorted(PITFALLS.items()) if n in chosen})
    found: dict[str, Expression] = {}
    for _ in range(2 * count):       # some are said twice, some scenes have little to say
        if len(found) >= count:
            break
        if false.names and (rng.random() < unanswerable or not true.names):
            made = false.draw(teller, None)
        elif meant and true.names:
            made = true.draw(teller, teller.choose(meant))
        else:
            made = None
        if made is not None:
            found.setdefault(made.text, made)
    return list(found.values())


class _Odds:
    """Families, drawn by their weights."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.names, self._steps = list(weights), np.cumsum(list(weights.values()))

    def draw(self, teller: Teller, target: int | None) -> Expression | None:
        """Ask families until one has something to say of the target."""
        draws = teller.rng.random(TRIES) * self._steps[-1]
        for k in np.searchsorted(self._steps, draws, side='right').tolist():
            made = _tell(teller, self.names[k], target)
            if made is not None:
                return made
        return None


def _tell(teller: Teller, name: str, target: int | None) -> Expression | None:
    """Let a family speak, of the target where it speaks of one."""
    made = None
    if name in PITFALLS:
        made = PITFALLS[name].tell(teller)
    elif target is not None:
        made = FAMILIES[name].tell(teller, target)
    return None if made is None else replace(made, family=name)


def clutter_expressions(truth: SceneTruth) -> tuple[Expression, ...]:
    """
    Return the expressions of a cluttered scene: PER_CLUTTER says how many of each tag.

    Of one tag different objects are preferred.  Deterministic in the scene's seed.
    """
    rng = np.random.Generator(np.random.PCG64([truth.seed, 20260104]))
    teller = Teller(truth, rng, varied=0.2)
    chosen: dict[str, Expression] = {}
    for tag, number in PER_CLUTTER.items():
        names = [n for n, f in FAMILIES.items() if f.tag == tag and n not in TRAINING_ONLY]
        names += [n for n, p in PITFALLS.items() if p.tag == tag]
        found: dict[str, Expression] = {}
        # One sentence of every family in turn, so that those that nearly always have something
        # to say do not crowd out the others.
        for _ in range(number):
            for k in rng.permutation(len(names)):
                made = _first(teller, names[int(k)], tag)
                if made is not None:
                    found.setdefault(made.text, made)
        for expression in _different(list(found.values()), number):
            chosen.setdefault(expression.text, expression)
    return tuple(chosen.values())


def _first(teller: Teller, name: str, tag: str) -> Expression | None:
    for _ in range(CLUTTER_TRIES):
        made = _tell(teller, name, teller.choose(teller.visible))
        if made is not None and made.tag == tag:
            return made
    return None


def _different(found: list[Expression], number: int) -> list[Expression]:
    """Take so many, those about new objects first."""
    first: dict[tuple[int, ...], Expression] = {}
    for expression in found:
        first.setdefault(expression.targets, expression)
    rest = [e for e in found if first[e.targets] is not e]
    return [*first.values(), *rest][:number]
