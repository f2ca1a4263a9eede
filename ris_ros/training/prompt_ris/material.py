"""What a run learns from and is judged by, whatever the data set."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ris_ros.training.engine.task import Source
from ris_ros.training.prompt_ris.calibrate import Question
from ris_ros.training.prompt_ris.frames import Frames
from ris_ros.training.prompt_ris.names import NameTable
from ris_ros.training.prompt_ris.validation import Validation


@dataclass(frozen=True, eq=False)
class Material:
    """Batches, pictures, validation and the questions that probabilities are fitted on.

    identity: what the data was, for checkpoints.  names: what every patch shows, where known and
    asked for.
    """

    source: Source
    frames: Frames
    validation: Validation | None
    identity: Mapping[str, str | int | float]
    questions: Iterable[Question]
    names: NameTable | None = None
