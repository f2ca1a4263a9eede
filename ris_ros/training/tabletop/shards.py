"""
Rendered scenes on disk, in shards that survive an interruption, and the samples drawn from them.

A shard is a folder of plain arrays: color.npy (S, 480, 640, 3) uint8, instances.npy
(S, 480, 640) uint8 and scenes.json with the names of every object.  It is written under a
temporary name and renamed when whole, so that a killed run leaves nothing half-made.
"""
from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.files import atomic_folder, remove_stale, write_json

SHARD = 100


def _render_shard(folder: Path, seeds: range) -> Path:
    """Render one shard; runs in a worker process."""
    from ris_ros.simulation import TabletopWorld
    colors, instances, scenes = [], [], []
    for seed in seeds:
        with TabletopWorld(seed) as world:
            frame = world.frame
            colors.append(frame.color)
            instances.append(frame.instances)
            scenes.append({
                'seed': seed,
                'objects': [{'kind': o.kind, 'colour': o.colour, 'size': o.size,
                             'support': o.support, 'rgb': o.rgb} for o in world.spec.objects]})
    with atomic_folder(folder) as temporary:
        np.save(temporary / 'color.npy', np.stack(colors))
        np.save(temporary / 'instances.npy', np.stack(instances))
        write_json(temporary / 'scenes.json', scenes, indent=None)
    return folder


def render_shards(root: Path, first_seed: int, scenes: int, workers: int) -> list[Path]:
    """
    Render `scenes` scenes from `first_seed` on, skipping shards that are there already.

    Returns the shard folders in seed order.
    """
    from tqdm import tqdm
    root.mkdir(parents=True, exist_ok=True)
    remove_stale(root)
    starts = range(first_seed, first_seed + scenes, SHARD)
    folders = [root / f'shard_{s:06d}' for s in starts]
    missing = [(f, range(s, min(s + SHARD, first_seed + scenes)))
               for f, s in zip(folders, starts, strict=True) if not f.exists()]
    if missing:
        # Not forked: a copy of a process that already renders or computes may never wake up.
        context = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
            jobs = [pool.submit(_render_shard, f, s) for f, s in missing]
            for job in tqdm(as_completed(jobs), total=len(jobs), desc='rendering', unit='shard'):
                job.result()
    return folders


@dataclass(frozen=True)
class Thing:
    """One visible object of a rendered scene: where it is and what it is called."""

    scene: int
    instance: int
    kind: str
    colour: str
    size: str
    pixels: int
    box: tuple[int, int, int, int]   # x0, y0, x1, y1, exclusive, pixels


class SceneStore:
    """All shards as one list of scenes; pictures stay on disk and are mapped into memory."""

    def __init__(self, folders: Iterable[Path], min_pixels: int = 300) -> None:
        """Open the shards and index their visible objects."""
        self._color: list[np.ndarray] = []
        self._instances: list[np.ndarray] = []
        self._places: list[tuple[int, int]] = []
        self.scenes: list[dict[str, Any]] = []
        for k, folder in enumerate(folders):
            self._color.append(np.load(folder / 'color.npy', mmap_mode='r'))
            self._instances.append(np.load(folder / 'instances.npy', mmap_mode='r'))
            scenes = json.loads((folder / 'scenes.json').read_text())
            self._places += [(k, i) for i in range(len(scenes))]
            self.scenes += scenes
        self.things = [t for s in range(len(self)) for t in self._things_of(s, min_pixels)]
        self.by_scene: list[list[Thing]] = [[] for _ in range(len(self))]
        for thing in self.things:
            self.by_scene[thing.scene].append(thing)

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self._places)

    def color(self, scene: int) -> np.ndarray:
        """(480, 640, 3) uint8 RGB."""
        shard, i = self._places[scene]
        return self._color[shard][i]

    def instances(self, scene: int) -> np.ndarray:
        """(480, 640) uint8: 0 nothing, i = object i."""
        shard, i = self._places[scene]
        return self._instances[shard][i]

    def _things_of(self, scene: int, min_pixels: int) -> Iterable[Thing]:
        picture = np.asarray(self.instances(scene))
        for i, names in enumerate(self.scenes[scene]['objects']):
            rows, columns = np.nonzero(picture == i + 1)
            if len(rows) >= min_pixels:
                yield Thing(scene, i + 1, names['kind'], names['colour'], names['size'],
                            len(rows), (int(columns.min()), int(rows.min()),
                                        int(columns.max()) + 1, int(rows.max()) + 1))
