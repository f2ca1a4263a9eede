"""What the studies share that train a network for every row of a paper's tables.

Every row is trained once and kept below WORK/rows; the document and the page are made of those
that are there.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ris_ros import __version__
from ris_ros.evaluation.bench import machine
from ris_ros.evaluation.document import percent
from ris_ros.evaluation.records import Record
from ris_ros.files import write_text
from ris_ros.settings import to_mapping
from ris_ros.studies.ablation_tables import group_text
from ris_ros.studies.ablations import (
    FOLDER,
    PAGE,
    figures_of,
    marks,
    read_result,
)
from ris_ros.studies.pages import fill
from ris_ros.types import BadInputError, RisError


@dataclasses.dataclass(frozen=True)
class TrainedRow:
    """A network that is trained for one row.

    network, training: fields that differ from those of the whole.
    """

    key: str
    label: str
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Bench(Protocol):
    """What trains and measures."""

    def measure(self, row: Any) -> dict[str, list[Record]]:
        """Train a row's network and return its records by answer."""
        ...

    def facts(self, row: Any) -> dict[str, Any]:
        """Return what the document says of the row that was just measured."""
        ...


def add_arguments(parser: argparse.ArgumentParser, rows: Sequence[TrainedRow]) -> None:
    """Add the options of every such study, beside --work."""
    parser.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    parser.add_argument('--minutes-per-row', type=float, default=0.0)
    parser.add_argument('--steps-per-row', type=int, default=0, help='in place of minutes')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--rows', nargs='+', choices=[r.key for r in rows],
                        default=[r.key for r in rows])
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        dest='settings', help='a setting of all rows, such as draw_workers=8')
    parser.add_argument('--network', action='append', default=[], metavar='NAME=VALUE',
                        help="a field of all rows' networks")
    parser.add_argument('--table-only', action='store_true')


def study(name: str, group: str, args: argparse.Namespace,
          run: Callable[[argparse.Namespace, Path], None],
          more_text: Callable[[Mapping[str, Any]], str]) -> int:
    """Run a study and fill its part of the page; return the exit code.

    name: of the module, for errors.  run: trains, measures and writes the document.  more_text:
    what the page says below the tables.
    """
    path = args.root / FOLDER / f'{group}.json'
    try:
        if not args.table_only:
            run(args, path)
        result = read_result(path)
        fill(args.root / PAGE, f'{group_text(result)}\n\n{more_text(result)}', marks(group))
    except BadInputError as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 2
    except RisError as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    return 0


def train_missing(args: argparse.Namespace, rows: Sequence[TrainedRow], bench: Bench
                  ) -> dict[str, dict[str, Any]]:
    """Train the wanted rows that are missing; return all that are there by key."""
    for row in rows:
        if row.key in args.rows and not row_path(args.work, row.key).exists():
            write_row(args.work, row, bench.measure(row), bench.facts(row))
    return {row.key: read_row(args.work, row.key) for row in rows
            if row_path(args.work, row.key).exists()}


def row_path(work: Path, key: str) -> Path:
    """Return where a row's records are kept."""
    return work / 'rows' / f'{key}.json'


def write_row(work: Path, row: TrainedRow, records: Mapping[str, Sequence[Record]],
              facts: Mapping[str, Any]) -> None:
    """Write what a row came to: records by answer, and how it was trained."""
    path = row_path(work, row.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({
        'facts': dict(facts), 'records': {name: [dataclasses.asdict(r) for r in found]
                                          for name, found in records.items()}}) + '\n')


def read_row(work: Path, key: str) -> dict[str, Any]:
    """Return what `write_row` wrote; raises BadInputError for anything else."""
    path = row_path(work, key)
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        records = {name: [Record(**{**r, 'tags': tuple(r['tags'])}) for r in found]
                   for name, found in data['records'].items()}
        return {'facts': dict(data['facts']), 'records': records}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f'{path} cannot be read ({error}); remove it, the row is trained '
                            'again') from error


def facts_of(row: TrainedRow, settings: Any, network: Any, runtime: Any, outcome: Any,
             scenes: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Return how a row was trained, and what it shares with all others.

    settings, network: those of all rows.  runtime, outcome: of the training engine.  scenes: of
    training.  seeds: first and last of the test split's scenes.
    """
    budget = f'{settings.steps} steps' if settings.steps else f'{settings.minutes:g} minutes'
    return {
        'shared': {'profile': 'tabletop', 'dataset': 'tabletop', 'split': 'test',
                   'seeds': list(seeds), 'version': __version__, 'machine': machine(),
                   'device': _device(runtime), 'budget': budget, 'training_scenes': scenes,
                   'training': to_mapping(settings), 'network': to_mapping(network)},
        'changes': {**row.network, **row.training},
        'trained': {'steps': outcome.steps, 'seconds': round(outcome.seconds, 1)}}


def _device(runtime: Any) -> str:
    if runtime.device.type != 'cuda':
        return 'the processor'
    import torch
    return str(torch.cuda.get_device_name(runtime.device))


def document(group: str, rows: Mapping[str, Mapping[str, Any]], known: Sequence[TrainedRow],
             tables: Sequence[Mapping[str, Any]], made: Mapping[str, Mapping[str, Any]]
             ) -> dict[str, Any]:
    """Return the JSON document of a group, of the form of `scripts/ablations`.

    rows: by key, as `read_row` gives them.  known: all rows there are.  made: the rows of the
    tables by key, as `row_figures` gives them of records; the first one's tell the samples.
    Raises BadInputError where there is no row, or rows were trained or measured on different
    things.
    """
    if not rows:
        raise BadInputError('no row was measured yet')
    shared = [r['facts']['shared'] for r in rows.values()]
    if any(one != shared[0] for one in shared[1:]):
        raise BadInputError('the rows were trained or measured differently; remove WORK/rows, or '
                            'give another --work folder')
    key, row = next(iter(rows.items()))
    first = row['records'][key]
    return {
        'group': group, **shared[0], 'n': len(first), 'n_images': len({r.image_id for r in first}),
        'tables': [dict(table) for table in tables], 'rows': dict(made),
        'trained': {key: row['facts']['trained'] for key, row in rows.items()},
        'left_out': [{'key': row.key, 'label': row.label, 'why': 'not trained'}
                     for row in known if row.key not in rows],
        'samples': {'key': [r.key for r in first], 'image': [r.image_id for r in first],
                    'tags': [list(r.tags) for r in first]}}


def row_figures(group: str, label: str, settings: Mapping[str, Any], records: Sequence[Record],
                figures: Sequence[str]) -> dict[str, Any]:
    """Return a row of the document."""
    return {'label': label, 'method': group, 'settings': dict(settings),
            **figures_of(records, figures),
            'refused': 0, 'i': [r.i for r in records], 'u': [r.u for r in records]}


def interval_text(pair: Sequence[float] | None) -> str:
    """Return an interval in percent, a dash without one."""
    return '-' if pair is None else ' to '.join(percent(v) for v in pair)


def budget_text(result: Mapping[str, Any]) -> str:
    """Return how the rows were trained."""
    steps = ', '.join(f'{result["rows"][k]["label"]} {t["steps"]}'
                      for k, t in result['trained'].items())
    return (f'Each row was trained for the same budget ({result["budget"]}) on the same '
            f'{result["training_scenes"]} scenes from the same seed on {result["device"]}; '
            f'steps: {steps}.')
