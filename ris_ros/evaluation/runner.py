"""Run an evaluation: in this process, over worker processes, or over a Ray cluster."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ris_ros.datasets.base import Dataset, Group
from ris_ros.evaluation.evaluate import Predictor, PredictorSpec, evaluate_group
from ris_ros.evaluation.records import GroupResult, RecordFile, RecordWriter, read_record
from ris_ros.evaluation.tasks import Executor, Task
from ris_ros.lazy import require
from ris_ros.types import BadInputError


@dataclass(frozen=True)
class RunOptions:
    """How to run.

    record: the per-sample record.  limit: samples in all.  workers: processes, 0 for this one.
    ray: address of a Ray cluster, or 'local'.  fresh: start over.  reuse: also continue a record
    that has ended, for a greater limit or just for its figures.
    """

    record: Path
    limit: int | None = None
    workers: int = 0
    ray: str | None = None
    strict: bool = False
    fresh: bool = False
    reuse: bool = False
    progress: bool = True
    say: Callable[[str], None] = field(default=lambda text: print(text, file=sys.stderr))


def run(dataset: Dataset, spec: PredictorSpec, header: Mapping[str, Any],
        options: RunOptions) -> RecordFile:
    """Evaluate what the record does not hold yet; return the whole record.

    header: what identifies the run; a record with another header is not continued.
    Raises BadInputError for a record of another run, and whatever the method raises; the
    record then keeps all finished images, and the same call goes on from there.
    """
    previous = _previous(header, options)
    writer = RecordWriter(options.record, header,
                          previous.valid_bytes if previous else None)
    try:
        done = previous or RecordFile(dict(header))
        groups = dataset.groups if options.limit is None else dataset.limited(options.limit)
        tasks = _tasks(groups, done)
        if previous and tasks:
            options.say(f'continuing with {len(done.records)} samples from {options.record} '
                        '(--fresh starts over)')
        if tasks:
            _work(dataset, spec, tasks, writer, options)
        if tasks or not done.ended:
            writer.end()
    except KeyboardInterrupt:
        options.say(f'stopped; {options.record} keeps what is done, and the same command '
                    'continues from there')
        raise
    finally:
        writer.close()
    return _only(read_record(options.record), groups)


def _previous(header: Mapping[str, Any], options: RunOptions) -> RecordFile | None:
    if options.fresh or not options.record.exists() or options.record.stat().st_size == 0:
        return None
    previous = read_record(options.record)
    differing = sorted(k for k in {*header, *previous.header}
                       if header.get(k) != previous.header.get(k))
    nothing_yet = not previous.records and not previous.problems
    if nothing_yet or (previous.ended and not options.reuse):
        return None
    if differing:
        raise BadInputError(f'{options.record} belongs to another run ({", ".join(differing)} '
                            'differ); name another --record, or --fresh overwrites it')
    return previous


def _tasks(groups: Sequence[Group], done: RecordFile) -> list[Task]:
    """Return the groups that still lack samples, with the keys they have already."""
    by_image = _keys_by_image(done)
    tasks = []
    for group in groups:
        if group.key in done.finished_groups:
            continue
        if group.keys is None:
            have, wanted = frozenset(by_image.get(group.key, ())), group.limit
        else:
            have, wanted = frozenset(group.keys) & done.records.keys(), len(group.keys)
        if wanted is None or len(have) < wanted:
            tasks.append((group, have))
    return tasks


def _keys_by_image(record: RecordFile) -> dict[str, list[str]]:
    by_image: dict[str, list[str]] = {}
    for entry in record.records.values():
        by_image.setdefault(entry.image_id, []).append(entry.key)
    return by_image


def _work(dataset: Dataset, spec: PredictorSpec, tasks: Sequence[Task], writer: RecordWriter,
          options: RunOptions) -> None:
    from ris_ros.evaluation import executors
    execute: Executor
    if options.ray is not None:
        execute = executors.ray_executor(options.ray, options.workers)
    elif options.workers > 0:
        execute = executors.process_executor(options.workers)
    else:
        execute = _in_process
    tqdm = require('tqdm', 'evaluation').tqdm
    with tqdm(total=len(tasks), desc=f'{dataset.name} {dataset.split}', unit='image',
              file=sys.stderr, disable=not options.progress) as bar:
        for result in execute(spec, tasks, options.strict):
            writer.add(result)
            for problem in result.problems:
                bar.write(f'left out: {problem}', file=sys.stderr)
            for record in result.records:
                if record.refused is not None:
                    bar.write(f'refused, counts as wrong: {record.key} {record.expression!r}: '
                              f'{record.refused}', file=sys.stderr)
            bar.update()


def _in_process(spec: PredictorSpec, tasks: Sequence[Task], strict: bool,
                ) -> Iterator[GroupResult]:
    predictor: Predictor = spec.build()
    for group, done in tasks:
        yield evaluate_group(predictor, group, done, strict)


def _only(record: RecordFile, groups: Sequence[Group]) -> RecordFile:
    """Keep the samples of these groups; a continued record may hold more of an earlier run."""
    by_image = _keys_by_image(record)
    wanted: list[str] = []
    for group in groups:
        keys = group.keys if group.keys is not None else by_image.get(group.key, ())
        wanted += keys[:group.limit]
    record.records = {k: record.records[k] for k in wanted if k in record.records}
    return record


def check_workers(workers: int) -> None:
    """Raise BadInputError for a negative number."""
    if workers < 0:
        raise BadInputError(f'--workers {workers} is negative; use 0 for this process alone')
