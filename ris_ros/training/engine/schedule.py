"""How far a run is, and which learning rate belongs there."""
from __future__ import annotations

import math
import time

from ris_ros.training.engine.settings import EngineSettings


class Clock:
    """Seconds of work, counted over resumptions."""

    def __init__(self, used: float = 0.0) -> None:
        """used: seconds of earlier runs."""
        self.used, self._start = used, time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of work so far."""
        return self.used + time.monotonic() - self._start


def fraction_of(settings: EngineSettings, step: int, seconds: float) -> float:
    """Return the part of the run that lies behind, 0 to 1, before optimiser step `step`."""
    if settings.steps:
        return min(1.0, step / settings.steps)
    return min(1.0, seconds / (60 * settings.minutes))


def factor_of(settings: EngineSettings, fraction: float) -> float:
    """
    Return the learning rate as a part of the highest.

    It rises linearly over the first `warmup` of the run, then falls to `floor`: as half a
    cosine (Loshchilov and Hutter 2017, equation 5), as (1 - x)^power (the "poly" schedule of
    DeepLab), or not at all.
    """
    if fraction < settings.warmup:
        return max(fraction / settings.warmup, 0.01)
    x = (fraction - settings.warmup) / (1 - settings.warmup)
    shape = {'cosine': 0.5 * (1 + math.cos(math.pi * x)), 'poly': (1 - x) ** settings.power,
             'constant': 1.0}[settings.schedule]
    return settings.floor + (1 - settings.floor) * shape
