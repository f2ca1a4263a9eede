"""One sentence and its parse, as everything downstream gets it."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ris_ros.types import Command

if TYPE_CHECKING:
    from spacy.tokens import Doc


@dataclass(frozen=True, eq=False)
class Analysis:
    """One sentence, parsed once, shared by everything that needs the parse.

    command: what was said.  doc: spaCy Doc of the target's referring expression alone
    (cut out of the one parse, as its own Doc); None where no object is named.
    """

    command: Command
    doc: Doc | None
