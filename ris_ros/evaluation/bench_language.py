"""Time of one parse, for `ris bench language`."""
from __future__ import annotations

import statistics
import time

from ris_ros.language.clean import clean
from ris_ros.language.command import understand
from ris_ros.language.pipelines import load_pipeline

COMMANDS = (
    'pick up the red mug', 'please hand me the can between the mug and the box',
    'could you bring me the leftmost red cube', 'the small green bottle',
    'put the apple on the towel in the box', 'the mug to the left of the bowl',
    'move the cylinder between the two cubes', 'where is the yellow duck',
    'grab the ball that is lying behind the largest box', 'top left man')


def run_language_bench(repeats: int = 20, pipeline: str = 'auto') -> dict[str, float]:
    """Return milliseconds from text to Command, warm, without the memory of past sentences.

    repeats: how often each of ten commands is analysed.  Keys: p50_ms, p95_ms, n.
    """
    nlp = load_pipeline(pipeline)
    for text in COMMANDS:
        understand(text, nlp(clean(text).text))
    times = []
    for _ in range(max(repeats, 1)):
        for text in COMMANDS:
            start = time.perf_counter()
            understand(text, nlp(clean(text).text))
            times.append(1000 * (time.perf_counter() - start))
    times.sort()
    return {'p50_ms': statistics.median(times), 'p95_ms': times[int(0.95 * (len(times) - 1))],
            'n': len(times)}
