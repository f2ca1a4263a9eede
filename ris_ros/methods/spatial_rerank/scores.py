"""Spatial guidance from boxes, depth and how well each mask fits each name; numpy only (ours).

Everything is said of N masks.  What a word compares an object with are its likes: masks of other
objects, each counting as much as it fits the name.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.methods.hybridgl.text import PAPER_RELATIONS
from ris_ros.methods.spatial import between_tensor, centres, relation_matrix
from ris_ros.types import Relation, Target

# Relation types -> flags of the relation function; behind and in front go by depth where it is
# known, else by the picture: what stands behind is higher in it.
FLAGS = {'left': 'left', 'right': 'right', 'above': 'up', 'on': 'up', 'behind': 'up',
         'below': 'down', 'front': 'down', 'inside': 'within', 'bigger': 'big',
         'smaller': 'small', 'next_to': 'near'}
SAME_IOU, SAME_PART = 0.5, 0.8   # from here on two masks are one object
NEARER_M = 0.02                  # a difference in depth that counts
MOST_ANCHORS = 40                # of the masks that fit an object's name best


@dataclass(frozen=True, eq=False)
class Sight:
    """N masks: boxes (N, 4) x, y, width, height, areas (N,) in pixels, or in square metres where
    `depths` (N,) in metres are known, else None.  iou, contained: (N, N) of the masks, the part
    being of the smaller one.
    """

    boxes: np.ndarray
    areas: np.ndarray
    depths: np.ndarray | None
    iou: np.ndarray
    contained: np.ndarray

    def others(self, within: bool = False) -> np.ndarray:
        """Return (N, N) bool: the two masks are two objects, not one and its twin or its part.

        within: for "in the bowl", where a part of the other may be a thing of its own.
        """
        apart = self.iou < SAME_IOU
        return apart if within else apart & (self.contained < SAME_PART)


@dataclass(frozen=True, eq=False)
class Guided:
    """scores: (N,) what ranks.  probabilities: (N,) in [0, 1].  support, place, size: (N,) in
    [0, 1].  evidence: [0, 1], below 1 where a stated relation hardly holds of any mask.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    support: np.ndarray
    place: np.ndarray
    size: np.ndarray
    evidence: float


def guide(sight: Sight, fits: Mapping[str, np.ndarray], target: Target, doubt: float,
          relation_limit: float, uses: Sequence[str] = ('relation', 'position', 'size')) -> Guided:
    """Return what a target's relations, place and size make of how well masks fit its name.

    fits: (N,) in [0, 1] by name, of the target and of every object it is related to.  doubt: see
    the settings.  relation_limit: as in `OutcomeSettings`.  uses: what guides.

    The probability is that of the name times the guidance beside the best guided mask: among
    likes it tells which is meant, of one alone it takes nothing away.  A relation that no pair
    fulfils leaves nothing: the object that was described is not there.
    """
    name = np.asarray(fits[target.name], dtype=np.float64)
    ones = np.ones(len(name))
    support, evidence = ones, 1.0
    if 'relation' in uses:
        for relations in grouped(target.relations):
            held = supported(sight, fits, relations)
            possible = name.max(initial=0) * min(
                float(np.max(fits[r.name], initial=0)) for r in relations)
            best = float((name * held).max(initial=0))
            share = best / possible if possible > 0 else 0.0
            evidence = min(evidence, share / relation_limit if relation_limit > 0 else 1.0)
            support = support * held
    place = placed(sight, name, target.position, doubt) if (
        'position' in uses and target.position) else ones
    size = sized(sight, name, target.attributes, doubt) if 'size' in uses else ones
    scores = name * support * place * size
    best = scores.max(initial=0)
    relative = scores / best if best > 0 else np.zeros(len(name))
    return Guided(scores, name * relative * evidence, support, place, size, evidence)


def grouped(relations: Sequence[Relation]) -> Iterator[tuple[Relation, ...]]:
    """Yield relations one by one, those of "between" together."""
    between = tuple(r for r in relations if r.type == 'between')
    yield from ((r,) for r in relations if r.type != 'between')
    if between:
        yield between


def supported(sight: Sight, fits: Mapping[str, np.ndarray], relations: Sequence[Relation]
              ) -> np.ndarray:
    """Return (N,): the best pair with another object of which the relation holds, in [0, 1]."""
    if relations[0].type == 'between':
        return _between(sight, [fits[r.name] for r in (*relations, *relations)[:2]])
    kind, other = relations[0].type, np.asarray(fits[relations[0].name], dtype=np.float64)
    flag = FLAGS.get(kind)
    if flag is None:
        return np.ones(len(other))
    holds = relation_matrix(flag, sight.boxes, sight.boxes)
    if sight.depths is not None and kind in ('front', 'behind'):
        apart = sight.depths[:, None] - sight.depths[None]
        holds = (apart > NEARER_M if kind == 'behind' else apart < -NEARER_M).astype(np.float64)
    elif flag in ('big', 'small'):
        larger = sight.areas[:, None] > sight.areas[None]
        holds = (larger if flag == 'big' else larger.T).astype(np.float64)
    holds = np.where(sight.others(flag == 'within'), holds, 0.0)
    return (holds * other[None]).max(axis=1, initial=0)


def _between(sight: Sight, fits: Sequence[np.ndarray]) -> np.ndarray:
    first, second = (np.argsort(-f, kind='stable')[:MOST_ANCHORS] for f in fits)
    apart = sight.others()
    holds = between_tensor(sight.boxes, sight.boxes[first], sight.boxes[second])
    holds = holds * apart[:, first][:, :, None] * apart[:, second][:, None, :]
    holds = holds * apart[np.ix_(first, second)][None]
    both = np.asarray(fits[0])[first][:, None] * np.asarray(fits[1])[second][None]
    return (holds * both[None]).max(axis=(1, 2), initial=0)


def placed(sight: Sight, name: np.ndarray, position: str, doubt: float) -> np.ndarray:
    """Return (N,): how far each mask lies on that side of its likes, in [0, 1].

    position: 'left', 'right', 'top', 'bottom', 'middle' or a pair such as 'top left', the product
    of both.  'middle' is the lesser of both sides, doubled.
    """
    at, out = centres(sight.boxes).astype(np.float64), np.ones(len(name))

    def before(values: np.ndarray) -> np.ndarray:
        return _beaten(sight, name, values[:, None] < values[None], doubt)

    for word in position.split():
        if word in ('left', 'right'):
            out = out * before(at[:, 0] if word == 'left' else -at[:, 0])
        elif word in ('top', 'bottom'):
            out = out * before(at[:, 1] if word == 'top' else -at[:, 1])
        elif word == 'middle':
            out = out * np.minimum(1, 2 * np.minimum(before(at[:, 0]), before(-at[:, 0])))
    return out


def sized(sight: Sight, name: np.ndarray, attributes: Sequence[str], doubt: float) -> np.ndarray:
    """Return (N,): how far each mask is larger ("big") or smaller than its likes, in [0, 1]."""
    words = {word.lower() for word in attributes}
    larger = sight.areas[:, None] > sight.areas[None]
    if words & PAPER_RELATIONS['big']:
        return _beaten(sight, name, larger, doubt)
    if words & PAPER_RELATIONS['small']:
        return _beaten(sight, name, larger.T, doubt)
    return np.ones(len(name))


def _beaten(sight: Sight, name: np.ndarray, beats: np.ndarray, doubt: float) -> np.ndarray:
    """Return (N,): the part of its likes that each mask beats, a doubtful one always beaten."""
    likes = np.where(sight.others(), name[None], 0.0)
    extra = doubt * max(name.max(initial=0), 1e-9)
    return ((likes * beats).sum(axis=1) + extra) / (likes.sum(axis=1) + extra)
