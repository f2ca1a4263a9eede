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
_CLOSED = lex.words(
    'and or but nor , ; : . ! ? ( ) that which who whom whose where while as if please then is '
    'are was were be has have than to of from with without into onto upon at by for in on off '
    'behind beside besides between beneath underneath under above below over near inside within '
    'against through toward towards around along across beyond atop opposite')
# ... unless the phrase has only begun: "the front door", "the inside pocket".
_INNER = lex.words('front back near far inside outside upper lower under over above below')
_BOTH_WAYS = lex.words('near inside outside under over above below')
# Parts of a thing: "the front of the train" is an object.
_PARTS = lex.words('front back rear side edge end corner tip top bottom rim')
_SHARES = lex.words('all both each every either any')
_ADJECTIVE_TAGS = frozenset({'VBN', 'VBG', 'VBD', 'JJ', 'JJR', 'JJS'})


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
    "red and white mug", "the smallest of the three boxes", "the left" (no head).
    """
    part = _part(s, start, stop)
    if s.word(start) in _SHARES and s.word(start + 1) == 'of' and start + 2 < stop:
        whole = _Reader(s, start + 2, stop).read()  # "all of the cups": nothing but determiners
        if whole is not None and whole.head is not None:
            return NounPhrase(start, whole.end, whole.head)
    phrase = part or _Reader(s, start, stop).read()
    if part is not None or phrase is None or s.word(phrase.end) != 'of' or phrase.end + 1 >= stop:
        return phrase
    last = s.low[phrase.end - 1]
    partitive = last in lex.PARTITIVES or (phrase.head is None and s.tag[phrase.end - 1] in (
        'JJS', 'JJR', 'CD', 'DT')) or last in lex.NUMBERS
    inner = _Reader(s, phrase.end + 1, stop).read() if partitive else None
    if inner is None or inner.head is None:
        return phrase
    return NounPhrase(start, inner.end, inner.head)


def _part(s: Sentence, start: int, stop: int) -> NounPhrase | None:
    """"the front of the train", "the top of the bottle"."""
    at = start + 1
    if s.word(start) not in ('the', 'a', 'an', 'its') or s.word(at) not in _PARTS or (
            s.word(at + 1) != 'of' or at + 2 >= stop):
        return None
    whole = _Reader(s, at + 2, stop).read()
    seen = whole is not None and whole.head is not None and (
        s.low[whole.head] not in lex.IMAGE_NOUNS)
    return NounPhrase(start, at + 1, at) if seen else None


class _Reader:
    """One pass over the words of a noun phrase."""

    def __init__(self, s: Sentence, start: int, stop: int) -> None:
        self.s, self.start, self.stop = s, start, stop
        self.head: int | None = None
        self.certain = False  # an article, number or adjective came: a noun must follow

    def read(self) -> NounPhrase | None:
        i = self.start
        while i < self.stop and self._takes(i):
            i += 1
        return self._finished(i)

    def _takes(self, i: int) -> bool:
        """Whether word `i` belongs to the phrase; notes what it makes known."""
        s, word, pos = self.s, self.s.low[i], self.s.pos[i]
        after = s.word(i + 1) if i + 1 < self.stop else ''
        if word in ("'s", "'") and s.tag[i] == 'POS' and self.head is not None and after:
            self.head, self.certain = None, True
            return True
        if word == '-':
            return i > self.start and after != ''
        if word in ('and', ','):
            return self.head is None and self._more_adjectives(i)
        if word in ('one', 'ones') and (self.certain or after in ('', *_CLOSED)) and (
                not self._noun_follows(i + 1)):
            return self._head_is(i)
        if word in lex.PLACE_WORDS or word in _INNER:
            return self._takes_place(i, word, after)
        if word in lex.DETERMINERS and self._takes_determiner(i, word):
            return True
        if word in _CLOSED:
            return False
        if s.tag[i] == 'PRP$':
            return self._makes_certain() if self.head is None else False
        if word in lex.BARE_PRONOUNS or pos in ('PRON', 'AUX'):
            return word == 'can' and self._can_is_a_noun(i, after) and self._head_is(i)
        if word in lex.NUMBERS or pos == 'NUM' or word in lex.ORDINALS:
            return self._makes_certain() if self.head is None or pos == 'NUM' else False
        if self.head is not None:
            return self._extends(i) and self._head_is(i)
        return self._takes_content(i, pos)

    def _takes_content(self, i: int, pos: str) -> bool:
        s = self.s
        if self._is_noun(i):
            return self._head_is(i)
        if pos == 'ADJ' or s.tag[i] in _ADJECTIVE_TAGS or s.low[i] in lex.COLOURS:
            return self._makes_certain()
        if pos == 'ADV':
            return self._noun_follows(i + 1)
        if pos in ('INTJ', 'SYM', 'PUNCT', 'ADP', 'PART', 'SCONJ', 'CCONJ') and not self.certain:
            return False
        return pos not in ('PUNCT', 'SYM', 'CCONJ', 'PART') and self._head_is(i)

    def _head_is(self, i: int) -> bool:
        self.head = i
        return True

    def _makes_certain(self) -> bool:
        self.certain = True
        return True

    def _takes_determiner(self, i: int, word: str) -> bool:
        if self.head is not None:
            return False
        if word in ('that', 'this', 'these', 'those', 'which') and not self._noun_follows(i + 1):
            return False
        return self._makes_certain()

    def _takes_place(self, i: int, word: str, after: str) -> bool:
        """"left laptop", "the top one", "the left": the place word belongs to the phrase."""
        if self.head is not None and word in _BOTH_WAYS:
            return False  # "bed near window": a preposition
        follows = self._noun_follows(i + 1)
        if self.head is not None or follows or word not in lex.PLACE_WORDS:
            return follows
        return self.certain or after not in ('of', 'from')

    def _can_is_a_noun(self, i: int, after: str) -> bool:
        begun = self.certain or self.head is not None or i == self.start
        return begun and after not in ('you', 'i', 'we', 'be')

    def _noun_follows(self, i: int) -> bool:
        """Whether a noun comes before anything that ends the phrase."""
        s = self.s
        while i < self.stop:
            word = s.low[i]
            if word == 'can' and i > self.start:
                return True
            if word in ('one', 'ones'):
                return True
            if word in _CLOSED or word in lex.DETERMINERS or s.pos[i] in ('PRON', 'AUX', 'ADP'):
                return False
            if s.pos[i] in NOMINAL or (s.pos[i] == 'VERB' and s.tag[i] in ('VB', 'VBP')):
                return True
            if not (word in lex.PLACE_WORDS or s.pos[i] in ('ADJ', 'ADV', 'NUM') or word == '-'
                    or s.tag[i] in ('VBN', 'VBG')):
                return False
            i += 1
        return False

    def _more_adjectives(self, i: int) -> bool:
        """"red and white mug", "small , red mug": adjectives on both sides, then a noun."""
        s = self.s
        before, after = i - 1, i + 1
        while s.word(before) == '-':
            before -= 1
        while s.word(after) == '-':
            after += 1
        if before < self.start or after >= self.stop:
            return False
        return self._is_adjective(before) and self._is_adjective(after) and (
            self._noun_follows(after + 1))

    def _is_adjective(self, i: int) -> bool:
        return self.s.pos[i] in ('ADJ', 'VERB') or self.s.low[i] in lex.COLOURS

    def _extends(self, i: int) -> bool:
        """Whether word `i`, behind a noun, makes a compound with it: "coffee mug"."""
        s = self.s
        if s.pos[i] in NOMINAL or s.pos[i] == 'X':
            numbered = s.low[i] == 'number' and i + 1 < self.stop and s.pos[i + 1] == 'NUM'
            return not numbered  # "player number 7"
        if s.pos[i] == 'ADJ':
            return self._noun_follows(i + 1)
        # A base form cannot be a verb here: "the coffee grind" is a noun phrase.
        return s.tag[i] in ('VB', 'VBP') and s.low[i] not in lex.VERBS - lex.AMBIGUOUS_VERBS

    def _is_noun(self, i: int) -> bool:
        s, word = self.s, self.s.low[i]
        if word in lex.SUPERLATIVES:
            return False
        if s.pos[i] in NOMINAL:
            colour = word in lex.COLOURS and (
                self._noun_follows(i + 1) or (self.certain and word not in lex.COLOURED_THINGS))
            return not colour
        if s.pos[i] == 'VERB' and s.tag[i] in ('VB', 'VBP'):
            return self.certain or i + 1 == self.stop
        return False

    def _finished(self, end: int) -> NounPhrase | None:
        """Give a phrase without a recognised noun its last word as head, if it can be one."""
        s, head = self.s, self.head
        while end > self.start and s.low[end - 1] in ('and', ',', '-'):
            end -= 1
        if end == self.start:
            return None
        last = end - 1
        if head is None and last > self.start and (
                s.low[last] in lex.COLOURED_THINGS or self._unknown_noun(last)):
            head = last
        said = s.low[self.start:end]
        if head is None and (all(w in lex.DETERMINERS for w in said) or said == ['next']):
            return None
        return NounPhrase(self.start, end if head is None else head + 1, head)

    def _unknown_noun(self, last: int) -> bool:
        """"the frobnic": behind an article even a word tagged otherwise is the noun."""
        s = self.s
        return (s.low[last] not in lex.NO_HEADS and s.tag[last] not in ('JJR', 'JJS')
                and s.pos[last] in ('ADJ', 'VERB', 'ADV', 'X')
                and s.low[self.start] in lex.DETERMINERS)
