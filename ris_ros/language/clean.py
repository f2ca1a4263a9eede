"""Make any text fit to be parsed, or say in one sentence why it cannot be."""
from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ris_ros.language.lexicon import ENGLISH, FOREIGN

MAX_CHARACTERS = 1000
NOT_ENGLISH = 'The command does not seem to be English; say it in English.'
# Ways of writing that the pipeline has not learned; the expression itself is left alone.
_SPELLINGS = tuple((re.compile(p, re.IGNORECASE), r) for p, r in (
    (r'\b(?:pls|plz|plse)\b', 'please'), (r'\bgimme\b', 'give me'),
    (r'\blemme\b', 'let me'), (r'\bwanna\b', 'want to'),
    (r'\b(pick|turn|put|hand|take)-(up|down|on|off|over|away|out)\b', r'\1 \2'),
    (r'^((?:please )?)pickup (?!truck|van)', r'\1pick up ')))
_QUOTES = str.maketrans({'’': "'", '‘': "'", '“': '"', '”': '"', '–': '-', '—': '-', ' ': ' '})


@dataclass(frozen=True)
class CleanText:
    """Text of printable characters with single spaces, and what is wrong with it, if anything."""

    text: str
    problem: str | None = None


def clean(text: str) -> CleanText:
    """Drop control characters, symbols and emoji, join white space, judge the language.

    Never raises; a value that is not a string is a problem as well.
    """
    if not isinstance(text, str):
        return CleanText('', f'A command must be text, not {type(text).__name__}; '
                             'say what to do with which object.')
    if len(text) > MAX_CHARACTERS:
        return CleanText('', f'The command has {len(text)} characters; say it in at most '
                             f'{MAX_CHARACTERS}.')
    joined = tidy(text)
    letters = [c for c in joined if c.isalpha()]
    if not letters:
        said = 'is empty' if not text.strip() else 'has no words'
        return CleanText(joined, f'The command {said}; say what to do with which object.')
    if sum(_latin(c) for c in letters) < 0.7 * len(letters) or _foreign(joined):
        return CleanText(joined, NOT_ENGLISH)
    for pattern, written in _SPELLINGS:
        joined = pattern.sub(written, joined)
    return CleanText(joined)


def tidy(text: str) -> str:
    """Return the legible characters, plain quotes and single spaces; may be empty."""
    kept = ''.join(c if _readable(c) else ' ' for c in unicodedata.normalize('NFC', text))
    return re.sub(r'\s+', ' ', kept.translate(_QUOTES)).strip()


def _readable(c: str) -> bool:
    """Letters, marks, digits, punctuation and spaces; not control, format, symbol, private."""
    category = unicodedata.category(c)
    return category[0] in 'LMNPZ' and c != '�'


def _latin(c: str) -> bool:
    return unicodedata.name(c, '').startswith('LATIN')


def _foreign(text: str) -> bool:
    """Function words of other languages, and more of them than English ones."""
    said = re.findall(r'[^\W\d_]+', text.lower())
    english = sum(w in ENGLISH for w in said)
    foreign = sum(w in FOREIGN for w in said)
    accented = sum(not w.isascii() for w in said)
    if len(said) < 2 or english >= max(foreign, 1):
        return False
    return foreign > 0 or 2 * accented > len(said)
