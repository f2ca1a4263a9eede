"""Where things are: relation functions on boxes and position priors on the image; numpy only.

Boxes are (N, 4) x, y, width, height.  Flags are those of `ris_ros.methods.hybridgl.text`, and of
ours: 'near' (next to) and 'between'.
"""
from __future__ import annotations

import numpy as np

DIRECTION_WORDS = {'left': 'left', 'right': 'right', 'top': 'up', 'up': 'up', 'bottom': 'down',
                   'down': 'down', 'middle': 'middle'}


def centres(boxes: np.ndarray) -> np.ndarray:
    """Return (N, 2) box centres x, y."""
    return boxes[:, :2] + boxes[:, 2:] / 2


def relation_matrix(flag: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return R(b_i, b_j) for all pairs of boxes, (N, M) float64 in [0, 1].

    first: (N, 4), second: (M, 4).  'left', 'right', 'up', 'down' compare centres, 'big' and
    'small' box areas, all strictly; 'within' is the share of the first box that lies in the
    second (0 for a box without area).  'none' is 1 everywhere.
    Source: HybridGL equation 4, with `within` as in the released code.
    """
    a, b = centres(first)[:, None], centres(second)[None]
    area_a = (first[:, 2] * first[:, 3])[:, None].astype(np.float64)
    area_b = (second[:, 2] * second[:, 3])[None]
    out: np.ndarray
    if flag == 'left':
        out = a[..., 0] < b[..., 0]
    elif flag == 'right':
        out = a[..., 0] > b[..., 0]
    elif flag == 'up':
        out = a[..., 1] < b[..., 1]
    elif flag == 'down':
        out = a[..., 1] > b[..., 1]
    elif flag == 'big':
        out = area_a > area_b
    elif flag == 'small':
        out = area_a < area_b
    elif flag == 'within':
        out = np.divide(intersections(first, second), area_a,
                        out=np.zeros((len(first), len(second))), where=area_a > 0)
    elif flag == 'near':
        out = _nearness(first, second)
    elif flag == 'none':
        out = np.ones((len(first), len(second)))
    else:
        raise ValueError(f'unknown relation {flag!r}')
    return out.astype(np.float64)


def intersections(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection area of all pairs of boxes, (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum((first[:, :2] + first[:, 2:])[:, None],
                      (second[:, :2] + second[:, 2:])[None])
    return np.clip(high - low, 0, None).prod(-1)


def _nearness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return 1 where boxes touch, falling to 0.5 at a gap of the pair's mean size (ours)."""
    a, b = first[:, None], second[None]
    gap = np.maximum(np.maximum(a[..., :2] - b[..., :2] - b[..., 2:],
                                b[..., :2] - a[..., :2] - a[..., 2:]), 0)
    size = np.sqrt(a[..., 2] * a[..., 3]) / 2 + np.sqrt(b[..., 2] * b[..., 3]) / 2
    ratio = np.hypot(gap[..., 0], gap[..., 1]) / np.maximum(size, 1.0)
    return 1.0 / (1.0 + ratio ** 2)


def between_tensor(boxes: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how well each box lies between each pair, (N, M, K) float64 in [0, 1] (ours).

    The projection of the centre on the line through both anchors must fall between them;
    the value falls with the distance from that line, to one half at half the line's length.
    """
    p = centres(boxes)[:, None, None].astype(np.float64)
    a, b = centres(first)[None, :, None], centres(second)[None, None, :]
    line = b - a
    length = np.maximum((line ** 2).sum(-1), 1e-9)
    along = ((p - a) * line).sum(-1) / length
    off = np.abs((p - a)[..., 0] * line[..., 1] - (p - a)[..., 1] * line[..., 0]) / length
    return ((along > 0) & (along < 1)) / (1.0 + (2 * off) ** 2)


def position_prior(direction: str, height: int, width: int, rules: str = 'paper') -> np.ndarray:
    """Return the position guidance G_pos, (H, W) float32 in [0, 1].

    direction: 'left', 'right', 'middle', 'up', 'down', 'none', or a pair such as 'top left'
    (the product of both).  Ramps reach 0 at the far border; 'middle' is a horizontal tent.
    Source: HybridGL equation 6.  Under `rules='released'` up and down have no prior, as in
    the released code.
    """
    prior = np.ones((height, width), dtype=np.float32)
    for word in direction.split():
        flag = DIRECTION_WORDS.get(word, 'none')
        if flag in ('left', 'right', 'middle'):
            prior = prior * _ramp(flag, width)[None, :]
        elif flag in ('up', 'down') and rules == 'paper':
            prior = prior * _ramp('left' if flag == 'up' else 'right', height)[:, None]
    return prior


def _ramp(flag: str, n: int) -> np.ndarray:
    if n == 1:
        return np.ones(1, dtype=np.float32)
    i = np.arange(n, dtype=np.float32)
    if flag == 'middle':
        half = n // 2
        up = i / max(half - 1, 1)
        down = 1 - (i - half) / max(n - half - 1, 1)
        return np.where(i < half, up, down).astype(np.float32)
    ramp = i / (n - 1)
    return 1 - ramp if flag == 'left' else ramp


def softmax(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the softmax of an array that may be empty, float64."""
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return values
    e = np.exp(values - values.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def top_k(values: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k largest values, best first, ties in index order."""
    return np.argsort(-np.asarray(values, dtype=np.float64), kind='stable')[:k]
