"""The simulated tabletop: scenes, camera, expressions, ground truth, gripper."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ris_ros.simulation.expressions import Expression
    from ris_ros.simulation.scene import SPLITS, sample_scene, split_of
    from ris_ros.simulation.world import RenderedFrame, TabletopWorld

__all__ = ['SPLITS', 'Expression', 'RenderedFrame', 'TabletopWorld', 'sample_scene', 'split_of']


def __getattr__(name: str) -> Any:
    """Import on demand, so that reading a split's seeds does not load MuJoCo."""
    import importlib
    homes = {'Expression': 'expressions', 'RenderedFrame': 'world', 'TabletopWorld': 'world',
             'SPLITS': 'scene', 'sample_scene': 'scene', 'split_of': 'scene'}
    if name not in homes:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'ris_ros.simulation.{homes[name]}'), name)
