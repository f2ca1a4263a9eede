"""Write simulated scenes to disk: one folder to look at, or a data set in the REFER layout."""
from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.masks import encode_rle
from ris_ros.datasets.refer_write import write_refer
from ris_ros.files import write_bytes, write_json
from ris_ros.lazy import require
from ris_ros.simulation.catalogue import ALL_KINDS
from ris_ros.simulation.scene import split_of
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
    """Return what is true of a scene: camera, objects with poses, expressions."""
    frame = world.frame
    objects = []
    for i, item in enumerate(world.spec.objects):
        objects.append({
            'instance': i + 1, 'kind': item.kind, 'colour': item.colour, 'size': item.size,
            'scale': round(item.scale, 4), 'pixels': int((frame.instances == i + 1).sum()),
            'supported_by': None if item.support is None else item.support + 1,
            'position_m': [round(float(v), 5) for v in frame.poses[i, :3]],
            'quaternion_wxyz': [round(float(v), 5) for v in frame.poses[i, 3:]]})
    return {'seed': world.seed, 'split': split_of(world.seed),
            'camera': camera_json(frame.camera), 'objects': objects,
            'expressions': [asdict(e) for e in world.expressions]}


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


def export_refer(root: Path, first_seed: int, scenes: int) -> Path:
    """
    Write scenes as a data set named tabletop in the REFER layout, depth and intrinsics beside.

    An image's id is its seed; depth/<seed>.png is 16 bit in millimetres and
    camera_info/<seed>.json holds the intrinsics.  Returns the data set's folder.
    Raises BadInputError for a negative seed or number.
    """
    if first_seed < 0 or scenes < 1:
        raise BadInputError('an export needs a first seed from 0 up and at least one scene')
    annotations: list[dict[str, Any]] = []
    refs: list[dict[str, Any]] = []

    def images() -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        from tqdm import tqdm
        for seed in tqdm(range(first_seed, first_seed + scenes), desc='exporting', unit='scene'):
            with TabletopWorld(seed) as world:
                frame = world.frame
                _describe(world, annotations, refs)
                write_bytes(root / 'tabletop' / DEPTH_FOLDER / f'{seed}.png', _png(frame.depth))
                write_json(root / 'tabletop' / CAMERA_FOLDER / f'{seed}.json',
                           camera_json(frame.camera), indent=None)
                yield {'id': seed}, frame.color

    categories = [{'id': i, 'name': kind} for kind, i in CATEGORY_IDS.items()]
    return write_refer(root, 'tabletop', images(), annotations, categories, refs)


def _describe(world: TabletopWorld, annotations: list[dict[str, Any]],
              refs: list[dict[str, Any]]) -> None:
    """Append the annotations and references of one scene."""
    instances, objects = world.frame.instances, world.spec.objects
    ids = {}
    for i, item in enumerate(objects):
        mask = instances == i + 1
        if not mask.any():
            continue
        ids[i + 1] = len(annotations) + 1
        rows, columns = np.nonzero(mask)
        annotations.append({
            'id': ids[i + 1], 'image_id': world.seed, 'category_id': CATEGORY_IDS[item.kind],
            'bbox': [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1,
                     int(np.ptp(rows)) + 1],
            'segmentation': encode_rle(mask), 'area': int(mask.sum())})
    for expression in world.expressions:
        ref: dict[str, Any] = {
            'ref_id': len(refs) + 1, 'image_id': world.seed, 'split': split_of(world.seed),
            'sentences': [expression.text], 'tag': expression.tag, 'unseen': expression.unseen,
            'answerable': expression.answerable}
        if expression.answerable:
            target = expression.targets[0]
            ref |= {'ann_id': ids[target],
                    'category_id': CATEGORY_IDS[objects[target - 1].kind]}
        else:
            ref['ann_ids'] = [ids[t] for t in expression.targets if t in ids]
        refs.append(ref)
