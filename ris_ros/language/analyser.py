"""The one entry to understanding: clean the text, parse it once, read the command."""
from __future__ import annotations

import re
from functools import lru_cache

from ris_ros.language.analysis import Analysis
from ris_ros.language.clean import NOT_ENGLISH, clean
from ris_ros.language.command import understand
from ris_ros.language.pipelines import known_words, load_pipeline
from ris_ros.language.speech import listen
from ris_ros.types import Command, Ignored


def analyse(text: str, pipeline: str = 'auto') -> Analysis:
    """Return the command and the Doc of its target; one parse per sentence.

    text: at most 1000 characters; anything else gives a Command with `problem` set, as do
    sentences that name no object.  pipeline: see `pipelines.load_pipeline`, whose errors
    (spaCy or the pipeline missing) are the only ones raised.  Thread-safe; the last 256
    analyses are kept.
    """
    cleaned = clean(text)
    if cleaned.problem is not None:
        said = text if isinstance(text, str) else repr(text)
        return Analysis(Command(said, problem=cleaned.problem), None)
    return _analyse(text, cleaned.text, pipeline)


def parse(text: str, pipeline: str = 'auto') -> Command:
    """Return what `ris parse` prints: the Command of `analyse`."""
    return analyse(text, pipeline).command


@lru_cache(maxsize=256)
def _analyse(text: str, cleaned: str, pipeline: str) -> Analysis:
    speech = listen(cleaned)
    if speech.problem is not None:
        denied = [Ignored(d.words, 'what it is not, of no object', constraint=True)
                  for d in speech.denied]
        return Analysis(Command(text, speech.control, problem=speech.problem,
                                ignored=(*speech.ignored, *denied)), None)
    nlp = load_pipeline(pipeline)
    said = re.findall(r'[^\W\d_]+', cleaned.lower())
    if len(said) > 2 and not any(word in known_words(nlp) for word in said):
        return Analysis(Command(text, problem=NOT_ENGLISH), None)
    return understand(text, nlp(speech.text), speech, nlp)
