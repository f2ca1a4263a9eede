"""What training and evaluation data share: the checks to make before merging data sets.

All REFER data sets are drawn from COCO train2014, so a picture that one of them tests on may be
another's training picture.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.datasets.files import load_json
from ris_ros.datasets.refer import COCO_DATASETS, data_folder, read_refs
from ris_ros.types import BadInputError

DETECTOR_NOTE = (
    'a detector or segmenter pre-trained on COCO (Mask2Former, what RefCOCO models start '
    'from) has seen the pictures of COCO train2014, among them all val and test pictures here')


def leakage_report(root: Path | str) -> dict[str, Any]:
    """Return what the REFER data sets below `root` share.

    `splits`: pictures by "data set (split by) split".  `shared_images`: for every training
    split and every other split the number of common pictures, where there are any.
    `object_conflicts`: objects (ann_id) that are on another picture or of another category in
    another data set.  `notes`: remarks in words.  Raises BadInputError when no data set is
    there.
    """
    root = Path(root)
    images: dict[str, set[Any]] = {}
    objects: dict[str, dict[Any, tuple[Any, Any]]] = {}
    for dataset in COCO_DATASETS:
        try:
            folder = data_folder(root, dataset)
        except BadInputError:
            continue   # any of the three may be absent
        for path in sorted(folder.glob('refs(*).p')):
            split_by = path.name[5:-3]
            for ref in read_refs(root, dataset, split_by)[1]:
                name = f'{dataset} ({split_by}) {ref["split"]}'
                images.setdefault(name, set()).add(ref['image_id'])
        objects[dataset] = _objects(folder)
    if not images:
        raise BadInputError(f'{root} holds none of {", ".join(COCO_DATASETS)}')
    shared = _shared(images)
    conflicts = _conflicts(objects)
    notes = [f'{train} and {other} share {n} pictures; leave these out of training'
             for train, others in shared.items() for other, n in others.items()]
    if any('(google)' in name for name in images):
        notes.append('RefCOCOg by google is split by object: its train and val share pictures '
                     'by design')
    notes += [f'object {key} differs between {" and ".join(where)}'
              for key, where in list(conflicts.items())[:20]]
    return {'splits': {name: len(ids) for name, ids in images.items()},
            'shared_images': shared, 'object_conflicts': len(conflicts),
            'notes': [*notes, DETECTOR_NOTE]}


def _objects(folder: Path) -> dict[Any, tuple[Any, Any]]:
    """Return picture and category of every object of a data set."""
    found: dict[Any, tuple[Any, Any]] = {}

    def hook(record: dict[str, Any]) -> dict[str, Any] | None:
        if 'image_id' in record and 'category_id' in record:
            found[record.get('id')] = (record['image_id'], record['category_id'])
            return None
        return record

    load_json(folder / 'instances.json', object_hook=hook)
    return found


def _shared(images: Mapping[str, set[Any]]) -> dict[str, dict[str, int]]:
    shared: dict[str, dict[str, int]] = {}
    for train, ids in images.items():
        if not train.endswith(' train'):
            continue
        for other, other_ids in images.items():
            common = len(ids & other_ids)
            if common and not other.endswith(' train'):
                shared.setdefault(train, {})[other] = common
    return shared


def _conflicts(objects: Mapping[str, Mapping[Any, tuple[Any, Any]]]) -> dict[Any, list[str]]:
    conflicts: dict[Any, list[str]] = {}
    names = list(objects)
    for k, first in enumerate(names):
        for second in names[k + 1:]:
            common = objects[first].keys() & objects[second].keys()
            for key in sorted(common):
                if objects[first][key] != objects[second][key]:
                    conflicts.setdefault(key, [first, second])
    return conflicts
