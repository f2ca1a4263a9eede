"""Read a referring expression: the whole text means an object, and none is refused.

Data sets hold "front", "him on left" and "#23".  Whoever commands a robot is asked what that
means; published code segments it, and so evaluation must.
"""
from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

from ris_ros.language import lexicon as lex
from ris_ros.language.analysis import Analysis
from ris_ros.language.clean import tidy
from ris_ros.language.phrases import NounPhrase, Sentence, noun_phrase
from ris_ros.language.pipelines import load_pipeline
from ris_ros.language.places import Place, place_at
from ris_ros.language.targets import Found, read_object, target_of
from ris_ros.language.tree import cut
from ris_ros.types import BadInputError, Command

if TYPE_CHECKING:
    from spacy.tokens import Doc


def analyse_expression(text: str, pipeline: str = 'auto') -> Analysis:
    """Return the analysis of a text that is one referring expression as a whole.

    Never refuses: the target's expression and the Doc are all of the text, of any length and
    language; no word is taken for a command.  The head is the first noun that is not there to
    say where something is, else a pronoun, else None (as in "front"); attributes, position
    and relations are what the phrase rules find.  Thread-safe; the last 256 are kept.
    Raises BadInputError for what is no text or white space alone, and what
    `pipelines.load_pipeline` raises.
    """
    if not isinstance(text, str) or not text.strip():
        raise BadInputError(f'an expression must be text with a word in it, not {text!r}')
    return _read(text, pipeline)


@lru_cache(maxsize=256)
def _read(text: str, pipeline: str) -> Analysis:
    # of "#" or an emoji alone nothing legible is left: then it stays as it is
    said = tidy(text) or ' '.join(text.split())
    return understand_expression(text, load_pipeline(pipeline)(said))


def understand_expression(text: str, doc: Doc) -> Analysis:
    """Return the analysis of a parsed expression; `doc` is not empty."""
    s = Sentence(doc)
    found = _object(s)
    target = dataclasses.replace(target_of(s, found, frozenset()), expression=doc.text)
    if any(p.objects and p.start <= found.phrase.start < p.end for p in found.places):
        # "left of the bowl": its words are the relation, no place in the image
        target = dataclasses.replace(target, position=next(
            (p.position for p in found.places if p.position), None))
    command = Command(text, None, target, None, (target,))
    return Analysis(command, cut(doc, range(len(doc)), found.phrase, found.objects()))


def _object(s: Sentence) -> Found:
    """Return the object that the expression is about, with the places said before its noun."""
    before: list[Place] = []
    headless: NounPhrase | None = None
    at = 0
    while at < len(s):
        phrase = noun_phrase(s, at, len(s))
        if phrase is not None and phrase.head is not None:
            found = read_object(s, at, len(s), frozenset())
            if found is not None:
                return _with(found, before)
        place = place_at(s, at, len(s)) if phrase is None else None
        if place is not None:
            before.append(place)
            at = place.end
            continue
        headless = headless or phrase
        at = max(at + 1, 0 if phrase is None else phrase.end)
    return _with(_without_noun(s, headless, before), before)


def _with(found: Found, before: list[Place]) -> Found:
    found.places[:0] = before
    found.own[:0] = [True] * len(before)
    found.linked[:0] = [False] * len(before)
    return found


def _without_noun(s: Sentence, headless: NounPhrase | None, before: list[Place]) -> Found:
    """Return a pronoun as the object, else the phrase without a noun, else the parse's root."""
    pronoun = next((i for i in range(len(s)) if s.pos[i] == 'PRON'
                    and s.low[i] not in lex.DETERMINERS), None)
    if pronoun is not None:
        phrase = NounPhrase(pronoun, pronoun + 1, pronoun)
    elif headless is not None:
        phrase = headless
    else:
        root = next((t.i for t in s.doc if t.dep_ == 'ROOT'), len(s) - 1)
        phrase = NounPhrase(root, root + 1, None)
    trailing = [i for i in range(len(s)) if s.low[i] in lex.PLACE_WORDS
                and not phrase.start <= i < phrase.end
                and not any(p.start <= i < p.end for p in before)]
    return Found(phrase, len(s), trailing=trailing)
