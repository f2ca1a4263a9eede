"""Train a network for every row of Prompt-RIS's tables and measure them on the tabletop.

    python -m ris_ros.studies.prompt_ris_ablations --minutes-per-row 1 --device cuda

All rows have the same scenes, seed and budget.  Numbers go through
docs/ablations/prompt_ris.json into docs/ablations.md; none is typed by hand.  A run that stopped
goes on with the rows that are missing; `--table-only` fills the page alone.
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
from ris_ros.studies.prompt_ris_rows import FULL, SUBSETS, TABLES, TRAINED, WITHOUT_ICL, TrainedRow
from ris_ros.types import BadInputError, RisError

GROUP = 'prompt_ris'
FIGURES = ('miou', 'oiou', 'pointm', 'oracle_miou', 'p@0.5', 'p@0.7', 'p@0.9', 'img_acc',
           'inst_acc')


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
        print(f'prompt_ris_ablations: {error}', file=sys.stderr)
        return 2
    except RisError as error:
        print(f'prompt_ris_ablations: {error}', file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(prog='python -m ris_ros.studies.prompt_ris_ablations',
                                   description=(__doc__ or '').partition('\n')[0])
    made.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    made.add_argument('--work', type=Path, default=Path('runs/prompt_ris_ablations'),
                      help='scenes, checkpoints and what each row came to')
    made.add_argument('--scenes-dir', type=Path, help='where scenes are (default: WORK)')
    made.add_argument('--minutes-per-row', type=float, default=0.0)
    made.add_argument('--steps-per-row', type=int, default=0, help='in place of minutes')
    made.add_argument('--device', default='auto')
    made.add_argument('--scenes', type=int, default=2000, help='training scenes')
    made.add_argument('--val-scenes', type=int, default=60, help='for the calibration')
    made.add_argument('--test-scenes', type=int, default=200, help='of the test split')
    made.add_argument('--unseen-scenes', type=int, default=100, help='of the unseen split')
    made.add_argument('--render-workers', type=int, default=2)
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
    from ris_ros.studies.prompt_ris_train import Bench
    bench = Bench.of(args)
    for row in TRAINED:
        if row.key in args.rows and not row_path(args.work, row.key).exists():
            write_row(args.work, row, bench.measure(row), bench.facts(row))
    there = {row.key: read_row(args.work, row.key) for row in TRAINED
             if row_path(args.work, row.key).exists()}
    write_result(path, document(there))


def row_path(work: Path, key: str) -> Path:
    """Return where a row's records are kept."""
    return work / 'rows' / f'{key}.json'


def write_row(work: Path, row: TrainedRow, records: Mapping[str, Sequence[Record]],
              facts: Mapping[str, Any]) -> None:
    """Write what a row came to: records by variant, and how it was trained."""
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


def document(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON document, of the form of `scripts/ablations`.

    Raises BadInputError where rows were trained or measured on different things.
    """
    labels = {row.key: row.label for row in TRAINED}
    shared = [r['facts']['shared'] for r in rows.values()]
    if any(one != shared[0] for one in shared[1:]):
        raise BadInputError('the rows were trained or measured differently; remove WORK/rows, or '
                            'give another --work folder')
    measured = {key: row['records'][key] for key, row in rows.items()}
    settings: dict[str, Mapping[str, Any]] = {k: r['facts']['changes'] for k, r in rows.items()}
    if FULL in rows:
        for key, given in SUBSETS.items():
            measured[key] = rows[FULL]['records'][key]
            labels[key] = key.replace('_', ' + ') if any(given) else 'none'
            settings[key] = dict(zip(('mask_prompt', 'point_prompt', 'text_prompt'), given,
                                     strict=True))
    first = next(iter(measured.values()))
    result = {
        'group': GROUP, **shared[0], 'n': len(first), 'n_images': len({r.image_id for r in first}),
        'tables': [dict(table) for table in TABLES],
        'rows': {key: _row(labels[key], settings[key], found) for key, found in measured.items()},
        'trained': {key: row['facts']['trained'] for key, row in rows.items()},
        'left_out': [{'key': row.key, 'label': row.label, 'why': 'not trained'}
                     for row in TRAINED if row.key not in rows],
        'samples': {'key': [r.key for r in first], 'image': [r.image_id for r in first],
                    'tags': [list(r.tags) for r in first]}}
    unseen = {key: row['records'][f'{key}/unseen'] for key, row in rows.items()
              if f'{key}/unseen' in row['records']}
    result['unseen'] = {key: _kinds(found) for key, found in unseen.items()}
    return result


def _row(label: str, settings: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    figures = summarise(records)
    return {'label': label, 'method': GROUP, 'settings': dict(settings),
            **{name: figures[name] for name in FIGURES},
            'intervals': {name: figures['intervals'][name] for name in FIGURES},
            'by_tag': {tag: {k: group[k] for k in ('n', 'miou', 'interval')}
                       for tag, group in figures['by_tag'].items()},
            'refused': 0, 'i': [r.i for r in records], 'u': [r.u for r in records]}


def _kinds(records: Sequence[Record]) -> dict[str, Any]:
    """Return mIoU with interval on sentences about seen and about held-out kinds."""
    out = {}
    for name, wanted in (('seen', False), ('unseen', True)):
        part = [r for r in records if bool(r.unseen) is wanted]
        if part:
            figures = summarise(part)
            out[name] = {'n': len(part), 'miou': figures['miou'],
                         'interval': figures['intervals']['miou']}
    return out


def more_text(result: Mapping[str, Any]) -> str:
    """Return the precision at thresholds, ImgAcc and InstAcc, and kinds never trained on."""
    rows = result['rows']
    keys = [row.key for row in TRAINED if row.key in rows]
    lines = ['**Precision, and accuracy by image and by instance**', '',
             '|  | P@0.5 | P@0.7 | P@0.9 | ImgAcc | InstAcc |',
             '| --- | ---: | ---: | ---: | ---: | ---: |']
    for key in keys:
        row = rows[key]
        cells = [percent(row[name]) for name in ('p@0.5', 'p@0.7', 'p@0.9')]
        cells += [f'{percent(row[name])} ({_interval(row["intervals"][name])})'
                  for name in ('img_acc', 'inst_acc')]
        lines.append(f'| {row["label"]} | ' + ' | '.join(cells) + ' |')
    if FULL in rows and WITHOUT_ICL in rows:
        lines += ['', 'ICL, from the row without it to the whole: the paper has ImgAcc 77.6 to '
                      '79.3 and InstAcc 76.0 to 77.7; here '
                  + ' and '.join(f'{name} {percent(rows[WITHOUT_ICL][key])} to '
                                 f'{percent(rows[FULL][key])}'
                                 for name, key in (('ImgAcc', 'img_acc'),
                                                   ('InstAcc', 'inst_acc'))) + '.']
    if result.get('unseen'):
        lines += ['', '**Kinds that training never placed (split unseen)**', '',
                  '|  | seen kinds | held-out kinds |', '| --- | ---: | ---: |']
        for key, kinds in result['unseen'].items():
            cells = [f'{percent(kinds[name]["miou"])} ({_interval(kinds[name]["interval"])}, '
                     f'{kinds[name]["n"]})' if name in kinds else '-'
                     for name in ('seen', 'unseen')]
            lines.append(f'| {rows[key]["label"]} | ' + ' | '.join(cells) + ' |')
    trained = ', '.join(f'{rows[k]["label"]} {t["steps"]}' for k, t in result['trained'].items())
    lines += ['', f'Each row was trained for the same budget ({result["budget"]}) on the same '
                  f'{result["training_scenes"]} scenes from the same seed on '
                  f'{result["device"]}; steps: {trained}.']
    return '\n'.join(lines)


def _interval(pair: Sequence[float] | None) -> str:
    return '-' if pair is None else ' to '.join(percent(v) for v in pair)


if __name__ == '__main__':
    sys.exit(main())
