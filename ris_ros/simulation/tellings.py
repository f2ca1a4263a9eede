"""
True sentences about one object of a scene: a function for each family of templates.

Every family takes a `Teller` and the index of the object that is meant, and returns a
sentence that fits this object and clearly fits no other, or None where the family has
nothing to say.  What is decided, and by which margin, is `simulation.truth`'s alone.
"""
from __future__ import annotations

import numpy as np

from ris_ros.simulation import wording
from ris_ros.simulation.phrases import Phrase
from ris_ros.simulation.teller import Made, Teller, family
from ris_ros.simulation.truth import FAILS, HOLDS, TABLE, SceneTruth, verdict
from ris_ros.simulation.wording import FORMS

# Where the picture's own direction decides, and which way that is.
DIRECTIONS = {'left': 'left', 'right': 'right', 'above': 'top', 'below': 'bottom'}


def _rivals(head: Phrase, i: int) -> list[int]:
    return [r for r in head.fits if r != i]


# --- by name, colour and size --------------------------------------------------------------------

@family('noun', 'attribute', 3.0)
def noun(teller: Teller, i: int) -> Made:
    """"the mug", "red mug", "the red thing"."""
    phrase = teller.choose([p for p in teller.phrases.of(i) if p.is_unique])
    if phrase is None:
        return None
    return teller.sentence('noun', 'size' if phrase.size else 'attribute', [i], phrase)


@family('caption', 'attribute', 1.5)
def caption(teller: Teller, i: int) -> Made:
    """"a photo of a red mug"."""
    phrase = teller.choose([p for p in teller.phrases.of(i) if p.is_unique])
    return phrase and teller.sentence('caption', 'attribute', [i], phrase)


@family('colour_clause', 'attribute')
def colour_clause(teller: Teller, i: int) -> Made:
    """"the mug that is red"."""
    phrase = teller.choose([p for p in teller.phrases.of(i)
                            if p.is_unique and p.kind and p.colour and not p.size])
    plain = phrase and next((p for p in teller.phrases.of(i)
                             if p.kind and not p.colour and not p.size), None)
    if not phrase or not plain:
        return None
    return teller.sentence('colour_clause', 'attribute', [i], plain,
                           c=teller.words.word(phrase.colour))


@family('only', 'attribute', 0.7)
def only(teller: Teller, i: int) -> Made:
    """"the only red thing"."""
    phrase = teller.choose([p for p in teller.phrases.of(i) if p.is_unique and not p.size])
    return phrase and teller.sentence('only', 'attribute', [i], phrase)


@family('superlative', 'size', 1.5)
def superlative(teller: Teller, i: int) -> Made:
    """"the smallest mug"; "the bigger mug" of two."""
    head = teller.likes(i, size=False)
    if head is None:
        return None
    bigger, rivals = teller.truth.relations['bigger'], _rivals(head, i)
    for size, margins in (('large', bigger[i, rivals]), ('small', bigger[rivals, i])):
        if (margins > HOLDS).all():
            words = wording.MORE if len(rivals) == 1 else wording.MOST
            return teller.sentence('superlative', 'size', [i], head,
                                   w=teller.words.pick(words[size]))
    return None


@family('biggest_thing', 'size', 0.5)
def biggest_thing(teller: Teller, i: int) -> Made:
    """"the biggest thing on the table"."""
    rest = [j for j in range(len(teller.truth)) if j != i]
    bigger = teller.truth.relations['bigger']
    for size, margins in (('large', bigger[i, rest]), ('small', bigger[rest, i])):
        if rest and (margins > HOLDS).all() and len(teller.visible) > len(rest):
            thing = Phrase(None, None, None, tuple(range(len(teller.truth))))
            return teller.sentence('biggest_thing', 'size', [i], thing,
                                   w=teller.words.pick(wording.MOST[size]))
    return None


# --- by place ------------------------------------------------------------------------------------

@family('side', 'position', 2.0)
def side(teller: Teller, i: int) -> Made:
    """"the mug on the left", "the top mug"."""
    head = teller.likes(i)
    found = head and [s for s in wording.SIDES if teller.truth.leader(s, head.fits) == i]
    if not head or not found:
        return None
    place = teller.choose(found)
    name = 'side' if place in ('left', 'right') else 'height'
    return teller.sentence(name, 'position', [i], head, side=f'the {place}',
                           w=teller.words.pick(wording.PLACES[place]), tags=[place])


@family('extreme', 'position')
def extreme(teller: Teller, i: int) -> Made:
    """"the leftmost mug", "the rightmost thing" of all."""
    head = teller.likes(i)
    if teller.rng.random() < 0.3 and len(teller.visible) == len(teller.truth) > 1:
        head = Phrase(None, None, None, tuple(range(len(teller.truth))))
    found = head and [s for s in wording.SIDES if teller.truth.leader(s, head.fits) == i]
    if not head or not found:
        return None
    place = teller.choose(found)
    return teller.sentence('extreme', 'position', [i], head, tags=[place],
                           w=teller.words.pick(wording.EXTREMES[place]))


@family('corner', 'position', 1.5)
def corner(teller: Teller, i: int) -> Made:
    """"the upper left mug": furthest both ways, and in that part of the picture."""
    head = teller.head(i)
    if head is None:
        return None
    found = [p for p in wording.PLACES if ' ' in p and teller.truth.place[p][i] > HOLDS
             and (head.is_unique or teller.truth.leader(p, head.fits) == i)]
    place = teller.choose(found)
    return place and teller.sentence('corner', 'position', [i], head, tags=[place],
                                     w=teller.words.pick(wording.PLACES[place]))


@family('middle', 'position')
def middle(teller: Teller, i: int) -> Made:
    """"the middle mug" of three or five."""
    head = teller.likes(i)
    if head is None or teller.truth.middle_of(head.fits) != i:
        return None
    return teller.sentence('middle', 'position', [i], head, tags=['middle'])


@family('ordinal', 'ordinal', 1.5)
def ordinal(teller: Teller, i: int) -> Made:
    """"the second mug from the left"."""
    head = teller.likes(i)
    if head is None or len(head.fits) < 3:
        return None
    place = teller.choose(wording.SIDES)
    row = teller.truth.row(place, head.fits)
    if row is None or row.index(i) >= len(wording.ORDINALS):
        return None
    return teller.sentence('ordinal', 'ordinal', [i], head, tags=[place], side=f'the {place}',
                           o=wording.ORDINALS[row.index(i)])


# --- by another object ---------------------------------------------------------------------------

def related(relation: str, weight: float, tag: str = 'relation') -> None:
    """Enter the family of one relation: it holds for the target and clearly for no rival."""
    @family(relation, tag, weight)
    def tell(teller: Teller, i: int) -> Made:
        head = teller.head(i)
        if head is None:
            return None
        margins, rivals = teller.truth.relations[relation], _rivals(head, i)
        names = teller.named([j for j in teller.anchors(head) if margins[i, j] > HOLDS
                              and (margins[rivals, j] < FAILS).all()])
        if not names:
            return None
        return teller.sentence(relation, tag, [i], head, names,
                               tags=[relation, *_direction(teller, relation, head, i)])


for _relation, _weight in (('left', 1.2), ('right', 1.2), ('behind', 1.0), ('front', 1.0),
                           ('on', 1.5), ('inside', 1.5), ('next_to', 1.2), ('above', 0.4),
                           ('below', 0.4)):
    related(_relation, _weight)
for _relation in ('bigger', 'smaller'):
    related(_relation, 0.5, 'size')


def _direction(teller: Teller, relation: str, head: Phrase, i: int) -> list[str]:
    """Say whether the target is the extreme of its likes in the direction that is named."""
    way = DIRECTIONS.get(relation)
    if way is None or head.is_unique:
        return []
    return ['extreme' if teller.truth.leader(way, head.fits) == i else 'not_extreme']


@family('between', 'relation')
def between(teller: Teller, i: int) -> Made:
    """"the mug between the bowl and the box"."""
    head = teller.head(i)
    anchors = head and teller.anchors(head)
    if not head or not anchors or len(anchors) < 2:
        return None
    picked = np.ix_([i, *_rivals(head, i)], anchors, anchors)
    decided = verdict(teller.truth.between[picked])
    good = np.argwhere(np.triu((decided[0] > 0) & (decided[1:] < 0).all(0), 1))
    names = teller.named([(anchors[b], anchors[c]) for b, c in good])
    if not names:
        return None
    return teller.sentence('between', 'relation', [i], head, names, tags=['between'])


def _closest(name: str, far: bool) -> None:
    @family(name, name, 1.0)
    def tell(teller: Teller, i: int) -> Made:
        head = teller.likes(i)
        if head is None:
            return None
        found = [j for j in teller.anchors(head) if teller.truth.nearest(j, head.fits, far) == i]
        names = teller.named(found)
        lead = any(teller.truth.leader(s, head.fits) == i for s in wording.SIDES)
        return teller.sentence(name, name, [i], head, names, tags=[
            'extreme' if lead else 'not_extreme']) if names else None


_closest('nearest', far=False)
_closest('farthest', far=True)


def _directly(relation: str) -> None:
    name = f'directly_{relation}'

    @family(name, 'directly', 0.6)
    def tell(teller: Teller, i: int) -> Made:
        """The nearest of several on one side of another object, others further that way."""
        truth, head = teller.truth, teller.likes(i)
        if head is None:
            return None
        margins, found = truth.relations[relation], []
        for j in teller.anchors(head):
            decided = verdict(margins[list(head.fits), j])
            there = [k for k, d in zip(head.fits, decided, strict=True) if d > 0]
            if (decided == 0).any() or i not in there or len(there) < 2:
                continue
            beyond = margins[i, [k for k in there if k != i]] < FAILS
            if beyond.any() and truth.nearest(j, there) == i and _straight(truth, relation, i, j):
                found.append(j)
        names = teller.named(found)
        return teller.sentence(name, 'directly', [i], head, names,
                               tags=[relation, 'not_extreme']) if names else None


for _relation in ('left', 'right', 'behind', 'front'):
    _directly(_relation)


def _straight(truth: SceneTruth, relation: str, i: int, j: int) -> bool:
    """Tell whether one object is rather in this direction of another than aside of it."""
    if relation in ('left', 'right'):
        across, along = (abs(truth.centres[i, k] - truth.centres[j, k]) for k in (1, 0))
    else:
        across, along = (abs(truth.xyz[i, k] - truth.xyz[j, k]) for k in (0, 2))
    return bool(across < along)


@family('compound', 'compound', 1.2)
def compound(teller: Teller, i: int) -> Made:
    """"the mug left of the bowl and behind the box": neither clause is enough."""
    truth, head = teller.truth, teller.likes(i)
    if head is None or len(head.fits) < 3:
        return None
    fits, clauses = list(head.fits), []
    for relation in wording.CLAUSES:
        margins = truth.relations[relation]
        for j in teller.anchors(head):
            decided = verdict(margins[fits, j])
            there = frozenset(k for k, d in zip(fits, decided, strict=True) if d > 0)
            if (decided != 0).all() and i in there and len(there) > 1:
                clauses.append((relation, j, there))
    pairs = [(a, b) for k, a in enumerate(clauses) for b in clauses[k + 1:]
             if a[1] != b[1] and a[2] & b[2] == {i}]
    pair = teller.choose(pairs)
    if pair is None:
        return None
    names = teller.named([[j for _, j, _ in pair]])
    parts = [teller.words.pick(wording.CLAUSES[r]) for r, _, _ in pair]
    form = teller.words.pick(wording.COMPOUND_FORMS) % (parts[0].format('{a}'),
                                                        parts[1].format('{b}'))
    tags = [*dict.fromkeys(t for r, _, _ in pair for t in (r, *_direction(teller, r, head, i)))]
    return teller.sentence('compound', 'compound', [i], head, names, [form], tags)


# --- by what carries and what is carried ---------------------------------------------------------

@family('carrier', 'support', 1.2)
def carrier(teller: Teller, i: int) -> Made:
    """"the plate with the mug on it", "the bowl that holds the ball"."""
    truth, head = teller.truth, teller.head(i)
    loads = [j for j in teller.visible if truth.support[j] == i and not truth.leaning[j]]
    names = teller.named([j for j in loads if teller.phrases.names(j)])
    if head is None or not names:
        return None
    form = 'container' if truth.contained[names[0].fits[0]] else 'carrier'
    return teller.sentence(form, 'support', [i], head, names, tags=[form])


@family('empty', 'support', 0.8)
def empty(teller: Teller, i: int) -> Made:
    """"the empty bowl": all its likes carry something."""
    truth, head = teller.truth, teller.likes(i)
    if head is None or truth.kinds[i] not in ('plate', 'bowl', 'book') or truth.leaning.any():
        return None
    loaded = [bool((truth.support == k).any()) for k in head.fits]
    if loaded[head.fits.index(i)] or sum(loaded) != len(loaded) - 1:
        return None
    form = 'empty_container' if truth.kinds[i] == 'bowl' else 'empty'
    forms = FORMS[form][1:] if truth.kinds[i] == 'book' else None    # a book is never "empty"
    return teller.sentence(form, 'support', [i], head, forms=forms, tags=['empty', 'negation'])


@family('bare_table', 'support', 0.8)
def bare_table(teller: Teller, i: int) -> Made:
    """"the mug standing directly on the table": its likes stand on or in something."""
    truth, head = teller.truth, teller.likes(i)
    if head is None or truth.leaning[list(head.fits)].any() or truth.support[i] != TABLE:
        return None
    if (truth.support[_rivals(head, i)] == TABLE).any():
        return None
    return teller.sentence('bare_table', 'support', [i], head, tags=['bare_table'])
