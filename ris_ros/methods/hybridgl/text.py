"""Text side of HybridGL: target phrase, other nouns, direction and relation words.

Two rule sets (`rules`):

released  the authors' code, oddities included: "right" never becomes a relation, "big" and
          "small" themselves mean nothing, position words win by the sentence index of their
          syntactic head.
paper     section 3.3 read soundly: relations left, right, top, bottom, within, smaller and
          bigger, positions top, bottom, left, right and middle, each with the inflected
          forms people use.  Two readings of ours: a position word that relates the target to
          another object ("left of the bowl") is a relation and sets no position; "on" and
          "on top of" another object count as above it.

The word tables are data; nothing here needs a model, only a parsed spaCy Doc.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ris_ros.language.lexicon import words

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token

Rules = Literal['paper', 'released']
Direction = Literal['left', 'right', 'middle', 'up', 'down', 'none']
RelationFlag = Literal['none', 'left', 'right', 'up', 'down', 'big', 'small', 'within']


@dataclass(frozen=True)
class HybridGLText:
    """What HybridGL takes from one expression, all text lower-cased.

    sentence: tokens joined by single spaces.  noun_phrase: the target's own phrase.
    other_noun_phrases: phrases of the other objects, in order.  direction: position prior
    for the guidance map.  relation: relation function between target and other boxes.
    """

    sentence: str
    noun_phrase: str
    other_noun_phrases: tuple[str, ...]
    direction: Direction
    relation: RelationFlag


# Roots of noun chunks that are places or comparisons, not objects (released code).
NOT_OBJECTS = words(
    'left west right east above north top back behind below south under front bigger larger '
    'closer smaller tinier further inside within contained who what which middle')
# Nouns for the image itself: their presence switches the released relation off.
IMAGE_NOUNS = words(
    'part image side picture half region section photo')

RELEASED_DIRECTIONS: Mapping[str, frozenset[str]] = {
    'left': frozenset({'left'}),
    'right': frozenset({'right'}),
    'middle': frozenset({'middle', 'between'}),
    'up': frozenset({'up', 'top', 'above'}),
    'down': frozenset({'down', 'under', 'bottom', 'low'}),
}
# The released code also lists right/east but compares in a way that is never true, so a
# "right" there neither wins nor keeps a later word from winning.
RELEASED_RELATIONS: Mapping[str, frozenset[str]] = {
    'left': frozenset({'left', 'west'}),
    'up': frozenset({'above', 'north', 'top', 'back', 'behind'}),
    'down': frozenset({'below', 'south', 'under', 'front'}),
    'big': frozenset({'bigger', 'larger', 'closer'}),
    'small': frozenset({'smaller', 'tinier', 'further', 'smallest'}),
    'within': frozenset({'inside', 'within', 'contained'}),
}

PAPER_NOT_OBJECTS = NOT_OBJECTS | words(
    'center centre bottom up down corner edge rear end leftmost rightmost that it one ones '
    'biggest largest smallest tiniest far near')
PAPER_IMAGE_NOUNS = IMAGE_NOUNS | words(
    'frame scene view row line corner screen')
PAPER_DIRECTIONS: Mapping[str, frozenset[str]] = {
    'left': frozenset({'left', 'leftmost', 'lefthand', 'west'}),
    'right': frozenset({'right', 'rightmost', 'righthand', 'east'}),
    'middle': frozenset({'middle', 'center', 'centre', 'central', 'middlemost'}),
    'up': frozenset({'up', 'top', 'upper', 'topmost', 'uppermost', 'highest', 'above'}),
    'down': frozenset({'down', 'bottom', 'lower', 'bottommost', 'lowest', 'below'}),
}
PAPER_RELATIONS: Mapping[str, frozenset[str]] = {
    'left': PAPER_DIRECTIONS['left'],
    'right': PAPER_DIRECTIONS['right'],
    'up': frozenset({'above', 'over', 'on', 'atop', 'top', 'upper', 'behind', 'back', 'beyond'}),
    'down': frozenset({'below', 'beneath', 'under', 'underneath', 'bottom', 'lower', 'front'}),
    'big': frozenset({'big', 'bigger', 'biggest', 'large', 'larger', 'largest', 'huge', 'giant',
                      'closer', 'closest', 'nearest', 'tallest', 'taller'}),
    'small': frozenset({'small', 'smaller', 'smallest', 'tiny', 'tinier', 'tiniest', 'little',
                        'littlest', 'further', 'furthest', 'farther', 'farthest', 'shortest',
                        'shorter'}),
    'within': frozenset({'inside', 'within', 'contained', 'in', 'into'}),
}
# Prepositions that say a relation only when they govern a real object ("on the left" and
# "in red" do not).
_GOVERNING = frozenset({'on', 'in', 'into', 'over', 'inside', 'within', 'atop'})


def text_plan(doc: Doc, rules: Rules = 'paper') -> HybridGLText:
    """Return phrases and flags of one parsed referring expression.

    doc: tagged and parsed (universal POS and ClearNLP-style labels, so that `noun_chunks`
    works).  An empty doc gives empty strings and 'none'.
    Source: HybridGL section 3.3 (paper) or the released code (released).
    Raises ValueError for another value of `rules`.
    """
    if rules not in ('paper', 'released'):
        raise ValueError(f"rules must be 'paper' or 'released', not {rules!r}")
    sentence = ' '.join(t.lower_ for t in doc if not t.is_space)
    if not sentence:
        return HybridGLText('', '', (), 'none', 'none')
    noun_phrase = head_phrase(doc)
    if rules == 'released':
        others = _other_chunks(doc, noun_phrase, NOT_OBJECTS)
        direction = _first_by_head(doc, RELEASED_DIRECTIONS)
        relation = ('none' if any(c.root.lower_ in IMAGE_NOUNS for c in others)
                    else _first_by_head(doc, RELEASED_RELATIONS))
    else:
        others = [c for c in _other_chunks(doc, noun_phrase, PAPER_NOT_OBJECTS)
                  if c.root.lower_ not in PAPER_IMAGE_NOUNS and c.root.pos_ != 'PRON']
        direction = _first_by_head(
            (t for t in doc if not _relates_to_object(t)), PAPER_DIRECTIONS)
        relation = _first_by_head(
            (t for t in doc if t.lower_ not in _GOVERNING or _relates_to_object(t)),
            PAPER_RELATIONS)
    return HybridGLText(sentence, noun_phrase, tuple(_text(c) for c in others),
                        direction, relation)  # type: ignore[arg-type]


def head_phrase(doc: Doc) -> str:
    """Return the target's noun phrase, lower-cased, tokens joined by single spaces.

    The noun chunk around the last root; else the one around that root's first child; else
    the whole text.  (HybridGL and TAS released code; both papers just say "noun phrase".)
    """
    chunks = list(doc.noun_chunks)
    root = next((t for t in reversed(doc) if t.head.i == t.i), None)
    if root is not None:
        first_child = next(iter(root.children), None)
        for token in (root, first_child):
            chunk = next((c for c in chunks if token is not None
                          and c.start <= token.i < c.end), None)
            if chunk is not None:
                return _text(chunk)
    return ' '.join(t.lower_ for t in doc if not t.is_space)


def _text(span: Span) -> str:
    return ' '.join(t.lower_ for t in span if not t.is_space)


def _other_chunks(doc: Doc, noun_phrase: str, excluded: frozenset[str]) -> list[Span]:
    """Noun chunks that are neither the target's phrase (by text) nor excluded by their root."""
    return [c for c in doc.noun_chunks
            if _text(c) != noun_phrase and c.root.lower_ not in excluded]


def _first_by_head(tokens: Iterable[Token], table: Mapping[str, frozenset[str]]) -> str:
    """Return the flag of the word whose syntactic head stands first in the sentence.

    Ties go to the earlier word; 'none' where no word of the table occurs.
    """
    winner, winner_head = 'none', None
    for token in tokens:
        flag = next((f for f, words in table.items() if token.lower_ in words), None)
        if flag is not None and (winner_head is None or token.head.i < winner_head):
            winner, winner_head = flag, token.head.i
    return winner


def _relates_to_object(token: Token) -> bool:
    """Whether the word relates the target to another object: "left of the bowl", "in a box".

    True where the word, or an "of"/"to"/"from" below it, governs a noun that is neither a
    place word nor the image.
    """
    if token.lower_ in PAPER_DIRECTIONS['middle']:
        return False
    objects = [c for c in token.children if c.dep_ == 'pobj']
    objects += [g for c in token.children if c.dep_ == 'prep' for g in c.children
                if g.dep_ == 'pobj']
    return any(o.pos_ in ('NOUN', 'PROPN') and o.lower_ not in PAPER_NOT_OBJECTS
               and o.lower_ not in PAPER_IMAGE_NOUNS for o in objects)
