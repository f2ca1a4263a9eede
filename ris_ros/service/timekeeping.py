"""Whether the clock that stamps are of goes as a clock should; no ROS here.

That clock may be set, be simulated, run at another rate, stand still or never start.  What is
waited for is measured by a steady clock; this one only says how old pictures are.
"""
from __future__ import annotations

from ris_ros.service.ports import Clock

BACK_S = 0.01         # the clock went back by more than its own jitter
AHEAD_S = 1.0         # it went further ahead than what passed meanwhile
FASTEST = 30.0        # a simulation may run so many times as fast as the world
STANDSTILL_S = 1.0    # a simulated clock that has not moved for so long is looked at
NOT_STARTED = ('use_sim_time is on, but no time has come on /clock; start the simulation or '
               '`ros2 bag play --clock`, or set use_sim_time to false')
SILENT = ('use_sim_time is on, but /clock has been silent for {:.0f} s and nobody publishes it; '
          'start the simulation again, or set use_sim_time to false')


class Timekeeper:
    """Watches the clock; `look` is to be called at everything that happens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ros, self._steady = clock.ros_s(), clock.steady_s()
        self._simulated = clock.simulated()
        self._moved = self._steady  # when the time was last seen to have changed

    @property
    def now(self) -> float:
        """The steady clock, for everything that is waited for."""
        return self._clock.steady_s()

    @property
    def stamp(self) -> float:
        """The clock that stamps are of."""
        return self._clock.ros_s()

    def look(self) -> str | None:
        """Return how the clock jumped since the last look, None if it did not.

        The first time that a simulated clock gives is no jump: before it there was none.
        """
        ros, steady, simulated = (self._clock.ros_s(), self._clock.steady_s(),
                                  self._clock.simulated())
        moved, passed = ros - self._ros, steady - self._steady
        switched, started = simulated is not self._simulated, self._ros == 0.0
        self._ros, self._steady, self._simulated = ros, steady, simulated
        if moved != 0.0:
            self._moved = steady
        if moved == 0.0 or (started and not switched):
            return None
        if switched:
            return f'the clock was changed for {"a simulated" if simulated else "the real"} one'
        if moved < -BACK_S:
            return f'the clock jumped back by {-moved:.4g} s'
        ahead = moved - passed * (FASTEST if simulated else 1.0)
        return f'the clock jumped ahead by {ahead:.4g} s' if ahead > AHEAD_S else None

    def trouble(self) -> str | None:
        """Return why the time cannot be trusted, None if it can.

        A simulated time that stands still while somebody publishes it is paused and trusted.
        """
        if not self._simulated:
            return None
        if self._ros == 0.0:
            return NOT_STARTED
        still = self.now - self._moved
        if still < STANDSTILL_S:
            return None
        return None if self._clock.is_offered() else SILENT.format(still)

    def word(self) -> str:
        """Return the clock's state in one word: system, simulated, paused or silent."""
        if not self._simulated:
            return 'system'
        if self.trouble():
            return 'silent'
        return 'paused' if self.now - self._moved >= STANDSTILL_S else 'simulated'
