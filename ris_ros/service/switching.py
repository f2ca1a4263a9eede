"""Another method while the node goes on: built beside the old one, which works until it is there.

No ROS here.  Each set of models has a worker, hence a thread, of its own.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from ris_ros.service.worker import Job, Reply, SegmenterLike, Worker

T = TypeVar('T')


@dataclass(frozen=True)
class Choice:
    """Which models: the method, the profile, and the method's settings, None for another's."""

    method: str
    profile: str
    settings: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        """Return it for people."""
        return f'method {self.method}, profile {self.profile}'


@dataclass(frozen=True)
class Change:
    """How a change ended: the choice that was asked for, the seconds it took, or why not."""

    choice: Choice
    seconds: float = 0.0
    failure: str | None = None


class SwitchingModels:
    """Models that can be changed for others; see `ris_ros.service.ports.Models`.

    notify() is called whenever there is something to be fetched or looked at.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._worker = Worker(notify)
        self._retired: list[Worker] = []
        self._coming: tuple[Choice, Worker, Future[float]] | None = None
        self.loaded: Choice | None = None

    # ---- as one worker -------------------------------------------------------------------

    def load(self, factory: Callable[[], SegmenterLike], warm_up: bool = True) -> Future[float]:
        """Build the segmenter; the future holds the seconds it took, or the error."""
        self._drop_coming()
        return self._worker.load(factory, warm_up)

    def unload(self) -> None:
        """Let go of the models, and of those that are coming."""
        self._drop_coming()
        self.loaded = None
        self._worker.unload()

    def forget(self) -> None:
        """Let go of the prepared scene."""
        self._worker.forget()

    def submit(self, job: Job) -> None:
        """Queue a job; exactly one reply with its token follows."""
        self._worker.submit(job)

    def examine(self, examination: Callable[[SegmenterLike | None], T]) -> Future[T]:
        """Do something else with the segmenter; see `Worker.examine`."""
        return self._worker.examine(examination)

    def fetch(self) -> list[Reply]:
        """Return the replies that have come in since the last call, of retired models too."""
        # Whether one has ended is asked first: its last reply came before that.
        ended = [worker for worker in self._retired if not worker.alive]
        replies = [reply for worker in (*self._retired, self._worker) for reply in worker.fetch()]
        self._retired = [worker for worker in self._retired if worker not in ended]
        return replies

    def close(self, timeout_s: float = 5.0) -> bool:
        """End all threads after their running jobs; False if one is still busy after that."""
        self._drop_coming()
        workers = [*self._retired, self._worker]
        return all([worker.close(timeout_s) for worker in workers])

    # ---- changes -------------------------------------------------------------------------

    @property
    def coming(self) -> Choice | None:
        """What is being built, None where nothing is."""
        return None if self._coming is None else self._coming[0]

    def follow(self, wanted: Choice, factory: Callable[[], SegmenterLike], warm_up: bool
               ) -> Change | None:
        """Build what is wanted where it is not there; to be called now and then.

        factory() builds `wanted`.  Returns a change once, when it has ended.  What is no longer
        wanted is dropped as soon as it is built.
        """
        if self.loaded is None:
            return None
        if self._coming is not None and self._coming[0] != wanted:
            self._drop_coming()
        if self._coming is None:
            if wanted != self.loaded:
                worker = Worker(self._notify)
                future = worker.load(factory, warm_up)
                future.add_done_callback(lambda _: self._notify())
                self._coming = wanted, worker, future
            return None
        choice, worker, future = self._coming
        if not future.done():
            return None
        self._coming = None
        error = future.exception()
        if error is not None:
            worker.close(timeout_s=0.0)
            return Change(choice, failure=str(error) or type(error).__name__)
        self._retire(self._worker)
        self._worker, self.loaded = worker, choice
        return Change(choice, future.result())

    def _drop_coming(self) -> None:
        if self._coming is not None:
            self._coming[1].close(timeout_s=0.0)
            self._coming = None

    def _retire(self, worker: Worker) -> None:
        """Let a worker answer what it has begun, and end."""
        worker.close(timeout_s=0.0)
        self._retired.append(worker)
