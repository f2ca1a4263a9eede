"""
Fill the README's figures from docs/figures and docs/ablations; no number is typed by hand.

    scripts/demo --headless --json docs/figures/demo.json
    ris bench hybridgl --json docs/figures/bench_hybridgl.json
    ris bench language --json docs/figures/bench_language.json
    python benchmarks/hybridgl_order.py tabletop --json docs/figures/order_hybridgl.json
    python benchmarks/hybridgl_order.py paper --json docs/figures/order_hybridgl_paper.json
    python benchmarks/tas_order.py tabletop --json docs/figures/order_tas.json
    python benchmarks/tas_order.py paper --json docs/figures/order_tas_paper.json
    python benchmarks/iterprime_order.py --json docs/figures/order_iterprime.json
    python benchmarks/node_overhead.py --json docs/figures/node_overhead.json
    python benchmarks/node_campaign.py --json docs/figures/node_campaign.json
    python benchmarks/node_soak.py --json docs/figures/node_soak.json
    scripts/ablations
    python -m ris_ros.studies.figures
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.studies.ablation_effects import Verdict, verdicts
from ris_ros.studies.ablation_rows import GROUPS
from ris_ros.studies.ablations import FOLDER as ABLATIONS
from ris_ros.studies.node_figures import as_table, campaign_rows, overhead_rows, soak_rows
from ris_ros.studies.pages import fill
from ris_ros.types import BadInputError

FOLDER = Path('docs/figures')
MARKS = {name: (f'<!-- figures:{name} -->', '<!-- /figures -->')
         for name in ('demo', 'bench', 'orders', 'effects', 'node')}
SMALL, LARGE = 'tabletop', 'published sizes, random weights'
ORDERS = (('hybridgl', 'order_hybridgl.json', SMALL),
          ('hybridgl', 'order_hybridgl_paper.json', LARGE), ('tas', 'order_tas.json', SMALL),
          ('tas', 'order_tas_paper.json', LARGE), ('iterprime', 'order_iterprime.json', LARGE))
# Of the published effects those that a reader of the papers asks for first.
EFFECTS = {'hybridgl': ('relation guidance helps', 'all guidance together helps sentences with a '
                        'position', 'position guidance helps', 'G2L beats L'),
           'tas': ('captions (P) help', 'negatives (N) help beside P', 'the rectifier helps'),
           'iterprime': ('PWEM beats the mean over all', 'IGRS helps')}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise BadInputError(f'{path} cannot be read ({error}); make it with the commands at '
                            'the top of ris_ros/studies/figures.py') from error


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


def orders_text(folder: Path) -> str:
    """Return how our order of work compares with the released one, as a Markdown table."""
    lines = ['| method | networks | sentences | released, s | ours, s | times as fast |',
             '| --- | --- | ---: | ---: | ---: | ---: |']
    for method, name, networks in ORDERS:
        document = _read(folder / name)
        runs = [part for part in document.values()
                if isinstance(part, dict) and 'times' in part]
        lines += [f'| `{method}` | {networks} | {run["sentences"]} | {run["released_s"]:.1f} | '
                  f'{run["ours_s"]:.1f} | {run["times"]:.1f} |'
                  for run in sorted(runs, key=lambda run: run['sentences'])]
    return '\n'.join(lines)


def node_text(folder: Path) -> str:
    """Return what the node's benchmarks and campaigns measured, with the goals, in Markdown."""
    added, attacked, soaked = (_read(folder / f'node_{name}.json')
                               for name in ('overhead', 'campaign', 'soak'))
    rows = [*overhead_rows(added), *campaign_rows(attacked), *soak_rows(soaked)]
    loads = [document['machine']['load'] for document in (added, attacked, soaked)]
    machine = added['machine']
    return '\n'.join([
        '| what | measured | goal |', '| --- | --- | --- |',
        as_table(rows), '',
        f'{machine["processor"]} ({machine["cpus"]} cores), which did other work too: load '
        f'{min(loads):.1f} to {max(loads):.1f}.'])


def effects_text(folder: Path) -> str:
    """Return the effects of `EFFECTS` and how many of all are reproduced, in Markdown."""
    lines = ['| method | the paper says | mIoU without, with | reproduced |',
             '| --- | --- | ---: | --- |']
    every: list[Verdict] = []
    scenes = set()
    for group in GROUPS:
        result = _read(folder / f'{group}.json')
        scenes.add(result['n_images'])
        found = verdicts(group, result)
        every += found
        by_text = {verdict.effect.text: verdict for verdict in found}
        lines += [f'| `{group}` | {text} ({v.effect.source}) | {100 * v.worse:.1f}, '
                  f'{100 * v.better:.1f} | {v.reproduced} |'
                  for text in EFFECTS.get(group, ()) for v in [by_text[text]]]
    count = sum(verdict.reproduced == 'yes' for verdict in every)
    return '\n'.join([
        f'Of {len(every)} published comparisons {count} show here too '
        f'({" or ".join(map(str, sorted(scenes)))} scenes; intervals in `docs/ablations.md`); '
        'the main ones:', '', *lines])


def main() -> int:
    """Fill all places of the README; exit code 2 where a file is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--root', type=Path, default=Path(), help="the project's folder")
    args = parser.parse_args()
    folder, readme = args.root / FOLDER, args.root / 'README.md'
    try:
        fill(readme, demo_text(_read(folder / 'demo.json')), MARKS['demo'])
        fill(readme, bench_text(_read(folder / 'bench_hybridgl.json'),
                                _read(folder / 'bench_language.json')), MARKS['bench'])
        fill(readme, orders_text(folder), MARKS['orders'])
        fill(readme, node_text(folder), MARKS['node'])
        fill(readme, effects_text(args.root / ABLATIONS), MARKS['effects'])
    except BadInputError as error:
        print(f'figures: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
