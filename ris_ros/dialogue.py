"""A conversation about a scene: what was asked back stays open until it is answered (ours)."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ris_ros.decision import shares
from ris_ros.decision.answering import meant
from ris_ros.decision.parts import asked_about, rejoined
from ris_ros.decision.question import which_of
from ris_ros.language.answers import Answer, read_answer
from ris_ros.types import Camera, Option, Outcome, Question, Scene, Segmentation, View

WINDOW_S = 20.0  # seconds for which a question stays open
SAME = 0.5       # masks that share more of the smaller are the same object


@dataclass
class _Open:
    """A question with what it is about.

    result: the whole.  part: what of it the question is about.  look: finds another expression in
    the same view.  guess: what was taken for meant last.
    """

    question: Question
    result: Segmentation
    part: Segmentation
    view: View
    look: Callable[[str], Segmentation]
    since: float
    guess: Option | None
    answered: bool = False


class Dialogue:
    """Keeps the last question of a segmenter and takes what follows as its answer.

    `dialogue.segment(rgb, 'pick up the box')` has the question "the yellow box or the white
    box?", and `dialogue.segment(rgb, 'the yellow one')` then the mask.
    segmenter: see `Segmenter`.  window_s: seconds for which a question stays open, and an
    answer can be corrected ("no, the other").  clock: seconds that only go up.
    An answer is about the scene in which the question was asked, whatever is seen by then.
    """

    def __init__(self, segmenter: Any, window_s: float = WINDOW_S,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.segmenter, self.window_s = segmenter, window_s
        self._clock = clock
        self._open: _Open | None = None

    @property
    def question(self) -> Question | None:
        """The question that waits for an answer, None where none does."""
        now = self._current()
        return None if now is None or now.answered else now.question

    def segment(self, rgb: np.ndarray, text: str, depth: np.ndarray | None = None,
                camera: Camera | None = None) -> Segmentation:
        """Return the answer to a sentence about an image, or to the open question.

        Arguments and errors as of `Segmenter.segment`; the image is not looked at where the text
        answers the question.
        """
        replied = self.reply(text)
        if replied is not None:
            return replied

        def look(said: str) -> Segmentation:
            found: Segmentation = self.segmenter.segment(rgb, said, depth, camera)
            return found

        result = look(text)
        self.remember(result, View(rgb, depth, camera), look)
        return result

    def ground(self, scene: Scene, text: str) -> Segmentation:
        """The same about a prepared scene; see `Segmenter.ground`."""
        replied = self.reply(text)
        if replied is not None:
            return replied

        def look(said: str) -> Segmentation:
            found: Segmentation = self.segmenter.ground(scene, said)
            return found

        result = look(text)
        self.remember(result, scene.view, look)
        return result

    def remember(self, result: Segmentation, view: View, look: Callable[[str], Segmentation]
                 ) -> None:
        """Keep the question of a result open, in place of any before.

        view: what the result is about.  look: finds another expression there.
        """
        self._open = None
        part = asked_about(result)
        if result.question is not None and part.regions is not None:
            first = next((o for o in result.question.options if part.candidates
                          and o.candidate.index == part.candidates[0].index), None)
            self._open = _Open(result.question, result, part, view, look, self._clock(), first)

    def forget(self) -> None:
        """Close the question, as after a cancel."""
        self._open = None

    def reply(self, text: str) -> Segmentation | None:
        """Return what a text answers to the open question; None where it is no answer.

        SUCCEEDED_2D with the object that is meant and the command that was asked about;
        AMBIGUOUS with a narrower question where several are left; NO_MATCH where it is none of
        them.  `in_reply_to` of it is the question.
        """
        now = self._current()
        answer = None if now is None else read_answer(text, now.question.name)
        if now is None or answer is None or (now.answered and not (
                answer.corrects or answer.other)):
            return None
        if answer.no and not (now.answered and len(now.question.options) == 2):
            self.forget()
            return self._none(now, 'none of them is meant; name the object otherwise')
        if answer.no:  # it was not the one of the two: so it is the other
            answer = Answer(other=True, corrects=True)
        if answer.sentence is not None:
            chosen = self._by_looking(now, answer.sentence)
        else:
            assert now.part.regions is not None
            chosen = meant(answer, now.question.options, now.view, now.part.regions, now.guess)
        return self._resolved(now, chosen, answer, text)

    def _current(self) -> _Open | None:
        now = self._open
        if now is not None and self._clock() - now.since > self.window_s:
            self._open = now = None
        return now

    def _by_looking(self, now: _Open, sentence: str) -> list[Option]:
        """Return the option that the method finds for an expression, if it finds one of them."""
        found = now.look(sentence)
        if found.outcome is not Outcome.SUCCEEDED_2D or now.part.regions is None:
            return []
        regions, options = now.part.regions, now.question.options
        index = np.array([o.candidate.index for o in options])
        for chosen in found.selected or found.candidates[:1]:
            same = shares(regions, chosen.index, index) > SAME
            if same.any():
                return [options[int(np.flatnonzero(same)[0])]]
        return []

    def _resolved(self, now: _Open, chosen: list[Option], answer: Answer, text: str
                  ) -> Segmentation:
        now.since = self._clock()
        if not chosen:
            said = ' '.join(text.split())[:80]
            return replace(self._none(now, f'"{said}" is none of what was asked about: '
                                      f'{now.question.text}'), question=now.question)
        if len(chosen) > 1 and not answer.everything:
            assert now.part.regions is not None
            question = which_of(now.view, now.part.regions, [o.candidate for o in chosen],
                                now.question.name)
            return self._again(now, replace(
                now.part, outcome=Outcome.AMBIGUOUS, question=question, selected=(),
                message=f'several are left: {question.text}', in_reply_to=now.question,
                mask=chosen[0].candidate.mask))
        now.answered, now.guess = True, chosen[0]
        found = rejoined(now.result, now.part, _chosen(now, chosen))
        return self._again(now, found, whole=True) if found.question is not None else found

    def _again(self, now: _Open, result: Segmentation, whole: bool = False) -> Segmentation:
        """Return a result that asks once more, its question kept open.

        whole: it is of the whole command and not of the part that was asked about.
        """
        if not whole:
            # The part keeps its place in the command until it is found.
            now.question, now.guess = _asked(result), _asked(result).options[0]
            return replace(now.result, outcome=result.outcome, question=result.question,
                           message=result.message, in_reply_to=result.in_reply_to,
                           mask=result.mask if now.part is now.result else now.result.mask,
                           selected=())
        self.remember(result, now.view, now.look)
        return result

    def _none(self, now: _Open, message: str) -> Segmentation:
        return replace(now.result, outcome=Outcome.NO_MATCH, message=message,
                       mask=np.zeros(now.view.size, dtype=bool), selected=(),
                       question=None, in_reply_to=now.question, confidence=0.0)


def _asked(result: Segmentation) -> Question:
    assert result.question is not None
    return result.question


def _chosen(now: _Open, chosen: list[Option]) -> Segmentation:
    """Return the part that was asked about with what was chosen of it."""
    words = ' and '.join(o.words for o in chosen)
    rest = [c for c in now.part.candidates if all(c is not o.candidate for o in chosen)]
    listed = [*(o.candidate for o in chosen), *rest]
    return replace(
        now.part, outcome=Outcome.SUCCEEDED_2D, question=None, in_reply_to=now.question,
        mask=np.logical_or.reduce([o.candidate.mask for o in chosen]),
        message=f'found {words}, as answered', score=chosen[0].candidate.score, confidence=1.0,
        selected=tuple(replace(o.candidate, rank=i) for i, o in enumerate(chosen, start=1)),
        candidates=tuple(replace(c, rank=i) for i, c in enumerate(listed, start=1)))
