"""Estimates with bootstrap intervals, resampling images.

Sentences about one image are no independent draws, so whole images are resampled (cluster
bootstrap), 95 % intervals being the 2.5th and 97.5th percentile.  Every metric here is a sum over
sentences divided by another, which turns a resample into two matrix products.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
CHUNK = 4_000_000   # image weights held at once


@dataclass(frozen=True, eq=False)
class RatioTable:
    """Columns of numerators and denominators, summed by image: (G, M) float64 each."""

    names: tuple[str, ...]
    numerators: np.ndarray
    denominators: np.ndarray

    @classmethod
    def build(cls, images: Sequence[str],
              columns: Mapping[str, tuple[np.ndarray, np.ndarray]],
              order: Sequence[str] | None = None) -> RatioTable:
        """Sum columns of S samples by image; `order` fixes the rows, sorted otherwise."""
        rows = {name: k for k, name in enumerate(order or sorted(set(images)))}
        index = np.array([rows[i] for i in images], np.int64)
        numerators, denominators = (
            np.stack([np.bincount(index, weights=np.asarray(c[part], np.float64),
                                  minlength=len(rows)) for c in columns.values()], axis=1)
            if columns else np.zeros((len(rows), 0)) for part in (0, 1))
        return cls(tuple(columns), numerators, denominators)

    def estimates(self) -> np.ndarray:
        """Return the (M,) ratios of the sums, NaN where a denominator is 0."""
        return _ratio(self.numerators.sum(axis=0), self.denominators.sum(axis=0))

    def resampled(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Return (resamples, M) ratios; the same seed draws the same images in every table."""
        groups = len(self.numerators)
        rng = np.random.default_rng(seed)
        parts = []
        left = resamples
        while left > 0:
            size = min(left, max(1, CHUNK // max(groups, 1)))
            weights = rng.multinomial(groups, np.full(groups, 1 / groups), size).astype(float)
            parts.append(_ratio(weights @ self.numerators, weights @ self.denominators))
            left -= size
        return np.concatenate(parts)

    def intervals(self, resamples: int = RESAMPLES, seed: int = 0,
                  ) -> dict[str, tuple[float, float] | None]:
        """Return the 95 % interval by column, None where there is nothing to estimate."""
        if len(self.numerators) == 0 or not self.names:
            return dict.fromkeys(self.names)
        return dict(zip(self.names, bounds(self.resampled(resamples, seed)), strict=True))


def bounds(draws: np.ndarray) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of each column of (resamples, M) draws; NaN draws are skipped."""
    result: list[tuple[float, float] | None] = []
    for column in draws.T:
        column = column[np.isfinite(column)]
        result.append(tuple(float(v) for v in np.percentile(column, (2.5, 97.5)))  # type: ignore
                      if column.size else None)
    return result


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan),
                     where=denominator > 0)


def percentiles(seconds: Sequence[float]) -> dict[str, float | int] | None:
    """Return n and mean, p50, p95, p99 in milliseconds, None for an empty sequence."""
    if len(seconds) == 0:
        return None
    values = np.asarray(seconds, np.float64) * 1e3
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {'n': len(values), 'mean': round(float(values.mean()), 3), 'p50': round(float(p50), 3),
            'p95': round(float(p95), 3), 'p99': round(float(p99), 3)}
