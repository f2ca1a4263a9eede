"""True sentences that deny something, and those that mean several objects at once."""
from __future__ import annotations

from ris_ros.simulation import wording
from ris_ros.simulation.phrases import Phrase
from ris_ros.simulation.teller import Made, Teller, family
from ris_ros.simulation.truth import FAILS, HOLDS, verdict


@family('not_colour', 'negation', 1.2)
def not_colour(teller: Teller, i: int) -> Made:
    """"the mug that is not red": all of its likes are."""
    truth, head = teller.truth, _plain_likes(teller, i)
    if head is None:
        return None
    colours = {truth.colours[k] for k in head.fits if k != i}
    if len(colours) != 1 or truth.colours[i] in colours:
        return None
    return teller.sentence('not_colour', 'negation', [i], head, tags=['colour'],
                           c=teller.words.word(colours.pop()))


@family('not_other', 'negation', 1.2)
def not_other(teller: Teller, i: int) -> Made:
    """"the mug, not the green one": there are two."""
    truth, head = teller.truth, _plain_likes(teller, i)
    if head is None or len(head.fits) != 2:
        return None
    other = next(k for k in head.fits if k != i)
    if truth.colours[other] == truth.colours[i]:
        return None
    return teller.sentence('not_other', 'negation', [i], head, tags=['colour'],
                           c=teller.words.word(truth.colours[other]))


@family('colour_not_other', 'negation', 1.2)
def colour_not_other(teller: Teller, i: int) -> Made:
    """"the red mug, not the green one"."""
    truth, head = teller.truth, _plain_likes(teller, i)
    name = next((p for p in teller.phrases.names(i) if p.colour and not p.size), None)
    if head is None or name is None or name.kind != head.kind:
        return None
    others = sorted({truth.colours[k] for k in head.fits} - {truth.colours[i]})
    if not others:
        return None
    return teller.sentence('colour_not_other', 'negation', [i], None, [name], tags=['colour'],
                           c=teller.words.word(teller.choose(others)))


@family('not_size', 'negation', 0.8)
def not_size(teller: Teller, i: int) -> Made:
    """"the mug that is not small"."""
    truth, head = teller.truth, teller.likes(i, size=False)
    if head is None:
        return None
    size = truth.sizes[i]
    mine = [p for p in teller.phrases.of(i) if (p.kind, p.colour) == (head.kind, head.colour)
            and p.size == size]
    if not mine or not mine[0].is_unique:
        return None
    other = 'small' if size == 'large' else 'large'
    return teller.sentence('not_size', 'negation', [i], head, tags=['size'],
                           z=teller.words.pick(wording.SIZE_WORDS[other]))


@family('not_side', 'negation', 0.8)
def not_side(teller: Teller, i: int) -> Made:
    """"the mug that is not on the left": there are two."""
    head = teller.likes(i)
    if head is None or len(head.fits) != 2:
        return None
    other = next(k for k in head.fits if k != i)
    found = [s for s in ('left', 'right') if teller.truth.leader(s, head.fits) == other]
    place = teller.choose(found)
    return place and teller.sentence('not_side', 'negation', [i], head, tags=[place],
                                     side=f'the {place}')


def _denied(relation: str) -> None:
    name = f'not_{relation}'

    @family(name, 'negation', 1.0)
    def tell(teller: Teller, i: int) -> Made:
        """The relation holds for every like but the one that is meant."""
        head = teller.likes(i)
        if head is None:
            return None
        margins, rivals = teller.truth.relations[relation], [k for k in head.fits if k != i]
        names = teller.named([j for j in teller.anchors(head) if margins[i, j] < FAILS
                              and (margins[rivals, j] > HOLDS).all()])
        return teller.sentence(name, 'negation', [i], head, names, tags=[relation]) \
            if names else None


for _relation in ('on', 'inside', 'next_to'):
    _denied(_relation)


def _plain_likes(teller: Teller, i: int) -> Phrase | None:
    """Return the bare noun where it fits the object and others."""
    return next((p for p in teller.phrases.of(i)
                 if p.kind and not p.colour and not p.size and not p.is_unique), None)


@family('both', 'several', 1.0)
def both(teller: Teller, i: int) -> Made:
    """"both mugs": there are two."""
    head = teller.likes(i)
    if head is None or len(head.fits) != 2:
        return None
    return teller.sentence('both', 'several', head.fits, head)


@family('all', 'several', 1.0)
def every(teller: Teller, i: int) -> Made:
    """"all red mugs", "the three mugs"."""
    head = teller.choose([p for p in teller.phrases.of(i) if 2 < len(p.fits) <= 5])
    if head is None:
        return None
    return teller.sentence('all', 'several', head.fits, head, n=wording.NUMBERS[len(head.fits)])


@family('pair', 'several', 1.0)
def pair(teller: Teller, i: int) -> Made:
    """"the mug and the bowl"."""
    if not teller.phrases.names(i):
        return None
    names = teller.named([(i, j) for j in teller.visible if j != i and teller.phrases.names(j)])
    targets = [k for name in names for k in name.fits]
    return teller.sentence('pair', 'several', targets, None, names, tags=['pair']) \
        if names else None


@family('several_related', 'several', 1.0)
def several_related(teller: Teller, i: int) -> Made:
    """"the mugs left of the bowl": some of their likes, not all."""
    head = teller.likes(i)
    if head is None or len(head.fits) < 3:
        return None
    relation = teller.choose(list(wording.PLURAL_FORMS))
    fits, found = list(head.fits), []
    for j in teller.anchors(head):
        decided = verdict(teller.truth.relations[relation][fits, j])
        there = [k for k, d in zip(fits, decided, strict=True) if d > 0]
        if (decided != 0).all() and i in there and 1 < len(there) < len(fits):
            found.append((j, there))
    chosen = teller.choose(found)
    if chosen is None:
        return None
    forms = [f for f in wording.PLURAL_FORMS[relation]
             if 'both' not in f or len(chosen[1]) == 2]
    return teller.sentence('several_related', 'several', chosen[1], head,
                           [teller.name(chosen[0])], forms, [relation])
