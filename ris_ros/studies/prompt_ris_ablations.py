"""Train a network for every row of Prompt-RIS's tables and measure them on the tabletop.

    python -m ris_ros.studies.prompt_ris_ablations --minutes-per-row 1 --device cuda

All rows have the same scenes, seed and budget.  Numbers go through
docs/ablations/prompt_ris.json into docs/ablations.md; none is typed by hand.  A run that stopped
goes on with the rows that are missing; `--table-only` fills the page alone.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ris_ros.evaluation.document import percent
from ris_ros.evaluation.records import Record
from ris_ros.evaluation.summary import summarise
from ris_ros.studies import ablations, trained_rows
from ris_ros.studies.ablations import write_result
from ris_ros.studies.prompt_ris_rows import FULL, SUBSETS, TABLES, TRAINED, WITHOUT_ICL
from ris_ros.studies.trained_rows import interval_text

GROUP = 'prompt_ris'
FIGURES = (*ablations.FIGURES, 'p@0.5', 'p@0.7', 'p@0.9', 'img_acc', 'inst_acc')


def main(argv: Sequence[str] | None = None) -> int:
    """Train and measure, then fill the page."""
    return trained_rows.study('prompt_ris_ablations', GROUP, parser().parse_args(argv), run,
                              more_text)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(prog='python -m ris_ros.studies.prompt_ris_ablations',
                                   description=(__doc__ or '').partition('\n')[0])
    made.add_argument('--work', type=Path, default=Path('runs/prompt_ris_ablations'),
                      help='scenes, checkpoints and what each row came to')
    made.add_argument('--scenes-dir', type=Path, help='where scenes are (default: WORK)')
    made.add_argument('--scenes', type=int, default=2000, help='training scenes')
    made.add_argument('--val-scenes', type=int, default=60, help='for the calibration')
    made.add_argument('--test-scenes', type=int, default=200, help='of the test split')
    made.add_argument('--unseen-scenes', type=int, default=100, help='of the unseen split')
    made.add_argument('--render-workers', type=int, default=2)
    trained_rows.add_arguments(made, TRAINED)
    return made


def run(args: argparse.Namespace, path: Path) -> None:
    """Train the rows that are missing and write the document of all that are there."""
    from ris_ros.studies.prompt_ris_train import Bench
    write_result(path, document(trained_rows.train_missing(args, TRAINED, Bench.of(args))))


def document(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON document, with held-out kinds apart; see `trained_rows.document`."""
    labels = {row.key: row.label for row in TRAINED}
    measured = {key: row['records'][key] for key, row in rows.items()}
    settings: dict[str, Mapping[str, Any]] = {k: r['facts']['changes'] for k, r in rows.items()}
    if FULL in rows:
        for key, given in SUBSETS.items():
            measured[key] = rows[FULL]['records'][key]
            labels[key] = key.replace('_', ' + ') if any(given) else 'none'
            settings[key] = dict(zip(('mask_prompt', 'point_prompt', 'text_prompt'), given,
                                     strict=True))
    made = {key: trained_rows.row_figures(GROUP, labels[key], settings[key], found, FIGURES)
            for key, found in measured.items()}
    result = trained_rows.document(GROUP, rows, TRAINED, TABLES, made)
    unseen = {key: row['records'][f'{key}/unseen'] for key, row in rows.items()
              if f'{key}/unseen' in row['records']}
    return {**result, 'unseen': {key: _kinds(found) for key, found in unseen.items()}}


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
        cells += [f'{percent(row[name])} ({interval_text(row["intervals"][name])})'
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
            cells = [f'{percent(kinds[name]["miou"])} ({interval_text(kinds[name]["interval"])}, '
                     f'{kinds[name]["n"]})' if name in kinds else '-'
                     for name in ('seen', 'unseen')]
            lines.append(f'| {rows[key]["label"]} | ' + ' | '.join(cells) + ' |')
    lines += ['', trained_rows.budget_text(result)]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
