"""From one parsed sentence to a Command and the Doc of its target."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ris_ros.language import lexicon as lex
from ris_ros.language.accounting import unused
from ris_ros.language.analysis import Analysis
from ris_ros.language.negation import with_negations
from ris_ros.language.phrases import Sentence, noun_phrase
from ris_ros.language.places import Place, place_at
from ris_ros.language.speech import Speech
from ris_ros.language.targets import (
    Found,
    cut_at,
    destination_index,
    read_object,
    target_of,
    tokens_of,
)
from ris_ros.language.tree import cut
from ris_ros.language.verbs import Action, find_action
from ris_ros.types import Command, Ignored, Relation

if TYPE_CHECKING:
    from spacy.tokens import Doc

# Relation types that a place in the image gives as a destination ("put it on the left").
_SIDES = {'left': 'left', 'right': 'right'}


def understand(text: str, doc: Doc, speech: Speech | None = None,
               read: Callable[[str], Doc] | None = None) -> Analysis:
    """Return the analysis of one parsed command; never raises for odd sentences.

    text: what was said, kept in the Command.  doc: the parse of its cleaned form, or of what
    `listen` left of it, the `speech`; `read` then parses what the speech denies.
    """
    s = Sentence(doc)
    action = find_action(s)
    found, destination = _objects(s, action)
    heard = tuple(speech.ignored) if speech else ()
    if not found:
        denied = tuple(Ignored(d.words, 'what it is not, of no object', constraint=True)
                       for d in speech.denied) if speech else ()
        left = unused(s, action, [], destination)
        return Analysis(Command(text, action.name, None, destination,
                                problem=_what_is_missing(s, action),
                                ignored=(*heard, *denied, *left)), None)
    targets = tuple(target_of(s, f, action.skip) for f in found)
    if speech and speech.denied and read:
        targets = with_negations(targets, found, s, speech.denied, read)
    first = found[0]
    if action.motion and action.start < len(s):
        destination = destination or _way(s, action, targets[0].head)
    command = Command(text, action.name, targets[0], destination, targets,
                      ignored=(*heard, *unused(s, action, found, destination)))
    indices = tokens_of(s, first, action.skip)
    return Analysis(command, cut(doc, indices, first.phrase, first.objects()))


def _objects(s: Sentence, action: Action) -> tuple[list[Found], Relation | None]:
    """All objects the command is about, and where they are to go."""
    found: list[Found] = []
    destination = None
    at = action.start
    if action.motion and (way := place_at(s, at, action.stop)) and way.objects:
        at = way.objects[0].start
    while at < action.stop:
        one = read_object(s, at, action.stop, action.skip)
        if one is None or (action.verb and one.phrase.head is None
                           and s.low[at] in lex.PLACE_WORDS):
            break
        end = one.end
        index = destination_index(one, s, action.verb)
        if index is not None:
            destination = _relation(s, one.places[index])
            one = cut_at(one, one.places[index].start)
        else:
            one, goal = _delivery(s, one, action)
            destination = destination or goal
        found.append(one)
        at = _next_object(s, end, action.stop)
    if destination is None:
        destination = _later_destination(s, action, found)
    return found, destination


def _relation(s: Sentence, place: Place) -> Relation | None:
    """A place as a relation to its first object; None for places without either."""
    head = place.objects[0].head if place.objects else None
    if head is not None:
        said = s.doc[place.objects[0].start:place.end].text
        return Relation(place.kind, s.doc[head].text, said)
    side = _SIDES.get(place.position or '')
    return Relation(side, '') if side else None


def _next_object(s: Sentence, at: int, stop: int) -> int:
    """Index behind "and" or a comma where the next object begins; `stop` where none does."""
    moved = at
    while moved < stop and s.low[moved] in ('and', ',', 'or', 'also', 'then', 'plus', 'both'):
        moved += 1
    if moved == at or moved >= stop:
        return stop
    if s.low[moved] in lex.VERBS and s.pos[moved] == 'VERB' and (
            s.low[moved] not in lex.AMBIGUOUS_VERBS
            or s.word(moved + 1) in lex.DETERMINERS | lex.BARE_PRONOUNS):
        return stop
    return moved


def _delivery(s: Sentence, found: Found, action: Action) -> tuple[Found, Relation | None]:
    """Cut off what belongs to the verb, and say where the object is to go.

    "bring the mug to the table" (a thing is a destination), "hand it to the nurse" (a person
    is none), "lift the lid off the pot", "fill the glass with water".
    """
    ends = lex.VERB_COMPLEMENTS.get(action.verb or '', frozenset()) | (
        {'off', 'out'} if action.verb else set())
    delivers = action.verb in lex.DISPLACING_VERBS | lex.PUT_VERBS | lex.GIVE_VERBS
    for i in range(found.phrase.end, found.end):
        if i in action.skip or any(p.start <= i < p.end for p in found.places):
            continue
        if s.low[i] in ends and i + 1 < found.end:
            return cut_at(found, i), None
        if not delivers or s.low[i] not in ('to', 'towards', 'toward') or (
                s.word(i - 1) in lex.SUPERLATIVES | {'closer', 'nearer'}):
            continue
        goal = noun_phrase(s, i + 1, action.stop)
        if goal is None or goal.head is None:
            continue
        noun = s.low[goal.head]
        if noun in lex.PEOPLE or action.verb not in lex.DISPLACING_VERBS | lex.PUT_VERBS:
            return cut_at(found, i), None
        kind = ('on' if noun in lex.SURFACES
                else 'inside' if noun in lex.CONTAINERS else 'next_to')
        return cut_at(found, i), Relation(kind, s.doc[goal.head].text,
                                          s.doc[goal.start:goal.end].text)
    return found, None


def _later_destination(s: Sentence, action: Action, found: list[Found]) -> Relation | None:
    """"... and put it in the bowl": where a pronoun for the object is to go.

    Also "put it in the bowl" itself, where no object is named.
    """
    begin = found[-1].end if found else action.start
    verb = action.verb if not found else None
    for i in range(begin, action.stop):
        if s.low[i] in lex.PUT_VERBS | lex.DISPLACING_VERBS:
            verb = s.low[i]
        elif verb in lex.PUT_VERBS | lex.DISPLACING_VERBS and s.low[i] in (
                'it', 'them', 'that', 'this', 'these', 'those'):
            for j in range(i + 1, min(i + 4, action.stop)):
                place = place_at(s, j, action.stop)
                if place is not None:
                    return _relation(s, place)
    return None


def _way(s: Sentence, action: Action, head: str | None) -> Relation | None:
    """"drive behind the box": the object is the box, the place behind it the destination."""
    place = place_at(s, action.start, action.stop)
    return _relation(s, place) if place is not None and head else None


def _what_is_missing(s: Sentence, action: Action) -> str:
    rest = s.low[action.start:action.stop]
    pronoun = next((w for w in rest if w in lex.BARE_PRONOUNS), None)
    if pronoun is not None:
        return (f'It is not known what "{pronoun}" means; name the object, '
                'for example "the red mug".')
    if action.name:
        return f'No object is named after "{action.name}"; say which, for example "the red mug".'
    return 'No object is named; say which, for example "the red mug".'
