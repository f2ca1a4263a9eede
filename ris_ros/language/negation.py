"""What an object must not be, read as the thing that is denied (ours)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ris_ros.language import lexicon as lex
from ris_ros.language.phrases import Sentence
from ris_ros.language.speech import Denied
from ris_ros.language.targets import Found, read_object, target_of
from ris_ros.types import Negation, Target

if TYPE_CHECKING:
    from spacy.tokens import Doc


# "does not have a lid": the verb stays as it is.
_PLAIN_VERBS = lex.words('have contain hold touch look belong stand sit lie show wear carry')


def with_negations(targets: Sequence[Target], found: Sequence[Found], s: Sentence,
                   denied: Sequence[Denied], read: Callable[[str], Doc]) -> tuple[Target, ...]:
    """Return the targets, each with what is said that it is not.

    found: the objects as they stand in `s`, one per target.  denied: see `speech.listen`.
    A denial belongs to the object in front of it, or to the first.
    """
    added: list[list[Negation]] = [[] for _ in targets]
    for one in denied:
        starts = [s.doc[f.phrase.start].idx for f in found]
        of = max((i for i, start in enumerate(starts) if start < one.at), default=0)
        added[of].append(_negation(one, targets[of], found[of], s, read))
    return tuple(_of_its_kind(replace(t, negations=(*t.negations, *more))) if more else t
                 for t, more in zip(targets, added, strict=True))


def _of_its_kind(target: Target) -> Target:
    """Return "not the red apple, the orange one" as called an "orange apple"; its head stays."""
    kind = next((n.excluded.head for n in target.negations
                 if n.kind == 'object' and n.excluded.head not in (None, 'one', 'ones')), None)
    if kind is None or target.head not in ('one', 'ones'):
        return target
    return replace(target, name=' '.join([*target.name.split()[:-1], kind.lower()]))


def _negation(one: Denied, target: Target, found: Found, s: Sentence,
              read: Callable[[str], Doc]) -> Negation:
    if one.whole:
        excluded = _target(one.excluded, read)
        if excluded.head in ('one', 'ones') and target.head and excluded.expression.endswith(
                f' {excluded.head}'):
            described = excluded.expression.rsplit(' ', 1)[0]
            excluded = replace(excluded, head=target.head,
                               expression=f'{described} {target.head}')
        return Negation('object', one.words, excluded)
    nearest = max((p for p in (found.phrase, *found.objects())
                   if s.doc[p.end - 1].idx < one.at), key=lambda p: p.end, default=found.phrase)
    noun = 'one' if nearest.head is None else s.doc[nearest.head].text
    said = one.excluded.lower().split()
    plain = all(w in lex.COLOURS | lex.COMMON_ADJECTIVES or w in ('and', 'or') for w in said)
    link = 'that' if said and said[0] in _PLAIN_VERBS else 'that is'
    excluded = _target(f'the {one.excluded} {noun}' if plain or (len(said) == 1 and said[0] not in
                       lex.PLACE_WORDS) else f'the {noun} {link} {one.excluded}', read)
    if nearest is not found.phrase:
        return Negation('other', one.words, excluded)
    facts = {'attribute': excluded.attributes, 'position': excluded.position,
             'relation': excluded.relations}
    kinds = [kind for kind, fact in facts.items() if fact]
    return Negation(kinds[0] if len(kinds) == 1 else 'other', one.words, excluded)


def _target(text: str, read: Callable[[str], Doc]) -> Target:
    s = Sentence(read(text))
    found = read_object(s, 0, len(s), frozenset())
    return Target(text) if found is None else target_of(s, found, frozenset())
