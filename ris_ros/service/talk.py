"""Questions that commands leave open, and the commands that answer them; no ROS here."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ris_ros.dialogue import Dialogue
from ris_ros.types import BadInputError, Scene, Segmentation, View

if TYPE_CHECKING:
    from ris_ros.service.worker import Job


@dataclass(frozen=True, eq=False)
class Asked:
    """What a question is about: the job on whose sight it is, and the view.

    name: id of the command whose result carries the question, where that was itself an answer.
    """

    job: Job
    view: View
    name: str = ''


class Talk:
    """The dialogue of one segmenter over commands; lives on the models' thread."""

    def __init__(self, segmenter: Any) -> None:
        self._dialogue = Dialogue(segmenter)
        self._asked: Asked | None = None

    def forget(self) -> None:
        """Close the open question."""
        self._dialogue.forget()
        self._asked = None

    def heard(self, job: Job, segmentation: Segmentation, scene: Scene) -> None:
        """Note the result of a command of its own, whose question is the open one from now on."""
        view, key, segmenter = scene.view, job.sight.key, self._dialogue.segmenter
        most = job.sight.parameters.max_candidates

        def look(said: str) -> Segmentation:
            # The segmenter alone keeps scenes; one that has gone is prepared again.
            kept = segmenter.kept(key) or segmenter.prepare(view, key=key)
            found: Segmentation = segmenter.ground(kept, said, max_candidates=most)
            return found

        self._dialogue.remember(segmentation, view, look)
        self._asked = Asked(job, view) if segmentation.question is not None else None

    def answer(self, job: Job) -> tuple[Segmentation, Asked] | None:
        """Return what a job answers to the open question and what that is about, else None.

        Raises BadInputError for one that says which question it answers and does not.
        """
        self._dialogue.window_s = job.sight.parameters.answer_window_s
        asked, question = self._asked, self._dialogue.question
        names = (asked.job.id, asked.name) if asked is not None else ()
        if job.in_reply_to is not None and (question is None or job.in_reply_to not in names):
            raise BadInputError(f'command {job.in_reply_to!r} has no open question; say the whole '
                                'command again')
        found = self._dialogue.reply(job.text)
        if found is None or asked is None:
            if job.in_reply_to is not None and question is not None:
                raise BadInputError(f'"{job.text}" does not answer "{question.text}"; say for '
                                    f'example "{question.options[0].words}"')
            return None
        if found.question is not None:
            self._asked = replace(asked, name=job.id)
        return found, asked
