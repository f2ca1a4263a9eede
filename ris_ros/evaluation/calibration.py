"""Whether an answer's confidence can be trusted: calibration table and risk-coverage curve.

An answer is right where the sentence means something and its mask overlaps that with IoU above
0.5; acting on what is absent or ambiguous is wrong.  Sentences that were refused or asked about
are not covered.  Sources: Guo et al. 2017 (expected calibration error, equal bins), El-Yaniv and
Wiener 2010 (risk and coverage).
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10
STEPS = 20  # points of the curve


def calibration(confidence: Sequence[float], right: Sequence[bool], samples: int
                ) -> dict[str, Any]:
    """Return calibration table and risk-coverage curve of the answers that were acted on.

    confidence: [0, 1] of each answer.  right: whether it was.  samples: of all sentences.
    `ece` is the mean gap between confidence and share of right answers, weighted by the bins'
    numbers; `bins` the table, empty ones left out; `risk_coverage` the share of wrong answers
    among the most confident ones, by the share of all sentences that these are; `aurc` its mean
    over them.  None where nothing was acted on.

    >>> found = calibration([0.9, 0.9, 0.1], [True, False, False], 4)
    >>> round(found['ece'], 3), found['risk_coverage'][-1]['coverage']
    (0.3, 0.75)
    """
    sure, good = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if not len(sure):
        return {'n': 0, 'ece': None, 'aurc': None, 'bins': [], 'risk_coverage': []}
    at = np.minimum((np.clip(sure, 0, 1) * BINS).astype(int), BINS - 1)
    bins = [{'from': k / BINS, 'to': (k + 1) / BINS, 'n': int((at == k).sum()),
             'confidence': float(sure[at == k].mean()), 'right': float(good[at == k].mean())}
            for k in range(BINS) if (at == k).any()]
    ece = sum(b['n'] * abs(b['confidence'] - b['right']) for b in bins) / len(sure)
    order = np.argsort(-sure, kind='stable')
    risk = np.cumsum(~good[order]) / np.arange(1, len(sure) + 1)
    chosen = np.unique(np.ceil(np.linspace(1, len(sure), STEPS)).astype(int)) - 1
    curve = [{'coverage': (int(k) + 1) / samples, 'risk': float(risk[k]),
              'confidence': float(sure[order[k]])} for k in chosen]
    return {'n': len(sure), 'ece': float(ece), 'aurc': float(risk.mean()), 'bins': bins,
            'risk_coverage': curve}


def risk_at(curve: Sequence[dict[str, float]], coverage: float) -> float | None:
    """Return the risk at the first point that covers as much, None where none does."""
    return next((p['risk'] for p in curve if p['coverage'] >= coverage), None)
