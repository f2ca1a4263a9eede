"""Where images are evaluated: worker processes of this machine, or a Ray cluster.

Both give the same results as one process, in another order; figures do not depend on it.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ris_ros.evaluation.evaluate import PredictorSpec, evaluate_group
from ris_ros.evaluation.records import GroupResult
from ris_ros.evaluation.tasks import Executor, Task, end_quietly, end_workers, worker_failed
from ris_ros.lazy import require
from ris_ros.types import RisError

AHEAD = 2   # tasks handed out per worker: enough to keep it busy, little held in memory

_predictor: Any = None   # one per worker process


def process_executor(workers: int) -> Executor:
    """Return an executor over `workers` fresh processes, each with its own networks.

    When one task fails, nothing new is begun; what is finished or running by then is still
    yielded before the error is raised.
    """
    def execute(spec: PredictorSpec, tasks: Sequence[Task], strict: bool,
                ) -> Iterator[GroupResult]:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        count = min(workers, len(tasks))
        threads = max(1, (os.cpu_count() or 1) // count)
        # spawn: a forked copy of a process with threads (torch, OpenMP) may hang
        pool = ProcessPoolExecutor(count, multiprocessing.get_context('spawn'),
                                   _start_process, (spec, threads))
        try:
            yield from _through_pool(pool, count, tasks, strict)
        except KeyboardInterrupt:
            end_workers()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return execute


def _through_pool(pool: Any, count: int, tasks: Sequence[Task], strict: bool,
                  ) -> Iterator[GroupResult]:
    from concurrent.futures import FIRST_COMPLETED, Future, wait
    from concurrent.futures.process import BrokenProcessPool
    queue = iter(tasks)
    running: set[Future[GroupResult | RisError]] = set()
    error: Exception | None = None
    while True:
        try:
            while (error is None and len(running) < count * AHEAD
                   and (task := next(queue, None)) is not None):
                running.add(pool.submit(_work, *task, strict))
        except BrokenProcessPool as broken:
            error = broken
        if not running:
            break
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:   # in no order: a failure may come before earlier results
            result = _result_or_error(future)
            if isinstance(result, GroupResult):
                yield result
            else:
                error = error or result
        if error is not None:
            running = {future for future in running if not future.cancel()}
    if isinstance(error, BrokenProcessPool):
        raise worker_failed(error) from error
    if error is not None:
        raise error


def _result_or_error(future: Any) -> GroupResult | Exception:
    try:
        return future.result()
    except Exception as error:
        return error


def _start_process(spec: PredictorSpec, threads: int) -> None:
    end_quietly()
    _start_worker(spec, threads)


def _start_worker(spec: PredictorSpec, threads: int) -> None:
    """Build the networks; an error is kept for the first task, which can report it."""
    global _predictor
    os.environ['OMP_NUM_THREADS'] = str(threads)
    try:
        _predictor = spec.build()
    except RisError as error:
        _predictor = error
    _limit_threads(threads)


def _limit_threads(threads: int) -> None:
    """Keep the workers from fighting for cores, if torch is there."""
    import sys
    if 'torch' in sys.modules:
        sys.modules['torch'].set_num_threads(threads)


def _work(group: Any, done: frozenset[str], strict: bool) -> GroupResult | RisError:
    """Evaluate one image; errors for the user travel as values, so that they arrive whole."""
    if isinstance(_predictor, RisError):
        return _predictor
    try:
        return evaluate_group(_predictor, group, done, strict)
    except RisError as error:
        return error


def ray_executor(address: str, workers: int) -> Executor:
    """Return an executor over a Ray cluster; 'local' starts one on this machine.

    workers: actors, each with its own networks, one CPU and a share of a GPU where the cluster
    has any; 0 takes one per GPU, or one per CPU without.  The package, the weights and the data
    set must be under the same paths on every machine.  A cluster that runs already in this
    process is used as it is.
    """
    def execute(spec: PredictorSpec, tasks: Sequence[Task], strict: bool,
                ) -> Iterator[GroupResult]:
        ray = require('ray', 'ray')
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, address, workers)
        try:
            resources = ray.cluster_resources()
            gpus = 0 if spec.device == 'cpu' else int(resources.get('GPU', 0))
            count = max(1, min(workers or gpus or int(resources.get('CPU', 1)), len(tasks)))
            actor = ray.remote(num_cpus=1, num_gpus=gpu_share(count, gpus))(_Actor)
            actors = [actor.remote(spec) for _ in range(count)]
            yield from _feed(ray, actors, tasks, strict)
        except ray.exceptions.RayError as error:
            raise worker_failed(error) from error
        finally:
            if ours:
                ray.shutdown()
    return execute


def gpu_share(actors: int, gpus: int) -> float:
    """Return the share of one GPU that lets all actors have a place.

    Ray hides the GPUs from an actor that asks for none, which would silently mean the CPU.
    """
    return 1 / -(-actors // gpus) if gpus else 0.0


def _connect(ray: Any, address: str, workers: int) -> None:
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')   # nothing leaves this machine
    options: dict[str, Any] = {'log_to_driver': False, 'include_dashboard': False}
    try:
        if address == 'local':
            ray.init(address='local', num_cpus=workers or None, **options)
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RisError(f'no Ray cluster answers at {address} ({error}); start one with '
                       '`ray start --head`, or use --ray local') from error


class _Actor:
    """One worker of the cluster."""

    def __init__(self, spec: PredictorSpec) -> None:
        _start_worker(spec, 1)

    def work(self, group: Any, done: frozenset[str], strict: bool) -> GroupResult | RisError:
        """Evaluate one image."""
        return _work(group, done, strict)


def _feed(ray: Any, actors: Sequence[Any], tasks: Sequence[Task], strict: bool,
          ) -> Iterator[GroupResult]:
    """Keep every actor supplied; yield results as they come."""
    queue = iter(tasks)
    owners: dict[Any, Any] = {}

    def give(actor: Any) -> None:
        task = next(queue, None)
        if task is not None:
            owners[actor.work.remote(*task, strict)] = actor

    for _ in range(AHEAD):
        for actor in actors:
            give(actor)
    try:
        while owners:
            (reference, *_), _ = ray.wait(list(owners), num_returns=1)
            give(owners.pop(reference))
            result = ray.get(reference)
            if isinstance(result, RisError):
                raise result
            yield result
    except (RisError, ray.exceptions.RayError):
        yield from _ready(ray, list(owners))
        raise


def _ready(ray: Any, references: list[Any]) -> Iterator[GroupResult]:
    """Yield the results that are there already, so that a failure elsewhere loses none."""
    if not references:
        return
    ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
    for reference in ready:
        try:
            result = ray.get(reference)
        except ray.exceptions.RayError:
            continue
        if isinstance(result, GroupResult):
            yield result
