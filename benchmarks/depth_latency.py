"""
First and further sentences on new frames, with depth and on colour alone, in one run.

    python benchmarks/depth_latency.py [--scenes 5] [--method hybridgl] [--threads 2]

Every scene of the validation split is prepared and asked both ways, one after the other, so that
what else the machine does meets both alike.  Prints medians by the clock and by the processor's
time (of the proposals by the clock alone), and their ratios.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from ris_ros import Segmenter
from ris_ros.datasets.tabletop import SceneGroup
from ris_ros.evaluation.bench import machine
from ris_ros.files import write_json
from ris_ros.language import analyse_expression
from ris_ros.lazy import require
from ris_ros.simulation import SPLITS
from ris_ros.types import View

WAYS = ('colour', 'depth')


def timed(action: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """Return what an action returns, with its milliseconds by clock and by processor."""
    clock, used = perf_counter(), process_time()
    result = action()
    return result, (1e3 * (perf_counter() - clock), 1e3 * (process_time() - used))


def measure(segmenter: Segmenter, seeds: range) -> dict[str, dict[str, list[tuple[float, ...]]]]:
    """Return milliseconds by way and stage; the first scene warms up.

    By clock and by processor for first and further sentences, by clock alone for the proposals.
    """
    found: dict[str, dict[str, list[tuple[float, ...]]]] = {
        way: {'first': [], 'further': [], 'proposals': []} for way in WAYS}
    for number, seed in enumerate(seeds):
        opened = SceneGroup(seed).open()
        sentences = [s.expression for s in opened.samples if s.kind == 'answerable']
        for way in WAYS:
            view = opened.view if way == 'depth' else View(opened.image)
            scene, first = timed(partial(segmenter.prepare, view))
            times = [timed(partial(segmenter.ground, scene, text))[1] for text in sentences]
            if not number or not times:
                continue
            found[way]['first'].append((first[0] + times[0][0], first[1] + times[0][1]))
            found[way]['further'] += times[1:]
            found[way]['proposals'].append((1e3 * scene.timings['proposals'],))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--scenes', type=int, default=5)
    parser.add_argument('--method', default='hybridgl')
    parser.add_argument('--threads', type=int, default=0, help='of torch and OpenCV (0: as it is)')
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    if args.threads:
        require('torch', 'models').set_num_threads(args.threads)
        require('cv2', 'models').setNumThreads(args.threads)
    segmenter = Segmenter.from_profile('tabletop', args.method, analyse=analyse_expression,
                                       scene_cache=0)
    start = SPLITS['val'].start + 700
    found = measure(segmenter, range(start, start + args.scenes + 1))
    shown: dict[str, Any] = {'method': args.method, 'scenes': args.scenes, 'machine': machine()}
    for stage in ('first', 'further', 'proposals'):
        p50 = {way: np.median(np.array(found[way][stage]), axis=0).round(2).tolist()
               for way in WAYS}
        ratio = [round(a / b, 2) for a, b in zip(p50['colour'], p50['depth'], strict=True)]
        shown[stage] = {**{f'{way}_ms': p50[way] for way in WAYS}, 'colour_over_depth': ratio}
        clocks = 'by clock, by processor' if len(ratio) > 1 else 'by clock'
        print(f'{stage:9} p50 {clocks}: colour {p50["colour"]} ms, depth '
              f'{p50["depth"]} ms, colour over depth {ratio}', flush=True)
    if args.json:
        write_json(args.json, shown, durable=True)


if __name__ == '__main__':
    main()
