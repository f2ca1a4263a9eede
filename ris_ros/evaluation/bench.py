"""How long a method takes, stage by stage, and how much memory."""
from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ris_ros import __version__
from ris_ros.evaluation.evaluate import Predictor, PredictorSpec, choice
from ris_ros.evaluation.statistics import percentiles
from ris_ros.types import View

SEED = 100000          # the first scenes of the tabletop's test split
WARM_UP = 'the thing on the table'


@dataclass(frozen=True, eq=False)
class BenchImage:
    """A view and sentences about it."""

    view: View
    sentences: tuple[str, ...]


def tabletop_images(count: int) -> list[BenchImage]:
    """Render the first scenes of the test split, with all sentences that have an answer."""
    from ris_ros.datasets.tabletop import SceneGroup
    images = []
    for seed in range(SEED, SEED + count):
        opened = SceneGroup(seed).open()
        images.append(BenchImage(opened.view, tuple(
            s.expression for s in opened.samples if s.kind == 'answerable')))
    return images


def run_bench(spec: PredictorSpec, images: Sequence[BenchImage], repeats: int) -> dict[str, Any]:
    """Return figures in milliseconds and MiB.

    Every image is prepared `repeats` times; its first sentence counts together with that as
    `first_sentence`.  The others are what a second command about the same frame costs:
    `further_sentence` if asked for the first time at all, `repeated_sentence` if asked before
    (parses and text features may be remembered).  `ratio` is the quotient of the medians of the
    first two.  One unrecorded sentence warms up.  `load_s` includes reading the networks.
    """
    start = perf_counter()
    predictor = spec.build()
    load_s = perf_counter() - start
    loaded_mib = peak_memory_mib()
    predictor.ground(predictor.prepare(images[0].view), WARM_UP)
    times = _Times()
    for _ in range(repeats):
        for image in images:
            _round(predictor, image, times)
    first, further = percentiles(times.first), percentiles(times.further)
    ratio = first['p50'] / further['p50'] if first and further and further['p50'] else None
    height, width = images[0].view.size
    return {
        'version': __version__, 'machine': machine(), 'image': [width, height],
        'images': len(images), 'repeats': repeats, 'load_s': round(load_s, 3),
        'unit': 'ms', 'first_sentence': first, 'further_sentence': further,
        'repeated_sentence': percentiles(times.repeated),
        'ratio': None if ratio is None else round(ratio, 1),
        'prepare': percentiles(times.prepare),
        'stages': {name: percentiles(values) for name, values in times.stages.items()},
        'proposals': round(float(np.mean(times.proposals)), 1),
        'memory_mib': {'after_load': loaded_mib, 'peak': peak_memory_mib(),
                       **_device_memory()}}


class _Times:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.prepare: list[float] = []
        self.first: list[float] = []
        self.further: list[float] = []
        self.repeated: list[float] = []
        self.asked: set[str] = set()
        self.proposals: list[int] = []
        self.stages: dict[str, list[float]] = {}

    def add(self, stages: Any) -> None:
        for name, seconds in stages.items():
            self.stages.setdefault(name, []).append(float(seconds))


def _round(predictor: Predictor, image: BenchImage, times: _Times) -> None:
    start = perf_counter()
    scene = predictor.prepare(image.view)
    prepared = perf_counter()
    answer = predictor.ground(scene, image.sentences[0])
    times.first.append(perf_counter() - start)
    times.prepare.append(prepared - start)
    times.proposals.append(len(choice(scene, answer)))
    times.add(scene.timings)
    times.add(answer.timings)
    times.asked.add(image.sentences[0])
    for sentence in image.sentences[1:]:
        start = perf_counter()
        answer = predictor.ground(scene, sentence)
        seconds = perf_counter() - start
        (times.repeated if sentence in times.asked else times.further).append(seconds)
        times.asked.add(sentence)
        times.add(answer.timings)


def peak_memory_mib() -> float:
    """Return the greatest resident memory of this process so far, MiB."""
    try:   # Linux: getrusage would count what the parent held before it started this process
        with open('/proc/self/status', encoding='ascii') as file:
            line = next(line for line in file if line.startswith('VmHWM'))
        return round(int(line.split()[1]) / 1024, 1)
    except (OSError, StopIteration):
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1024 if sys.platform != 'darwin' else 1024 ** 2), 1)


def _device_memory() -> dict[str, float]:
    """Return the greatest memory on the GPU, if one was used."""
    torch = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    return {'gpu_peak': round(torch.cuda.max_memory_allocated() / 2 ** 20, 1)}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, without names that identify the machine."""
    torch = sys.modules.get('torch')
    return {'processor': _processor(), 'cpus': os.cpu_count(),
            'threads': torch.get_num_threads() if torch else None,
            'python': platform.python_version(),
            'torch': str(torch.__version__) if torch else None}


def _processor() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            for line in file:
                if line.startswith('model name'):
                    return line.partition(':')[2].strip()
    except OSError:
        pass   # not Linux
    return platform.processor() or platform.machine()


def format_bench(result: dict[str, Any]) -> str:
    """Return the figures as a table."""
    rows = [('load', f'{result["load_s"]:.2f} s')]
    named = [('first sentence', result['first_sentence']),
             ('further sentence', result['further_sentence']),
             ('repeated sentence', result['repeated_sentence']), ('prepare', result['prepare'])]
    named += [(f'  {name}', values) for name, values in result['stages'].items()]
    rows += [(name, f'{v["p50"]:9.2f} {v["p95"]:9.2f} {v["p99"]:9.2f}   n {v["n"]}')
             for name, v in named if v]
    rows += [('first / further', '-' if result['ratio'] is None else f'{result["ratio"]:.1f}'),
             ('proposals', f'{result["proposals"]:.0f}'),
             ('peak memory', f'{result["memory_mib"]["peak"]:.0f} MiB')]
    width = max(len(name) for name, _ in rows)
    head = f'{"":<{width}}  {"p50":>9} {"p95":>9} {"p99":>9}   ms'
    return '\n'.join([head, *(f'{name:<{width}}  {text}' for name, text in rows)])
