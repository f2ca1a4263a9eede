"""Sentences about a picture, and the b of them that a step takes (section 4.2)."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_TARGETS = 8     # objects that one sentence may fit; of more, these many are kept


@dataclass(frozen=True)
class Said:
    """A sentence and the objects of its picture that it fits.

    targets: numbers of objects, one for a sentence with one answer; none where what is said is
    absent, several where it is ambiguous.
    """

    text: str
    targets: tuple[int, ...]


def without_words(text: str, share: float, rng: np.random.Generator) -> str:
    """Return the text without about that share of its words; one at least stays."""
    words = text.split()
    kept = rng.random(len(words)) >= share
    if not kept.any():
        kept[rng.integers(len(words))] = True
    return ' '.join(word for word, keep in zip(words, kept, strict=True) if keep)


def choose(sentences: Sequence[Said], number: int, deletion: float, rng: np.random.Generator
           ) -> list[Said]:
    """Return `number` sentences about a picture, every one of them before any is repeated.

    A repeated one has words left out at random.  sentences: at least one.
    """
    order = [int(i) for i in rng.permutation(len(sentences))]
    chosen = [sentences[i] for i in order[:number]]
    while len(chosen) < number:
        again = sentences[int(rng.integers(len(sentences)))]
        chosen.append(Said(without_words(again.text, deletion, rng), again.targets))
    return chosen


def targets_array(said: Sequence[Said]) -> np.ndarray:
    """Return (B, MOST_TARGETS) int64 object numbers, -1 where there are no more."""
    out = np.full((len(said), MOST_TARGETS), -1, np.int64)
    for row, one in enumerate(said):
        found = one.targets[:MOST_TARGETS]
        out[row, :len(found)] = found
    return out
