"""From answers on validation pictures to probabilities, whatever the method."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.methods.logistic import Logistic

RIDGE = 1e-3        # pull of the weights towards zero, per answer
FITS_AT = 0.5       # an answer fits where it shares more than this IoU with an object that does


@dataclass(frozen=True, eq=False)
class Judged:
    """All answers to all questions: sentence (K,), features (K,), whether each fits (K,) bool.

    absent: (S,) bool per sentence.
    """

    sentence: np.ndarray
    features: Mapping[str, np.ndarray]
    fits: np.ndarray
    absent: np.ndarray


def fits_any(mask: np.ndarray, fitting: np.ndarray) -> bool:
    """Tell whether a mask (H, W) shows one of the objects (F, H, W) that a sentence fits."""
    for truth in fitting:
        both = np.count_nonzero(mask & truth)
        if both > FITS_AT * np.count_nonzero(mask | truth):
            return True
    return False


def fitted(judged: Judged, names: Sequence[str]) -> tuple[Logistic, dict[str, float]]:
    """Return the fit on some features, and how good it is.

    The report has the log loss over answers (cross-validated in five parts) and precision and
    recall of refusing absent objects at probability one half.
    """
    used = [n for n in names if np.ptp(judged.features[n]) > 0]
    fit = fit_logistic({n: judged.features[n] for n in used}, judged.fits)
    held_out = cross_validated(judged, used)
    p = np.clip(held_out, 1e-6, 1 - 1e-6)
    loss = -np.mean(np.where(judged.fits, np.log(p), np.log(1 - p)))
    return fit, {'log_loss': float(loss), **refusals(judged, held_out)}


def cross_validated(judged: Judged, names: Sequence[str], parts: int = 5) -> np.ndarray:
    """Return probabilities of each answer by a fit that did not see its sentence."""
    part = judged.sentence % parts
    out = np.zeros(len(part), np.float32)
    for k in range(parts):
        seen, held = part != k, part == k
        if held.any():
            fit = fit_logistic({n: judged.features[n][seen] for n in names}, judged.fits[seen])
            out[held] = fit.probability({n: judged.features[n][held] for n in names})
    return out


def refusals(judged: Judged, probability: np.ndarray, threshold: float = 0.5
             ) -> dict[str, float]:
    """Return precision and recall of refusing sentences about what is absent."""
    best = np.zeros(len(judged.absent), np.float32)
    np.maximum.at(best, judged.sentence, probability)
    refused = best < threshold
    right = (refused & judged.absent).sum()
    return {'absent_precision': float(right / max(refused.sum(), 1)),
            'absent_recall': float(right / max(judged.absent.sum(), 1)),
            'refused_answerable': float((refused & ~judged.absent).sum()
                                        / max((~judged.absent).sum(), 1))}


def fit_logistic(features: Mapping[str, np.ndarray], fits: np.ndarray, rounds: int = 50
                 ) -> Logistic:
    """Return the logistic regression of `fits` (K,) on features, by Newton's method.

    Features are centred and scaled while fitting; with one class only, the bias says so.
    """
    names = list(features)
    x = np.stack([np.asarray(features[n], np.float64) for n in names], 1) if names else \
        np.zeros((len(fits), 0))
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = np.concatenate([np.ones((len(x), 1)), (x - centre) / spread], axis=1)
    pull = np.full(z.shape[1], RIDGE * len(x))
    pull[0] = 1e-6 * len(x) + 1e-6
    w = np.zeros(z.shape[1])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -30, 30)))
        gradient = z.T @ (p - fits) + pull * w
        curvature = (z * (p * (1 - p))[:, None]).T @ z + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        w -= step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    slopes = w[1:] / spread
    return Logistic(float(w[0] - slopes @ centre),
                    {n: float(s) for n, s in zip(names, slopes, strict=True)})
