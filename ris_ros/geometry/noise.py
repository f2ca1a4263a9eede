"""How noisy a depth image is, read from the image itself.

Millimetres that fit one sensor do not fit another, nor the same sensor twice as far away; all
thresholds on depth are therefore multiples of what is estimated here.  Source: ours.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.lazy import require

FLOOR_M = 0.0003   # what rounding to millimetres leaves: 1 mm / sqrt(12)
QUANTILE = 0.35    # below the median, so that edges and curved things weigh less
NORMAL_QUANTILE = 0.4538  # |x| of a standard normal distribution lies below it with p = QUANTILE
MIN_SAMPLES = 400  # of a range bin
BINS = 10


@dataclass(frozen=True)
class DepthNoise:
    """Standard deviation of depth along z: hypot(floor, rate * z**2).

    floor: metres, what does not depend on range.  rate: 1/m, the quadratic law of cameras that
    triangulate.
    """

    floor: float
    rate: float

    def sigma(self, depth_m: np.ndarray) -> np.ndarray:
        """Return the standard deviation, metres, at depths of any shape, float32."""
        return np.hypot(np.float32(self.floor), np.float32(self.rate) * depth_m * depth_m)


def depth_noise(depth_m: np.ndarray, smooth: int = 1, lag: int = 8) -> DepthNoise:
    """Return the noise of a depth image as a function of range.

    depth_m: (H, W) float metres, NaN where nothing was measured.  smooth: side of the square
    mean filter that the depth goes through first, pixels (1: none); noise that is correlated
    over a matching window stays in.  lag: pixels between the three readings compared, larger
    than such a window.

    A plane is exactly linear in the image in inverse depth, seen from any side, so that second
    differences of it hold noise alone.  A low quantile of their size per bin of range gives the
    standard deviation there; the two numbers are fitted to the bins.  Where fewer than 400
    readings can be compared, the noise is that of a coarse sensor, 2 mm + 3 mm at 1 m.

    >>> rng = np.random.default_rng(0)
    >>> z = np.tile(np.linspace(0.5, 1.5, 200, dtype=np.float32), (200, 1)).T
    >>> noise = depth_noise(1 / z + rng.normal(size=z.shape) * 0.0)
    >>> bool(noise.sigma(np.float32(1.0)) < 0.001)
    True
    """
    ok = np.isfinite(depth_m) & (depth_m > 0)
    inverse = np.where(ok, 1 / np.where(ok, depth_m, 1), 0).astype(np.float32)
    if smooth > 1:
        cv2 = require('cv2', 'models')
        inverse = cv2.blur(inverse, (smooth, smooth))
        ok = cv2.erode(ok.view(np.uint8), np.ones((smooth, smooth), np.uint8)) > 0
    ranges, sizes = [], []
    for values, valid in ((inverse[::4], ok[::4]), (inverse.T[::4], ok.T[::4])):
        if values.shape[1] <= 2 * lag:
            continue
        middle = values[:, lag:-lag]
        both = valid[:, 2 * lag:] & valid[:, lag:-lag] & valid[:, :-2 * lag]
        bent = np.abs(values[:, 2 * lag:] - 2 * middle + values[:, :-2 * lag])[both]
        ranges.append(1 / middle[both])
        sizes.append(bent)
    z = np.concatenate(ranges) if ranges else np.zeros(0, np.float32)
    if len(z) < MIN_SAMPLES:
        return DepthNoise(0.002, 0.003)
    return _fit(z, np.concatenate(sizes))


def _fit(z: np.ndarray, bent: np.ndarray) -> DepthNoise:
    """Return the law through bins of equal count; z, bent: (M,) range and second difference."""
    order = np.argsort(z)
    middles, sigmas = [], []
    for part in np.array_split(order, max(1, min(BINS, len(z) // MIN_SAMPLES))):
        middle = float(np.median(z[part]))
        size = float(np.quantile(bent[part], QUANTILE)) / NORMAL_QUANTILE / np.sqrt(6)
        middles.append(middle)
        sigmas.append(max(size * middle ** 2, FLOOR_M))
    zs, squares = np.array(middles), np.square(sigmas)
    # Relative errors count, else the farthest bin decides alone.
    terms = np.stack([np.ones_like(zs), zs ** 4], axis=1) / squares[:, None]
    floor2, rate2 = np.linalg.lstsq(terms, np.ones_like(zs), rcond=None)[0]
    if rate2 < 0 or len(zs) < 2:
        floor2, rate2 = float(np.median(squares)), 0.0
    elif floor2 < FLOOR_M ** 2:
        floor2 = FLOOR_M ** 2
        rate2 = float(np.median(np.maximum(squares - floor2, 0) / zs ** 4))
    return DepthNoise(float(np.sqrt(floor2)), float(np.sqrt(rate2)))
