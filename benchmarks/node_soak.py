"""
The node at work for long: memory, open files, threads and times over the time.

    python benchmarks/node_soak.py --minutes 30 --json docs/figures/node_soak.json

A camera of 640x480 at 30 Hz, commands at 10 Hz.  The slope is by least squares over what comes
after the first tenth, or the first minute where that is longer.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from node_rig import percentiles, session, slope, surroundings

from ris_ros.files import write_json
from ris_ros.studies.node_figures import as_table, soak_rows


def soak(minutes: float, rate_hz: float = 10.0, every_s: float = 5.0) -> dict[str, Any]:
    """Give commands for so long; return how they ended and what grew."""
    samples: list[tuple[float, dict[str, float]]] = []
    with session() as (node, peer):
        peer.film(30.0)
        identities: list[str] = []

        def speak() -> None:
            peer.picture.data[0] = len(identities) % 250   # another picture each time
            identities.append(peer.say('the red box'))
        timer = peer.node.create_timer(1 / rate_hz, speak)
        start = time.monotonic()
        while time.monotonic() < start + 60 * minutes:
            peer.spin(every_s)
            samples.append(((time.monotonic() - start) / 3600, node.resources()))
        peer.node.destroy_timer(timer)
        # On a machine that others use the last answers may come late; lost ones never come.
        peer.wait(lambda: all(identity in peer.answers for identity in identities), 120.0)
        answers = [peer.answers.get(identity, []) for identity in identities]
    outcomes = Counter(a[0].outcome for a in answers if a)
    times = [a[0].stamp_to_result_ms for a in answers if a and a[0].code == 0]
    warm = [(hours, r) for hours, r in samples if hours * 60 >= max(minutes / 10, 1.0)]
    warm = warm or samples[len(samples) // 2:]
    hours = [h for h, _ in warm]
    return {'machine': surroundings(), 'minutes': minutes, 'rate_hz': rate_hz,
            'commands': len(answers), 'without_result': sum(not a for a in answers),
            'with_two_results': sum(len(a) > 1 for a in answers), 'outcomes': dict(outcomes),
            'stamp_to_result_ms': percentiles(times),
            'rss_mb': round(warm[-1][1]['rss_mb'], 1),
            'rss_mb_per_hour': round(slope(hours, [r['rss_mb'] for _, r in warm]), 2),
            'files': int(warm[-1][1]['files'] - warm[0][1]['files']),
            'threads': int(warm[-1][1]['threads'] - warm[0][1]['threads'])}


def main() -> int:
    """Soak, print the table, write JSON; exit code 1 where a command has not one result."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--minutes', type=float, default=30.0)
    parser.add_argument('--rate-hz', type=float, default=10.0)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    figures = soak(options.minutes, options.rate_hz)
    print(as_table(soak_rows(figures)))
    if options.json:
        write_json(options.json, figures)
    else:
        print(json.dumps(figures, indent=1))
    return int(bool(figures['without_result'] or figures['with_two_results']))


if __name__ == '__main__':
    sys.exit(main())
