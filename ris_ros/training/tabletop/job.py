"""What a tabletop trainer is handed: scenes, folders, settings, where it runs."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ris_ros.training.engine.runtime import Runtime
from ris_ros.training.tabletop.shards import SceneStore, scene_digest


@dataclass(frozen=True)
class Job:
    """
    One network to train.

    work: folder for checkpoints and prepared arrays.  out: for the finished weights.  init:
    folder of finished weights to go on from, or None.
    """

    settings: Any
    runtime: Runtime
    train: SceneStore
    val: SceneStore
    work: Path
    out: Path
    init: Path | None = None

    def identity(self) -> dict[str, str | int]:
        """Return what the batches are drawn from, for checkpoints."""
        return {'scenes': len(self.train), 'scene_digest': scene_digest(self.train),
                'init': self.init.name if self.init else ''}
