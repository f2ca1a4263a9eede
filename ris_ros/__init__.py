"""Referring image segmentation for ROS 2: from a sentence to a mask and a 3D target."""
from __future__ import annotations

import os
from typing import Any

# Torch's OpenMP threads otherwise spin while they wait for each other.  On a machine whose cores
# other programs need too, which is every robot, that makes a network ten times slower.  Read when
# torch is loaded; a setting of the user's own stays.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

__version__ = '0.1.0'
__all__ = ['Segmenter', '__version__']


def __getattr__(name: str) -> Any:
    """Import the facade only when somebody asks for it, so that `import ris_ros` is light."""
    if name == 'Segmenter':
        from ris_ros.segmenter import Segmenter
        return Segmenter
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
