"""From answers on validation pictures to probabilities, and what tells presence best (ours)."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ris_ros.methods.prompt_ris.calibration import FEATURES, Calibration, Logistic
from ris_ros.methods.prompt_ris.model import PromptRisModel
from ris_ros.methods.prompt_ris.settings import PromptRisSettings

RIDGE = 1e-3        # pull of the weights towards zero, per answer
FITS_AT = 0.5       # an answer fits where it shares more than this IoU with an object that does


@dataclass(frozen=True, eq=False)
class Question:
    """A picture and what is asked about it.

    rgb: (H, W, 3) uint8.  texts: the sentences.  fitting: per sentence the (F, H, W) bool masks
    of the objects that it fits, none where what it means is absent.
    """

    rgb: np.ndarray
    texts: Sequence[str]
    fitting: Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class Judged:
    """All answers to all questions: sentence (K,), features (K,), whether each fits (K,) bool.

    absent: (S,) bool per sentence.
    """

    sentence: np.ndarray
    features: Mapping[str, np.ndarray]
    fits: np.ndarray
    absent: np.ndarray


def judge(model: PromptRisModel, questions: Iterable[Question], settings: PromptRisSettings
          ) -> Judged:
    """Answer all questions and compare the answers with the truth."""
    sentence, fits, absent = [], [], []
    features: list[Mapping[str, np.ndarray]] = []
    count = 0
    for question in questions:
        with model.autocast():
            picture = model.look(question.rgb, settings.answer == 'final')
            answers = model.answer(picture, model.tokens(question.texts)[0],
                                   question.rgb.shape[:2], settings)
        sentence.append(answers.rows + count)
        features.append(answers.features)
        fits.append(np.array([_fits(mask, question.fitting[row]) for mask, row in
                              zip(answers.masks, answers.rows, strict=True)], bool))
        absent += [not len(found) for found in question.fitting]
        count += len(question.texts)
    names = features[0].keys() if features else ()
    return Judged(np.concatenate(sentence), {n: np.concatenate([f[n] for f in features])
                                             for n in names},
                  np.concatenate(fits), np.array(absent))


def _fits(mask: np.ndarray, fitting: np.ndarray) -> bool:
    for truth in fitting:
        both = np.count_nonzero(mask & truth)
        if both > FITS_AT * np.count_nonzero(mask | truth):
            return True
    return False


def calibrate(judged: Judged) -> tuple[Calibration, dict[str, Any]]:
    """Return a fit per kind of evidence, and how good each is.

    The report has, per kind, the log loss over answers (cross-validated in five parts) and
    precision and recall of refusing absent objects at probability one half.
    """
    fits, report = {}, {}
    for kind, names in FEATURES.items():
        if not set(names) <= set(judged.features):
            continue
        used = [n for n in names if np.ptp(judged.features[n]) > 0]
        fits[kind] = fit_logistic({n: judged.features[n] for n in used}, judged.fits)
        held_out = _cross_validated(judged, used)
        p = np.clip(held_out, 1e-6, 1 - 1e-6)
        report[kind] = {'log_loss': float(-np.mean(np.where(judged.fits, np.log(p),
                                                            np.log(1 - p)))),
                        **refusals(judged, held_out)}
    return Calibration(fits), report


def _cross_validated(judged: Judged, names: Sequence[str], parts: int = 5) -> np.ndarray:
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
