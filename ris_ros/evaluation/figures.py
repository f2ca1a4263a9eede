"""
Fill the README's demo and speed figures from docs/figures/*.json; no number is typed by hand.

    scripts/demo --headless --json docs/figures/demo.json
    ris bench hybridgl --json docs/figures/bench_hybridgl.json
    ris bench language --json docs/figures/bench_language.json
    python -m ris_ros.evaluation.figures
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.evaluation.leaderboard import fill
from ris_ros.types import BadInputError

FOLDER = Path('docs/figures')
MARKS = {name: (f'<!-- figures:{name} -->', '<!-- /figures -->') for name in ('demo', 'bench')}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise BadInputError(f'{path} cannot be read ({error}); make it with the commands at '
                            'the top of ris_ros/evaluation/figures.py') from error


def _share(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.0f} %'


def demo_text(document: Mapping[str, Any]) -> str:
    """Return the demo's summary as a Markdown list."""
    s = document['summary']
    return '\n'.join([
        f'Last measured with {len(document["commands"])} commands, `tabletop` profile, two cores '
        'without a GPU:', '',
        f'* the right object lifted in {_share(s["lifted_right_ratio"])} of {s["answerable"]} '
        f'answerable commands; {_share(s["unanswerable_refused_ratio"])} of the unanswerable '
        'ones refused',
        f"* target point within 15 mm of the object's visible surface in "
        f'{_share(s["point_within_15mm_ratio"])} of {s["correct_masks"]} correct masks that were '
        f'acted on; mean IoU {s["miou"]:.3f}',
        f'* image stamp to result: median {s["stamp_to_result_ms_p50"]:.0f} ms, 95 % '
        f'{s["stamp_to_result_ms_p95"]:.0f} ms',
        f'* images sent {s["images_sent"]}, received {s["images_received"]}, lost '
        f'{s["images_lost"]} (640x480 at 15 Hz, best effort)'])


def bench_text(method: Mapping[str, Any], language: Mapping[str, Any]) -> str:
    """Return stage times as a Markdown table."""
    rows = [('first sentence about a frame', method['first_sentence']),
            ('further sentence about the same frame', method['further_sentence']),
            *((f'stage: {name}', times) for name, times in method['stages'].items())]
    lines = ['| `ris bench hybridgl`, ms | p50 | p95 |', '| --- | ---: | ---: |']
    lines += [f'| {name} | {t["p50"]:.1f} | {t["p95"]:.1f} |' for name, t in rows if t]
    machine = method['machine']
    lines += ['', f'First to further: {method["ratio"]:.0f} to 1. {method["proposals"]:.0f} '
              f'proposals per frame, peak memory {method["memory_mib"]["peak"]:.0f} MiB, '
              f'{machine["processor"]} ({machine["cpus"]} cores). Analysing a command takes '
              f'{language["p50_ms"]:.1f} ms (p95 {language["p95_ms"]:.1f} ms; '
              '`ris bench language`).']
    return '\n'.join(lines)


def main() -> int:
    """Fill both places of the README; exit code 2 where a file is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    args = parser.parse_args()
    folder, readme = args.root / FOLDER, args.root / 'README.md'
    try:
        fill(readme, demo_text(_read(folder / 'demo.json')), MARKS['demo'])
        fill(readme, bench_text(_read(folder / 'bench_hybridgl.json'),
                                _read(folder / 'bench_language.json')), MARKS['bench'])
    except BadInputError as error:
        print(f'figures: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
