"""What a run hands to its workers, in whatever process or machine they are."""
from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence

from ris_ros.datasets.base import Group
from ris_ros.evaluation.evaluate import PredictorSpec
from ris_ros.evaluation.records import GroupResult
from ris_ros.types import RisError

# An image with the keys of its samples that are evaluated already.
Task = tuple[Group, frozenset[str]]
# (spec, tasks, strict) -> results in any order.
Executor = Callable[[PredictorSpec, Sequence[Task], bool], Iterator[GroupResult]]


def end_quietly() -> None:
    """In a worker process: leave Ctrl-C, which reaches every process, to the one that began it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_workers() -> None:
    """End the worker processes of this one; what they are at would be lost anyway."""
    for process in multiprocessing.active_children():
        process.terminate()


def worker_failed(error: BaseException) -> RisError:
    """Return the error for a worker that died without a word."""
    return RisError(f'a worker died ({error}); most often memory is short, so use fewer '
                    '--workers; the same command continues where this run stopped')
