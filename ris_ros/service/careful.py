"""A publisher that never fails; no ROS here.

What cannot be published must not end the node, and a command whose result cannot be published
as it is still gets one.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from ris_ros.service.frames import FrameSet
from ris_ros.service.health import Check
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.ports import Publisher
from ris_ros.service.results import Result, Status
from ris_ros.service.text import shortened
from ris_ros.service.worker import Reply
from ris_ros.types import Outcome

LOGGER = logging.getLogger(__name__)


class CarefulPublisher:
    """Hands all on to another publisher; only `outputs` lets its errors through."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def outputs(self, reply: Reply, frames: FrameSet, parameters: NodeParameters) -> None:
        """Publish masks and targets of an answered command; may raise, then it failed."""
        self._publisher.outputs(reply, frames, parameters)

    def result(self, result: Result) -> None:
        """Publish a result, the bare outcome where it cannot be published as it is.

        What was said to have succeeded has then failed: its numbers are not to be had.
        """
        try:
            self._publisher.result(result)
        except Exception as error:
            self.warn(f'the result of command {result.record.id} cannot be published as it is '
                      f'({error!r})')
            ending = result.ending
            outcome = Outcome.MODEL_ERROR if ending.outcome.code < 10 else ending.outcome
            bare = replace(result, details={}, record=replace(result.record, frames=None),
                           ending=replace(ending, outcome=outcome, details={}, candidates=(),
                                          message='the result could not be published whole: '
                                          f'{shortened(repr(error))}'))
            self._quietly(lambda: self._publisher.result(bare))

    def status(self, status: Status) -> None:
        """Publish how the node stands."""
        self._quietly(lambda: self._publisher.status(status))

    def diagnostics(self, checks: Sequence[Check]) -> None:
        """Publish how each part of the node fares."""
        self._quietly(lambda: self._publisher.diagnostics(checks))

    def note(self, text: str) -> None:
        """Log what goes as it should."""
        self._quietly(lambda: self._publisher.note(text))

    def warn(self, text: str) -> None:
        """Log what somebody should look at."""
        self._quietly(lambda: self._publisher.warn(text))

    @staticmethod
    def _quietly(say: Callable[[], None]) -> None:
        try:
            say()
        except Exception:
            LOGGER.exception('the node cannot speak')
