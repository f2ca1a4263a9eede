"""Objects as unions of atoms: which ones to propose, and how likely each is one.  Source: ours."""
from __future__ import annotations

import numpy as np

from ris_ros.geometry.partition import LEAST_PIXELS, Partition

TWINS = 0.9          # IoU above which the less likely of two is dropped
PAIR_LIMIT = 4       # atoms of a component, up to which all adjacent pairs are proposed
PAIR_BORDER = 8      # pixels that such a pair shares as border
PART = (0.08, 0.8)   # share of a group that may be left out of it: a bowl without its content
INNER_WEIGHT = 0.5


def unions(parts: Partition) -> tuple[np.ndarray, np.ndarray]:
    """Return proposed sets of atoms (K, n + 1) bool and their scores (K,) in [0, 1], best first.

    Sets are the groups of every level, the atoms, all nodes of the tree that merges across the
    weakest border first, pairs in small components, and groups without one of their atoms.  A
    set's score is how sure its outer border is, less half of how sure the borders inside are.

    >>> areas = np.array([0, 400., 500.])
    >>> lengths = np.array([[0, 80, 80], [80, 0, 20], [80, 20, 0]], float)
    >>> strong = Partition(np.zeros((1, 1), int), areas, np.array([[0, 1, 1], [0, 1, 2]]),
    ...                    lengths, lengths * 1.0)
    >>> [s.tolist() for s in unions(strong)[0][:, 1:]]
    [[False, True], [True, False], [True, True]]
    """
    count = len(parts.areas) - 1
    sets = [*_grouped(parts.groups), *np.eye(count + 1, dtype=bool)[1:],
            *_merged(parts.lengths, parts.strengths), *_pairs(parts)]
    sets += _without_one(_grouped(parts.groups[[0, 1, -1]]), parts.areas)
    rows: np.ndarray = np.unique(np.stack(sets), axis=0)
    rows = rows[rows @ parts.areas >= LEAST_PIXELS]
    scores = _scores(rows, parts)
    order = np.argsort(-scores, kind='stable')
    rows, scores = rows[order], scores[order]
    keep = distinct(_overlaps(rows, parts.areas))
    return rows[keep], scores[keep]


def distinct(iou: np.ndarray, limit: float = TWINS) -> np.ndarray:
    """Return the indices that stay when, of two that are alike, the later one is dropped.

    iou: (K, K), best first.

    >>> distinct(np.array([[1, 0.95, 0.1], [0.95, 1, 0.2], [0.1, 0.2, 1]])).tolist()
    [0, 2]
    """
    keep: list[int] = []
    for i in range(len(iou)):
        if not (iou[i, keep] >= limit).any():
            keep.append(i)
    return np.array(keep, dtype=np.int64)


def _overlaps(rows: np.ndarray, areas: np.ndarray) -> np.ndarray:
    size = rows @ areas
    shared = (rows * areas) @ rows.T.astype(np.float64)
    return shared / np.maximum(size[:, None] + size - shared, 1)


def _grouped(groups: np.ndarray) -> list[np.ndarray]:
    return [level == group for level in groups for group in np.unique(level[1:]) if group > 0]


def _merged(lengths: np.ndarray, strengths: np.ndarray) -> list[np.ndarray]:
    """Return every node of the merge tree, weakest mean border first, as rows of atoms."""
    lengths, strengths = lengths.copy(), strengths.copy()
    lengths[0] = lengths[:, 0] = strengths[0] = strengths[:, 0] = 0
    np.fill_diagonal(lengths, 0)
    np.fill_diagonal(strengths, 0)
    member = np.eye(len(lengths), dtype=bool)
    found = []
    mean = np.where(lengths > 0, strengths / np.maximum(lengths, 1), np.inf)
    while np.isfinite(best := mean.min()):
        a, b = np.argwhere(mean == best)[0]
        member[a] |= member[b]
        found.append(member[a].copy())
        for table in (lengths, strengths):
            table[a] += table[b]
            table[:, a] += table[:, b]
            table[b] = table[:, b] = 0
            table[a, a] = 0
        row = np.where(lengths[a] > 0, strengths[a] / np.maximum(lengths[a], 1), np.inf)
        mean[b] = mean[:, b] = np.inf
        mean[a] = mean[:, a] = row
    return found


def _pairs(parts: Partition) -> list[np.ndarray]:
    component = parts.groups[0]
    crowd = np.bincount(component[1:], minlength=int(component.max()) + 1)
    a, b = np.nonzero(np.triu(parts.lengths[1:, 1:], 1) >= PAIR_BORDER)
    a, b = a + 1, b + 1
    few = crowd[component[a]] <= PAIR_LIMIT
    every = np.eye(len(parts.areas), dtype=bool)
    return list(every[a[few]] | every[b[few]])


def _without_one(groups: list[np.ndarray], areas: np.ndarray) -> list[np.ndarray]:
    found = []
    for group in groups:
        whole = float(areas[group].sum())
        for atom in np.flatnonzero(group):
            if group.sum() > 1 and PART[0] * whole < areas[atom] < PART[1] * whole:
                rest = group.copy()
                rest[atom] = False
                found.append(rest)
    return found


def _scores(rows: np.ndarray, parts: Partition) -> np.ndarray:
    inside = rows.astype(np.float64)

    def shared(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        linked = inside @ table
        return (linked * (1 - inside)).sum(axis=1), (linked * inside).sum(axis=1)
    (outer_length, inner_length), (outer, inner) = shared(parts.lengths), shared(parts.strengths)
    score = outer / np.maximum(outer_length, 1) - INNER_WEIGHT * inner / np.maximum(
        inner_length, 1)
    return np.clip(score, 0, 1)
