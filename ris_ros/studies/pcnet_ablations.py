"""Train a network for every row of PCNet's tables and measure them on the tabletop.

    python -m ris_ros.studies.pcnet_ablations --minutes-per-row 1 --device cuda

It stands on what `ris train pcnet --work WORK` made (sentences, proposals, scenes), and asks the
test split's questions, which the same command's first stage makes (see --test).  All rows
have the same scenes, seed and budget.  Numbers go through docs/ablations/pcnet.json into
docs/ablations.md; none is typed by hand.  A run that stopped goes on with the rows that are
missing; `--table-only` fills the page alone.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ris_ros.evaluation.document import percent
from ris_ros.evaluation.records import Record
from ris_ros.evaluation.summary import summarise
from ris_ros.files import write_text
from ris_ros.studies.ablation_tables import group_text
from ris_ros.studies.ablations import FOLDER, PAGE, marks, read_result, write_result
from ris_ros.studies.pages import fill
from ris_ros.studies.pcnet_rows import TABLES, TRAINED, PCNetRow, labels
from ris_ros.types import BadInputError, RisError

GROUP = 'pcnet'
FIGURES = ('miou', 'oiou', 'pointm', 'oracle_miou')


def main(argv: Sequence[str] | None = None) -> int:
    """Train and measure, then fill the page."""
    args = parser().parse_args(argv)
    path = args.root / FOLDER / f'{GROUP}.json'
    try:
        if not args.table_only:
            run(args, path)
        result = read_result(path)
        fill(args.root / PAGE, f'{group_text(result)}\n\n{more_text(result)}', marks(GROUP))
    except BadInputError as error:
        print(f'pcnet_ablations: {error}', file=sys.stderr)
        return 2
    except RisError as error:
        print(f'pcnet_ablations: {error}', file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(prog='python -m ris_ros.studies.pcnet_ablations',
                                   description=(__doc__ or '').partition('\n')[0])
    made.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    made.add_argument('--work', type=Path, default=Path('runs/pcnet_ablations'),
                      help='checkpoints and what each row came to')
    made.add_argument('--material', type=Path, default=Path('runs/pcnet'),
                      help='the --work folder of `ris train pcnet`: sentences, proposals, and '
                           'scenes unless --scenes-dir has them')
    made.add_argument('--scenes-dir', type=Path, help='training scenes in train/ there')
    made.add_argument('--test', type=Path, default=Path('runs/pcnet_test'),
                      help='the --work folder of `ris train pcnet --stage sentences --scenes 1 '
                           '--val-first-seed 100000 --val-scenes 200`: questions and scenes of '
                           'the test split')
    made.add_argument('--backbone', type=Path, help='a CLIP that all rows start from')
    made.add_argument('--minutes-per-row', type=float, default=0.0)
    made.add_argument('--steps-per-row', type=int, default=0, help='in place of minutes')
    made.add_argument('--device', default='auto')
    made.add_argument('--rows', nargs='+', choices=[r.key for r in TRAINED],
                      default=[r.key for r in TRAINED])
    made.add_argument('--set', action='append', default=[], metavar='NAME=VALUE', dest='settings',
                      help='a setting of all rows, such as draw_workers=8')
    made.add_argument('--network', action='append', default=[], metavar='NAME=VALUE',
                      help="a field of all rows' networks")
    made.add_argument('--table-only', action='store_true')
    return made


def run(args: argparse.Namespace, path: Path) -> None:
    """Train the rows that are missing and write the document of all that are there."""
    from ris_ros.studies.pcnet_train import Bench, train_arguments
    given = ['--work', str(args.material)]
    if args.scenes_dir is not None:
        given += ['--scenes-dir', str(args.scenes_dir)]
    bench = Bench.of(args, train_arguments(given), train_arguments(['--work', str(args.test)]))
    for row in TRAINED:
        if row.key in args.rows and not row_path(args.work, row.key).exists():
            write_row(args.work, row, bench.measure(row), bench.facts(row))
    there = {row.key: read_row(args.work, row.key) for row in TRAINED
             if row_path(args.work, row.key).exists()}
    write_result(path, document(there))


def row_path(work: Path, key: str) -> Path:
    """Return where a row's records are kept."""
    return work / 'rows' / f'{key}.json'


def write_row(work: Path, row: PCNetRow, records: Mapping[str, Sequence[Record]],
              facts: Mapping[str, Any]) -> None:
    """Write what a row came to: records by answer, and how it was trained."""
    path = row_path(work, row.key)
    write_text(path, json.dumps({
        'facts': dict(facts), 'records': {name: [dataclasses.asdict(r) for r in found]
                                          for name, found in records.items()}}) + '\n')


def read_row(work: Path, key: str) -> dict[str, Any]:
    """Return what `write_row` wrote; raises BadInputError for anything else."""
    path = row_path(work, key)
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        return {'facts': dict(data['facts']), 'records': {
            name: [Record(**{**r, 'tags': tuple(r['tags'])}) for r in found]
            for name, found in data['records'].items()}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f'{path} cannot be read ({error}); remove it, the row is trained '
                            'again') from error


def document(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON document, of the form of `scripts/ablations`.

    Raises BadInputError where there is no row, or rows were trained or measured on different
    things.
    """
    if not rows:
        raise BadInputError('no row was measured yet')
    shared = [r['facts']['shared'] for r in rows.values()]
    if any(one != shared[0] for one in shared[1:]):
        raise BadInputError('the rows were trained or measured differently; remove WORK/rows, or '
                            'give another --work folder')
    names, known = labels(), {row.key: row for row in TRAINED}
    measured = {key: found for row in rows.values() for key, found in row['records'].items()}
    settings = {key: {**known[key].network, **known[key].training} if key in known else {}
                for key in measured}
    first = next(iter(measured.values()))
    return {
        'group': GROUP, **shared[0], 'n': len(first), 'n_images': len({r.image_id for r in first}),
        'tables': [dict(table) for table in TABLES],
        'rows': {key: _row(names[key], settings[key], found) for key, found in measured.items()},
        'trained': {key: row['facts']['trained'] for key, row in rows.items()},
        'left_out': [{'key': row.key, 'label': row.label, 'why': 'not trained'}
                     for row in TRAINED if row.key not in rows],
        'samples': {'key': [r.key for r in first], 'image': [r.image_id for r in first],
                    'tags': [list(r.tags) for r in first]}}


def _row(label: str, settings: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    figures = summarise(records)
    return {'label': label, 'method': GROUP, 'settings': dict(settings),
            **{name: figures[name] for name in FIGURES},
            'intervals': {name: figures['intervals'][name] for name in FIGURES},
            'by_tag': {tag: {k: group[k] for k in ('n', 'miou', 'interval')}
                       for tag, group in figures['by_tag'].items()},
            'refused': 0, 'i': [r.i for r in records], 'u': [r.u for r in records]}


def more_text(result: Mapping[str, Any]) -> str:
    """Return PointM of every row with its interval, and how rows were trained."""
    lines = ['**PointM: the share of sentences whose peak lies on what is meant**', '',
             '|  | PointM | 95 % |', '| --- | ---: | ---: |']
    for row in result['rows'].values():
        pair = row['intervals']['pointm']
        interval = '-' if pair is None else ' to '.join(percent(v) for v in pair)
        lines.append(f'| {row["label"]} | {percent(row["pointm"])} | {interval} |')
    trained = ', '.join(f'{result["rows"][k]["label"]} {t["steps"]}'
                        for k, t in result['trained'].items())
    lines += ['', 'Masks by SAM at the peak unless a row says otherwise. Each row was trained for '
                  f'the same budget ({result["budget"]}) on the same {result["training_scenes"]} '
                  f'scenes from the same seed on {result["device"]}; steps: {trained}.']
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
