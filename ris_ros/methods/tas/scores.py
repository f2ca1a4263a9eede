"""TAS's mask filter, scores and spatial rectifier; numpy only (section 3.3, 3.4)."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.methods.spatial import softmax
from ris_ros.methods.tas.text import RELATION_KEYWORDS, TASText
from ris_ros.types import Target

# Quadrants of the released rectifier, by the medians of the centre points.
TOP_LEFT, BOTTOM_LEFT, TOP_RIGHT, BOTTOM_RIGHT = range(4)
Quadrants = tuple[int, ...]
_LEFT, _RIGHT = ('left', 'west'), ('right', 'east')  # "leftmost" and "western" hold them too
_UP, _DOWN = ('above', 'top', 'north'), ('below', 'south', 'underneath')
_UNDER = ('below', 'south', 'under')  # of relations; the list above is of superlatives
_SIDES = ('left', 'right', 'up', 'down')


def keep_masks(areas: np.ndarray, intersections: np.ndarray, min_area: int,
               containment: float) -> np.ndarray:
    """Return the indices of the masks that the filter leaves, in order (released code).

    areas: (N,) pixels.  intersections: (N, N) pixels.  Masks below `min_area` go; of two that
    share more than `containment` of the smaller one, the smaller goes (equal areas: the
    later).  A mask that goes still drives others out.  Where every mask is too small none
    goes for its size: the released code ends with an error there.
    """
    large = np.flatnonzero(areas >= min_area)
    if not len(large):
        large = np.flatnonzero(areas > 0)
    a = areas[large].astype(np.float64)
    share = intersections[np.ix_(large, large)] / np.minimum(a[:, None], a[None])
    earlier = np.arange(len(a))[:, None] > np.arange(len(a))[None]
    loses = (a[:, None] < a[None]) | ((a[:, None] == a[None]) & earlier)
    return large[~((share > containment) & loses).any(1)]


def total(v: np.ndarray, p: np.ndarray, n: np.ndarray, alpha: float, weight: float
          ) -> np.ndarray:
    """Return S = V + alpha P - lambda N (equation 5; N is the mean itself, without sign)."""
    return v + alpha * p - weight * n


def normalised(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of scores brought to [0, 1] (released code); (N,) float64.

    Where all are equal, one mask included, all shares are equal: the released code divides
    by zero.
    """
    if not len(scores):
        return scores.astype(np.float64)
    low, high = scores.min(), scores.max()
    return softmax((scores - low) / (high - low) if high > low else np.zeros(len(scores)))


def mean_negatives(similarity: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the mean over the kept negatives, (N,); 0 where none is left (equation 4).

    similarity: (N, K).  kept: (K,) bool.  The released code divides by zero without negatives.
    """
    return similarity[:, kept].mean(1) if kept.any() else np.zeros(len(similarity))


def allowed(plan: TASText, target: Target | None, centroids: np.ndarray, rules: str,
            relations: bool = True) -> np.ndarray:
    """Return which of N masks may be chosen, indices in order of preference among equals.

    centroids: (N, 2) row, column.  relations: paper rules, whether a side of another object
    counts as that side of the picture.  Never empty for N > 0.
    """
    if rules == 'released':
        return _in_quadrants(_released_quadrants(plan), centroids)
    return _paper_half(_sides_named(target, relations), centroids)


def _sides_named(target: Target | None, relations: bool) -> list[str]:
    """Return the sides that describe the subject (section 3.4, step 1).

    The paper looks for orientation words among what describes the subject and shows absolute
    ones, "the cat on the left".  relations: "left of the bowl" counts alike, since what lies
    left of another object lies in the left half as a rule (a reading of ours; the released code
    too rectifies "the man to the left of the dog").
    """
    if target is None:
        return []
    if not relations:
        return (target.position or '').split()
    relative = {'left': 'left', 'right': 'right', 'above': 'top', 'below': 'bottom'}
    return [*(target.position or '').split(),
            *(relative[r.type] for r in target.relations if r.type in relative)]


def _paper_half(sides: Sequence[str], centroids: np.ndarray) -> np.ndarray:
    """Return the masks whose centre lies in the halves that are named (section 3.4, step 3).

    left, right, top or bottom half of all centre points, by their median; a point on it is in
    both halves.  Where two halves have no mask in common nothing is restricted.
    """
    inside = np.ones(len(centroids), dtype=bool)
    if len(centroids):
        row, column = np.median(centroids, axis=0)
        for word in sides:
            if word == 'left':
                inside &= centroids[:, 1] <= column
            elif word == 'right':
                inside &= centroids[:, 1] >= column
            elif word == 'top':
                inside &= centroids[:, 0] <= row
            elif word == 'bottom':
                inside &= centroids[:, 0] >= row
    return np.flatnonzero(inside if inside.any() else ~inside)


def _in_quadrants(quadrants: Quadrants | None, centroids: np.ndarray) -> np.ndarray:
    """Return the masks of the named quadrants, later quadrants first; all where none is."""
    everything = np.arange(len(centroids))
    if quadrants is None or not len(centroids):
        return everything
    row, column = np.median(centroids, axis=0)
    lower, right = centroids[:, 0] >= row, centroids[:, 1] >= column
    where = 2 * right.astype(np.int64) + lower
    found = np.concatenate([everything[where == q] for q in reversed(quadrants)])
    return found if len(found) else everything


def _released_quadrants(plan: TASText) -> Quadrants | None:
    """Return where the released code looks; words are sought as parts of other words too."""
    entity = plan.entity
    if entity is None or entity.head != plan.noun_phrase:
        return None
    if entity.superlatives and not entity.relations:
        return _by_words(plan.sentence)
    found = None
    if entity.relations and not entity.superlatives:
        for passed, other in entity.relations:
            side, word = _side(passed)
            if side and other in entity.chunks and (other == entity.head or word in other):
                found = _by_relation(side, plan.sentence)
    return found


def _by_words(sentence: str) -> Quadrants | None:
    left, right = _has(sentence, _LEFT), _has(sentence, _RIGHT)
    for words, pair in ((_UP, (TOP_LEFT, TOP_RIGHT)), (_DOWN, (BOTTOM_LEFT, BOTTOM_RIGHT))):
        if _has(sentence, words):
            return pair[:1] if left else pair[1:] if right else pair
    if left:
        return TOP_LEFT, BOTTOM_LEFT
    return (TOP_RIGHT, BOTTOM_RIGHT) if right else None


def _by_relation(side: str, sentence: str) -> Quadrants:
    pair = {'left': (TOP_LEFT, BOTTOM_LEFT), 'right': (TOP_RIGHT, BOTTOM_RIGHT),
            'up': (TOP_LEFT, TOP_RIGHT), 'down': (BOTTOM_LEFT, BOTTOM_RIGHT)}[side]
    upright = side in ('left', 'right')
    if _has(sentence, _UP if upright else _LEFT):
        return pair[:1]
    return pair[1:] if _has(sentence, _UNDER if upright else _RIGHT) else pair


def _side(passed: Sequence[str]) -> tuple[str, str]:
    """Return the side that the first relation keyword names, and the keyword itself."""
    for word in passed:
        for side in _SIDES:
            if word in RELATION_KEYWORDS[side]:
                return side, word
    return '', ''


def _has(sentence: str, words: Sequence[str]) -> bool:
    return any(word in sentence for word in words)
