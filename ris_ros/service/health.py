"""How the node fares: what /diagnostics and the self-test say; no ROS here."""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ris_ros.service.results import Result
from ris_ros.types import Level, Outcome

REMEMBERED = 200      # commands whose times count
OLD_IMAGE_S = 2.0     # without a new image a camera that should run has stopped
BROKEN = (Outcome.MODEL_ERROR, Outcome.OUT_OF_MEMORY)


@dataclass(frozen=True)
class Check:
    """One part of the node: how it fares, in a sentence and in numbers."""

    name: str
    level: Level
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Health:
    """Counts how commands end and how long they take."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._times: dict[str, deque[float]] = {
            name: deque(maxlen=REMEMBERED) for name in ('infer_ms', 'stamp_to_result_ms')}
        self._broken = ''

    def note(self, result: Result) -> None:
        """Take a command's end in."""
        outcome = result.ending.outcome
        self.outcomes[outcome.name] += 1
        if outcome in BROKEN:
            self._broken = f'{outcome.name}: {result.ending.message}'
        elif 'score' in result.details:   # the models have answered
            self._broken = ''
        for name, times in self._times.items():
            value = result.details.get(name)
            if isinstance(value, float):
                times.append(value)

    def models(self, method: str, profile: str, trouble: str, failed: bool) -> Check:
        """Return how the models fare.

        trouble: why they answer nothing, or empty; failed: whether that is a failure.
        """
        values = {'method': method, 'profile': profile, **self._spread('infer_ms')}
        if trouble:
            return Check('models', Level.ERROR if failed else Level.WARN, trouble, values)
        if self._broken:
            return Check('models', Level.ERROR, f'the last command failed: {self._broken}', values)
        return Check('models', Level.OK, 'loaded', values)

    def commands(self, still_open: int) -> Check:
        """Return how commands ended since the start."""
        return Check('commands', Level.OK, f'{still_open} open' if still_open else 'idle', {
            'open': still_open, 'ended': sum(self.outcomes.values()),
            **dict(sorted(self.outcomes.items())), **self._spread('stamp_to_result_ms')})

    def _spread(self, name: str) -> dict[str, float]:
        times = self._times[name]
        if not times:
            return {}
        p50, p95, p99 = np.percentile(times, (50, 95, 99))
        return {f'{name}_p50': float(p50), f'{name}_p95': float(p95), f'{name}_p99': float(p99)}


def camera_check(topic: str, active: bool, age_s: float | None, values: Mapping[str, Any]
                 ) -> Check:
    """Return how the camera fares; age_s: of the newest image, None before the first."""
    if not active:
        return Check('camera', Level.OK, 'not listened to, the node is not active', values)
    if age_s is None:
        return Check('camera', Level.ERROR, f'no image has come on {topic}; check its name, its '
                     'publisher and ROS_DOMAIN_ID', values)
    if age_s > OLD_IMAGE_S:
        return Check('camera', Level.WARN, f'the newest image on {topic} is {age_s:.3g} s old',
                     values)
    return Check('camera', Level.OK, 'images come', values)


def clock_check(trouble: str | None, word: str) -> Check:
    """Return how the clock fares; trouble: why it cannot be trusted."""
    return Check('clock', Level.ERROR if trouble else Level.OK, trouble or word, {'clock': word})


def worst(checks: Sequence[Check]) -> Level:
    """Return the highest level, OK of none."""
    return max((check.level for check in checks), key=lambda level: level.value,
               default=Level.OK)
