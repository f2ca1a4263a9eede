"""
Sentences that no single object answers: they fit nothing in the scene, or several objects.

Nothing doubtful is said: what is called absent has no look-alike and no colour that may pass
for it, a relation that does not hold clearly fails for every object of that name, and where
several fit, none is set apart by place.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ris_ros.simulation import wording
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.simulation.phrases import Phrase
from ris_ros.simulation.teller import Made, Teller
from ris_ros.simulation.truth import CLEAR_M, CLEAR_PX, FAILS, SceneTruth, verdict
from ris_ros.simulation.wording import pair_in

TIE_PX = CLEAR_PX / 4     # nearer to each other than this, neither is further to a side
RELATIONS = ('left', 'right', 'behind', 'front', 'on', 'inside', 'next_to')


@dataclass(frozen=True)
class Pitfall:
    """A kind of sentence without a single answer: its tag, its weight, and what makes it."""

    tag: str
    weight: float
    tell: Callable[[Teller], Made]


PITFALLS: dict[str, Pitfall] = {}


def pitfall(name: str, tag: str, weight: float = 1.0
            ) -> Callable[[Callable[[Teller], Made]], Callable[[Teller], Made]]:
    """Enter a function under PITFALLS."""
    def enter(function: Callable[[Teller], Made]) -> Callable[[Teller], Made]:
        PITFALLS[name] = Pitfall(tag, weight, function)
        return function
    return enter


# --- several fit ---------------------------------------------------------------------------------

@pitfall('ambiguous_noun', 'ambiguous', 2.0)
def ambiguous_noun(teller: Teller) -> Made:
    """"the mug" where there are several."""
    head = teller.choose(teller.phrases.several)
    return head and teller.sentence('noun', 'ambiguous', head.fits, head, answerable=False,
                                    forms=['the {t}'])


@pitfall('ambiguous_place', 'ambiguous_position')
def ambiguous_place(teller: Teller) -> Made:
    """"the left mug" where two are as far left, and clearly further than any other."""
    head = _likes(teller)
    if head is None:
        return None
    place = teller.choose(wording.SIDES)
    axis, sign = (0 if place in ('left', 'right') else 1), (-1 if place in ('right', 'bottom')
                                                            else 1)
    values = sign * teller.truth.centres[list(head.fits), axis]
    order = np.argsort(values)
    if values[order[1]] - values[order[0]] > TIE_PX:
        return None
    if len(order) > 2 and values[order[2]] - values[order[1]] <= CLEAR_PX:
        return None
    name = 'side' if axis == 0 else 'height'
    return teller.sentence(name, 'ambiguous_position', [head.fits[k] for k in order[:2]], head,
                           answerable=False, side=f'the {place}', tags=[place],
                           w=teller.words.pick(wording.PLACES[place]))


@pitfall('ambiguous_middle', 'ambiguous_position', 0.5)
def ambiguous_middle(teller: Teller) -> Made:
    """"the middle mug" of four."""
    head = teller.choose([p for p in teller.phrases.several if p.kind and len(p.fits) == 4])
    row = teller.truth.row('left', head.fits) if head else None
    return teller.sentence('middle', 'ambiguous_position', row[1:3], head, answerable=False,
                           tags=['middle']) if row else None


@pitfall('ambiguous_size', 'ambiguous', 0.7)
def ambiguous_size(teller: Teller) -> Made:
    """"the big mug" where two of three are."""
    head = teller.choose([p for p in teller.phrases.several if p.size])
    return head and teller.sentence('noun', 'ambiguous', head.fits, head, answerable=False,
                                    forms=['the {t}'], tags=['size'])


@pitfall('ambiguous_relation', 'ambiguous_relation')
def ambiguous_relation(teller: Teller) -> Made:
    """"the mug left of the bowl" where several are, and none is clearly the nearest."""
    truth, head = teller.truth, _likes(teller)
    if head is None:
        return None
    relation = teller.choose(('left', 'right', 'behind', 'front', 'next_to'))
    fits, found = list(head.fits), []
    for j in teller.anchors(head):
        decided = verdict(truth.relations[relation][fits, j])
        there = [k for k, d in zip(fits, decided, strict=True) if d > 0]
        if (decided != 0).all() and len(there) > 1 and _as_near(truth, there, j):
            found.append((j, there))
    chosen = teller.choose(found)
    if chosen is None:
        return None
    return teller.sentence(relation, 'ambiguous_relation', chosen[1], head,
                           [teller.name(chosen[0])], answerable=False, tags=[relation])


def _as_near(truth: SceneTruth, there: list[int], anchor: int) -> bool:
    """Tell whether the two nearest are as near, in space or in the picture."""
    space = np.sort(truth.distances[there, anchor])
    picture = np.sort(truth.pixel_distances[there, anchor])
    return bool(space[1] - space[0] < CLEAR_M / 2 and picture[1] - picture[0] < CLEAR_PX)


# --- nothing fits --------------------------------------------------------------------------------

@pitfall('absent_kind', 'absent', 1.5)
def absent_kind(teller: Teller) -> Made:
    """"the banana" where there is none, nor anything like it."""
    phrase = _absent(teller)
    return teller.sentence('noun', 'absent', (), phrase, answerable=False) if phrase else None


@pitfall('absent_colour', 'absent', 1.5)
def absent_colour(teller: Teller) -> Made:
    """"the red mug" where no mug is red; most often something else is."""
    truth = teller.truth
    i = teller.choose(teller.visible)
    if i is None:
        return None
    mine = {c for k, c in zip(truth.kinds, truth.colours, strict=True) if k == truth.kinds[i]}
    free = [c for c in COLOURS if c not in mine
            and not any(pair_in(wording.CLOSE_COLOURS, c, other) for other in mine)]
    near = [c for c in free if c in truth.colours]
    colour = teller.choose(near if near and teller.rng.random() < 0.7 else free)
    if colour is None:
        return None
    return teller.sentence('noun', 'absent', (), Phrase(truth.kinds[i], colour, None, ()),
                           answerable=False, tags=['absent_colour'])


@pitfall('absent_anchor', 'absent_anchor', 1.5)
def absent_anchor(teller: Teller) -> Made:
    """"the mug left of the banana" where there is no banana."""
    head, phrase = teller.choose(teller.phrases.single + teller.phrases.several), _absent(teller)
    if head is None or phrase is None:
        return None
    relation = teller.choose((*RELATIONS, 'nearest'))
    return teller.sentence(relation, 'absent_anchor', (), head, [phrase], answerable=False,
                           tags=[relation])


@pitfall('false_relation', 'false_relation', 2.5)
def false_relation(teller: Teller) -> Made:
    """"the mug left of the bowl" where it clearly is not."""
    return _failing(teller, teller.choose(RELATIONS))


def _failing(teller: Teller, relation: str) -> Made:
    head = teller.choose([p for p in teller.phrases.single + teller.phrases.several if p.kind])
    if head is None:
        return None
    relations = teller.truth.relations
    # "In the plate" may be said of what is on it, so that neither must hold.
    margins = (np.maximum(relations['on'], relations['inside'])
               if relation in ('on', 'inside') else relations[relation])
    names = teller.named([j for j in teller.anchors(head)
                          if (margins[list(head.fits), j] < FAILS).all()])
    return teller.sentence(relation, 'false_relation', (), head, names, answerable=False,
                           tags=[relation]) if names else None


@pitfall('false_between', 'false_relation', 0.7)
def false_between(teller: Teller) -> Made:
    """"the mug between the bowl and the box" where it clearly is not."""
    head = teller.choose([p for p in teller.phrases.single + teller.phrases.several if p.kind])
    anchors = head and teller.anchors(head)
    if not anchors or len(anchors) < 2:
        return None
    clear = (teller.truth.between[np.ix_(head.fits, anchors, anchors)] < FAILS).all(0)
    names = teller.named([(anchors[b], anchors[c]) for b, c in np.argwhere(np.triu(clear, 1))])
    return teller.sentence('between', 'false_relation', (), head, names, answerable=False,
                           tags=['between']) if names else None


@pitfall('false_size', 'false_relation', 0.5)
def false_size(teller: Teller) -> Made:
    """"the cube bigger than the bowl" where it is smaller."""
    return _failing(teller, teller.choose(('bigger', 'smaller')))


@pitfall('false_support', 'false_relation', 1.0)
def false_support(teller: Teller) -> Made:
    """"the plate with the mug on it" where the mug stands elsewhere."""
    truth = teller.truth
    heads = [p for p in teller.phrases.single + teller.phrases.several
             if p.kind in ('plate', 'bowl', 'book')]
    head = teller.choose(heads)
    if head is None:
        return None
    fits = list(head.fits)
    names = teller.named([j for j in teller.anchors(head) if not truth.leaning[j]
                          and not truth.carries[fits, j].any()])
    form = 'container' if head.kind == 'bowl' else 'carrier'
    return teller.sentence(form, 'false_relation', (), head, names, answerable=False,
                           tags=[form]) if names else None


@pitfall('false_ordinal', 'false_ordinal', 0.7)
def false_ordinal(teller: Teller) -> Made:
    """"the third mug from the left" where there are two."""
    head = teller.choose([p for p in teller.phrases.several if p.kind and len(p.fits) < 5])
    place = teller.choose(wording.SIDES)
    return head and teller.sentence('ordinal', 'false_ordinal', (), head, answerable=False,
                                    side=f'the {place}', o=wording.ORDINALS[len(head.fits)])


@pitfall('false_negation', 'false_negation', 0.7)
def false_negation(teller: Teller) -> Made:
    """"the mug that is not red" where all are."""
    truth = teller.truth
    heads = [p for p in teller.phrases.single + teller.phrases.several
             if p.kind and not p.colour and not p.size
             and len({truth.colours[k] for k in p.fits}) == 1]
    head = teller.choose(heads)
    if head is None:
        return None
    return teller.sentence('not_colour', 'false_negation', (), head, answerable=False,
                           tags=['colour'], c=teller.words.word(truth.colours[head.fits[0]]))


def _several(teller: Teller) -> list[Phrase]:
    return [p for p in teller.phrases.several if p.kind]


def _likes(teller: Teller) -> Phrase | None:
    phrase: Phrase | None = teller.choose(_several(teller))
    return phrase


def _absent(teller: Teller) -> Phrase | None:
    """Return the name of a thing that is not there, nor anything that may be called so."""
    there = set(teller.truth.kinds)
    kinds = [k for k in KINDS if k not in there
             and not any(pair_in(wording.ALIKE, k, other) for other in there)]
    kind = teller.choose(kinds)
    if kind is None:
        return None
    colour = teller.choose(list(COLOURS)) if teller.rng.random() < 0.5 else None
    return Phrase(kind, colour, None, ())


