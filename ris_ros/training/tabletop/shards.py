"""
Rendered scenes on disk, in shards that survive an interruption, and the samples drawn from them.

A shard is a folder of plain arrays: color.npy (S, 480, 640, 3) uint8, instances.npy
(S, 480, 640) uint8 and scenes.json with the truth of every scene: names, settled poses,
support, camera and what is visible (`simulation.truth.SceneTruth`).  It is written under a
temporary name and renamed when whole, so that a killed run leaves nothing half-made.
"""
from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ris_ros.files import atomic_folder, remove_stale, write_json
from ris_ros.simulation.spec import SPLITS
from ris_ros.simulation.truth import SceneTruth
from ris_ros.training.engine.arrays import Mapped
from ris_ros.types import BadInputError

SHARD = 100
FORMAT = 2     # older shards lack where things settled


def _render_shard(folder: Path, seeds: range) -> Path:
    """Render one shard; runs in a worker process."""
    from ris_ros.simulation import TabletopWorld
    colors, instances, truths = [], [], []
    for seed in seeds:
        with TabletopWorld(seed) as world:
            colors.append(world.color)
            instances.append(world.instances)
            truths.append(world.truth.to_dict())
    with atomic_folder(folder) as temporary:      # in place of one of an older format
        np.save(temporary / 'color.npy', np.stack(colors))
        np.save(temporary / 'instances.npy', np.stack(instances))
        write_json(temporary / 'scenes.json', {'format': FORMAT, 'scenes': truths}, indent=None)
    return folder


def read_truths(folder: Path) -> list[SceneTruth]:
    """
    Return the truths of a shard's scenes.

    Raises BadInputError for a shard of an older format, which lacks the settled poses, and
    for one that cannot be read.
    """
    path = folder / 'scenes.json'
    try:
        record = json.loads(path.read_text())
        if not isinstance(record, dict) or record.get('format') != FORMAT:
            raise BadInputError(f'{folder} was rendered by an older version that did not keep '
                                'where things settled; remove it and render it again')
        return [SceneTruth.from_dict(scene) for scene in record['scenes']]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f'{path} cannot be read ({error}); remove {folder} and render it '
                            'again') from error


def _is_whole(folder: Path, seeds: range) -> bool:
    """Tell whether a shard is there with just these scenes; say so where it must be redone."""
    if not folder.exists():
        return False
    try:
        there = [t.seed for t in read_truths(folder)]
    except BadInputError as error:
        print(f'rendering again: {error}', file=sys.stderr)
        return False
    return there[:len(seeds)] == list(seeds)


def render_shards(root: Path, first_seed: int, scenes: int, workers: int) -> list[Path]:
    """
    Render `scenes` scenes from `first_seed` on, skipping shards that are there already.

    A shard of an older format or of fewer scenes is rendered again.  Returns the shard
    folders in seed order.
    """
    from tqdm import tqdm
    root.mkdir(parents=True, exist_ok=True)
    remove_stale(root)
    starts = range(first_seed, first_seed + scenes, SHARD)
    folders = [root / f'shard_{s:06d}' for s in starts]
    wanted = [range(s, min(s + SHARD, first_seed + scenes)) for s in starts]
    missing = [(f, seeds) for f, seeds in zip(folders, wanted, strict=True)
               if not _is_whole(f, seeds)]
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
    """
    All shards as one list of scenes; pictures stay on disk and are mapped into memory, also by
    worker processes, which get the paths.

    truths: per scene what is true of it.  things: all objects of min_pixels or more.
    """

    def __init__(self, folders: Iterable[Path], min_pixels: int = 300) -> None:
        """Open the shards and index their visible objects.  Raises BadInputError."""
        self._color: list[Mapped] = []
        self._instances: list[Mapped] = []
        self._places: list[tuple[int, int]] = []
        self.truths: list[SceneTruth] = []
        for k, folder in enumerate(folders):
            truths = read_truths(folder)
            self._color.append(Mapped(folder / 'color.npy'))
            self._instances.append(Mapped(folder / 'instances.npy'))
            self._places += [(k, i) for i in range(len(truths))]
            self.truths += truths
        self.by_scene = [_things(s, truth, min_pixels) for s, truth in enumerate(self.truths)]
        self.things = [thing for things in self.by_scene for thing in things]

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self._places)

    def color(self, scene: int) -> np.ndarray:
        """(480, 640, 3) uint8 RGB."""
        shard, i = self._places[scene]
        picture: np.ndarray = self._color[shard][i]
        return picture

    def instances(self, scene: int) -> np.ndarray:
        """(480, 640) uint8: 0 nothing, i = object i."""
        shard, i = self._places[scene]
        picture: np.ndarray = self._instances[shard][i]
        return picture


def render_splits(root: Path, scenes: Mapping[str, int], workers: int) -> SceneStore:
    """
    Return the first scenes of one or more splits, rendered below root/SPLIT where missing.

    scenes: how many of which split.  Raises BadInputError for more than a split has.
    """
    folders: list[Path] = []
    for split, number in scenes.items():
        if number > len(SPLITS[split]):
            raise BadInputError(f'the split {split} has {len(SPLITS[split])} scenes, not {number}')
        if number:
            folders += render_shards(root / split, SPLITS[split].start, number, workers)
    return SceneStore(folders)


def _things(scene: int, truth: SceneTruth, min_pixels: int) -> list[Thing]:
    seen = np.flatnonzero(truth.pixels >= min_pixels)
    return [Thing(scene, int(i) + 1, truth.kinds[i], truth.colours[i], truth.sizes[i],
                  int(truth.pixels[i]), _box(truth.boxes[i])) for i in seen]


def _box(box: np.ndarray) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (int(v) for v in box)
    return x0, y0, x1, y1


def scene_digest(store: SceneStore) -> str:
    """Return a short hash of a store's scenes, truth and a few pixels of each.

    For names of what is made from them, so that scenes of another renderer are not taken for
    these.
    """
    total = hashlib.sha256()
    for scene, truth in enumerate(store.truths):
        total.update(json.dumps(truth.to_dict(), sort_keys=True).encode())
        total.update(np.ascontiguousarray(store.color(scene)[::97, ::89]).tobytes())
    return total.hexdigest()[:12]
