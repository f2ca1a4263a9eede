"""From what a person says to what the methods need.

`analyse` and `parse` are imported when they are first used: spaCy takes a second.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ris_ros.types import Command

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ris_ros.language.analyser import analyse, parse

__all__ = ['Analysis', 'analyse', 'parse']


@dataclass(frozen=True, eq=False)
class Analysis:
    """One sentence, parsed once, shared by everything that needs the parse.

    command: what was said.  doc: spaCy Doc of the target's referring expression alone
    (cut out of the one parse, as its own Doc); None where no object is named.
    """

    command: Command
    doc: Doc | None


def __getattr__(name: str) -> Any:
    if name in ('analyse', 'parse'):
        from ris_ros.language import analyser
        return getattr(analyser, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
