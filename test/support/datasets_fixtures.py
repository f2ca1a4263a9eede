"""A three-image REFER folder and a two-task PhraseCut folder, made on the spot."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ris_ros.datasets.masks import encode_rle
from ris_ros.datasets.refer import write_refer

H, W = 40, 60


def square(x0: int, y0: int, x1: int, y1: int) -> list[float]:
    return [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]


def box_mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[y0:y1, x0:x1] = True
    return mask


# Object 11 overlaps itself, object 12 has two separate parts, 21 is run lengths, 31 is plain.
SEGMENTATIONS = {
    11: [square(2, 2, 20, 20), square(10, 10, 30, 30)],
    12: [square(32, 2, 40, 10), square(45, 20, 55, 30)],
    21: encode_rle(box_mask(5, 5, 25, 15)),
    31: [square(10, 10, 30, 30)],
    32: [square(35, 5, 50, 35)],
}
OWNERS = {11: 1, 12: 1, 21: 2, 31: 3, 32: 3}
CATEGORIES = {11: 1, 12: 5, 21: 1, 31: 10, 32: 47}
REFS = [   # ref_id, ann_id, split, sentences
    (100, 11, 'train', ['The Left Person', 'person']),
    (101, 12, 'train', ['the airplane']),
    (102, 21, 'testA', ['man on the right ', 'the bright one']),
    (103, 31, 'testB', ['traffic light']),
    (104, 32, 'testB', ['cup in the middle']),
    (105, 12, 'val', ['plane at the top']),
]


def images():
    for image_id in (1, 2, 3):
        array = np.full((H, W, 3), 30 * image_id, np.uint8)
        array[:, :, 1] = np.arange(W)
        yield {'id': image_id}, array


def annotations():
    for ann_id, segmentation in SEGMENTATIONS.items():
        yield {'id': ann_id, 'image_id': OWNERS[ann_id], 'category_id': CATEGORIES[ann_id],
               'bbox': [1, 2, 20, 20], 'segmentation': segmentation, 'area': 100.0}


def refs():
    for ref_id, ann_id, split, sentences in REFS:
        yield {'ref_id': np.int64(ref_id), 'ann_id': ann_id, 'image_id': OWNERS[ann_id],
               'category_id': CATEGORIES[ann_id], 'split': split, 'sentences': sentences}


def refer_folder(root: Path, dataset: str = 'refcoco', extra: tuple[dict, ...] = ()) -> Path:
    write_refer(root, dataset, images(), annotations(), [{'id': 1, 'name': 'person'}],
                [*refs(), *extra])
    return root


def phrasecut_folder(root: Path, change=lambda tasks: tasks) -> Path:
    from PIL import Image
    (root / 'images').mkdir(parents=True)
    for image_id in (7, 8):
        Image.fromarray(np.full((H, W, 3), image_id, np.uint8)).save(
            root / 'images' / f'{image_id}.jpg')
    (root / 'image_data_split3000.json').write_text(json.dumps([
        {'image_id': i, 'coco_id': None, 'flickr_id': None, 'width': W, 'height': H, 'url': '',
         'split': 'val'} for i in (7, 8)]))
    structure = {'attributes': [], 'relation_ids': [], 'relation_descriptions': [],
                 'type': 'name'}
    tasks = [
        {'task_id': '7__1', 'image_id': 7, 'ann_ids': [1, 2], 'phrase': 'two cups',
         'instance_boxes': [[2, 2, 8, 8], [20, 20, 5, 5]],
         'Polygons': [[[[2.9, 2.9], [10.9, 2], [10, 10], [2, 10]]],
                      [[[20, 20], [25, 20], [25, 25], [20, 25]], [[1, 1]]]],
         'phrase_structure': {'name': 'cup', **structure}},
        {'task_id': '8__1', 'image_id': 8, 'ann_ids': [3], 'phrase': 'tall chimney',
         'instance_boxes': [[0, 0, 40, 30]],
         'Polygons': [[[[0, 0], [40, 0], [40, 30], [0, 30]]]],
         'phrase_structure': {'name': 'chimney', **structure, 'type': 'attribute',
                              'attributes': ['tall']}},
    ]
    (root / 'refer_val.json').write_text(json.dumps(change(tasks)))
    return root
