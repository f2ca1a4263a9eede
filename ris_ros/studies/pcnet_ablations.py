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
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ris_ros.evaluation.document import percent
from ris_ros.studies import trained_rows
from ris_ros.studies.ablations import FIGURES, write_result
from ris_ros.studies.pcnet_rows import TABLES, TRAINED, labels

GROUP = 'pcnet'


def main(argv: Sequence[str] | None = None) -> int:
    """Train and measure, then fill the page."""
    return trained_rows.study('pcnet_ablations', GROUP, parser().parse_args(argv), run, more_text)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(prog='python -m ris_ros.studies.pcnet_ablations',
                                   description=(__doc__ or '').partition('\n')[0])
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
    trained_rows.add_arguments(made, TRAINED)
    return made


def run(args: argparse.Namespace, path: Path) -> None:
    """Train the rows that are missing and write the document of all that are there."""
    from ris_ros.studies.pcnet_train import Bench, train_arguments
    given = ['--work', str(args.material)]
    if args.scenes_dir is not None:
        given += ['--scenes-dir', str(args.scenes_dir)]
    bench = Bench.of(args, train_arguments(given), train_arguments(['--work', str(args.test)]))
    write_result(path, document(trained_rows.train_missing(args, TRAINED, bench)))


def document(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON document; see `trained_rows.document`."""
    names, known = labels(), {row.key: row for row in TRAINED}
    made = {}
    for row in rows.values():
        for key, found in row['records'].items():
            settings = {**known[key].network, **known[key].training} if key in known else {}
            made[key] = trained_rows.row_figures(GROUP, names[key], settings, found, FIGURES)
    return trained_rows.document(GROUP, rows, TRAINED, TABLES, made)


def more_text(result: Mapping[str, Any]) -> str:
    """Return PointM of every row with its interval, and how rows were trained."""
    lines = ['**PointM: the share of sentences whose peak lies on what is meant**', '',
             '|  | PointM | 95 % |', '| --- | ---: | ---: |']
    for row in result['rows'].values():
        interval = trained_rows.interval_text(row['intervals']['pointm'])
        lines.append(f'| {row["label"]} | {percent(row["pointm"])} | {interval} |')
    lines += ['', 'Masks by SAM at the peak unless a row says otherwise. '
              + trained_rows.budget_text(result)]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
