"""What is said of rendered scenes: the annotator of the tabletop, and no part of the training.

It knows what is true of a scene and writes sentences; training gets the sentences.  Each object
that is seen is spoken of several times, in the families and wordings of `simulation.tellings`
and one more: a place told of an object that its name already singles out ("the mug on the left"
where there is one mug).  Only such sentences say of a place on their own whether it is so.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ris_ros.simulation import describe  # noqa: F401 - enters its families
from ris_ros.simulation.expressions import Expression
from ris_ros.simulation.teller import FAMILIES, Teller
from ris_ros.simulation.truth import HOLDS, SceneTruth
from ris_ros.simulation.wording import FORMS, PLACES
from ris_ros.training.pcnet.pairs import Pairs, Picture, Said
from ris_ros.types import BadInputError

PER_OBJECT = 10       # sentences about each object of a scene
ALONE = 0.5           # how often places and relations are told of what needs none
VARIED = 0.35         # how often a word is another for the same
PLACED = 3.0          # weight of the family that is told here
TRIES = 12            # of families for one sentence


def placed(teller: Teller, i: int) -> Expression | None:
    """"the mug on the left", of the one mug, which is there."""
    head = teller.choose([p for p in teller.phrases.of(i) if p.is_unique and p.kind])
    truth = teller.truth
    found = [p for p in (*PLACES, 'middle') if truth.place[p][i] > HOLDS]
    place = teller.choose(found)
    if head is None or place is None:
        return None
    if place == 'middle':
        return teller.sentence('middle', 'position', [i], head, tags=['middle'])
    name = ('corner' if ' ' in place else 'side' if place in ('left', 'right') else 'height')
    return teller.sentence(name, 'position', [i], head, side=f'the {place}', tags=[place],
                           w=teller.words.pick(PLACES[place]), forms=FORMS[name])


def tell(truth: SceneTruth, rng: np.random.Generator, count: int = PER_OBJECT
         ) -> list[tuple[int, str]]:
    """Return up to `count` different sentences about each object in view: (instance, text).

    Every sentence fits the object and clearly no other.  instance: from 1.
    """
    teller = Teller(truth, rng, VARIED, ALONE)
    # Sorted, since the order of FAMILIES is that of imports.
    families = sorted(FAMILIES.items())
    names = [*(name for name, _ in families), 'placed']
    steps = np.cumsum([*(f.weight for _, f in families), PLACED])
    said: list[tuple[int, str]] = []
    for i in teller.visible:
        found: dict[str, None] = {}
        draws = rng.random(TRIES * count) * steps[-1]
        for k in np.searchsorted(steps, draws, side='right').tolist():
            if len(found) >= count:
                break
            name = names[k]
            made = placed(teller, i) if name == 'placed' else FAMILIES[name].tell(teller, i)
            if made is not None and made.answerable and made.targets == (i + 1,):
                found.setdefault(made.text.lower())
        said += [(i + 1, text) for text in found]
    return said


def tabletop_pairs(truths: Sequence[SceneTruth], name: str, seed: int = 0,
                   count: int = PER_OBJECT, mirrored: bool = True) -> Pairs:
    """Return the sentences about scenes in the order of their rows, without cues.

    mirrored: sentences about the pictures with left and right exchanged too.  Raises
    BadInputError for a count below one.
    """
    from tqdm import tqdm
    if count < 1:
        raise BadInputError('at least one sentence about each object must be told')
    pictures = []
    for row, truth in enumerate(tqdm(truths, desc='telling', unit='scene')):
        for side in ((False, True) if mirrored else (False,)):
            rng = np.random.default_rng((seed, truth.seed, int(side)))
            seen = truth.mirrored() if side else truth
            pictures.append(Picture(str(truth.seed), row,
                                    tuple(_said(truth.seed, tell(seen, rng, count))), side))
    return Pairs(name, [p for p in pictures if p.said])


def _said(seed: int, told: Iterable[tuple[int, str]]) -> Iterable[Said]:
    return (Said(f'{seed}:{instance}', text, ()) for instance, text in told)
