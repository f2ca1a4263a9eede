"""Evaluate every method on the tabletop's test split and fill the table in the README.

Run by `scripts/leaderboard`.  Numbers go from `ris eval --json` through docs/leaderboard/*.json
into the table between the two marks; none is typed by hand.  What a method can do with depth is
measured beside what it does with colour alone.
"""
from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ris_ros.evaluation.document import percent, read_document
from ris_ros.studies.pages import fill
from ris_ros.types import BadInputError, RisError

START, END = '<!-- leaderboard -->', '<!-- /leaderboard -->'
FOLDER = Path('docs/leaderboard')
RECORDS = Path('runs/leaderboard')   # per-sample records, so that a stopped run continues
SCENES = 60
TAGS = ('attribute', 'position', 'relation', 'size')
WITH_DEPTH = '_depth'   # behind a method's name: its result with depth
HEAD = ('method', 'sees', 'mIoU', '95 %', 'oIoU', 'P@0.5', 'P@0.9', *TAGS, 'best proposal',
        'absent P / R', 'ambiguous R', 'first / further, ms')
PLACE = HEAD.index('best proposal')   # of the column PointM, where heat maps can be compared


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate, then fill the README.  Exit code 1 if a method could not be evaluated."""
    parser = argparse.ArgumentParser(prog='scripts/leaderboard',
                                     description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    parser.add_argument('--methods', nargs='+',
                        help='only these (default: all whose networks are here)')
    parser.add_argument('--scenes', type=int, default=SCENES)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--table-only', action='store_true',
                        help='fill the README from the JSON files that are there')
    args = parser.parse_args(argv)
    failed = []
    try:
        if not args.table_only:
            failed = [f'{m}, {"with depth" if depth else "colour alone"}'
                      for m in choose_methods(args.methods) for depth in seeing(m)
                      if not _evaluate(m, args, depth)]
        fill(args.root / 'README.md', table(read_results(args.root / FOLDER)), (START, END))
    except BadInputError as error:
        print(f'leaderboard: {error}', file=sys.stderr)
        return 2
    except RisError as error:
        print(f'leaderboard: {error}', file=sys.stderr)
        return 1
    if failed:
        print(f'leaderboard: not evaluated: {", ".join(failed)}', file=sys.stderr)
    return int(bool(failed))


def choose_methods(wanted: Sequence[str] | None) -> list[str]:
    """Return the methods asked for, or all whose networks the tabletop profile has.

    The oracle is left out: "best proposal" says what it would.
    """
    from ris_ros.methods.registry import find_method, methods
    from ris_ros.segmenter import Segmenter
    if wanted:
        return [find_method(name).name for name in wanted]
    chosen = []
    for name in sorted(n for n, info in methods().items() if not info.evaluation_only):
        try:
            Segmenter.from_profile('tabletop', method=name)
            chosen.append(name)
        except RisError as error:
            print(f'leaderboard: {name} is left out: {error}', file=sys.stderr)
    return chosen


def seeing(method: str) -> tuple[bool, ...]:
    """Return how a method is measured: without depth, and with it where it has a use for it."""
    from ris_ros.methods.registry import settings_for
    from ris_ros.profiles import get_profile
    proposals = getattr(settings_for(method, get_profile('tabletop')), 'proposals', 'sam')
    return (False, True) if proposals in ('auto', 'depth', 'both') else (False,)


def _evaluate(method: str, args: argparse.Namespace, depth: bool) -> bool:
    """Run `ris eval` for one method; its own messages say what went wrong."""
    name = method + WITH_DEPTH * depth
    command = [sys.executable, '-m', 'ris_ros.cli.main', 'eval', 'tabletop', '--split', 'test',
               '--profile', 'tabletop', '--method', method, '--scenes', str(args.scenes),
               '--workers', str(args.workers), *(() if depth else ('--colour-only',)),
               '--json', str((args.root / FOLDER / f'{name}.json').resolve()),
               '--record', str((args.root / RECORDS / f'{name}.samples.jsonl').resolve())]
    return subprocess.run(command, check=False).returncode == 0


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Return all results of a folder, best mIoU first.

    Raises BadInputError when there is none, or when they are not over the same sentences.
    """
    results = [read_document(path) for path in sorted(folder.glob('*.json'))]
    if not results:
        raise BadInputError(f'{folder} holds no result; run scripts/leaderboard')
    if len({tuple(sorted(r['samples']['key'])) for r in results}) > 1:
        counts = ', '.join(f'{r["method"]}: {r["n"]}' for r in results)
        raise BadInputError(f'the results in {folder} are over different sentences ({counts}); '
                            'run scripts/leaderboard again for all')
    return sorted(results, key=lambda r: (-(r['miou'] or 0), r['method'],
                                          r.get('colour_only', True)))


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table with its caption; shares in percent."""
    # A column that one method fills compares nothing.
    points = sum(r['pointm'] is not None for r in results) > 1
    head = (*HEAD[:PLACE], 'PointM', *HEAD[PLACE:]) if points else HEAD
    rows = [head, tuple('---' if k < 2 else '---:' for k in range(len(head))),
            *(_row(r, points) for r in results)]
    lines = ['| ' + ' | '.join(row) + ' |' for row in rows]
    first = results[0]
    caption = (
        f'{first["n"]} answerable sentences (and {first["n_absent"]} about absent, '
        f'{first["n_ambiguous"]} about ambiguous objects) in {first["n_images"]} scenes of the '
        f'simulated tabletop\'s {first["split"]} split, profile `{first["profile"]}`. Shares '
        f'in percent, intervals by bootstrap over scenes, latencies are medians on '
        f'{_machine(first)}. Made by `scripts/leaderboard` from `docs/leaderboard/*.json`.')
    return '\n'.join([*lines, '', caption])


def _machine(result: Mapping[str, Any]) -> str:
    machine = result['machine']
    threads = f', {machine["threads"]} threads' if machine['threads'] else ''
    return f'{machine["processor"]} ({machine["cpus"]} cores{threads})'


def _row(result: Mapping[str, Any], points: bool) -> tuple[str, ...]:
    pair = result['intervals']['miou']
    tags = [percent(result['by_tag'][t]['miou']) if t in result['by_tag'] else '-' for t in TAGS]
    absent, ambiguous = (result['decisions'][k] for k in ('absent', 'ambiguous'))
    latency = result['latency_ms']
    first, further = (f'{latency[k]["p50"]:.0f}' if latency[k] else '-'
                      for k in ('first', 'ground'))
    # Older documents say nothing of depth: there was no use for it.
    sees = 'colour' if result.get('colour_only', True) else \
        f'colour and depth (proposals: {result["proposals"]})'
    return (f'`{result["method"]}`', sees, f'**{percent(result["miou"])}**',
            '-' if pair is None else f'{100 * pair[0]:.1f} to {100 * pair[1]:.1f}',
            percent(result['oiou']), percent(result['p@0.5']), percent(result['p@0.9']), *tags,
            *([percent(result['pointm'])] if points else []), percent(result['oracle_miou']),
            f'{percent(absent["precision"])} / {percent(absent["recall"])}',
            percent(ambiguous['recall']), f'{first} / {further}')


if __name__ == '__main__':
    sys.exit(main())
