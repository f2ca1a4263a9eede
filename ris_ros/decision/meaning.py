"""How well each object is what a sentence means, apart from the method's own ranking (ours).

A method says how well every mask fits a name ("red mug"); what the sentence says besides, of
other objects and of what is not meant, is worked out here, for all methods alike.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ris_ros.decision.objects import MOST_OBJECTS, counts, distinct, shares
from ris_ros.methods.spatial import between_tensor, centres, relation_matrix
from ris_ros.types import Regions, Relation, Target, View

# Relation types -> flags of the relation function; behind and in front go by depth where there
# is depth, else by the picture: what stands behind is higher in it.
FLAGS = {'left': 'left', 'right': 'right', 'above': 'up', 'on': 'up', 'behind': 'up',
         'below': 'down', 'front': 'down', 'inside': 'within', 'bigger': 'big',
         'smaller': 'small', 'next_to': 'near'}


@dataclass(frozen=True, eq=False)
class Fits:
    """The distinct objects of a scene and how well each fits what is said.

    index: (K,) int64 into the masks, the best fitting first.  name: (K,) float64 in [0, 1], the
    probability that it is what the target is called.  meant: (K,) the same without what is
    said not to be meant.  related: (K,) in [0, 1], how far the stated relations hold of it.
    evidence: how likely the best pair is for which a stated relation holds, beside the best of
    all pairs; the least of all relations, 1 without one.
    anchors: the greatest probability that an object it is related to is not there at all.
    """

    index: np.ndarray
    name: np.ndarray
    meant: np.ndarray
    related: np.ndarray
    evidence: float = 1.0
    anchors: float = 0.0


@dataclass(frozen=True, eq=False)
class Layout:
    """Masks with what is known of their place; `fits` is (N,) by name, see `Grounding.fits`."""

    view: View
    regions: Regions
    fits: Mapping[str, np.ndarray]
    overlap_limit: float

    @cached_property
    def depths(self) -> np.ndarray | None:
        """Median depth of each mask in metres, (N,); None where it is not known of all."""
        depth = self.view.depth
        if depth is None:
            return None
        out = np.full(len(self.regions), np.nan)
        for i, (x, y, w, h) in enumerate(self.regions.boxes.astype(int)):
            inside = depth[y:y + h, x:x + w][self.regions.masks[i, y:y + h, x:x + w]]
            inside = inside[np.isfinite(inside)]
            out[i] = np.median(inside) if len(inside) else np.nan
        return out if np.isfinite(out).all() else None

    def objects(self, name: str) -> np.ndarray:
        """Return the masks that are different objects, those that fit a name best first."""
        order = np.argsort(-self.fits[name], kind='stable')
        return np.array(distinct(self.regions, order, self.overlap_limit, MOST_OBJECTS),
                        dtype=np.int64)

    def of(self, target: Target) -> Fits:
        """Return how well the distinct objects fit a target; see `Fits`."""
        index = self.objects(target.name)
        name = self.fits[target.name][index].astype(np.float64)
        meant = name
        for negation in target.negations:
            meant = meant * (1 - self.excluded(negation.kind, negation.excluded, index))
        relations = tuple(grouped(target.relations))
        return Fits(
            index, name, meant, self.related(target, index),
            min((self.evidence(r, index, meant) for r in relations), default=1.0),
            max((counts(self.fits[n][self.objects(n)]).none
                 for n in {r.name for r in target.relations}), default=0.0))

    def related(self, target: Target, index: np.ndarray) -> np.ndarray:
        """Return (K,): how far the stated relations hold of each of K masks."""
        out = np.ones(len(index))
        for relation in grouped(target.relations):
            out = out * self._holds(relation, index)
        return out

    def excluded(self, kind: str, target: Target, index: np.ndarray) -> np.ndarray:
        """Return (K,): probability that each mask is what a negation rules out.

        kind: of the negation.  "That is not red" rules out what fits "red mug", "not left of the
        bowl" what is left of a bowl, "not on the left" the left ones among their likes.
        """
        if kind in ('object', 'attribute'):
            out: np.ndarray = self.fits[target.name][index].astype(np.float64)
            out = out * self.related(target, index)
        else:
            out = self.related(target, index)
        if target.position:
            out = out * self.placed(target.position, index)
        return out

    def row(self, index: np.ndarray, side: str) -> tuple[int, ...]:
        """Return masks in a row from a side: 'left', 'right', 'top', 'bottom', 'front', 'back'.

        Front and back by depth where it is known, else by how low they reach in the picture.
        """
        boxes = self.regions.boxes[index]
        if side in ('front', 'back'):
            depths = self.depths
            far = -(boxes[:, 1] + boxes[:, 3]) if depths is None else depths[index]
            keys = far if side == 'front' else -far
        else:
            at = centres(boxes)[:, 0 if side in ('left', 'right') else 1]
            keys = at if side in ('left', 'top') else -at
        return tuple(int(i) for i in index[np.argsort(keys, kind='stable')])

    def placed(self, position: str, index: np.ndarray) -> np.ndarray:
        """Return (K,) 1 where a mask lies on that side of what lies between the outermost, else 0.

        Of one mask alone the picture's own half counts.
        """
        at = centres(self.regions.boxes[index]).astype(np.float64)
        height, width = self.view.size
        out = np.ones(len(index))
        for axis, (low, high), size in ((0, ('left', 'right'), width),
                                        (1, ('top', 'bottom'), height)):
            ends = (at[:, axis].min(initial=0), at[:, axis].max(initial=size)) if len(
                index) < 2 else (at[:, axis].min(), at[:, axis].max())
            middle = (ends[0] + ends[1]) / 2
            if low in position:
                out *= at[:, axis] < middle
            elif high in position:
                out *= at[:, axis] > middle
        if position == 'middle':
            third = np.abs(at[:, 0] - np.median(at[:, 0])) < 1e-6
            out *= third
        return out

    def _holds(self, relation: tuple[Relation, ...], index: np.ndarray) -> np.ndarray:
        """Return (K,): share of the likely other objects to which each mask stands so.

        Weighted by how well they fit, which cancels how sure the method is that there are any:
        that is asked for itself, by counting them.
        """
        pairs, stands = self._pairs(relation, index)
        whole = pairs.sum(axis=1)
        return np.divide((pairs * stands).sum(axis=1), whole, out=np.zeros(len(index)),
                         where=whole > 1e-12)

    def evidence(self, relation: tuple[Relation, ...], index: np.ndarray, fits: np.ndarray
                 ) -> float:
        """Return the likeliest pair for which a relation holds over the likeliest of all, [0, 1].

        fits: (K,), of the K masks.  Near 0: whatever the objects are, they do not stand so.
        """
        pairs, stands = self._pairs(relation, index)
        weights = pairs * fits[:, None]
        return float((weights * stands).max(initial=0.0) / max(weights.max(initial=0.0), 1e-12))

    def _pairs(self, relation: tuple[Relation, ...], index: np.ndarray
               ) -> tuple[np.ndarray, np.ndarray]:
        """Return two (K, M): how likely M other objects (pairs of them) are, and the relation."""
        if relation[0].type == 'between':
            return self._pairs_between(relation, index)
        others = self.objects(relation[0].name)
        q = self.fits[relation[0].name][others].astype(np.float64)
        apart = self._apart(relation[0].type, index, others)
        return q[None] * apart, self._stands(relation[0].type, index, others)

    def _stands(self, kind: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        depths = self.depths
        if kind in ('front', 'behind') and depths is not None:
            nearer = depths[first][:, None] < depths[second][None]
            return (nearer if kind == 'front' else ~nearer).astype(np.float64)
        boxes = self.regions.boxes
        return relation_matrix(FLAGS[kind], boxes[first], boxes[second])

    def _pairs_between(self, relation: tuple[Relation, ...], index: np.ndarray
                       ) -> tuple[np.ndarray, np.ndarray]:
        pair = (relation * 2)[:2]
        a, b = (self.objects(r.name) for r in pair)
        qa, qb = (self.fits[r.name][i].astype(np.float64)
                  for r, i in zip(pair, (a, b), strict=True))
        boxes, k = self.regions.boxes, len(index)
        stands = between_tensor(boxes[index], boxes[a], boxes[b]) > 0
        apart = (self._apart('between', index, a)[:, :, None]
                 * self._apart('between', index, b)[:, None, :]
                 * self._apart('between', a, b)[None])
        weights = apart * (qa[:, None] * qb[None])[None]
        return weights.reshape(k, -1), stands.reshape(k, -1).astype(np.float64)

    def _apart(self, kind: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return (K, M): 1 where two masks are two objects, not one or a part of the other."""
        if kind == 'inside':  # what lies in a bowl may well be covered by the bowl's mask
            return (first[:, None] != second[None]).astype(np.float64)
        out = np.ones((len(first), len(second)))
        for row, i in enumerate(first):
            out[row] = shares(self.regions, int(i), second) <= self.overlap_limit
        return out


def grouped(relations: tuple[Relation, ...]) -> Iterator[tuple[Relation, ...]]:
    """Yield each relation alone, and those of "between" together."""
    between = tuple(r for r in relations if r.type == 'between')
    yield from ((r,) for r in relations if r.type != 'between')
    if between:
        yield between
