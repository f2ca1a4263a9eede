"""
What the node adds to its method, with a method that takes next to no time.

    python benchmarks/node_overhead.py --json docs/figures/node_overhead.json

A camera of 640x480 at 30 Hz, colour and depth.  Overhead: from the stamp of the image to the
arrival of the result in another process, less the method's own time; commands are answered on
the next image that comes.  Idle: share of a core while images come that nobody asked for.
Slow: age of the image when the models begin, with a method slowed to 2 Hz, and the memory.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from node_rig import Peer, percentiles, session, surroundings

from ris_ros.files import write_json
from ris_ros.studies.node_figures import as_table, overhead_rows

RATE_HZ = 30.0


def overhead(commands: int) -> dict[str, Any]:
    """Return milliseconds beside the method, from the image's stamp to the result."""
    added, inside = [], []
    with session('max_image_age_s:=0.0') as (_, peer):
        peer.film(RATE_HZ)
        peer.spin(1.0)
        for _ in range(commands):
            answer = peer.answer(peer.say('the red box'))
            values = answer.values
            if values['outcome'] != 'SUCCEEDED':
                raise RuntimeError(f'{values["outcome"]}: {answer.said}')
            own = float(values['ground_ms']) + float(values.get('prepare_ms', 0.0))
            added.append(answer.stamp_to_result_ms - own)
            inside.append(float(values['stamp_to_result_ms']) - own)
            peer.spin(0.02)
    return {'to_the_peer_ms': percentiles(added), 'within_the_node_ms': percentiles(inside)}


def idle(seconds: float) -> dict[str, Any]:
    """Return the share of a core that the node takes without and with unasked images."""
    with session() as (node, peer):
        quiet = _share(node, peer, seconds)
        peer.film(RATE_HZ)
        peer.spin(1.0)
        filmed = _share(node, peer, seconds)
        lost = int(peer.status['images_lost'])
    return {'without_images_percent': quiet, 'with_images_percent': filmed, 'images_lost': lost}


def _share(node: Any, peer: Peer, seconds: float) -> float:
    before, start = node.resources()['cpu_s'], time.monotonic()
    peer.spin(seconds)
    used = node.resources()['cpu_s'] - before
    return round(100 * used / (time.monotonic() - start), 2)


def slow(seconds: float) -> dict[str, Any]:
    """Return image ages at the start and the growth of memory with a method of 2 Hz."""
    ages, memory = [], []
    with session('max_image_age_s:=0.5', options=('--work-ms', '500')) as (node, peer):
        peer.film(RATE_HZ)
        peer.spin(1.0)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            peer.picture.data[0] = len(ages) % 250   # another picture: nothing is reused
            values = peer.answer(peer.say('the red box')).values
            if values['outcome'] != 'SUCCEEDED':
                raise RuntimeError(values['outcome'])
            ages.append(float(values['image_age_ms']))
            memory.append(node.resources()['rss_mb'])
    warm = memory[len(memory) // 4:]
    return {'image_age_ms': percentiles(ages), 'frame_ms': round(1e3 / RATE_HZ, 1),
            'commands': len(ages), 'rss_mb': round(memory[-1], 1),
            'rss_growth_mb': round(warm[-1] - warm[0], 2)}


def measure(commands: int, idle_s: float, slow_s: float) -> dict[str, Any]:
    """Return all figures."""
    return {'machine': surroundings(), 'overhead': overhead(commands), 'idle': idle(idle_s),
            'slow': slow(slow_s)}


def main() -> int:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--commands', type=int, default=500)
    parser.add_argument('--idle-s', type=float, default=20.0)
    parser.add_argument('--slow-s', type=float, default=60.0)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    figures = measure(options.commands, options.idle_s, options.slow_s)
    print(as_table(overhead_rows(figures)))
    if options.json:
        write_json(options.json, figures)
    else:
        print(json.dumps(figures, indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
