"""RefCOCO data in the two layouts that other projects convert the REFER files to.

`cris` (CRIS, ETRIS, CGFormer): anns/DATASET/SPLIT.json, one entry per reference, and masks as
pictures.  `referformer` (ReferFormer, IteRPrimE): one COCO file per split, in which every sentence
is an "image" with a caption and has one annotation.  Sheet "data layouts", section 1.2.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.datasets.base import Dataset, Group, ImageGroup, Keys, MaskSource, Problems, Sample
from ris_ros.datasets.categories import COCO_NAMES, seen_state
from ris_ros.datasets.expressions import POSITION_RULES, position_shares
from ris_ros.datasets.files import load_json
from ris_ros.datasets.masks import (
    CocoMask,
    FileMask,
    polygon_faults,
    rle_fault,
    size_fault,
    usable_polygons,
)
from ris_ros.types import BadInputError

LAYOUTS = ('refer', 'cris', 'referformer')
IMAGE_FOLDERS = ('images/train2014', 'images/mscoco/images/train2014', 'train2014',
                 'coco/train2014', 'images')
COCO_IDS = sorted(COCO_NAMES)   # CRIS numbers the categories 0 to 79 in this order


def read_derived(layout: str, root: Path | str, dataset: str, split: str,
                 split_by: str | None = None, strict: bool = False) -> Dataset:
    """Read one split of RefCOCO, RefCOCO+ or RefCOCOg in the layout 'cris' or 'referformer'.

    split_by: 'umd' or 'google' names the folder of RefCOCOg in the layout `cris`
    (refcocog_u, refcocog_g).  Raises BadInputError for a missing or damaged file and EntryError
    for an unusable entry when `strict`.
    """
    root = Path(root)
    problems = Problems(strict)
    folder = next((root / f for f in IMAGE_FOLDERS if (root / f).is_dir()), None)
    if folder is None:
        raise BadInputError(f'{root / IMAGE_FOLDERS[0]} is missing; put the images of COCO '
                            'train2014 there')
    name = dataset
    if layout == 'cris' and dataset == 'refcocog':
        name += '_g' if split_by == 'google' else '_u'
    reader = {'cris': _read_cris, 'referformer': _read_referformer}[layout]
    images = reader(root, name, split, problems)
    if not images:
        raise BadInputError(f'{root} has no usable entry of {name} {split}'
                            + (f': {problems.entries[0]}' if problems.entries else ''))
    groups: list[Group] = [ImageGroup(file, folder / file, tuple(samples), size)
                           for file, (size, samples) in images.items()]
    result = Dataset(dataset, split, groups, problems)
    samples = list(result.samples())
    result.facts = {'layout': layout, 'sentences': len(samples), 'images': len(groups),
                    'position_share': position_shares(s.expression for s in samples)}
    return result


_Images = dict[str, tuple[tuple[int, int] | None, list[Sample]]]


def _read_cris(root: Path, name: str, split: str, problems: Problems) -> _Images:
    path = root / 'anns' / name / f'{split}.json'
    images: _Images = {}
    keys = Keys()
    for number, ref in enumerate(_list(load_json(path), path)):
        entry = f'reference {number}'
        missing = [k for k in ('segment_id', 'img_name', 'sentences', 'cat', 'bbox')
                   if not isinstance(ref, Mapping) or k not in ref]
        if missing:
            problems.add(path, entry, f'has no {", ".join(missing)}')
            continue
        with problems.guard(path, f'{entry} (ref_id {ref["segment_id"]})'):
            for sample in _cris_samples(root, name, path, entry, ref, problems, keys):
                images.setdefault(sample.image_id, (None, []))[1].append(sample)
    return images


def _cris_samples(root: Path, name: str, path: Path, entry: str, ref: Mapping[str, Any],
                  problems: Problems, keys: Keys) -> list[Sample]:
    ref_id, place = ref['segment_id'], (str(path), f'{entry} (ref_id {ref["segment_id"]})')
    x0, y0, x1, y1 = (float(v) for v in ref['bbox'])
    category = int(ref['cat'])
    category_id = COCO_IDS[category] if 0 <= category < len(COCO_IDS) else None
    mask = FileMask(root / 'masks' / name / f'{ref_id}.png', place)
    named = {str(s.get('sent_id')) for s in ref['sentences']}
    samples = []
    for number, sentence in enumerate(ref['sentences']):
        key = f'{ref_id}/{sentence.get("sent_id")}'
        if sentence.get('sent_id') is None:
            key = keys.free(f'{ref_id}/{number}' + '#' * (str(number) in named))
        elif not keys.take(key):
            problems.add(*place, f'sentence {number}: its ids {key} (segment_id/sent_id) are '
                         'taken by an earlier one')
            continue
        sample = _sample(problems, place, key, sentence.get('sent'), str(ref['img_name']),
                         f'{ref_id}', mask, category_id, (x0, y0, x1 - x0, y1 - y0))
        if sample is not None:
            samples.append(sample)
    return samples


def _read_referformer(root: Path, name: str, split: str, problems: Problems) -> _Images:
    path = next((p for p in (root / 'coco' / name / f'instances_{name}_{split}.json',
                             root / name / f'instances_{name}_{split}.json') if p.is_file()),
                root / 'coco' / name / f'instances_{name}_{split}.json')
    data = load_json(path)
    if not isinstance(data, Mapping) or not all(
            isinstance(data.get(k), list) for k in ('annotations', 'images')):
        raise BadInputError(f'{path} is no COCO file (a list of "annotations" and one of "images" '
                            'are needed)')
    annotations: dict[Any, Any] = {}
    for number, annotation in enumerate(data['annotations']):
        entry = f'annotation {number} from 0'
        with problems.guard(path, entry):
            if annotation['image_id'] in annotations:
                problems.add(path, entry, f'sentence {annotation["image_id"]} has one already')
            else:
                annotations[annotation['image_id']] = annotation
    images: _Images = {}
    keys = Keys()
    for number, record in enumerate(data['images']):
        with problems.guard(path, f'image {number}'):
            place = (str(path), f'image {number} (id {record["id"]})')
            found = _referformer_sample(place, record, annotations.get(record['id']), problems,
                                        keys)
            if found is not None:
                size, sample = found
                images.setdefault(sample.image_id, (size, []))[1].append(sample)
    return images


def _referformer_sample(place: tuple[str, str], record: Mapping[str, Any], annotation: Any,
                        problems: Problems, keys: Keys
                        ) -> tuple[tuple[int, int], Sample] | None:
    if annotation is None:
        problems.add(*place, 'means no object (no annotation)')
        return None
    if fault := size_fault(record['height'], record['width']):
        problems.add(*place, fault)
        return None
    size = (int(record['height']), int(record['width']))
    segmentation = annotation['segmentation']
    if isinstance(segmentation, Mapping):
        faults = [f for f in (rle_fault(segmentation),) if f]
        if not faults and [int(v) for v in segmentation['size']] != list(size):
            faults = [f'its mask has the size {segmentation["size"]}, its image {list(size)} '
                      '(height, width)']
        usable: Any = None if faults else segmentation
    else:
        faults, usable = polygon_faults(segmentation), usable_polygons(segmentation)
    for fault in faults:
        problems.add(*place, fault)
    if not usable:
        if not faults:
            problems.add(*place, 'has no usable mask')
        return None
    key = str(record['id'])
    if not keys.take(key):
        problems.add(*place, 'its id is taken by an earlier entry')
        return None
    x, y, width, height = (float(v) for v in annotation['bbox'])
    sample = _sample(problems, place, key, record.get('caption'), str(record['file_name']),
                     str(annotation.get('original_id')), CocoMask(usable, *size),
                     annotation.get('category_id'), (x, y, width, height))
    return None if sample is None else (size, sample)


def _sample(problems: Problems, place: tuple[str, str], key: str, text: Any, file: str,
            object_id: str, mask: MaskSource, category_id: int | None,
            box: tuple[float, float, float, float]) -> Sample | None:
    if not isinstance(text, str) or not text.strip():
        problems.add(*place, 'has an empty sentence')
        return None
    unseen = seen_state(category_id)
    tags = ['position' if POSITION_RULES['words'](text) else 'other']
    if unseen is not None:
        tags.append('unseen' if unseen else 'seen')
    return Sample(key=key, expression=text.strip(), image_id=file, object_id=object_id, mask=mask,
                  tags=tuple(tags), category=COCO_NAMES.get(category_id or 0), box=box,
                  unseen=unseen, place=place)


def _list(value: Any, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise BadInputError(f'{path} holds a {type(value).__name__}; a list of references '
                            'is needed')
    return value
