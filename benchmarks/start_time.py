#!/usr/bin/env python3
"""How long `ris segment` takes from its start to its end, in this checkout and in another.

    python benchmarks/start_time.py OTHER [THIS] [--runs 5] [--image FILE --expression TEXT]

OTHER and THIS are checkouts; both run with this interpreter and its libraries, in turn, after
one run of each that does not count.  Printed are the medians of processor time (user and system,
of the whole process) and of wall time in seconds, and OTHER over THIS.  Without --image a scene
of the simulated tabletop is taken.  Exit code 1 where the two masks differ.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
SEED, EXPRESSION = 100000, 'the can on the left'


def run_once(checkout: Path, command: list[str]) -> dict[str, float]:
    """Return the seconds of one whole process: processor, of these system, and wall."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, '-m', 'ris_ros.cli.main', *command], cwd=checkout,
        env={**os.environ, 'PYTHONPATH': str(checkout)}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f'start_time: ris in {checkout} ended with exit code {code}')
    return {'processor': used.ru_utime + used.ru_stime, 'system': used.ru_stime, 'wall': wall}


def picture(folder: Path) -> Path:
    """Render the scene that is looked at by default."""
    subprocess.run([sys.executable, '-m', 'ris_ros.cli.main', 'tabletop', 'render', '--seed',
                    str(SEED), '-o', str(folder)], cwd=HERE, check=True,
                   env={**os.environ, 'PYTHONPATH': str(HERE)}, stdout=subprocess.DEVNULL)
    return folder / 'color.png'


def same_mask(first: Path, second: Path) -> bool:
    """Return whether two mask files hold the same pixels."""
    import numpy as np
    from PIL import Image
    return np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))


def measure(checkouts: dict[str, Path], image: Path, expression: str, runs: int,
            masks: dict[str, Path]) -> dict[str, list[dict[str, float]]]:
    """Return what every run took, the checkouts taking turns."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for turn in range(runs + 1):   # the first fills the caches of the disk and of compiled code
        for name, checkout in checkouts.items():
            seconds = run_once(checkout, ['segment', str(image), expression, '--json', '--mask',
                                          str(masks[name])])
            if turn:
                taken[name].append(seconds)
    return taken


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('other', type=Path)
    parser.add_argument('this', type=Path, nargs='?', default=HERE)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--image', type=Path)
    parser.add_argument('--expression', default=EXPRESSION)
    parser.add_argument('--json', type=Path, metavar='FILE')
    args = parser.parse_args()
    checkouts = {'other': args.other.resolve(), 'this': args.this.resolve()}
    with tempfile.TemporaryDirectory() as temporary:
        masks = {name: Path(temporary, f'{name}.png') for name in checkouts}
        image = (args.image or picture(Path(temporary))).resolve()
        taken = measure(checkouts, image, args.expression, args.runs, masks)
        equal = same_mask(masks['other'], masks['this'])
    median = {name: {key: statistics.median(run[key] for run in all_runs) for key in all_runs[0]}
              for name, all_runs in taken.items()}
    ratio = {key: median['other'][key] / median['this'][key] for key in ('processor', 'wall')}
    result: dict[str, Any] = {
        'runs': args.runs, 'expression': args.expression, 'masks_equal': equal,
        'load': round(os.getloadavg()[0], 2), 'median_s': median, 'ratio': ratio, 'all': taken}
    for name, row in median.items():
        print(f'{name:<6} processor {row["processor"]:6.2f} s (system {row["system"]:.2f})   '
              f'wall {row["wall"]:6.2f} s')
    print(f'other over this: processor {ratio["processor"]:.2f}, wall {ratio["wall"]:.2f}; masks '
          f'{"equal" if equal else "DIFFER"}; load {result["load"]}')
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    return int(not equal)


if __name__ == '__main__':
    sys.exit(main())
