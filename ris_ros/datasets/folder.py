"""A plain folder: refs.json, a list of {"image", "expression", "mask"} with relative paths.

`mask` null marks a sentence whose object is not in the picture.  A mask may be for the picture as
it is stored or as its EXIF orientation turns it: its size tells which; where it cannot (half a
turn, a square, no mask), the picture counts as turned, which is how people and most tools see it.
"depth" and "camera" (paths too, both or none, the same in all entries of a picture) are the depth
registered to the picture, 16-bit millimetres or float metres, and its intrinsics.
Optional fields: `id`, `image_id` (or `coco_image_id`), `object_id` (or `coco_ann_id`), `category`,
`bbox_xywh`, `tag` or `tags` (or `subset`), `unseen`, `split`.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.datasets.base import Dataset, Group, ImageGroup, Keys, Problems, Sample
from ris_ros.datasets.expressions import position_shares
from ris_ros.datasets.files import load_json
from ris_ros.datasets.masks import FileMask
from ris_ros.types import BadInputError


def read_folder(root: Path | str, split: str = 'all', strict: bool = False) -> Dataset:
    """Read ROOT/refs.json; `split` other than 'all' keeps the entries with that "split".

    Pictures and masks are opened when their turn comes.  Raises BadInputError for a missing or
    damaged refs.json and EntryError for an unusable entry when `strict`.
    """
    root = Path(root)
    path = root / 'refs.json'
    entries = load_json(path)
    if not isinstance(entries, list):
        raise BadInputError(f'{path} holds a {type(entries).__name__}; a list of entries with '
                            'image, expression and mask is needed')
    problems = Problems(strict)
    images: dict[str, list[Sample]] = {}
    depths: dict[str, tuple[Path, Path]] = {}
    keys = Keys(str(e['id']) for e in entries if isinstance(e, Mapping) and _has_id(e))
    for number, entry in enumerate(entries):
        with problems.guard(path, f'entry {number}'):
            sample = _sample(root, path, number, entry, split, problems, keys)
            if sample is None:
                continue
            found = _depth(root, entry)
            first = entry['image'] not in images
            if found != depths.get(entry['image']) and not first:
                raise BadInputError('its depth or camera is another than that of an earlier entry '
                                    f'about {entry["image"]}')
            images.setdefault(entry['image'], []).append(sample)
            if found is not None:
                depths[entry['image']] = found
    if not images:
        raise BadInputError(f'{path} has no usable entry of split {split!r}'
                            + (f': {problems.entries[0]}' if problems.entries else ''))
    groups: list[Group] = [ImageGroup(name, root / name, tuple(samples), None, None, True,
                                      *depths.get(name, (None, None)))
                           for name, samples in images.items()]
    result = Dataset('folder', split, groups, problems)
    samples = list(result.samples())
    result.facts = {'sentences': len(samples), 'images': len(groups), 'with_depth': len(depths),
                    'position_share': position_shares(s.expression for s in samples)}
    return result


def _sample(root: Path, path: Path, number: int, entry: Any, split: str,
            problems: Problems, keys: Keys) -> Sample | None:
    name = f'entry {number}'
    if not isinstance(entry, Mapping):
        problems.add(path, name, f'is a {type(entry).__name__}, not an object')
        return None
    if split not in ('all', entry.get('split')):
        return None
    if _has_id(entry):
        name += f' (id {entry["id"]})'
    missing = [k for k in ('image', 'expression', 'mask') if k not in entry]
    if missing:
        problems.add(path, name, f'has no {", ".join(missing)}')
        return None
    if not isinstance(entry['expression'], str) or not entry['expression'].strip():
        problems.add(path, name, 'has an empty expression')
        return None
    if not isinstance(entry['image'], str) or not isinstance(entry['mask'], (str, type(None))):
        problems.add(path, name, '"image" and "mask" must be paths (mask may be null)')
        return None
    box, tags = _box(entry.get('bbox_xywh')), _tags(entry)
    place = (str(path), name)
    if _has_id(entry) and not keys.take(str(entry['id'])):
        problems.add(*place, 'its id is taken by an earlier entry')
        return None
    image_id = str(entry.get('image_id', entry.get('coco_image_id', entry['image'])))
    return Sample(
        key=str(entry['id']) if _has_id(entry) else keys.free(str(number)),
        expression=entry['expression'].strip(),
        image_id=image_id,
        object_id=str(entry.get('object_id', entry.get('coco_ann_id', entry['mask']))),
        mask=FileMask(root / entry['mask'], place, exif=True) if entry['mask'] else None,
        kind='answerable' if entry['mask'] else 'absent', tags=tags,
        category=entry.get('category'), box=box,
        unseen=entry.get('unseen'), place=place)


def _depth(root: Path, entry: Mapping[str, Any]) -> tuple[Path, Path] | None:
    """Return the files of depth and intrinsics, None without.  Raises BadInputError."""
    names = entry.get('depth'), entry.get('camera')
    if names == (None, None):
        return None
    if not all(isinstance(name, str) and name for name in names):
        raise BadInputError('"depth" and "camera" go together and are paths; give both or none')
    return root / str(names[0]), root / str(names[1])


def _has_id(entry: Mapping[str, Any]) -> bool:
    return entry.get('id') is not None


def _tags(entry: Mapping[str, Any]) -> tuple[str, ...]:
    tags = entry.get('tags')
    if tags is None:
        tags = [entry[k] for k in ('tag', 'subset') if entry.get(k)][:1]
    return (tags,) if isinstance(tags, str) else tuple(str(t) for t in tags)


def _box(box: Any) -> tuple[float, float, float, float] | None:
    """Return x, y, width, height, None where none is given.  Raises BadInputError."""
    if box is None:
        return None
    numbers = tuple(float(v) for v in box)
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise BadInputError('"bbox_xywh" must be four numbers: x, y, width, height')
    return numbers   # type: ignore[return-value]
