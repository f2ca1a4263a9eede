"""Measure the ablation tables of the papers on the tabletop and fill docs/ablations.md.

Run by `scripts/ablations`.  Numbers go from the scenes through docs/ablations/*.json into the
tables between the marks of the page; none is typed by hand.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ris_ros import __version__
from ris_ros.arguments import add_network_options, network_options
from ris_ros.datasets.files import load_json
from ris_ros.datasets.tabletop import EVALUATION_SEEDS, SceneGroup
from ris_ros.evaluation.bench import machine
from ris_ros.evaluation.records import Record
from ris_ros.evaluation.runner import check_workers
from ris_ros.evaluation.summary import summarise
from ris_ros.files import write_text
from ris_ros.language.pipelines import pipeline_said
from ris_ros.lazy import require
from ris_ros.studies.ablation_rows import GROUPS, Plan, Row, plan_of
from ris_ros.studies.ablation_run import Lab, LabSpec, SceneResult, measure
from ris_ros.studies.ablation_tables import group_text
from ris_ros.studies.pages import fill
from ris_ros.types import BadInputError, RisError

FOLDER, PAGE = Path('docs/ablations'), Path('docs/ablations.md')
SCENES = 40
FIGURES = ('miou', 'oiou', 'pointm', 'oracle_miou')


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, then fill the page."""
    args = _parser().parse_args(argv)
    try:
        check_workers(args.workers)
        if not args.table_only:
            run(args)
        fill_page(args.root)
    except BadInputError as error:
        print(f'ablations: {error}', file=sys.stderr)
        return 2
    except RisError as error:
        print(f'ablations: {error}', file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='scripts/ablations',
                                     description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    parser.add_argument('--methods', nargs='+', choices=GROUPS, default=list(GROUPS),
                        help='groups of rows (default: all)')
    parser.add_argument('--split', choices=tuple(EVALUATION_SEEDS), default='test')
    parser.add_argument('--scenes', type=int, default=SCENES)
    parser.add_argument('--first-seed', type=int, help='of the split (default: its first)')
    add_network_options(parser)
    parser.add_argument('--workers', type=int, default=0, help='processes (default: this one)')
    parser.add_argument('--scorers', nargs='*', default=[], metavar='NETWORK',
                        help='further networks that TAS compares with, see `ris models list`')
    parser.add_argument('--table-only', action='store_true',
                        help='fill the page from the JSON files that are there')
    return parser


def seeds_of(split: str, scenes: int, first: int | None) -> range:
    """Return the scenes' seeds; raises BadInputError for seeds outside the split."""
    allowed = EVALUATION_SEEDS[split]
    first = allowed.start if first is None else first
    if scenes < 1 or first not in allowed or first + scenes > allowed.stop:
        raise BadInputError(f'the split {split} has seeds {allowed.start} to {allowed.stop - 1}; '
                            f'{scenes} scenes from {first} on do not fit')
    return range(first, first + scenes)


def run(args: argparse.Namespace) -> None:
    """Measure the chosen groups in one pass over the scenes and write their JSON files."""
    seeds = seeds_of(args.split, args.scenes, args.first_seed)
    networks = network_options(args)
    plans = plans_of(args.methods, args.scorers, networks)
    named = {group: [_named(group, row) for row in plan.rows] for group, plan in plans.items()}
    spec = LabSpec(rows=tuple(r for rows in named.values() for r in rows), **networks)
    lab = Lab(spec)   # loads every network once, so that what is missing is known beforehand
    left_out = dict(lab.left_out)
    for why in dict.fromkeys(left_out.values()):
        keys = ', '.join(key for key, reason in left_out.items() if reason == why)
        print(f'ablations: left out: {keys} ({why})', file=sys.stderr)
    spec = replace(spec, rows=tuple(p.row for p in lab.planned))
    del lab
    start, results = time.perf_counter(), []
    tqdm = require('tqdm', 'evaluation').tqdm
    with tqdm(total=len(seeds), desc='ablations', unit='scene', file=sys.stderr) as bar:
        for result in measure(spec, [SceneGroup(seed) for seed in seeds], args.workers):
            results.append(result)
            bar.update()
    seconds = time.perf_counter() - start
    results.sort(key=lambda r: int(r.key))
    facts = {**networks, 'pipeline': pipeline_said(networks['pipeline']),
             'dataset': 'tabletop', 'split': args.split, 'colour_only': True,
             'seeds': [seeds.start, seeds.stop - 1], 'version': __version__,
             'machine': machine(), 'seconds': round(seconds, 1), 'workers': args.workers}
    for group, plan in plans.items():
        path = args.root / FOLDER / f'{group}.json'
        write_result(path, result_of(group, plan, results, left_out, facts))
        print(f'ablations: wrote {path}', file=sys.stderr)


def plans_of(groups: Sequence[str], scorers: Sequence[str], options: Mapping[str, Any]
             ) -> dict[str, Plan]:
    """Return the plan of every group; blocks are those of the profile's CLIP.

    options: the arguments of `networks_of`.
    """
    from ris_ros.methods.registry import settings_for
    from ris_ros.segmenter import networks_of
    networks = networks_of(**options)
    start = settings_for('hybridgl', networks.profile).start_block
    layers = networks.clip().layers
    return {group: plan_of(group, start, layers, scorers) for group in groups}


def _named(group: str, row: Row) -> Row:
    """Return a row whose key tells groups apart."""
    return Row(f'{group}/{row.key}', row.label, row.method, row.settings)


def result_of(group: str, plan: Plan, results: Sequence[SceneResult],
              left_out: Mapping[str, str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON document of a group: figures and pixel counts of every row."""
    samples = [s for result in results for s in result.samples]
    rows = {}
    for row in plan.rows:
        key = f'{group}/{row.key}'
        if key not in left_out:
            answers = [a for result in results for a in result.answers[key]]
            refused = sum(result.refused[key] for result in results)
            rows[row.key] = _row(row, samples, answers, refused)
    return {
        'group': group, **facts, 'n': len(samples), 'n_images': len(results),
        'tables': [asdict(table) for table in plan.tables], 'rows': rows,
        'left_out': [{'key': row.key, 'label': row.label, 'why': left_out[f'{group}/{row.key}']}
                     for row in plan.rows if f'{group}/{row.key}' in left_out],
        'samples': {'key': [s[0] for s in samples], 'image': [s[1] for s in samples],
                    'tags': [list(s[4]) for s in samples]}}


def _row(row: Row, samples: Sequence[tuple[Any, ...]], answers: Sequence[tuple[Any, ...]],
         refused: int) -> dict[str, Any]:
    records = [Record(
        key=key, image_id=image, object_id=thing, expression=text, kind='answerable', tags=tags,
        unseen=None, category=None, outcome='', score=0.0, margin=0.0, i=i, u=u,
        oracle_i=best_i, oracle_u=best_u, candidates=0, proposals=0, point=point, point_box=None,
        prepare_s=0.0, ground_s=0.0, first=False)
        for (key, image, thing, text, tags, best_i, best_u), (i, u, point)
        in zip(samples, answers, strict=True)]
    return {
        'label': row.label, 'method': row.method, 'settings': dict(row.settings),
        **figures_of(records), 'refused': refused,
        'i': [a[0] for a in answers], 'u': [a[1] for a in answers]}


def figures_of(records: Sequence[Record], names: Sequence[str] = FIGURES) -> dict[str, Any]:
    """Return named figures of records with their intervals, and mIoU by tag."""
    figures = summarise(records)
    return {**{name: figures[name] for name in names},
            'intervals': {name: figures['intervals'][name] for name in names},
            'by_tag': {tag: {k: group[k] for k in ('n', 'miou', 'interval')}
                       for tag, group in figures['by_tag'].items()}}


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a group's document: lists on one line each, through a temporary name."""
    def lines(value: Any, depth: int) -> str:
        if not isinstance(value, Mapping) or not value or depth > 2:
            return json.dumps(value, allow_nan=False)
        pad = ' ' * (depth + 1)
        inner = ',\n'.join(f'{pad}{json.dumps(k)}: {lines(v, depth + 1)}'
                           for k, v in value.items())
        return f'{{\n{inner}\n{pad[1:]}}}'

    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, lines(result, 0) + '\n', durable=True)


def read_result(path: Path) -> dict[str, Any]:
    """Read a group's document; raises BadInputError naming the file."""
    result = load_json(path)
    if not isinstance(result, dict) or 'rows' not in result or 'tables' not in result:
        raise BadInputError(f'{path} is no result of scripts/ablations')
    return result


def fill_page(root: Path) -> None:
    """Fill the page from the JSON files that are there; raises BadInputError without any."""
    paths = [path for group in GROUPS if (path := root / FOLDER / f'{group}.json').is_file()]
    if not paths:
        raise BadInputError(f'{root / FOLDER} holds no result; run scripts/ablations')
    for path in paths:
        result = read_result(path)
        fill(root / PAGE, group_text(result), marks(result['group']))


def marks(group: str) -> tuple[str, str]:
    """Return the marks between which a group's tables stand."""
    return f'<!-- ablations {group} -->', f'<!-- /ablations {group} -->'


if __name__ == '__main__':
    sys.exit(main())
