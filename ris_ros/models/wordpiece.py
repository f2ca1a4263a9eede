"""BERT's word-piece tokenizer, uncased: the pieces of a sentence and of each word.

Image-text matchers read pieces, the rules over them speak of words, so both the ids and the
number of pieces per word are needed.  Checked against `transformers.BertTokenizer` in the
tests; kept here because that class reads files of its own and this one a plain list.
"""
from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    from ris_ros.models.kinds import Source

PAD, UNKNOWN, START, END = '[PAD]', '[UNK]', '[CLS]', '[SEP]'
LONGEST_WORD = 100  # characters; BERT calls anything longer unknown


class WordPiece:
    """Sentences to ids.

    vocabulary: the pieces, id by position; continuations start with "##".
    separator: end every sentence with [SEP], as BERT does and ALBEF's queries do not.

    Raises WeightsError where a special token is missing or a piece is listed twice.
    """

    def __init__(self, vocabulary: Sequence[str], separator: bool = False) -> None:
        self.ids = {piece: i for i, piece in enumerate(vocabulary)}
        absent = [t for t in (PAD, UNKNOWN, START, END) if t not in self.ids]
        if absent or len(self.ids) != len(vocabulary):
            what = f'lacks {", ".join(absent)}' if absent else 'lists a piece twice'
            raise WeightsError(f'the word-piece vocabulary {what}; it must be the one that '
                               'belongs to the weights')
        self.separator = separator
        self.unknown_id, self.pad_id = self.ids[UNKNOWN], self.ids[PAD]
        self._pieces_of = lru_cache(maxsize=8192)(self._split_word)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the vocabulary; what is remembered of words is found again."""
        return type(self), (list(self.ids), self.separator)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a sentence: [CLS], the pieces and, where set, [SEP]."""
        pieces = [piece for word in words_of(text) for piece in self._pieces_of(word)]
        return [self.ids[START], *pieces, *([self.ids[END]] if self.separator else [])]

    def count(self, word: str) -> int:
        """Return the number of pieces of what stands between two blanks."""
        return sum(len(self._pieces_of(part)) for part in words_of(word))

    def _split_word(self, word: str) -> tuple[int, ...]:
        """Return the ids of the longest pieces from the left, or [UNK] where none fits."""
        if len(word) > LONGEST_WORD:
            return (self.unknown_id,)
        out: list[int] = []
        start = 0
        while start < len(word):
            prefix = '##' if start else ''
            end = next((e for e in range(len(word), start, -1)
                        if prefix + word[start:e] in self.ids), None)
            if end is None:
                return (self.unknown_id,)
            out.append(self.ids[prefix + word[start:end]])
            start = end
        return tuple(out)


def words_of(text: str) -> list[str]:
    """Return lower-case words without accents; punctuation and CJK characters stand alone."""
    out: list[str] = []
    word = ''
    for char in unicodedata.normalize('NFD', text.lower()):
        category = unicodedata.category(char)
        blank = char in '\t\n\r ' or category == 'Zs'
        alone = _is_punctuation(char, category) or _is_cjk(char)
        if blank or alone:
            out += [word] if word else []
            out += [char] if alone else []
            word = ''
        elif category != 'Mn' and not category.startswith('C') and char != '\ufffd':
            word += char
    return out + ([word] if word else [])


def _is_punctuation(char: str, category: str) -> bool:
    # ASCII signs such as $ and ^ count as punctuation although Unicode calls them symbols.
    return category.startswith('P') or (char.isascii() and char.isprintable()
                                        and not char.isalnum() and char != ' ')


def _is_cjk(char: str) -> bool:
    code = ord(char)
    return (0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2CEAF
            or 0xF900 <= code <= 0xFAFF or 0x2F800 <= code <= 0x2FA1F)


def read_vocabulary(path: Path) -> list[str]:
    """Return the pieces of a vocab.txt, one per line; raises WeightsError if unreadable."""
    try:
        lines = path.read_text(encoding='utf-8').split('\n')
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f'the vocabulary {path} cannot be read ({error})') from error
    pieces = [line.rstrip('\r') for line in lines]
    while pieces and not pieces[-1]:
        pieces.pop()
    if not pieces:
        raise BadInputError(f'the vocabulary {path} is empty')
    return pieces


def load_network(source: Source) -> list[str]:
    """Return the pieces of a manifest entry; see `ris_ros.models.kinds`."""
    return read_vocabulary(source.path())
