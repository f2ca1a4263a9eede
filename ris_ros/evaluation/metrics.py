"""Metrics of referring segmentation, as pure functions of masks, maps and pixel counts.

P is the predicted, G the true mask; I = |P and G|, U = |P or G|, in pixels.
"""
from __future__ import annotations

import numpy as np

from ris_ros.types import BadInputError

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
# Small constants that code bases add, and what two empty masks score (sheet, section 2).
IOU_RULES = {
    'plain': 'I/U, 0 if both masks are empty (LAVT, GL-CLIP, PhraseCut tool)',
    'cris': 'I/(U+1e-6) (CRIS, ETRIS, CGFormer)',
    'iterprime': '(I+1e-6)/(U+1e-6), so two empty masks score 1 (IteRPrimE)',
}
EPSILON = 1e-6


def intersection_union(predicted: np.ndarray, true: np.ndarray) -> tuple[int, int]:
    """Return I and U in pixels of two (H, W) bool masks.

    Raises BadInputError for different sizes.

    >>> intersection_union(np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool))
    (1, 3)
    """
    if predicted.shape != true.shape:
        raise BadInputError(f'the masks have different sizes: {predicted.shape} and '
                            f'{true.shape}')
    intersection = int(np.count_nonzero(predicted & true))
    return intersection, (int(np.count_nonzero(predicted)) + int(np.count_nonzero(true))
                          - intersection)


def iou(intersection: np.ndarray | int, union: np.ndarray | int, rule: str = 'plain',
        ) -> np.ndarray:
    """Return the IoU in [0, 1] of pixel counts (any shape) under one of IOU_RULES.

    >>> iou(1, 3).round(3).tolist(), iou(0, 0).tolist(), iou(0, 0, 'iterprime').tolist()
    (0.333, 0.0, 1.0)
    """
    i, u = np.asarray(intersection, np.float64), np.asarray(union, np.float64)
    if rule == 'plain':
        return np.divide(i, u, out=np.zeros(np.broadcast(i, u).shape), where=u > 0)
    if rule == 'cris':
        return i / (u + EPSILON)
    if rule == 'iterprime':
        return (i + EPSILON) / (u + EPSILON)
    raise BadInputError(f'{rule!r} is no IoU rule; take one of {", ".join(IOU_RULES)}')


def precision(ious: np.ndarray, threshold: float, inclusive: bool = False) -> float:
    """Return the share of `ious` above `threshold`; `inclusive` counts equality (LAVT).

    >>> ious = np.array([0.5, 0.8])
    >>> precision(ious, 0.5), precision(ious, 0.5, inclusive=True)
    (0.5, 1.0)
    """
    ious = np.asarray(ious)
    if ious.size == 0:
        return float('nan')
    return float((ious >= threshold).mean() if inclusive else (ious > threshold).mean())


def overall_iou(intersections: np.ndarray, unions: np.ndarray) -> float:
    """Return oIoU, the sum of I over the sum of U (PhraseCut: cumulative IoU).

    >>> overall_iou(np.array([1, 8]), np.array([2, 16]))
    0.5
    """
    total = np.asarray(unions, np.int64).sum()
    return float(np.asarray(intersections, np.int64).sum() / total) if total else 0.0


def grouped_mean(values: np.ndarray, groups: np.ndarray) -> float:
    """Return the mean over groups of each group's mean: ImgAcc by image, InstAcc by object.

    >>> grouped_mean(np.array([1.0, 0.0, 0.5]), np.array(['a', 'a', 'b']))
    0.5
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(values, np.float64))
    return float((sums / np.bincount(index)).mean()) if len(sums) else float('nan')


def resize_heatmap(heatmap: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an (h, w) map bilinearly to (height, width), corners aligned.

    >>> resize_heatmap(np.array([[0.0, 1.0]]), 1, 3).tolist()
    [[0.0, 0.5, 1.0]]
    """
    heatmap = np.asarray(heatmap, np.float64)
    if heatmap.shape == (height, width):
        return heatmap
    y, x = (np.linspace(0, n - 1, m) for n, m in zip(heatmap.shape, (height, width),
                                                     strict=True))
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    y1, x1 = np.minimum(y0 + 1, heatmap.shape[0] - 1), np.minimum(x0 + 1, heatmap.shape[1] - 1)
    fx = x - x0
    rows = heatmap[:, x0] * (1 - fx) + heatmap[:, x1] * fx
    fy = (y - y0)[:, None]
    return rows[y0] * (1 - fy) + rows[y1] * fy


def peak(heatmap: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Return row and column of the first maximum, row by row, at the image's own size.

    >>> peak(np.array([[0.1, 0.9], [0.9, 0.2]]), 2, 2)
    (0, 1)
    """
    if heatmap.shape == (height, width):
        index = int(np.argmax(heatmap))   # spares the copy: maps usually come at full size
    else:
        index = int(np.argmax(resize_heatmap(heatmap, height, width)))
    return divmod(index, width)


def point_in_mask(point: tuple[int, int], true: np.ndarray) -> bool:
    """PointM: whether the peak (row, column) lies on the true (H, W) bool mask.

    >>> point_in_mask((0, 1), np.array([[False, True]]))
    True
    """
    return bool(true[point])


def point_in_box(point: tuple[int, int], box: tuple[float, float, float, float]) -> bool:
    """Whether the peak (row, column) lies in x, y, width, height; corners truncated, inclusive.

    >>> box = (10.0, 2.0, 2.5, 1.0)
    >>> point_in_box((3, 12), box), point_in_box((4, 12), box)
    (True, False)
    """
    x, y, width, height = box
    row, column = point
    return int(x) <= column <= int(x + width) and int(y) <= row <= int(y + height)


def best_overlap(masks: np.ndarray, areas: np.ndarray, true: np.ndarray) -> tuple[int, int]:
    """Return I and U of the proposal with the greatest IoU: what a perfect choice would get.

    masks: (N, H, W) bool.  areas: (N,) pixels.  (0, |G|) when there is no proposal.

    >>> masks = np.array([[[1, 0, 0]], [[1, 1, 1]]], bool)
    >>> best_overlap(masks, np.array([1, 3]), np.array([[1, 1, 0]], bool))
    (2, 3)
    """
    area = int(np.count_nonzero(true))
    if len(masks) == 0:
        return 0, area
    rows, columns = np.flatnonzero(true.any(axis=1)), np.flatnonzero(true.any(axis=0))
    if len(rows) == 0:
        return 0, int(np.min(areas))
    # Only the true mask's box can intersect; a small object makes this a small product.
    window = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    inside = np.asarray(masks)[:, window[0], window[1]] & true[window]
    intersections = np.count_nonzero(inside.reshape(len(masks), -1), axis=1)
    unions = np.asarray(areas, np.int64) + area - intersections
    best = int(np.argmax(iou(intersections, unions)))
    return int(intersections[best]), int(unions[best])
