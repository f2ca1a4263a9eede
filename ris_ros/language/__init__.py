"""From what a person says to what the methods need.

`analyse`, `analyse_expression` and `parse` are imported when first used: spaCy takes a second.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_ros.language.analysis import Analysis

if TYPE_CHECKING:
    from ris_ros.language.analyser import analyse, parse
    from ris_ros.language.expression import analyse_expression

__all__ = ['Analysis', 'analyse', 'analyse_expression', 'parse']


def __getattr__(name: str) -> Any:
    if name in ('analyse', 'parse'):
        from ris_ros.language import analyser
        return getattr(analyser, name)
    if name == 'analyse_expression':
        from ris_ros.language.expression import analyse_expression
        return analyse_expression
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
