#!/usr/bin/env python3
"""How much evaluation adds to a method's own time: metrics, truth masks, record, bookkeeping.

    python benchmarks/eval_overhead.py [--method clip_only] [--scenes 5]

Evaluates on the simulated tabletop in a temporary folder and prints the time of the method and
of all else except rendering.  Exit code 1 above 5 %.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 0.05


def main() -> int:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--method', default='clip_only')
    parser.add_argument('--profile', default='tabletop')
    parser.add_argument('--scenes', type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = Path(temporary) / 'result.json'
        subprocess.run(
            [sys.executable, '-m', 'ris_ros.cli.main', 'eval', 'tabletop', '--split', 'val',
             '--method', args.method, '--profile', args.profile, '--scenes', str(args.scenes),
             '--json', str(result)], check=True, stdout=subprocess.DEVNULL)
        document = json.loads(result.read_text())
    time = document['time']
    print(json.dumps({'method': args.method, 'sentences': document['n_samples'], **time},
                     indent=1))
    return int(time['overhead'] > LIMIT)


if __name__ == '__main__':
    sys.exit(main())
