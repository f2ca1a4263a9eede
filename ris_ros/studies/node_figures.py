"""What the node's benchmarks measured, as rows of a table: what, measured, goal.

The benchmarks print them and the README shows them.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[str, str, str]


def overhead_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return the rows of `benchmarks/node_overhead.py`."""
    added, still, late = (figures['overhead']['to_the_peer_ms'], figures['idle'],
                          figures['slow'])
    age = late['image_age_ms']
    return [
        (f'stamp to result without the method, 640x480 at 30 Hz ({added["n"]} commands)',
         f'p50 {added["p50"]:.1f} ms, p99 {added["p99"]:.1f} ms', '5 ms, 15 ms'),
        ('images nobody asked for, 30 Hz colour and depth',
         f'{still["with_images_percent"]:.1f} % of a core '
         f'({still["without_images_percent"]:.1f} % without any)', '2 %'),
        (f'image age when a method of 2 Hz begins ({late["commands"]} commands)',
         f'p50 {age["p50"]:.0f} ms, p99 {age["p99"]:.0f} ms; memory '
         f'{late["rss_growth_mb"]:+.1f} MB', f'{late["frame_ms"]:.0f} ms, flat')]


def campaign_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return the rows of `benchmarks/node_campaign.py`, of the attacks that were run."""
    rows: list[Row] = []
    if m := figures.get('malformed'):
        rows.append((f'{m["examples"]} generated malformed messages and commands', 'no crash, no '
                     'mask or target, an error code each, every good command between right',
                     'the same of 10000'))
    if f := figures.get('flood'):
        rows.append((f'commands at {f["rate_hz"]:.0f} Hz for {f["seconds"]:.0f} s',
                     f'{f["commands"]} commands, one result each', 'one each for 60 s'))
    if c := figures.get('lifecycle'):
        rows.append((f'{c["cycles"]} times configure, activate, deactivate, cleanup',
                     f'open files {c["files"]:+d}, threads {c["threads"]:+d}, memory '
                     f'{c["rss_mb"]:+.1f} MB', 'no growth in 1000'))
    if f := figures.get('faults'):
        s = f['slowest_s']
        rows.append((f'{f["faults"]} faults in calls of the models and the outside',
                     f'an error outcome each within {s["failure"]:.2f} s (hanging calls: '
                     f'{s["hang"]:.1f} s at a time limit of 2 s), next command right', '1 s'))
    if k := figures.get('kill'):
        rows.append((f'killed with signal 9 under load, {k["times"]} times',
                     f'answers again after {k["respawn_s"]:.1f} s, 2 s of them delay',
                     f'start-up time ({k["start_s"]:.1f} s) after the delay'))
    return rows


def soak_rows(figures: Mapping[str, Any]) -> list[Row]:
    """Return the row of `benchmarks/node_soak.py`."""
    return [(f'{figures["rate_hz"]:.0f} commands a second for {figures["minutes"]:g} minutes '
             f'({figures["commands"]} commands)',
             f'memory {figures["rss_mb_per_hour"]:+.1f} MB/h (at {figures["rss_mb"]:.0f} MB), '
             f'open files {figures["files"]:+d}, threads {figures["threads"]:+d}; '
             f'{figures["without_result"]} without a result', '1 MB/h in 30 minutes')]


def as_table(rows: list[Row]) -> str:
    """Return rows as Markdown."""
    return '\n'.join(f'| {what} | {found} | {goal} |' for what, found, goal in rows)
