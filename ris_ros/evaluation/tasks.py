"""What a run hands to its workers, in whatever process or machine they are."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ris_ros.datasets.base import Group
from ris_ros.evaluation.evaluate import PredictorSpec
from ris_ros.evaluation.records import GroupResult
from ris_ros.types import RisError

# An image with the keys of its samples that are evaluated already.
Task = tuple[Group, frozenset[str]]
# (spec, tasks, strict) -> results in any order.
Executor = Callable[[PredictorSpec, Sequence[Task], bool], Iterator[GroupResult]]


def worker_failed(error: BaseException) -> RisError:
    """Return the error for a worker that died without a word."""
    return RisError(f'a worker died ({error}); most often memory is short, so use fewer '
                    '--workers; the same command continues where this run stopped')
