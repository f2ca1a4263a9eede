"""Answers to a question about several objects: "the yellow one", "the second", "no, the other".

Only what an answer says of itself is read here; which object that is, the dialogue finds out.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from ris_ros.language import lexicon as lex
from ris_ros.language.clean import tidy

_SAME_COLOURS = {'grey': 'gray', 'violet': 'purple', 'magenta': 'pink', 'golden': 'yellow',
                 'turquoise': 'cyan', 'crimson': 'red', 'beige': 'white', 'navy': 'blue',
                 'tan': 'brown', 'maroon': 'brown'}
COLOURS = lex.words('red orange yellow green cyan blue purple pink brown black white gray')
_PLACES = {'front': 'front', 'frontmost': 'front', 'closest': 'front', 'nearest': 'front',
           'closer': 'front', 'nearer': 'front', 'back': 'back', 'rear': 'back',
           'behind': 'back', 'farthest': 'back', 'furthest': 'back', 'farther': 'back',
           'further': 'back', **lex.HORIZONTAL, **lex.VERTICAL,
           **dict.fromkeys(lex.CENTRAL, 'middle')}
_SIZES = {
    **dict.fromkeys(lex.words('big bigger biggest large larger largest tall taller tallest'),
                    'bigger'),
    **dict.fromkeys(lex.words('small smaller smallest little tiny short shorter shortest'),
                    'smaller')}
_NTH = dict(first=1, second=2, third=3, fourth=4, fifth=5, sixth=6, last=-1) | {
    '1st': 1, '2nd': 2, '3rd': 3, '4th': 4, '5th': 5, '6th': 6}
_CARDINAL = dict(one=1, two=2, three=3, four=4, five=5, six=6) | {
    str(i): i for i in range(1, 7)}
_NUMBERED = re.compile(r'\b(?:number|option) (?P<n>one|two|three|four|five|six|[1-6])\b')
_ALONE = re.compile(r'(?:number )?(?P<n>two|three|four|five|six|[1-6])')
_YES = re.compile(r'(?:yes|yeah|yep|yup|right|correct|exactly|sure|ok|okay|that one|this one'
                  r'|that\'s (?:it|right)|yes please|yes that one|please do|do it)')
_NO = re.compile(r'(?:no|nope|neither(?: one| of them)?|none(?: of (?:them|these|those))?'
                 r'|not (?:that|this)(?: one)?|no neither|no none of them)')
_ALL = re.compile(r'(?:both|all|every one|each)(?: of (?:them|these|those))?(?: please)?')
_SILENT = lex.words(
    "the one ones a an it is it 's i mean meant want would like to on at in of from side hand "
    'please no yes um uh er oh that which this my take pick up give me get grab bring lift well '
    'sorry wait nope yeah okay ok most end corner far and then thanks thank you robot hey')


@dataclass(frozen=True)
class Answer:
    """What an answer says.

    colour: from COLOURS.  place: 'left', 'right', 'top', 'bottom', 'middle', 'front' or 'back'.
    size: 'bigger' or 'smaller'.  nth: as told, from 1, -1 the last; with a place, from there.
    other: not the one before.  everything: all of them.  yes, no: nothing but that.  denied: the
    rest says what is not meant.  corrects: it takes something back ("no, ...").  sentence: an
    expression that only a look can resolve ("the box next to the bowl").
    """

    colour: str | None = None
    place: str | None = None
    size: str | None = None
    nth: int | None = None
    other: bool = False
    everything: bool = False
    yes: bool = False
    no: bool = False
    denied: bool = False
    corrects: bool = False
    sentence: str | None = None


def read_answer(text: str, name: str) -> Answer | None:
    """Return what a text says as an answer about things called `name`; None where it is none.

    A command of its own, one that names something else, is no answer.
    """
    said = re.sub(r'[,.;:!?]+', ' ', tidy(text).lower()) if isinstance(text, str) else ''
    said = re.sub(r"\bisn't\b", 'is not', re.sub(r'\s+', ' ', said)).strip()
    if not said or len(said) > 200:
        return None
    for pattern, answer in ((_YES, Answer(yes=True)), (_NO, Answer(no=True, corrects=True)),
                            (_ALL, Answer(everything=True))):
        if pattern.fullmatch(said):
            return answer
    corrects = re.match(r'(?:no|nope|not|wait|sorry)\b', said) is not None
    numbered = _NUMBERED.search(said) or _ALONE.fullmatch(said)
    if numbered:
        return Answer(nth=_CARDINAL[numbered['n']], corrects=corrects)
    words = [w for w in said.split() if w not in _SILENT and w not in name.split()
             and w not in (f'{name}s', f'{name}es')]
    if not words and re.search(r'\bone\b', said) is None and name not in said:
        return None
    found = _features(words)
    if found is not None:
        return Answer(**found, corrects=corrects)
    if re.search(r'\bones?\b', said) and not corrects:  # "the one next to the bowl"
        return Answer(sentence=re.sub(r'\bones?\b', name, said, count=1))
    return None


def _features(words: list[str]) -> dict | None:
    """Return the fields that words fill, None where a word fills none, or none does."""
    found: dict = {}
    for word in words:
        plain = _SAME_COLOURS.get(word, word)
        if plain in COLOURS:
            found['colour'] = plain
        elif word in _PLACES:
            found['place'] = _PLACES[word]
        elif word in _SIZES:
            found['size'] = _SIZES[word]
        elif word in _NTH:
            found['nth'] = _NTH[word]
        elif word == 'other':
            found['other'] = True
        elif word == 'not':
            found['denied'] = True
        else:
            return None
    return found if set(found) - {'denied'} else None
