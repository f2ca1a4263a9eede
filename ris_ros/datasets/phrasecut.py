"""PhraseCut (VGPhraseCut_v0; sheet "data layouts", section 1.5).

A task is one phrase about one image; it may mean several objects, its true mask is their union.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.datasets.base import Dataset, Group, ImageGroup, Keys, Problems, Sample
from ris_ros.datasets.categories import COCO_NAMES
from ris_ros.datasets.expressions import position_shares
from ris_ros.datasets.files import load_json
from ris_ros.datasets.masks import FilledPolygons, drawable, size_fault
from ris_ros.types import BadInputError

SPLITS = ('train', 'val', 'test', 'miniv')
DATA_FOLDERS = ('', 'VGPhraseCut_v0', 'data/VGPhraseCut_v0')
META_FILES = ('image_data_split3000.json', 'image_data_split.json')
TOP = (20, 100, 500)            # sizes of the official "most frequent categories" subsets
SMALL, LARGE = 0.02, 0.20       # shares of the image that bound the size subsets
COUNTS = {   # split -> (images, phrases), from the sheet
    'train': (71746, 310816), 'val': (2971, 20316), 'test': (2545, 14354), 'miniv': (100, 821)}


def read_phrasecut(root: Path | str, split: str, strict: bool = False) -> Dataset:
    """Read one split.

    Tags: `coco` or `unseen` (the phrase's noun is, or is not, literally one of COCO's 80
    names), `top20`, `top100`, `top500` where name_att_rel_count.json is there, `single`,
    `multi` (2 objects or more), `many` (over 4), `type:...`, and `small`, `middle`, `large` by
    the boxes' share of the image.  Raises BadInputError for a missing or damaged file and
    EntryError for an unusable task when `strict`.
    """
    if split not in SPLITS:
        raise BadInputError(f'PhraseCut has no split {split!r}; take one of {", ".join(SPLITS)}')
    folder = _folder(Path(root))
    meta_path = next((folder / n for n in META_FILES if (folder / n).is_file()), None)
    if meta_path is None:
        raise BadInputError(f'{folder / META_FILES[0]} is missing; check --root')
    problems = Problems(strict)
    meta: dict[str, Any] = {}
    for number, record in enumerate(load_json(meta_path)):
        with problems.guard(meta_path, f'image {number} from 0'):
            meta[str(record['image_id'])] = record
    path = folder / f'refer_{split}.json'
    tasks = load_json(path)
    if not isinstance(tasks, list):
        raise BadInputError(f'{path} holds a {type(tasks).__name__}, a list of tasks is needed')
    reader = _Reader(path, meta_path, meta, _top_names(folder), problems)
    images: dict[str, list[Sample]] = {}
    for number, task in enumerate(tasks):
        sample = None
        with problems.guard(path, f'task {number}'):
            sample = reader.sample(number, task)
        if sample is not None:
            images.setdefault(sample.image_id, []).append(sample)
    if not images:
        raise BadInputError(f'{path} has no usable task'
                            + (f': {reader.problems.entries[0]}' if reader.problems.entries
                               else ''))
    groups: list[Group] = [
        ImageGroup(i, folder / 'images' / f'{i}.jpg', tuple(samples),
                   (int(meta[i]['height']), int(meta[i]['width'])))
        for i, samples in images.items()]
    result = Dataset('phrasecut', split, groups, reader.problems)
    samples = list(result.samples())
    result.facts = {'sentences': len(samples), 'images': len(groups),
                    'position_share': position_shares(s.expression for s in samples)}
    found = (len(groups), len(samples))
    result.notes += [f'phrasecut {split} has {n} {what}; {count} are published'
                     for what, n, count in zip(('images', 'phrases'), found, COUNTS[split],
                                               strict=True) if n != count]
    return result


def _folder(root: Path) -> Path:
    for name in DATA_FOLDERS:
        if any((root / name / meta).is_file() for meta in META_FILES):
            return root / name
    raise BadInputError(f'{root / META_FILES[0]} is missing; --root must be the folder '
                        'VGPhraseCut_v0')


def _top_names(folder: Path) -> dict[str, int]:
    """Return the rank from 1 of each category name by frequency; empty without the file."""
    path = folder / 'name_att_rel_count.json'
    if not path.is_file():
        return {}
    counts = load_json(path).get('name', ())
    pairs = counts.items() if isinstance(counts, Mapping) else counts
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    return {str(name): rank for rank, (name, _) in enumerate(ordered, 1)}


class _Reader:
    """Turns tasks into samples."""

    def __init__(self, path: Path, meta_path: Path, meta: Mapping[str, Any],
                 ranks: Mapping[str, int], problems: Problems) -> None:
        self.path, self.meta_path, self.meta = path, meta_path, meta
        self.ranks, self.problems = ranks, problems
        self.keys = Keys()
        self.names = frozenset(COCO_NAMES.values())

    def sample(self, number: int, task: Any) -> Sample | None:
        entry = f'task {number}'
        if not isinstance(task, Mapping):
            self.problems.add(self.path, entry, f'is a {type(task).__name__}, not an object')
            return None
        entry += f' ({task.get("task_id")})'
        missing = [k for k in ('task_id', 'image_id', 'phrase', 'Polygons') if k not in task]
        if missing:
            self.problems.add(self.path, entry, f'has no {", ".join(missing)}')
            return None
        if not str(task['phrase']).strip():
            self.problems.add(self.path, entry, 'has an empty phrase')
            return None
        image = self.meta.get(str(task['image_id']))
        if image is None or 'width' not in image or 'height' not in image:
            self.problems.add(self.path, entry, f'image {task["image_id"]} has no size in '
                              f'{self.meta_path}')
            return None
        if fault := size_fault(image['height'], image['width']):
            self.problems.add(self.path, entry, f'image {task["image_id"]}: {fault}')
            return None
        if not self._has_object(entry, task['Polygons']):
            return None
        sample = self._build(entry, task, image)
        if not self.keys.take(sample.key):
            self.problems.add(self.path, entry, 'its task_id is taken by an earlier task')
            return None
        return sample

    def _has_object(self, entry: str, instances: Any) -> bool:
        usable = 0
        for i, polygons in enumerate(instances or ()):
            for j, polygon in enumerate(polygons):
                if len(polygon) >= 2 and not drawable(polygon):
                    self.problems.add(self.path, entry, f'polygon {j} of instance {i} is no list '
                                      'of [x, y] with numbers')
                elif len(polygon) < 3:
                    # one point is skipped, two are drawn as a line: as the official tool does
                    self.problems.add(self.path, entry, f'polygon {j} of instance {i} has '
                                      f'{len(polygon)} points, 3 are needed')
                usable += drawable(polygon)
        if not usable:
            self.problems.add(self.path, entry, 'means no object (no polygon)')
        return usable > 0

    def _build(self, entry: str, task: Mapping[str, Any], image: Mapping[str, Any]) -> Sample:
        height, width = int(image['height']), int(image['width'])
        structure = task.get('phrase_structure') or {}
        name = structure.get('name')
        boxes = task.get('instance_boxes') or []
        box = boxes[0] if len(boxes) == 1 else None
        return Sample(
            key=str(task['task_id']), expression=str(task['phrase']).strip(),
            image_id=str(task['image_id']),
            object_id=f'{task["image_id"]}:{",".join(map(str, task.get("ann_ids", ())))}',
            mask=FilledPolygons(task['Polygons'], height, width),
            tags=self._tags(structure, len(task['Polygons']), boxes, height * width),
            category=name, box=tuple(map(float, box)) if box else None,   # type: ignore
            unseen=None if name is None else name not in self.names,
            place=(str(self.path), entry))

    def _tags(self, structure: Mapping[str, Any], objects: int, boxes: Any,
              pixels: int) -> tuple[str, ...]:
        name = structure.get('name')
        tags = [] if name is None else ['coco' if name in self.names else 'unseen']
        rank = self.ranks.get(str(name))
        tags += [f'top{n}' for n in TOP if rank is not None and rank <= n]
        tags.append('single' if objects == 1 else 'multi')
        if objects > 4:
            tags.append('many')
        if structure.get('type'):
            tags.append(f'type:{structure["type"]}')
        share = sum(b[2] * b[3] for b in boxes) / pixels
        tags.append('small' if share < SMALL else 'large' if share > LARGE else 'middle')
        return tuple(tags)
