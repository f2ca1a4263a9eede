"""Referring image segmentation for ROS 2: from a sentence to a mask and a 3D target.

What `__all__` names is the public interface: it changes only with an entry in CHANGELOG.rst.
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Torch's OpenMP threads otherwise spin while they wait for each other.  On a machine whose cores
# other programs need too, which is every robot, that makes a network ten times slower.  Read when
# torch is loaded; a setting of the user's own stays.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

__version__ = '0.1.0'

if TYPE_CHECKING:
    from ris_ros.dialogue import Dialogue
    from ris_ros.segmenter import Segmenter
    from ris_ros.types import (
        BadInputError,
        Camera,
        Candidate,
        Command,
        Grounding,
        Level,
        MissingDependencyError,
        Option,
        Outcome,
        Question,
        Regions,
        Relation,
        RisError,
        Scene,
        Segmentation,
        Target,
        View,
        WeightsError,
    )

__all__ = [
    'BadInputError', 'Camera', 'Candidate', 'Command', 'Dialogue', 'Grounding', 'Level',
    'MissingDependencyError', 'Option', 'Outcome', 'Question', 'Regions', 'Relation', 'RisError',
    'Scene', 'Segmentation', 'Segmenter', 'Target', 'View', 'WeightsError', '__version__',
]


def __getattr__(name: str) -> Any:
    """Import a public name only when somebody asks for it, so that `import ris_ros` is light."""
    if name == 'Segmenter':
        from ris_ros.segmenter import Segmenter
        return Segmenter
    if name == 'Dialogue':
        from ris_ros.dialogue import Dialogue
        return Dialogue
    if name in __all__:
        from ris_ros import types
        return getattr(types, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted({*globals(), *__all__})
