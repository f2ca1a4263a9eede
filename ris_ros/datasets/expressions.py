"""Predicates over expressions: does a sentence speak of position? (IteRPrimE, Table 5)

The paper splits "position" from "others" without a definition.  Two rules are offered; the
share of sentences that each selects is printed so that it can be held against the shares that
follow from the paper's table: 46.2 % of RefCOCO testA, 22.0 % of the RefCOCOg test.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable

# The released script's words, matched anywhere: "cup", "laptop" and "bright" count too.
SUBSTRINGS = ('left', 'right', 'up', 'down', 'top', 'bottom')

WORDS = ('left', 'right', 'up', 'upper', 'down', 'lower', 'top', 'bottom', 'middle', 'center',
         'centre', 'front', 'back', 'behind', 'above', 'below', 'under', 'near', 'next', 'far',
         'corner', 'side', 'between', 'closest', 'first', 'second', 'third', 'fourth', 'fifth')
_WORD_PATTERN = re.compile(r'\b(?:' + '|'.join(WORDS) + r')\b')


def is_position_substring(expression: str) -> bool:
    """Apply the released rule: one of SUBSTRINGS occurs anywhere in the lower-cased text."""
    text = expression.lower()
    return any(word in text for word in SUBSTRINGS)


def is_position_word(expression: str) -> bool:
    """Apply the whole-word rule: one of WORDS occurs as a word of the lower-cased text."""
    return _WORD_PATTERN.search(expression.lower()) is not None


POSITION_RULES: dict[str, Callable[[str], bool]] = {
    'substring': is_position_substring, 'words': is_position_word}


def position_shares(expressions: Iterable[str]) -> dict[str, float | None]:
    """Return per rule the share of expressions in [0, 1] it selects, None of an empty list."""
    texts = list(expressions)
    return {name: sum(map(rule, texts)) / len(texts) if texts else None
            for name, rule in POSITION_RULES.items()}
