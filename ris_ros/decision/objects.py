"""Which masks are different objects, and how many of them fit."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.types import Regions

MOST_OBJECTS = 50  # that are counted at most; the rest fit worse than all of these


@dataclass(frozen=True)
class Counts:
    """Probabilities that no object fits, one, and two or more; they sum to 1."""

    none: float
    one: float
    several: float


def counts(probabilities: np.ndarray) -> Counts:
    """Return how many of K independent objects fit (Poisson-binomial distribution, ours).

    probabilities: (K,) in [0, 1], that each fits; K may be 0.

    >>> counts(np.array([0.5, 0.5]))
    Counts(none=0.25, one=0.5, several=0.25)
    """
    spread = at_least(probabilities, 2)
    return Counts(float(spread[0]), float(spread[1]), float(spread[2]))


def at_least(probabilities: np.ndarray, most: int) -> np.ndarray:
    """Return (most + 1,) float64: P(0), P(1), ... and, last, P(`most` or more); most from 1."""
    out = np.zeros(most + 1)
    out[0] = 1.0
    for p in np.clip(np.asarray(probabilities, np.float64), 0.0, 1.0):
        last = out[-1]
        out[1:] = out[1:] * (1 - p) + out[:-1] * p
        out[0] *= 1 - p
        out[-1] += last * p
    return out


def distinct(regions: Regions, order: Sequence[int] | np.ndarray, limit: float, most: int
             ) -> list[int]:
    """Return at most `most` indices of masks that are different objects, best first.

    order: indices from best to worst.  A mask is left out that shares more than `limit` of the
    smaller of the two with a better one that is kept.
    """
    order, kept = np.asarray(order, dtype=np.int64), list[int]()
    # Part by part: as a rule the best few masks answer, and hundreds need not be looked at.
    for part in np.split(order, range(2 * most, len(order), 2 * most)):
        for better in kept:
            part = part[shares(regions, better, part) <= limit]
        while len(part) and len(kept) < most:
            kept.append(int(part[0]))
            part = part[1:][shares(regions, kept[-1], part[1:]) <= limit]
        if len(kept) == most:
            break
    return kept


def shares(regions: Regions, one: int, others: np.ndarray) -> np.ndarray:
    """Return what mask `one` shares with others, (K,): pixels in both over the smaller area.

    others: (K,) int64 indices.  Counted within the box of `one`, on those whose boxes meet it.
    """
    x, y, width, height = (int(v) for v in regions.boxes[one])
    boxes, out = regions.boxes[others], np.zeros(len(others))
    meet = np.flatnonzero((boxes[:, 0] < x + width) & (boxes[:, 0] + boxes[:, 2] > x)
                          & (boxes[:, 1] < y + height) & (boxes[:, 1] + boxes[:, 3] > y))
    if len(meet):
        both = regions.masks[others[meet], y:y + height, x:x + width]
        both &= regions.masks[one, y:y + height, x:x + width]
        smaller = np.minimum(regions.areas[others[meet]], regions.areas[one])
        out[meet] = np.count_nonzero(both, axis=(1, 2)) / np.maximum(smaller, 1)
    return out
