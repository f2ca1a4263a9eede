"""Write simulated scenes to disk: one folder to look at, or a data set in the REFER layout."""
from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.masks import encode_rle
from ris_ros.datasets.refer_write import write_refer
from ris_ros.files import write_bytes, write_json
from ris_ros.lazy import require
from ris_ros.simulation.catalogue import ALL_KINDS
from ris_ros.simulation.describe import describe
from ris_ros.simulation.expressions import Expression
from ris_ros.simulation.spec import purpose_of, split_of
from ris_ros.simulation.truth import TABLE
from ris_ros.simulation.world import TabletopWorld
from ris_ros.types import BadInputError, Camera

CATEGORY_IDS = {kind: i + 1 for i, kind in enumerate(ALL_KINDS)}
DEPTH_FOLDER, CAMERA_FOLDER = 'depth', 'camera_info'


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    require('PIL.Image', 'simulation').fromarray(array).save(buffer, 'PNG', compress_level=1)
    return buffer.getvalue()


def camera_json(camera: Camera) -> dict[str, Any]:
    """Return intrinsics in the form that `ris segment --camera-info` reads."""
    return {'width': camera.width, 'height': camera.height,
            'K': [[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]],
            'depth_scale_m': 0.001}


def scene_json(world: TabletopWorld) -> dict[str, Any]:
    """Return what is true of a scene: camera, objects with settled poses, expressions."""
    truth, objects = world.truth, []
    for i in range(len(truth)):
        support = int(truth.support[i])
        objects.append({
            'instance': i + 1, 'kind': truth.kinds[i], 'colour': truth.colours[i],
            'size': truth.sizes[i], 'scale': round(float(truth.scales[i]), 4),
            'pixels': int(truth.pixels[i]), 'covered': round(float(truth.covered[i]), 3),
            'supported_by': None if support == TABLE else support + 1,
            'contained': bool(truth.contained[i]),
            'position_m': [round(float(v), 5) for v in truth.poses[i, :3]],
            'quaternion_wxyz': [round(float(v), 5) for v in truth.poses[i, 3:]]})
    return {'seed': world.seed, 'split': split_of(world.seed),
            'camera': camera_json(world.frame.camera), 'objects': objects,
            'expressions': [{**asdict(e), 'kind': e.kind} for e in world.expressions]}


def write_scene(world: TabletopWorld, folder: Path) -> list[Path]:
    """
    Write color.png, depth_mm.png (16 bit), camera.json, masks/<instance>.png and scene.json.

    Poses are in the camera's optical frame, metres.  Returns the files.
    """
    frame = world.frame
    files = {'color.png': _png(frame.color), 'depth_mm.png': _png(frame.depth),
             'camera.json': json.dumps(camera_json(frame.camera), indent=1).encode(),
             'scene.json': json.dumps(scene_json(world), indent=1).encode()}
    for i in range(len(world.spec.objects)):
        mask = np.where(frame.instances == i + 1, 255, 0).astype(np.uint8)
        files[f'masks/{i + 1}.png'] = _png(mask)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]


def export_refer(root: Path, seeds: Sequence[int], sentences: int = 0) -> Path:
    """
    Write scenes as a data set named tabletop in the REFER layout, depth and intrinsics beside.

    seeds: of any split; the cluttered ones come under the name of their purpose (train, val,
    test, unseen), since readers know no other.  sentences: how many further ones a scene for
    training gets from `simulation.describe`, one reference for all that are about one object.
    An image's id is its seed; depth/<seed>.png is 16 bit in millimetres and
    camera_info/<seed>.json holds the intrinsics.  What means no object or several stands in
    unanswerable(unc).json.  Returns the data set's folder.
    Raises BadInputError for negative numbers or no scene.
    """
    if not seeds or min(seeds) < 0:
        raise BadInputError('an export needs a first seed from 0 up and at least one scene')
    if sentences < 0:
        raise BadInputError(f'{sentences} sentences for a scene are too few; take 0 or more')
    annotations: list[dict[str, Any]] = []
    refs: list[dict[str, Any]] = []

    def images() -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        from tqdm import tqdm
        for seed in tqdm(seeds, desc='exporting', unit='scene'):
            with TabletopWorld(seed) as world:
                frame = world.frame
                ids = _annotate(world, annotations)
                refs.extend(_references(world, ids, sentences, len(refs) + 1))
                write_bytes(root / 'tabletop' / DEPTH_FOLDER / f'{seed}.png', _png(frame.depth))
                write_json(root / 'tabletop' / CAMERA_FOLDER / f'{seed}.json',
                           camera_json(frame.camera), indent=None)
                yield {'id': seed}, frame.color

    categories = [{'id': i, 'name': kind} for kind, i in CATEGORY_IDS.items()]
    return write_refer(root, 'tabletop', images(), annotations, categories, refs)


def _annotate(world: TabletopWorld, annotations: list[dict[str, Any]]) -> dict[int, int]:
    """Append a scene's annotations; return their ids by instance."""
    ids = {}
    for i, kind in enumerate(world.truth.kinds):
        mask = world.instances == i + 1
        if not mask.any():
            continue
        ids[i + 1] = len(annotations) + 1
        rows, columns = np.nonzero(mask)
        annotations.append({
            'id': ids[i + 1], 'image_id': world.seed, 'category_id': CATEGORY_IDS[kind],
            'bbox': [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1,
                     int(np.ptp(rows)) + 1],
            'segmentation': encode_rle(mask), 'area': int(mask.sum())})
    return ids


def _references(world: TabletopWorld, ids: Mapping[int, int], sentences: int, first_id: int
                ) -> Iterator[dict[str, Any]]:
    """Yield the scene's expressions as references, then those for training by what they mean."""
    groups = [[e] for e in world.expressions]
    if sentences and purpose_of(world.seed) == 'train':
        said = {e.text for e in world.expressions}
        rng = np.random.Generator(np.random.PCG64([world.seed, 20260105]))
        about: dict[tuple[str, tuple[int, ...]], list[Expression]] = {}
        for e in describe(world.truth, rng, sentences):
            if e.text not in said:
                about.setdefault((e.kind, e.targets), []).append(e)
        groups += list(about.values())
    for number, group in enumerate(groups):
        first = group[0]
        ref: dict[str, Any] = {
            'ref_id': first_id + number, 'image_id': world.seed,
            'split': purpose_of(world.seed), 'world': split_of(world.seed), 'tag': first.tag,
            'tags': [first.tag, *first.tags], 'unseen': first.unseen,
            'answerable': first.answerable,
            'sentences': [{'raw': e.text, 'sent': e.text, 'tokens': e.text.split(),
                           'tags': [e.tag, *e.tags]} for e in group]}
        if first.answerable and len(first.targets) == 1:
            target = first.targets[0]
            ref |= {'ann_id': ids[target],
                    'category_id': CATEGORY_IDS[world.truth.kinds[target - 1]]}
        else:
            ref['ann_ids'] = [ids[t] for t in first.targets if t in ids]
        yield ref
