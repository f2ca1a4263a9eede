"""Read noun phrases off a tagged sentence, from left to right.

The tagger decides in doubt; where a word stands decides first: whatever follows "the red"
belongs to the noun phrase until a word comes that can only be outside it.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ris_ros.language import lexicon as lex

if TYPE_CHECKING:
    from spacy.tokens import Doc

NOMINAL = frozenset({'NOUN', 'PROPN'})
# Words that end a noun phrase wherever they stand.
_CLOSED = lex.words('and or but , ; : . ! ? ( ) that which who whom whose is are was were be has '
                    'have than to of from with without into onto upon at by for in on behind '
                    'beside besides between beneath underneath under above below over near inside '
                    'within against through toward towards where while as if please then')
# ... unless the phrase has only begun: "the front door", "the inside pocket".
_INNER = lex.words('front back top bottom left right middle center near far inside outside upper '
                   'lower under over above below')


@dataclass(frozen=True)
class NounPhrase:
    """Tokens start..end (exclusive) of a base noun phrase; `head` is None for "the left"."""

    start: int
    end: int
    head: int | None


class Sentence:
    """A parsed Doc with what the rules ask of it again and again."""

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.low = [t.lower_ for t in doc]
        self.pos = [t.pos_ for t in doc]
        self.tag = [t.tag_ for t in doc]
        self._starts: list[int] = []
        position = 0
        for word in self.low:
            self._starts.append(position)
            position += len(word) + 1
        self.text = ' '.join(self.low)

    def __len__(self) -> int:
        return len(self.low)

    @cached_property
    def _index_at(self) -> dict[int, int]:
        found = {start: i for i, start in enumerate(self._starts)}
        found[len(self.text) + 1] = len(self.low)
        return found

    def offset(self, index: int) -> int:
        """Character offset of token `index` in `text` (its end for the last)."""
        return self._starts[index] if index < len(self) else len(self.text) + 1

    def token_after(self, offset: int) -> int:
        """Index of the token that starts at or behind a character offset of `text`."""
        while offset <= len(self.text):
            if offset in self._index_at:
                return self._index_at[offset]
            offset += 1
        return len(self)

    def word(self, index: int) -> str:
        """Lower-cased token, or '' outside the sentence."""
        return self.low[index] if 0 <= index < len(self) else ''


def noun_phrase(s: Sentence, start: int, stop: int) -> NounPhrase | None:
    """Return the base noun phrase that begins at `start`, or None where none does.

    "the small green bottle", "two red chairs", "partially damaged car", "the man's hat",
    "red and white mug", "the left" (no head).
    """
    end, head = start, None
    certain = False  # a determiner, number or adjective came: a noun must follow
    i = start
    while i < stop:
        word, pos = s.low[i], s.pos[i]
        after = s.word(i + 1) if i + 1 < stop else ''
        if word == "'s" and s.tag[i] == 'POS' and head is not None and after:
            head, certain = None, True
        elif (word == '-' and i > start and after) or (
                head is None and word in ('and', ',') and _more_adjectives(s, start, i, stop)):
            pass
        elif word in lex.PLACE_WORDS or word in _INNER:
            if head is not None and not _noun_follows(s, i + 1, stop):
                break
            if not _place_inside(s, i, stop, certain):
                break
        elif word in _CLOSED:
            break
        elif word in lex.DETERMINERS:
            if head is not None or (word in ('that', 'which') and i > start):
                break
            certain = word not in ('that', 'which') or certain
        elif word in lex.RECEIVERS | lex.BARE_PRONOUNS or pos in ('PRON', 'AUX'):
            if not (certain and head is None and pos != 'PRON'):
                if pos == 'PRON' and s.tag[i] == 'PRP$' and head is None:
                    certain = True
                    end = i + 1
                    i += 1
                    continue
                if not (word == 'can' and head is None):
                    break
            head = i
        elif word in lex.NUMBERS or pos == 'NUM' or word in lex.ORDINALS:
            if head is not None and pos == 'NUM' and word in lex.NUMBERS:
                break
            certain = True
        elif head is not None and not _extends(s, i, stop):
            break
        elif _is_noun(s, i, stop, certain):
            head = i
        elif pos == 'ADJ' or s.tag[i] in ('VBN', 'VBG', 'VBD'):
            certain = True
        elif pos == 'ADV':
            if not _noun_follows(s, i + 1, stop):
                break
        elif pos in ('INTJ', 'SYM', 'PUNCT', 'ADP', 'PART', 'SCONJ', 'CCONJ'):
            break
        else:
            head = i
        end = i + 1
        i += 1
    return _finished(s, start, end, head)


def _finished(s: Sentence, start: int, end: int, head: int | None) -> NounPhrase | None:
    """Give a phrase without a recognised noun its last word as head, if it can be one."""
    while end > start and s.low[end - 1] in ('and', ',', '-'):
        end -= 1
    if end == start:
        return None
    if head is None:
        last = end - 1
        loose = (lex.DETERMINERS | lex.PLACE_WORDS | lex.COLOURS | lex.ORDINALS | lex.NUMBERS
                 | lex.COMMON_ADJECTIVES | lex.OTHER_PLACES)
        if s.low[last] == 'orange' and last > start:
            head = last  # "the orange": with an article in front, the fruit
        elif (s.low[last] not in loose and s.pos[last] in ('ADJ', 'VERB', 'ADV', 'X')
                and s.low[start] in lex.DETERMINERS and s.tag[last] not in ('JJR', 'JJS')):
            head = last
        if head is None and all(w in lex.DETERMINERS for w in s.low[start:end]):
            return None
    return NounPhrase(start, end if head is None else head + 1, head)


def _noun_follows(s: Sentence, i: int, stop: int) -> bool:
    """Whether a noun comes before anything that ends the phrase."""
    while i < stop:
        word = s.low[i]
        if word in _CLOSED or word in lex.DETERMINERS or s.pos[i] in ('PRON', 'AUX', 'ADP'):
            return False
        if (word in lex.PLACE_WORDS or s.pos[i] in ('ADJ', 'ADV', 'NUM') or word == '-'
                or s.tag[i] in ('VBN', 'VBG')):
            i += 1
            continue
        return s.pos[i] in NOMINAL or (s.pos[i] == 'VERB' and s.tag[i] in ('VB', 'VBP'))
    return False


def _place_inside(s: Sentence, i: int, stop: int, certain: bool) -> bool:
    """"left laptop", "the top one", "the left": the place word belongs to the phrase."""
    if s.word(i + 1) in ('of', 'from') and not certain:
        return False
    if _noun_follows(s, i + 1, stop) or certain:
        return True
    return s.low[i] in lex.PLACE_WORDS


def _more_adjectives(s: Sentence, start: int, i: int, stop: int) -> bool:
    """"red and white mug", "small , red mug": adjectives on both sides, then a noun."""
    before = i - 1 >= start and (s.pos[i - 1] in ('ADJ', 'VERB') or s.low[i - 1] in lex.COLOURS)
    after = i + 1 < stop and (s.pos[i + 1] == 'ADJ' or s.low[i + 1] in lex.COLOURS)
    return before and after and _noun_follows(s, i + 1, stop)


def _extends(s: Sentence, i: int, stop: int) -> bool:
    """Whether word `i`, behind a noun, makes a compound with it: "coffee mug"."""
    if s.low[i] == '-':
        return True
    if s.pos[i] in NOMINAL or s.pos[i] == 'X':
        return True
    if s.pos[i] in ('ADJ', 'NUM') and _noun_follows(s, i + 1, stop):
        return s.pos[i] == 'ADJ'
    # A base form cannot be a verb here: "the coffee grind" is a noun phrase.
    return s.tag[i] in ('VB', 'VBP') and s.low[i] not in lex.VERBS - lex.AMBIGUOUS_VERBS


def _is_noun(s: Sentence, i: int, stop: int, certain: bool) -> bool:
    if s.pos[i] in NOMINAL or s.low[i] in ('one', 'ones'):
        return not (s.low[i] in lex.COLOURS and _noun_follows(s, i + 1, stop))
    if s.pos[i] == 'VERB' and s.tag[i] in ('VB', 'VBP'):
        return certain or i + 1 == stop
    return False
