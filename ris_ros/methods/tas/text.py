"""Text side of TAS: head phrase, entity parse, negatives.

Two rule sets (`rules`):

released  the authors' code: the entity parse with its widened chunks, where the article of
          the head phrase counts as another entity; two nouns are near synonyms when at least
          three pairs of their senses have a path similarity above 0.9.
paper     chunks as they are, an entity never relates to itself; near synonyms share one
          sense (path similarity above 0.9 for one pair) or are the same word.

Source: TAS section 3 (paper), released code.  Nothing here needs a model, only Docs.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from ris_ros.language.lexicon import words
from ris_ros.language.wordnet import WordNet

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token

Rules = Literal['paper', 'released']
SIMILARITY = 0.9
RELEASED_PAIRS = 3

RELATION_KEYWORDS: Mapping[str, frozenset[str]] = {
    'left': words('left west'), 'right': words('right east'), 'up': words('above north top'),
    'down': words('below south under'), 'big': words('bigger larger closer'),
    'small': words('smaller tinier further'), 'within': words('inside within contained')}
NULL_KEYWORDS = words('part image side picture half region section')
SUPERLATIVE_KEYWORDS: Mapping[str, frozenset[str]] = {
    'left': words('left west leftmost western'), 'right': words('right rightmost east eastern'),
    'up': words('above north top'), 'down': words('below south underneath'),
    'big': words('bigger biggest larger largest closer closest'),
    'small': words('smaller smallest tinier tiniest further furthest')}
_RELATION_WORDS = frozenset().union(*RELATION_KEYWORDS.values())
_KEYWORDS = _RELATION_WORDS | NULL_KEYWORDS
_SUPERLATIVES = frozenset().union(*SUPERLATIVE_KEYWORDS.values())


@dataclass(frozen=True)
class Entity:
    """The head with what is said of it.

    head: its phrase.  relations: (words passed on the way, phrase of the other entity).
    superlatives: words of each superlative.  chunks: all phrases of the sentence.
    """

    head: str
    relations: tuple[tuple[tuple[str, ...], str], ...]
    superlatives: tuple[tuple[str, ...], ...]
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class TASText:
    """What TAS takes from one expression: lower-cased sentence, head phrase, entity."""

    sentence: str
    noun_phrase: str
    entity: Entity | None


def text_plan(doc: Doc, rules: Rules = 'released') -> TASText:
    """Return sentence, head phrase and entity of one parsed expression.

    Raises ValueError for another value of `rules`.
    """
    if rules not in ('paper', 'released'):
        raise ValueError(f"rules must be 'paper' or 'released', not {rules!r}")
    return TASText(doc.text.lower().strip(), head_phrase(doc), parse_entity(doc, rules))


def _text(span: Span) -> str:
    return span.text.lower()


def head_phrase(doc: Doc) -> str:
    """Return the noun chunk of the last root, else of its first child, else the whole text."""
    span = head_chunk(doc)
    return doc.text.lower() if span is None else _text(span)


def head_chunk(doc: Doc) -> Span | None:
    """Return the chunk that `head_phrase` is the text of, None where it is the whole text."""
    root = next((t for t in reversed(doc) if t.head.i == t.i), None)
    if root is None:
        return None
    chunks = list(doc.noun_chunks)
    for token in (root, next(iter(root.children), root)):
        for chunk in chunks:
            if chunk.start <= token.i < chunk.end:
                return chunk
    return None


def parse_entity(doc: Doc, rules: Rules = 'released') -> Entity | None:
    """Return the entity that the first root stands for, None in a sentence without chunks.

    Released: every token carries its chunk, widened to neighbouring descendants; two tokens
    never share "the same" chunk, so that the article of "the man" is another entity.
    """
    chunks = _chunks_by_token(doc, widen=rules == 'released')
    if not chunks:
        return None
    root = next(t for t in doc if t.head.i == t.i)
    first_child = next(iter(root.children), None)
    head: Token = root
    if root.i in chunks:
        span = chunks[root.i]
    elif first_child is not None and first_child.i in chunks:
        span = chunks[first_child.i]
    else:
        head = next(iter(doc.noun_chunks)).root.head
        if head.i not in chunks:
            head = next(iter(doc.noun_chunks)).root
        span = chunks[head.i]
    walk = _Walk(chunks, head, shared=rules == 'paper')
    walk.visit(head, ())
    texts = dict.fromkeys(_text(c) for c in chunks.values())
    return Entity(_text(span), tuple(walk.relations), tuple(
        sup for sup in walk.superlatives if any(w in _SUPERLATIVES for w in sup)), tuple(texts))


def _chunks_by_token(doc: Doc, widen: bool) -> dict[int, Span]:
    plain = {i: chunk for chunk in doc.noun_chunks for i in range(chunk.start, chunk.end)}
    if not widen:
        return plain
    return {i: _widened(doc, chunk, plain) for i, chunk in plain.items()}


def _widened(doc: Doc, chunk: Span, plain: Mapping[int, Span]) -> Span:
    """Extend a chunk to neighbouring descendants that lead to no other chunk.

    To the left gaps are jumped; to the right the first descendant that leads to, or is
    part of, another chunk ends the scan.
    """
    below = {d.i for t in chunk for d in t.subtree}
    others = [i for i, c in plain.items() if c.start != chunk.start]
    leads = {a.i for i in others for a in doc[i].ancestors}
    start, end = chunk.start, chunk.end
    for i in range(chunk.start - 1, -1, -1):
        if i in below and i not in leads:
            start = i
    for i in range(chunk.end, len(doc)):
        if i not in below:
            continue
        if i in leads or i in others:
            break
        end = i + 1
    return doc[start:end]


class _Walk:
    """Down from the head, collecting modifiers until another entity or a leaf is met."""

    def __init__(self, chunks: Mapping[int, Span], head: Token, shared: bool) -> None:
        self.chunks, self.head, self.shared = chunks, head, shared
        self.relations: list[tuple[tuple[str, ...], str]] = []
        self.superlatives: list[tuple[str, ...]] = []

    def _same_chunk(self, a: Token, b: Token) -> bool:
        """Whether two tokens lie in one chunk object; never so for widened chunks."""
        if a.i == b.i:
            return True
        return (self.shared and a.i in self.chunks and b.i in self.chunks
                and self.chunks[a.i].start == self.chunks[b.i].start)

    def visit(self, token: Token, passed: tuple[str, ...]) -> None:
        """Follow one token; `passed` are the words on the way to it."""
        word = token.lower_
        if token.i in self.chunks and not self._same_chunk(token, self.head) and (
                word not in _KEYWORDS):
            self.relations.append((passed, _text(self.chunks[token.i])))
            return
        children = list(token.children)
        if not children:
            self.superlatives.append((*passed, word))
            return
        onward = passed if token.i == self.head.i else (*passed, word)
        for child in children:
            if not self._same_chunk(token, child):
                self.visit(child, onward)
            elif child.lower_ in _SUPERLATIVES:
                self.superlatives.append((*onward, child.lower_))
            elif len(children) == 1 and token.i != self.head.i:
                self.superlatives.append(onward)


def negative_phrases(caption: Doc) -> tuple[tuple[str, str | None], ...]:
    """Return prompt "a photo of ..." and first noun of each thing in an image's caption."""
    return tuple(('a photo of ' + _text(chunk), first_noun(chunk))
                 for chunk in caption.noun_chunks)


def distractors(head_noun: str | None, phrases: Iterable[tuple[str, str | None]],
                are_synonyms: Callable[[str, str], bool]) -> tuple[bool, ...]:
    """Return which of `negative_phrases` are other things than what is meant.

    head_noun: first noun of the expression's head phrase (`first_noun`), None without one.
    A phrase is left out when its first noun is a near synonym of the head noun (TAS section
    3.3); one without a noun stays.
    """
    return tuple(noun is None or head_noun is None or not are_synonyms(noun, head_noun)
                 for _, noun in phrases)


def negatives(head_noun: str | None, caption: Doc,
              are_synonyms: Callable[[str, str], bool]) -> tuple[str, ...]:
    """Return the negative prompts of a parsed image caption for one expression's head noun."""
    phrases = negative_phrases(caption)
    kept = distractors(head_noun, phrases, are_synonyms)
    return tuple(prompt for (prompt, _), keep in zip(phrases, kept, strict=True) if keep)


def first_noun(span: Span | None) -> str | None:
    """Return the first token tagged N* of a phrase, lower-cased."""
    return next((t.lower_ for t in span or () if t.tag_.startswith('N')), None)


def synonym_test(wordnet: WordNet | None, rules: Rules = 'released') -> Callable[[str, str], bool]:
    """Return the test for near synonyms of the rules; symmetric, on single words.

    Without WordNet (None) two words are near synonyms when their plain base forms are equal.
    """
    if wordnet is None:
        return _same_base
    return partial(_near_synonyms, wordnet, rules)


def _near_synonyms(wordnet: WordNet, rules: Rules, first: str, second: str) -> bool:
    near = sum(v > SIMILARITY for v in wordnet.similarities(first, second))
    if rules == 'released':
        return near >= RELEASED_PAIRS
    return near >= 1 or _same_base(first, second)


def _same_base(first: str, second: str) -> bool:
    return _base(first) == _base(second)


def _base(word: str) -> str:
    """Singular of a regular plural: "boxes" -> "box", "mugs" -> "mug"."""
    word = word.lower()
    if word.endswith('ies') and len(word) > 4:
        return word[:-3] + 'y'
    if word.endswith(('xes', 'ches', 'shes', 'sses')):
        return word[:-2]
    return word[:-1] if word.endswith('s') and not word.endswith('ss') else word
