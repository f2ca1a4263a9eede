"""The converted layouts hold the same samples as the REFER files they come from."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets_fixtures import CATEGORIES, OWNERS, SEGMENTATIONS, H, W, refer_folder
from PIL import Image

from ris_ros.datasets.categories import COCO_NAMES
from ris_ros.datasets.registry import open_dataset
from ris_ros.types import BadInputError

pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    refer_folder(tmp_path)
    original = open_dataset('refcoco', tmp_path, 'testB')
    images = {i: f'refcoco_{i:012d}.png' for i in OWNERS.values()}
    (tmp_path / 'anns' / 'refcoco').mkdir(parents=True)
    (tmp_path / 'masks' / 'refcoco').mkdir(parents=True)
    (tmp_path / 'coco' / 'refcoco').mkdir(parents=True)
    cris, records, annotations = [], [], []
    for number, sample in enumerate(original.samples(), 1):
        ref_id, ann_id = int(sample.key.split('/')[0]), int(sample.object_id)
        mask = sample.mask.load().astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / 'masks' / 'refcoco' / f'{ref_id}.png')
        cris.append({'bbox': [1, 2, 21, 22], 'segment_id': ref_id, 'sentences_num': 1,
                     'cat': sorted(COCO_NAMES).index(CATEGORIES[ann_id]),
                     'img_name': images[OWNERS[ann_id]],
                     'sentences': [{'idx': 0, 'sent_id': int(sample.key.split('/')[1]),
                                    'sent': sample.expression}]})
        records.append({'id': number, 'file_name': images[OWNERS[ann_id]], 'height': H,
                        'width': W, 'caption': sample.expression, 'original_id': 3})
        annotations.append({'id': number, 'image_id': number, 'original_id': ann_id,
                            'bbox': [1, 2, 20, 20], 'category_id': CATEGORIES[ann_id],
                            'segmentation': SEGMENTATIONS[ann_id], 'iscrowd': 0})
    (tmp_path / 'anns' / 'refcoco' / 'testB.json').write_text(json.dumps(cris))
    (tmp_path / 'coco' / 'refcoco' / 'instances_refcoco_testB.json').write_text(
        json.dumps({'images': records, 'annotations': annotations, 'categories': []}))
    return tmp_path


@pytest.mark.parametrize('layout', ['cris', 'referformer'])
def test_layouts_hold_the_same_samples(root: Path, layout: str) -> None:
    original = open_dataset('refcoco', root, 'testB')
    derived = open_dataset('refcoco', root, 'testB', layout=layout)
    assert len(derived.groups) == len(original.groups) == 1
    pairs = list(zip(original.groups[0].open().samples, derived.groups[0].open().samples,
                     strict=True))
    assert len(pairs) == 2
    for theirs, ours in pairs:
        assert (ours.expression, ours.tags, ours.box, ours.unseen) == (
            theirs.expression, theirs.tags, theirs.box, theirs.unseen)
        np.testing.assert_array_equal(ours.mask.load(), theirs.mask.load())


def test_cris_names_the_splits_of_refcocog(root: Path) -> None:
    for split_by, name in ((None, 'refcocog_u'), ('google', 'refcocog_g')):
        shutil.copytree(root / 'anns' / 'refcoco', root / 'anns' / name)
        from ris_ros.datasets.refer import ReferOptions
        dataset = open_dataset('refcocog', root, 'testB', ReferOptions(split_by), layout='cris')
        assert dataset.facts['sentences'] == 2
        shutil.rmtree(root / 'anns' / name)


def test_bad_entries_are_counted(root: Path) -> None:
    path = root / 'coco' / 'refcoco' / 'instances_refcoco_testB.json'
    data = json.loads(path.read_text())
    data['annotations'][0]['segmentation'] = [[1, 2, 3, 4]]
    path.write_text(json.dumps(data))
    dataset = open_dataset('refcoco', root, 'testB', layout='referformer')
    assert [s.key for s in dataset.samples()] == ['2']
    assert 'polygon 0 has 2 points' in str(dataset.problems.entries[0])
    data['annotations'].pop(0)
    path.write_text(json.dumps(data))
    dataset = open_dataset('refcoco', root, 'testB', layout='referformer')
    assert 'means no object' in str(dataset.problems.entries[0])
    path = root / 'anns' / 'refcoco' / 'testB.json'
    refs = json.loads(path.read_text())
    del refs[0]['bbox']
    refs[1]['sentences'].append({'sent': ''})
    path.write_text(json.dumps(refs))
    first, second = open_dataset('refcoco', root, 'testB', layout='cris').problems.entries
    assert 'reference 0: has no bbox' in str(first) and 'empty sentence' in str(second)
    with pytest.raises(BadInputError, match='has no bbox'):
        open_dataset('refcoco', root, 'testB', layout='cris', strict=True)


def test_missing_files_and_wrong_data_sets(root: Path) -> None:
    for layout, name in (('cris', 'val.json'), ('referformer', 'instances_refcoco_val.json')):
        with pytest.raises(BadInputError, match=name):
            open_dataset('refcoco', root, 'val', layout=layout)
    with pytest.raises(BadInputError, match='only'):
        open_dataset('tabletop', root, 'val', layout='cris')
