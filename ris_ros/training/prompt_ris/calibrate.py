"""From answers on validation pictures to probabilities, and what tells presence best (ours)."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ris_ros.methods.prompt_ris.calibration import FEATURES, Calibration
from ris_ros.methods.prompt_ris.model import PromptRisModel
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.training.judged import Judged, fit_logistic, fits_any, fitted, refusals

__all__ = ['Judged', 'Question', 'calibrate', 'fit_logistic', 'judge', 'refusals']



@dataclass(frozen=True, eq=False)
class Question:
    """A picture and what is asked about it.

    rgb: (H, W, 3) uint8.  texts: the sentences.  fitting: per sentence the (F, H, W) bool masks
    of the objects that it fits, none where what it means is absent.
    """

    rgb: np.ndarray
    texts: Sequence[str]
    fitting: Sequence[np.ndarray]


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
        fits.append(np.array([fits_any(mask, question.fitting[row]) for mask, row in
                              zip(answers.masks, answers.rows, strict=True)], bool))
        absent += [not len(found) for found in question.fitting]
        count += len(question.texts)
    names = features[0].keys() if features else ()
    return Judged(np.concatenate(sentence), {n: np.concatenate([f[n] for f in features])
                                             for n in names},
                  np.concatenate(fits), np.array(absent))


def calibrate(judged: Judged) -> tuple[Calibration, dict[str, Any]]:
    """Return a fit per kind of evidence, and how good each is.

    The report has, per kind, the log loss over answers (cross-validated in five parts) and
    precision and recall of refusing absent objects at probability one half.
    """
    fits, report = {}, {}
    for kind, names in FEATURES.items():
        if not set(names) <= set(judged.features):
            continue
        fits[kind], report[kind] = fitted(judged, names)
    return Calibration(fits), report
