"""How the node stands, as ~/status and /diagnostics tell it; no ROS here."""
from __future__ import annotations

from ris_ros.service.commands import CommandBoard
from ris_ros.service.frames import FrameStore
from ris_ros.service.health import Check, Health, camera_check, clock_check
from ris_ros.service.ports import Intake, Surroundings
from ris_ros.service.results import Status
from ris_ros.service.switching import Choice
from ris_ros.service.timekeeping import Timekeeper


class Standing:
    """What the session knows of itself.

    active: whether commands are taken; reason: why not; failed: whether that is a failure.
    choice: the models that answer.  coming: those that are being built.  refused: why others
    than were asked for answer, or empty.  ahead: images from the future.
    """

    def __init__(self, surroundings: Surroundings, intake: Intake, frames: FrameStore,
                 clock: Timekeeper, board: CommandBoard) -> None:
        self._surroundings, self._intake, self._frames = surroundings, intake, frames
        self._time, self._board = clock, board
        self.active, self.failed = False, False
        self.reason = 'the node is not active yet'
        self.choice: Choice | None = None
        self.coming: Choice | None = None
        self.refused = ''
        self.ahead = 0
        self.health = Health()

    @property
    def method(self) -> str:
        """The method that answers; before there are models the one that is asked for."""
        return self._wanted.method if self.choice is None else self.choice.method

    @property
    def state(self) -> str:
        """The state in one word."""
        current = self._board.current
        if not self.active:
            return 'INACTIVE'
        return current.state.value if current is not None else 'IDLE'

    def status(self) -> Status:
        """Return what ~/status says."""
        current, newest, trouble = self._board.current, self._frames.newest(), self._time.trouble()
        message = self.state.lower() if self.active else self.reason
        return Status(
            active=self.active, warning=trouble is not None or bool(self.refused),
            message='; '.join(filter(None, (message, trouble, self.refused))),
            values={
                'state': self.state, 'command_id': current.id if current else None,
                'command': current.text if current else None, 'open': len(self._board.open),
                'method': self.method, 'profile': self._wanted.profile, 'loading': self.coming,
                **self._counts(),
                'image_age_ms': None if newest is None else 1e3 * newest.age_s(self._time.now),
                'clock': self._time.word(),
                'command_timeout_s': self._surroundings.parameters().command_timeout_s,
            })

    def checks(self) -> list[Check]:
        """Return how each part of the node fares, as far as it can be told at once."""
        newest = self._frames.newest()
        return [
            self.health.models(self.method, self._wanted.profile,
                               self.refused if self.active else self.reason, self.failed),
            camera_check(self._surroundings.image_topic(), self.active,
                         None if newest is None else newest.age_s(self._time.now),
                         self._counts()),
            clock_check(self._time.trouble(), self._time.word()),
            self.health.commands(len(self._board.open))]

    @property
    def _wanted(self) -> Choice:
        if self.choice is not None:
            return self.choice
        p = self._surroundings.parameters()
        return Choice(p.method, p.profile)

    def _counts(self) -> dict[str, int]:
        return {'images_received': self._frames.image.received,
                'images_lost': self._intake.lost(), 'images_ahead': self.ahead,
                'depth_received': self._frames.depth.received,
                'camera_info_received': self._frames.info.received}
