"""What is under way: the command that the models work on, and the answer that waits."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.placing import Placing
from ris_ros.service.text import shortened
from ris_ros.service.worker import Reply
from ris_ros.types import Outcome


@dataclass(frozen=True)
class Run:
    """The command that the models work on, with the parameters that held at its start."""

    record: CommandRecord
    parameters: NodeParameters
    placing: Placing


@dataclass(frozen=True)
class Held:
    """An answer that waits for the transform of its image until `end` by the steady clock."""

    run: Run
    reply: Reply
    end: float


def failed(error: Exception) -> Ending:
    """Return how a command ends that the node itself failed at."""
    return Ending(Outcome.MODEL_ERROR,
                  f'the node failed: {type(error).__name__}: {shortened(str(error))}')
