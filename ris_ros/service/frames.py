"""The newest pictures with the depth and the intrinsics that belong to them; no ROS calls.

Messages are only stored here; they are converted by the worker when a command needs them.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

StreamName = Literal['image', 'depth', 'info']


@dataclass(frozen=True, eq=False)
class Stamped:
    """A message as it came.

    stamp: seconds of its header.  identity: what it holds, compared by its content; messages
    of equal identity convert to equal arrays.  frame_id: of its header.  arrived: when it came,
    seconds of the steady clock.  arrived_stamp: the same by the clock that stamps are of.
    waited_s: how long it had lain in the middleware when it was handed over.  passed_over: how
    many of its topic had come since the one before and were never taken.  lasting: whether it
    was sent once for all time, as a latched CameraInfo is.
    """

    stamp: float
    message: Any
    identity: Hashable
    frame_id: str = ''
    arrived: float = 0.0
    arrived_stamp: float = 0.0
    waited_s: float = 0.0
    passed_over: int = 0
    lasting: bool = False

    @property
    def lead_s(self) -> float:
        """Seconds that the stamp was ahead of the clock when the message came."""
        return self.stamp - self.arrived_stamp

    def age_s(self, now: float) -> float:
        """Return the age of the stamp at `now`, seconds of the steady clock.

        Jumps of the clock that stamps are of, after the message came, do not count.
        """
        return now - self.arrived - self.lead_s


@dataclass(frozen=True, eq=False)
class FrameSet:
    """A colour image, with its depth image and CameraInfo where there are such."""

    image: Stamped
    depth: Stamped | None = None
    info: Stamped | None = None


@dataclass(frozen=True)
class Freshness:
    """Which images will do.

    oldest_stamp: the least stamp.  oldest_arrival: the least time of arrival by the steady
    clock, None where that does not count, as when the time is simulated.  most_lead_s: how far
    a stamp may be ahead of the clock.
    """

    oldest_stamp: float
    oldest_arrival: float | None
    most_lead_s: float

    def allows(self, image: Stamped) -> bool:
        """Say whether the image is new enough, and not of the future."""
        late = self.oldest_arrival is None or image.arrived >= self.oldest_arrival
        return late and image.stamp >= self.oldest_stamp and image.lead_s <= self.most_lead_s


@dataclass
class Stream:
    """One topic's newest messages and how many have come in all."""

    size: int
    received: int = 0
    items: deque[Stamped] = field(default_factory=deque)

    def add(self, item: Stamped) -> None:
        """Store a message, dropping the oldest beyond `size`; one that came twice counts once."""
        if item.lasting and any(item.stamp == other.stamp and item.frame_id == other.frame_id
                                and item.identity == other.identity for other in self.items):
            return
        self.received += 1 + item.passed_over
        self.items.append(item)
        while len(self.items) > self.size:
            self.items.popleft()

    def newest_first(self) -> list[Stamped]:
        """Return the messages by stamp, of equal stamps the one that came last first."""
        return sorted(reversed(self.items), key=lambda item: -item.stamp)

    def nearest(self, stamp: float, slop: float) -> Stamped | None:
        """Return the message whose stamp is nearest to `stamp`, None if beyond `slop`.

        Of several as near the last that came; a lasting one fits every stamp.
        """
        best = min(reversed(self.items), key=lambda item: abs(item.stamp - stamp), default=None)
        if best is None or abs(best.stamp - stamp) <= slop:
            return best
        return next((item for item in reversed(self.items) if item.lasting), None)


class FrameStore:
    """Newest colour, depth and intrinsics; pairs them by stamp."""

    def __init__(self, size: int = 10) -> None:
        self.image, self.depth, self.info = Stream(size), Stream(size), Stream(size)
        self._streams: dict[StreamName, Stream] = {
            'image': self.image, 'depth': self.depth, 'info': self.info}

    def add(self, stream: StreamName, item: Stamped) -> None:
        """Store a message of one of the three streams."""
        self._streams[stream].add(item)

    def clear(self) -> None:
        """Forget all messages (the clock jumped, or the node was deactivated)."""
        for stream in self._streams.values():
            stream.items.clear()

    def clear_but_lasting(self) -> None:
        """Forget all messages but those that were sent once for all time."""
        for stream in self._streams.values():
            stream.items = deque(item for item in stream.items if item.lasting)

    def newest(self) -> Stamped | None:
        """Return the colour image that came last, None before the first."""
        return self.image.items[-1] if self.image.items else None

    def select(self, fresh: Freshness, slop: float, want_depth: bool, complete: bool = True
               ) -> FrameSet | None:
        """Return the newest frame that is fresh, None if there is none.

        want_depth: look for the depth image and the intrinsics too.  complete: only a frame
        for which both have come within `slop` seconds of its stamp; otherwise what is there,
        the intrinsics then being the nearest in time.
        """
        for image in self.image.newest_first():
            if not fresh.allows(image):
                continue
            if not want_depth:
                return FrameSet(image)
            depth = self.depth.nearest(image.stamp, slop)
            info = self.info.nearest(image.stamp, slop if complete else float('inf'))
            if not complete or (depth is not None and info is not None):
                return FrameSet(image, depth, info)
        return None
