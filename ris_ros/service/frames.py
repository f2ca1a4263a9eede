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

    stamp: seconds of its header.  identity: what tells it from the other messages of its
    topic; two of the same identity count as the same message.  frame_id: of its header.
    """

    stamp: float
    message: Any
    identity: Hashable
    frame_id: str = ''


@dataclass(frozen=True, eq=False)
class FrameSet:
    """A colour image, with its depth image and CameraInfo where there are such."""

    image: Stamped
    depth: Stamped | None = None
    info: Stamped | None = None


@dataclass
class Stream:
    """One topic's newest messages and how many have come in all."""

    size: int
    received: int = 0
    items: deque[Stamped] = field(default_factory=deque)

    def add(self, item: Stamped) -> None:
        """Store a message, dropping the oldest beyond `size`."""
        self.received += 1
        self.items.append(item)
        while len(self.items) > self.size:
            self.items.popleft()

    def nearest(self, stamp: float, slop: float) -> Stamped | None:
        """Return the message whose stamp is nearest to `stamp`, None if beyond `slop`."""
        if not self.items:
            return None
        best = min(self.items, key=lambda item: abs(item.stamp - stamp))
        return best if abs(best.stamp - stamp) <= slop else None


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
        """Forget all messages (the clock jumped back, or the node was deactivated)."""
        for stream in self._streams.values():
            stream.items.clear()

    def newest_stamp(self) -> float | None:
        """Return the newest colour stamp, None before the first image."""
        return max((item.stamp for item in self.image.items), default=None)

    def select(self, oldest: float, slop: float, want_depth: bool, complete: bool = True
               ) -> FrameSet | None:
        """Return the newest frame not older than the stamp `oldest`, None if there is none.

        want_depth: look for the depth image and the intrinsics too.  complete: only a frame
        for which both have come within `slop` seconds of its stamp; otherwise what is there,
        the intrinsics then being the nearest in time.
        """
        for image in sorted(self.image.items, key=lambda item: -item.stamp):
            if image.stamp < oldest:
                return None
            if not want_depth:
                return FrameSet(image)
            depth = self.depth.nearest(image.stamp, slop)
            info = self.info.nearest(image.stamp, slop if complete else float('inf'))
            if not complete or (depth is not None and info is not None):
                return FrameSet(image, depth, info)
        return None
