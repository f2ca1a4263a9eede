"""From what a person says to what the methods need.

`analyse` and `parse` are imported when they are first used: spaCy takes a second.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_ros.language.analysis import Analysis

if TYPE_CHECKING:
    from ris_ros.language.analyser import analyse, parse

__all__ = ['Analysis', 'analyse', 'parse']


def __getattr__(name: str) -> Any:
    if name in ('analyse', 'parse'):
        from ris_ros.language import analyser
        return getattr(analyser, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
