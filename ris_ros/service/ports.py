"""What the session needs of the world around it, as small protocols; no ROS here.

The node implements them over rclpy, tests over lists.  `ris_ros.service.sight.Converter` is
one more.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Protocol

from ris_ros.geometry import RigidTransform
from ris_ros.service.frames import FrameSet, Stamped, StreamName
from ris_ros.service.health import Check
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.results import Result, Status
from ris_ros.service.worker import Job, Reply, SegmenterLike


class Clock(Protocol):
    """Both of the node's clocks, in seconds."""

    def ros_s(self) -> float:
        """Return the time that stamps are of; it may jump, stand still or be simulated."""
        ...

    def simulated(self) -> bool:
        """Say whether that time is simulated, so that somebody must publish it."""
        ...

    def is_offered(self) -> bool:
        """Say whether somebody publishes a simulated time."""
        ...

    def steady_s(self) -> float:
        """Return the time of a clock that goes forward evenly, whatever it counts from."""
        ...


class Surroundings(Protocol):
    """What may be different at every look."""

    def parameters(self) -> NodeParameters:
        """Return the parameters as they are now."""
        ...

    def image_topic(self) -> str:
        """Return the full name of the topic that colour images come on, for messages."""
        ...

    def depth_is_offered(self) -> bool:
        """Say whether somebody publishes depth."""
        ...

    def wants_detail(self, parameters: NodeParameters) -> bool:
        """Say whether somebody looks at boxes and the places of candidates."""
        ...

    def clock_jumped(self) -> None:
        """Forget what was heard at other times, as transforms."""
        ...

    def transform(self, target: str, image: Stamped) -> RigidTransform | str:
        """Return the transform from the image's frame at its stamp, or why there is none yet."""
        ...


class Intake(Protocol):
    """Where camera messages come from."""

    def collect(self) -> Iterable[tuple[StreamName, Stamped]]:
        """Return what has come since the last call and was not handed to `on_frame`."""
        ...

    def listen(self, eagerly: bool) -> None:
        """Say whether each message is to be handed to `on_frame` as it comes.

        While nobody waits for an image, none needs to be looked at.
        """
        ...

    def lost(self) -> int:
        """Return how many colour images were sent but never arrived, as far as is known."""
        ...


class Publisher(Protocol):
    """Where all goes that the session has to say."""

    def outputs(self, reply: Reply, frames: FrameSet, parameters: NodeParameters) -> None:
        """Publish masks and targets of an answered command; may raise, then it failed."""
        ...

    def result(self, result: Result) -> None:
        """Publish the one terminal message of a command."""
        ...

    def status(self, status: Status) -> None:
        """Publish how the node stands."""
        ...

    def diagnostics(self, checks: Sequence[Check]) -> None:
        """Publish how each part of the node fares."""
        ...

    def note(self, text: str) -> None:
        """Log what goes as it should."""
        ...

    def warn(self, text: str) -> None:
        """Log what somebody should look at."""
        ...


class Models(Protocol):
    """What works the jobs off; `ris_ros.service.worker.Worker` is the real one."""

    def load(self, factory: Callable[[], SegmenterLike], warm_up: bool = True) -> Future[float]:
        """Build the segmenter; the future holds the seconds it took, or the error."""
        ...

    def unload(self) -> None:
        """Let go of the models."""
        ...

    def forget(self) -> None:
        """Let go of the prepared scene."""
        ...

    def submit(self, job: Job) -> None:
        """Queue a job; exactly one reply with its token follows."""
        ...

    def fetch(self) -> list[Reply]:
        """Return the replies that have come in since the last call."""
        ...
