"""Find where a thing is said to be: relations to other objects and places in the image."""
from __future__ import annotations

import re
from dataclasses import dataclass

from ris_ros.language import lexicon as lex
from ris_ros.language.phrases import NounPhrase, Sentence, noun_phrase


@dataclass(frozen=True)
class Place:
    """One place phrase, tokens start..end (exclusive).

    kind: relation type of the contract, 'position' (a place in the image) or 'other' (a
    place that is neither, such as "in the corner").  objects: the phrases it refers to.
    goal: said with "into", "onto", "to", "on top of": where something is to be put.
    """

    start: int
    end: int
    kind: str
    position: str | None = None
    objects: tuple[NounPhrase, ...] = ()
    goal: bool = False


# "in the corner of the tray" is in the tray.
_PARTS_OF_PLACES = lex.words('corner edge rim surface')


def place_at(s: Sentence, i: int, stop: int) -> Place | None:
    """Return the place phrase that begins at token `i`, if one does."""
    absolute = _absolute(s, i, stop)
    if absolute is not None:
        return absolute
    best: tuple[int, str] | None = None
    for kind, pattern in lex.RELATIONS:
        found = pattern.match(s.text, s.offset(i))
        if found and (best is None or found.end() > best[0]):
            best = (found.end(), kind)
    if best is None:
        return None
    first = s.token_after(best[0])
    if first >= stop:
        return None
    kind = best[1]
    said = s.text[s.offset(i):best[0]]
    goal = lex.GOAL_WORDS.match(said + ' ') is not None
    if kind == 'between':
        return _between(s, i, first, stop)
    if said == 'in' and _looks(s, first, stop):
        return None
    phrase = noun_phrase(s, first, stop)
    if phrase is None or phrase.head is None:
        return None
    whole = noun_phrase(s, phrase.end + 1, stop) if s.word(phrase.end) == 'of' and (
        s.low[phrase.head] in _PARTS_OF_PLACES) and phrase.end + 1 < stop else None
    if whole is not None and whole.head is not None and (
            s.low[whole.head] not in lex.IMAGE_NOUNS and kind in ('inside', 'on', 'next_to')):
        return Place(i, whole.end, kind, objects=(whole,), goal=goal)
    if kind == 'inside' and s.low[phrase.head] in lex.NO_THINGS:
        return Place(i, phrase.end, 'other')
    return Place(i, phrase.end, kind, objects=(phrase,), goal=goal)


def position_of(text: str) -> str | None:
    """Return the contract's position for words such as "upper left" or "centre"."""
    vertical = horizontal = None
    central = False
    for word in re.findall(r'[a-z]+', text):
        vertical = lex.VERTICAL.get(word, vertical)
        horizontal = lex.HORIZONTAL.get(word, horizontal)
        central = central or word in lex.CENTRAL
    if vertical and horizontal:
        return f'{vertical} {horizontal}'
    if central and vertical:
        return f'{vertical} middle'
    if central and horizontal:
        return f'middle {horizontal}'
    return vertical or horizontal or ('middle' if central else None)


def counted_from(s: Sentence, start: int, i: int) -> bool:
    """"the second zebra from the left": an ordinal makes "from the left" no position."""
    return s.low[i] in ('from', 'to') and any(
        w in lex.ORDINALS or w.endswith(('1st', '2nd', '3rd', 'th')) for w in s.low[start:i])


def _absolute(s: Sentence, i: int, stop: int) -> Place | None:
    found = lex.ABSOLUTE.match(s.text, s.offset(i))
    if found is not None:
        end = s.token_after(found.end() + 1)
        beside = found['ground'] and not found['part'] and (
            found['place'] in lex.HORIZONTAL or found[0].startswith('on '))
        if end <= stop and not beside and not _inner_noun(s, found, end, stop):
            return Place(i, end, 'position', position_of(found['place']),
                         goal=found[0].startswith('to'))
    found = lex.ELSEWHERE.match(s.text, s.offset(i))
    if found is not None:
        end = s.token_after(found.end() + 1)
        if end <= stop:
            return Place(i, end, 'other')
    return None


def _inner_noun(s: Sentence, found: re.Match[str], end: int, stop: int) -> bool:
    """"on the left plate" is no place in the image: a noun follows the place word."""
    if found['scene'] or end >= stop:
        return False
    return (s.pos[end] in ('NOUN', 'PROPN', 'ADJ') and s.low[end] not in lex.PLACE_WORDS
            and s.low[end - 1] in lex.PLACE_WORDS)


def _looks(s: Sentence, i: int, stop: int) -> bool:
    """"in red", "in a red shirt": what somebody wears, not where something is."""
    phrase = noun_phrase(s, i, stop)
    if phrase is None:
        return True
    if phrase.head is None:
        return any(w in lex.COLOURS for w in s.low[phrase.start:phrase.end])
    last = s.low[phrase.head]
    return last in lex.CLOTHES or (last in lex.COLOURS and phrase.end - phrase.start == 1)


def _between(s: Sentence, i: int, first: int, stop: int) -> Place | None:
    """"between the two cubes", "between the mug and the box"."""
    phrases: list[NounPhrase] = []
    at = first
    while at < stop and len(phrases) < 2:
        phrase = noun_phrase(s, at, stop)
        if phrase is None or phrase.head is None:
            break
        phrases.append(phrase)
        at = phrase.end
        link = _next_and(s, at, stop) if len(phrases) == 1 else None
        if link is None:
            break
        at = link + 1
    if not phrases:
        return None
    return Place(i, phrases[-1].end, 'between', objects=tuple(phrases))


def _next_and(s: Sentence, at: int, stop: int) -> int | None:
    """Index of the "and" that ties the second object of "between", if it is near enough.

    A plural ("the two cubes and ...") needs no second object.
    """
    if s.tag[at - 1] == 'NNS' and any(w in ('two', 'both', 'these', 'those') for w in s.low[:at]):
        return None
    for j in range(at, min(at + 8, stop)):
        if s.low[j] == 'and':
            return j
    return None
