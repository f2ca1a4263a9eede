"""Time of one parse, for `ris bench language`."""
from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from ris_ros.language.clean import clean
from ris_ros.language.command import understand
from ris_ros.language.pipelines import load_pipeline
from ris_ros.language.speech import listen

if TYPE_CHECKING:
    from spacy.language import Language

COMMANDS = (
    'pick up the red mug', 'please hand me the can between the mug and the box',
    'could you bring me the leftmost red cube', 'the small green bottle',
    'put the apple on the towel in the box', 'the mug to the left of the bowl',
    'move the cylinder between the two cubes', 'where is the yellow duck',
    'grab the ball that is lying behind the largest box', 'top left man',
    'um so could you give me the can that is not on the left',
    'not the red apple, the second orange from the right')


def run_language_bench(repeats: int = 20, pipeline: str = 'auto') -> dict[str, float]:
    """Return milliseconds from text to Command, warm, without the memory of past sentences.

    repeats: how often each of twelve commands is analysed.  Keys: p50_ms, p95_ms, n.
    """
    nlp = load_pipeline(pipeline)
    for text in COMMANDS:
        _analysed(text, nlp)
    times = []
    for _ in range(max(repeats, 1)):
        for text in COMMANDS:
            start = time.perf_counter()
            _analysed(text, nlp)
            times.append(1000 * (time.perf_counter() - start))
    times.sort()
    return {'p50_ms': statistics.median(times), 'p95_ms': times[int(0.95 * (len(times) - 1))],
            'n': len(times)}


def _analysed(text: str, nlp: Language) -> None:
    """Do what `analyse` does for a sentence that it does not know yet."""
    speech = listen(clean(text).text)
    understand(text, nlp(speech.text), speech, nlp)
