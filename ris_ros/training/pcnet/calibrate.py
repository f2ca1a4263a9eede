"""From answers on validation pictures to the probability that an answer is meant (ours)."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ris_ros.methods.logistic import Logistic
from ris_ros.methods.pcnet.calibration import FEATURES
from ris_ros.methods.pcnet.method import PCNetMethod
from ris_ros.methods.pcnet.model import Asked
from ris_ros.training.judged import Judged, fits_any, fitted
from ris_ros.training.pcnet.pairs import Pictures
from ris_ros.training.pcnet.validation import Question, by_picture
from ris_ros.types import BadInputError, Grounding, Scene, View


def judge(method: PCNetMethod, pictures: Pictures, questions: Sequence[Question],
          fitting: Callable[[Question], np.ndarray]) -> Judged:
    """Answer all questions and compare the answers with the truth.

    Sentences that fit one object, several or none; answers are the masks that the method draws.
    fitting: gives the (F, H, W) bool masks of what a question fits.
    """
    sentence, fits, absent = [], [], []
    features: dict[str, list[float]] = {name: [] for name in FEATURES}
    answered = ((question, grounding, grounding.regions(scene))
                for scene, asked, found in answers(method, pictures, questions, 'calibrating')
                for question, grounding in zip(asked, found, strict=True))
    for number, (question, grounding, regions) in enumerate(answered):
        truth = fitting(question)
        absent.append(not len(truth))
        for row in grounding.order.tolist():
            sentence.append(number)
            fits.append(fits_any(regions.masks[row], truth))
            for name in FEATURES:
                features[name].append(grounding.details[name][row])
    if not sentence:
        raise BadInputError('no validation sentence was answered; give --val-scenes or a split '
                            'val')
    return Judged(np.array(sentence), {n: np.array(v) for n, v in features.items()},
                  np.array(fits, bool), np.array(absent, bool))


def answers(method: PCNetMethod, pictures: Pictures, questions: Iterable[Question], saying: str
            ) -> Iterator[tuple[Scene, list[Question], list[Grounding]]]:
    """Yield per picture its scene, what is asked about it and the answers.

    saying: of the progress bar.
    """
    from tqdm import tqdm
    for row, asked in tqdm(by_picture(questions).items(), desc=saying, unit='picture'):
        scene = method.prepare(View(pictures.read(row)))
        yield scene, asked, method.answer(scene, [Asked(q.text, q.cues) for q in asked])


def calibrate(judged: Judged) -> tuple[Logistic, dict[str, float]]:
    """Return the fit and how good it is, see `judged.fitted`."""
    return fitted(judged, FEATURES)
