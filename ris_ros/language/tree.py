"""Cut the target's expression out of the one parse as a Doc of its own, in good order.

The parser may hang "left of the bowl" on the verb, or miss a noun it has never seen.  Where
the phrase rules know better, heads and tags of the cut are set right, so that its noun
chunks are the phrases that were found: the head noun is the only root, a phrase's words
hang on its noun, and the noun behind a preposition is its object.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ris_ros.language.phrases import NOMINAL, NounPhrase

if TYPE_CHECKING:
    from spacy.tokens import Doc

_CHUNK_LABELS = frozenset({'nsubj', 'nsubjpass', 'dobj', 'pobj', 'attr', 'conj', 'appos',
                           'dative', 'pcomp', 'oprd'})
_MODIFIERS = {'DET': 'det', 'NUM': 'nummod', 'NOUN': 'compound', 'PROPN': 'compound',
              'ADV': 'advmod', 'PUNCT': 'punct', 'CCONJ': 'cc'}


def cut(doc: Doc, indices: Sequence[int], target: NounPhrase,
        objects: Sequence[NounPhrase]) -> Doc:
    """Return the tokens `indices` of `doc` as a Doc with a tidy tree.

    target, objects: phrases inside `indices`, by token index of `doc`.  With target.head
    None the last word of the phrase is the root.
    """
    place = {old: new for new, old in enumerate(indices)}
    tokens = [doc[i] for i in indices]
    heads = [place.get(t.head.i, -1) for t in tokens]
    deps, pos, tags = ([t.dep_ for t in tokens], [t.pos_ for t in tokens],
                       [t.tag_ for t in tokens])
    root = place[target.head if target.head is not None else target.end - 1]
    for phrase in (target, *objects):
        if phrase.head is None and phrase.end - phrase.start == 1:  # "left", all by itself
            pos[root], tags[root] = 'ADJ', 'JJ'
        if phrase.head is None or any(i not in place for i in range(phrase.start, phrase.end)):
            continue
        inside = range(place[phrase.start], place[phrase.end - 1] + 1)
        head = place[phrase.head]
        if pos[head] not in NOMINAL:
            pos[head], tags[head] = 'NOUN', 'NN'
        for i in inside:
            if i != head and heads[i] not in inside:
                heads[i], deps[i] = head, _MODIFIERS.get(pos[i], 'amod')
            elif i != head and heads[i] == head and deps[i] in _CHUNK_LABELS:
                deps[i] = _MODIFIERS.get(pos[i], 'amod')
        if head != root:
            _under_preposition(head, inside.start, heads, deps, pos)
    _single_root(root, heads, deps)
    return _rebuilt(tokens, heads, deps, pos, tags)


def _under_preposition(head: int, start: int, heads: list[int], deps: list[str],
                       pos: list[str]) -> None:
    """Make the phrase the object of the word in front of it, unless it has a role already."""
    before = start - 1
    if before >= 0 and pos[before] == 'ADP':
        heads[head], deps[head] = before, 'pobj'
    elif deps[head] not in _CHUNK_LABELS or heads[head] < 0:
        heads[head], deps[head] = max(before, 0), 'conj' if pos[before] == 'CCONJ' else 'pobj'


def _single_root(root: int, heads: list[int], deps: list[str]) -> None:
    """Leave one root; what else hung outside hangs on it, and no tree is circular."""
    heads[root], deps[root] = root, 'ROOT'
    for i, head in enumerate(heads):
        if i != root and (head < 0 or head == i):
            heads[i] = root
            deps[i] = 'acl' if deps[i] in ('ROOT', 'ccomp', 'xcomp', 'conj') else deps[i]
    for i in range(len(heads)):
        seen, at = set(), i
        while at != root and at not in seen:
            seen.add(at)
            at = heads[at]
        if at != root:  # a circle among words of the cut: open it here
            heads[i] = root


def _rebuilt(tokens: Sequence, heads: list[int], deps: list[str], pos: list[str],
             tags: list[str]) -> Doc:
    from spacy.tokens import Doc as SpacyDoc
    return SpacyDoc(tokens[0].doc.vocab, words=[t.text for t in tokens],
                    spaces=[bool(t.whitespace_) for t in tokens], heads=heads, deps=deps,
                    pos=pos, tags=tags, lemmas=[t.lemma_ for t in tokens])
