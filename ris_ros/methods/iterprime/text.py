"""Text side of IteRPrimE: effective tokens, primary word, word-to-piece map.

The text encoder reads word pieces; the rules speak of words.  Positions count from 0 in the
encoder's input, where the prompt "there is a " takes the first `FIRST_PIECE` places.

Two rule sets (`rules`):

released  the authors' code: where the primary word occurs twice the last one is taken.
paper     the primary word is the very leaf that the tree search found.

Source: IteRPrimE, "Primary Word Emphasis Module" (paper), released code.  Two trees can be
searched: a constituency tree (the paper's, from stanza or from a bracketed string) or the
dependency parse that is there anyway, read so as to find the same word.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ris_ros.lazy import require
from ris_ros.types import WeightsError

if TYPE_CHECKING:
    from spacy.tokens import Doc

Rules = Literal['paper', 'released']
EFFECTIVE_POS = frozenset({'NOUN', 'VERB', 'ADJ', 'PROPN', 'NUM'})
FIRST_PIECE = 4  # [CLS] there is a


@dataclass(frozen=True)
class IterPrimeText:
    """What IteRPrimE takes from one expression.

    primary_word: the word's text or None.  primary_tokens: its piece positions, None where
    there is no primary word or it has no pieces.  effective_tokens: piece positions of all
    effective words in order, the primary word's included when it is one; [CLS] is not.
    """

    primary_word: str | None
    primary_tokens: tuple[int, ...] | None
    effective_tokens: tuple[int, ...]


@dataclass
class Node:
    """A node of a constituency tree; a leaf has a word index instead of children."""

    label: str
    children: list[Node] = field(default_factory=list)
    index: int = -1


def text_plan(doc: Doc, count_pieces: Callable[[str], int], rules: Rules = 'released',
              tree: str | None = None, expression: str | None = None) -> IterPrimeText:
    """Return primary and effective tokens of one parsed expression.

    count_pieces: number of word pieces of a word, by the encoder's tokenizer.  tree: a
    bracketed constituency parse over the same words; None reads the dependency parse.
    expression: the text as the encoder sees it, default the Doc's own text.
    Raises ValueError for another value of `rules` or a tree that does not fit.
    """
    if rules not in ('paper', 'released'):
        raise ValueError(f"rules must be 'paper' or 'released', not {rules!r}")
    words, upos = [t.text for t in doc], [t.pos_ for t in doc]
    primary = (primary_from_dependencies(doc) if tree is None
               else primary_from_tree(tree, words, upos))
    return plan_of_words(words, upos, primary, expression or doc.text, count_pieces, rules)


def plan_of_words(words: Sequence[str], upos: Sequence[str], primary: int | None,
                  expression: str, count_pieces: Callable[[str], int],
                  rules: Rules = 'released') -> IterPrimeText:
    """Return the plan when the index of the primary word is known (None: there is none)."""
    spans, pos = word_pieces(words, upos, expression, count_pieces)
    effective = tuple(i for w in sorted(spans) if pos[w] in EFFECTIVE_POS for i in spans[w])
    if primary is None:
        return IterPrimeText(None, None, effective)
    owner: int | None = primary
    if rules == 'released':
        owner = max(i for i, w in enumerate(words) if w == words[primary])
    while owner is not None and owner not in spans:  # a fragment: the last one owns the pieces
        owner = owner + 1 if owner + 1 < len(words) else None
    pieces = None if owner is None else tuple(spans[owner])
    return IterPrimeText(words[primary], pieces, effective)


def word_pieces(words: Sequence[str], upos: Sequence[str], expression: str,
                count_pieces: Callable[[str], int]) -> tuple[dict[int, range], list[str]]:
    """Return the piece positions that each word owns, and the words' tags after joining.

    The parser splits "man's" where the encoder does not: fragments are collected until they
    spell the next word between blanks; the last one owns its pieces and counts as a noun if
    any of them was effective.  Words that never fit own nothing.
    """
    blank_words = expression.split()
    pos = list(upos)
    spans: dict[int, range] = {}
    cursor, at, buffer, effective = FIRST_PIECE, 0, '', False
    for i, word in enumerate(words):
        if at >= len(blank_words):
            break
        if not buffer and word == blank_words[at]:
            whole = True
        else:
            buffer += word
            effective = effective or pos[i] in EFFECTIVE_POS
            whole = buffer == blank_words[at]
            if whole and effective:
                pos[i] = 'NOUN'
        if whole:
            count = count_pieces(blank_words[at])
            spans[i] = range(cursor, cursor + count)
            cursor, at, buffer, effective = cursor + count, at + 1, '', False
    return spans, pos


def primary_from_tree(tree: str, words: Sequence[str], upos: Sequence[str]) -> int | None:
    """Return the index of the primary word by the paper's search of a constituency tree.

    Innermost noun phrases (those without another inside), left to right; in each the last
    leaf tagged exactly NN; the first phrase that has one decides.  Otherwise the last
    noun of the sentence, otherwise None.
    Raises ValueError when the tree's leaves are not as many as the words.
    """
    root = read_tree(tree)
    leaves = sum(1 for n in _walk(root) if not n.children)
    if leaves != len(words):
        raise ValueError(f'the tree has {leaves} leaves, the sentence {len(words)} words')
    for phrase in _innermost(root):
        found = [n.index for n in _walk(phrase) if not n.children and n.label == 'NN']
        if found:
            return found[-1]
    return _last_noun(upos)


def primary_from_dependencies(doc: Doc) -> int | None:
    """Return the index of the primary word by the same search over a dependency parse.

    spaCy's noun chunks stand for the innermost noun phrases; a possessor ("the man 's") is
    a phrase of its own, before the thing possessed.
    """
    for chunk in doc.noun_chunks:
        parts = [t for t in chunk if t.dep_ == 'poss' and t.pos_ in ('NOUN', 'PROPN')]
        owned = [range(min(d.i for d in p.subtree), p.i + 1) for p in parts]
        for span in (owned or [range(chunk.start, chunk.end)]):
            found = [i for i in span if doc[i].tag_ == 'NN']
            if found:
                return found[-1]
    return _last_noun([t.pos_ for t in doc])


def _last_noun(upos: Sequence[str]) -> int | None:
    return next((i for i in reversed(range(len(upos))) if upos[i] == 'NOUN'), None)


def read_tree(text: str) -> Node:
    """Return the tree written as "(NP (DT the) (NN man))"; leaves are numbered from 0.

    Raises ValueError for unbalanced brackets.
    """
    stack: list[Node] = [Node('')]
    count = 0
    for token in re.findall(r'\(|\)|[^\s()]+', text):
        if token == '(':
            node = Node('')
            stack[-1].children.append(node)
            stack.append(node)
        elif token == ')':
            if len(stack) == 1:
                raise ValueError('the tree has a closing bracket too many')
            stack.pop()
        elif not stack[-1].label:
            stack[-1].label = token
        else:
            stack[-1].index = count
            count += 1
    if len(stack) != 1 or not stack[0].children:
        raise ValueError('the tree has an open bracket too many, or is empty')
    return stack[0]


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _innermost(node: Node) -> Iterator[Node]:
    """Noun phrases that hold no other, in the order in which a walk leaves them."""
    for child in node.children:
        yield from _innermost(child)
    if node.label == 'NP' and not any(n.label == 'NP' for c in node.children for n in _walk(c)):
        yield node


class StanzaTrees:
    """The paper's parser: bracketed constituency trees and tags by stanza (optional extra)."""

    def __init__(self, folder: str | None = None) -> None:
        """Load stanza's English models from `folder` (default: stanza's own); no download.

        Raises MissingDependencyError without stanza, WeightsError without its models.
        """
        stanza = require('stanza', 'constituency')
        options: dict[str, Any] = {} if folder is None else {'dir': folder}
        try:
            self._pipeline = stanza.Pipeline(
                'en', processors='tokenize,pos,constituency', download_method=None,
                verbose=False, **options)
        except Exception as error:
            raise WeightsError(
                f'stanza cannot load its English models ({error}); fetch them once with '
                "stanza.download('en')") from error

    def __call__(self, expression: str) -> tuple[str, list[str], list[str]]:
        """Return (tree, words, universal tags) of the first sentence of `expression`."""
        sentence = self._pipeline(expression).sentences[0]
        return (str(sentence.constituency), [w.text for w in sentence.words],
                [w.upos for w in sentence.words])
