"""Folders of RGB-D frames: refs.json whose entries name depth and intrinsics."""
import json

import numpy as np
import pytest

pil = pytest.importorskip('PIL.Image')

from ris_ros.datasets.base import EntryError
from ris_ros.datasets.folder import read_folder
from ris_ros.types import Camera

ENTRY = {'image': 'a/color.png', 'depth': 'a/depth.png', 'camera': 'a/camera.json',
         'mask': 'a/1.png'}
MATRIX = [[50.0, 0, 29.5], [0, 50.0, 19.5], [0, 0, 1]]


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'a').mkdir()
    pil.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / 'a/color.png')
    depth = np.full((40, 60), 900, np.uint16)
    depth[:5] = 0
    pil.fromarray(depth).save(tmp_path / 'a/depth.png')
    (tmp_path / 'a/camera.json').write_text(json.dumps(
        {'K': MATRIX, 'width': 60, 'height': 40}))
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:20] = 255
    pil.fromarray(mask).save(tmp_path / 'a/1.png')
    return tmp_path


def read(root, *entries, strict=False):
    (root / 'refs.json').write_text(json.dumps(list(entries)))
    return read_folder(root, strict=strict)


def test_depth_and_camera_reach_the_view(root):
    dataset = read(root, {**ENTRY, 'expression': 'the mug'}, {**ENTRY, 'expression': 'the cup'})
    (group,) = dataset.groups
    view = group.open().view
    assert view.camera == Camera(50, 50, 29.5, 19.5, 60, 40)
    assert view.depth.dtype == np.float32 and np.isnan(view.depth[:5]).all()
    assert np.allclose(view.depth[5:], 0.9) and dataset.facts['with_depth'] == 1
    cut = group.limited(1).open()
    assert len(cut.samples) == 1 and cut.view.depth is not None
    assert dataset.without_depth().groups[0].open().depth is None


def test_folders_without_depth_stay_as_they_were(root):
    entry = {k: ENTRY[k] for k in ('image', 'mask')}
    dataset = read(root, {**entry, 'expression': 'the mug'})
    view = dataset.groups[0].open().view
    assert view.depth is None and view.camera is None and dataset.facts['with_depth'] == 0


@pytest.mark.parametrize('change, said', [
    ({'camera': None}, 'go together'), ({'depth': 3}, 'go together')])
def test_one_without_the_other_is_left_out_and_told(root, change, said):
    dataset = read(root, {**ENTRY, 'expression': 'the mug'},
                   {**ENTRY, **change, 'expression': 'the cup'})
    assert [s.expression for s in dataset.samples()] == ['the mug']
    assert said in str(dataset.problems.entries[0])


def test_two_depths_of_one_picture_are_told(root):
    dataset = read(root, {**ENTRY, 'expression': 'the mug'},
                   {**ENTRY, 'depth': 'a/other.png', 'expression': 'the cup'})
    assert len(list(dataset.samples())) == 1
    assert 'another than that of an earlier entry' in str(dataset.problems.entries[0])


@pytest.mark.parametrize('name, content, said', [
    ('a/depth.png', None, 'depth'), ('a/camera.json', '{}', 'intrinsics'),
    ('a/camera.json', json.dumps({'K': MATRIX, 'width': 6, 'height': 4}), '6x4')])
def test_files_that_cannot_be_used_are_named_when_their_turn_comes(root, name, content, said):
    dataset = read(root, {**ENTRY, 'expression': 'the mug'})
    if content is None:
        (root / name).unlink()
    else:
        (root / name).write_text(content)
    with pytest.raises(EntryError, match=said):
        dataset.groups[0].open()
