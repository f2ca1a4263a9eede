"""Build spaCy Docs from stored parses, so that the rules can be run without a model."""
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ris_ros.language.library import require_spacy
from ris_ros.lazy import require

if TYPE_CHECKING:
    from spacy.tokens import Doc


@lru_cache(maxsize=1)
def blank_vocab() -> Any:
    """Return the vocabulary of spaCy's blank English (it knows English noun chunks)."""
    return require_spacy().blank('en').vocab


def doc_from_rows(rows: Sequence[Sequence[Any]]) -> Doc:
    """Return a Doc from rows `[word, universal POS, fine tag, dependency, head index]`.

    Head indices count from 0; a root points at itself.  Words are joined by single spaces.
    """
    require_spacy()
    tokens = require('spacy.tokens', 'language')
    words, pos, tags, deps, heads = (list(column) for column in zip(*rows, strict=True))
    spaces = [True] * (len(words) - 1) + [False]
    return tokens.Doc(blank_vocab(), words=words, spaces=spaces, pos=pos, tags=tags, deps=deps,
                      heads=heads)
