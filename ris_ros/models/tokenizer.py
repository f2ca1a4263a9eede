"""Word-level tokenizer for small text towers.

The byte-pair vocabulary of CLIP has 49408 entries, most of the weight of a small text tower;
the tabletop networks know a few hundred words and use this tokenizer instead.  It has the
call interface of `open_clip.SimpleTokenizer`.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch

PAD, UNKNOWN, START, END = '<pad>', '<unk>', '<start>', '<end>'
_WORD = re.compile(r'[a-z0-9]+')


def words_of(text: str) -> list[str]:
    """Return the lower-case words of `text`; everything else separates ("man's" -> man, s)."""
    return _WORD.findall(text.lower())


class WordTokenizer:
    """Texts to token ids, one id per known word.

    vocab: the words, in a fixed order that belongs to the weights; `vocab_of` makes one.
    context_length: tokens per text, with <start> and <end>; longer texts are cut, <end> kept.

    Ids: 0 <pad>, 1 <unk>, 2 <start>, words from 3 on, and <end> last of all, because
    open_clip's text tower finds the end of the sentence as the position of the highest id.
    """

    def __init__(self, vocab: Sequence[str], context_length: int = 32) -> None:
        if len(set(vocab)) != len(vocab):
            raise BadInputError('the vocabulary lists a word twice; list every word once')
        if context_length < 3:
            raise BadInputError('context_length must be at least 3 (<start>, a word, <end>)')
        self.vocab = tuple(vocab)
        self.context_length = context_length
        self.pad_id, self.unk_id, self.start_id = 0, 1, 2
        self._ids = {word: i + 3 for i, word in enumerate(self.vocab)}
        self.end_id = len(self.vocab) + 3

    @property
    def vocab_size(self) -> int:
        """Number of ids, special ones included."""
        return self.end_id + 1

    def encode(self, text: str) -> list[int]:
        """Return the ids of the words of `text`, without <start>, <end> and padding."""
        return [self._ids.get(word, self.unk_id) for word in words_of(text)]

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of `text` that the vocabulary lacks, in order."""
        return tuple(word for word in words_of(text) if word not in self._ids)

    def __call__(self, texts: str | Sequence[str],
                 context_length: int | None = None) -> torch.Tensor:
        """Return (n, context_length) int64 token ids, padded with 0."""
        torch = require('torch', 'models')
        length = context_length or self.context_length
        texts = [texts] if isinstance(texts, str) else texts
        out = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in enumerate(texts):
            ids = [self.start_id, *self.encode(text)[:length - 2], self.end_id]
            out[row, :len(ids)] = torch.tensor(ids)
        return out


def vocab_of(texts: Iterable[str]) -> list[str]:
    """Return the sorted words that occur in `texts`."""
    return sorted({word for text in texts for word in words_of(text)})
