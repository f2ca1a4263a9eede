"""One bad entry is named and left out; all others are read as they were."""
from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from datasets_fixtures import H, W, box_mask, phrasecut_folder, refer_folder
from PIL import Image

from ris_ros.datasets.base import EntryError
from ris_ros.datasets.masks import FileMask, decode_rle, encode_rle
from ris_ros.datasets.refer import ReferOptions
from ris_ros.datasets.registry import open_dataset
from ris_ros.evaluation.evaluate import evaluate_group
from ris_ros.types import BadInputError

pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')


def change_refs(root: Path, change) -> Path:
    path = root / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    change({r['ref_id']: r for r in refs}, refs)
    path.write_bytes(pickle.dumps(refs))
    return root


def change_instances(root: Path, change) -> Path:
    path = root / 'refcoco' / 'instances.json'
    data = json.loads(path.read_text())
    change({a['id']: a for a in data['annotations']}, data)
    path.write_text(json.dumps(data))
    return root


def read(root: Path, split: str = 'testB'):
    dataset = open_dataset('refcoco', root, split, ReferOptions())
    return [s.key for s in dataset.samples()], [str(p) for p in dataset.problems.entries], dataset


@pytest.mark.parametrize('segmentation', [
    {'size': [H, W], 'counts': [10, H * W - 11]},              # one short
    {'size': [H, W], 'counts': 'garbage ~~'}, {'size': [H, W], 'counts': 'P'},
    {'size': [H, W]}, {'size': 7, 'counts': [1]}, {'size': [H, W], 'counts': [[1], [2]]},
    {'size': [10 ** 9, 10 ** 9], 'counts': [10 ** 18]},
    [1.0, 2.0, 9.0, 2.0, 9.0, 9.0],                            # not inside a list of its own
    [[1.0, 2.0, float('nan'), 2.0, 9.0, 9.0]], [[1.0, 2.0, None, 2.0, 9.0, 9.0]],
    [[1.0, 2.0, 1e300, 2.0, 9.0, 9.0]], [[[1, 2], [9, 2], [9, 9], [1, 9], [1, 5], [1, 4]]],
    ['a polygon'], 'x', 5, None, [], True])
def test_bad_segmentation_costs_its_own_sentences_alone(tmp_path: Path, segmentation) -> None:
    root = change_instances(refer_folder(tmp_path), lambda a, _: a[31].update(
        segmentation=segmentation))
    keys, problems, dataset = read(root)
    assert keys == ['104/6'] and len(problems) >= 1 and 'annotation 31' in problems[0]
    with pytest.raises(EntryError):
        open_dataset('refcoco', root, 'testB', strict=True)
    for group in dataset.groups:
        for sample in group.open().samples:
            assert sample.mask.load().any()


@pytest.mark.parametrize('field, value', [
    ('ann_id', [31]), ('ann_id', {}), ('image_id', [3]), ('image_id', 99), ('sentences', 3),
    ('sentences', 'cup'), ('category_id', [10]), ('ref_id', [1]), ('ann_id', 21),
    ('sentences', [3]), ('sentences', [{'sent': 4, 'raw': 4}]), ('ann_ids', 7)])
def test_bad_field_of_a_reference(tmp_path: Path, field: str, value) -> None:
    def change(by_id, refs):
        by_id[103][field] = value
    keys, problems, _ = read(change_refs(refer_folder(tmp_path), change))
    assert keys == ['104/6'] and len(problems) == 1 and 'reference 3' in problems[0]


@pytest.mark.parametrize('field, value', [
    ('bbox', 'wide'), ('bbox', [1, 2]), ('bbox', [1, 2, float('nan'), 4]), ('bbox', 3)])
def test_bad_box_of_an_object(tmp_path: Path, field: str, value) -> None:
    keys, problems, _ = read(change_instances(
        refer_folder(tmp_path), lambda a, _: a[31].update({field: value})))
    assert keys == ['104/6'] and len(problems) == 1


def test_records_without_an_id_cost_only_themselves(tmp_path: Path) -> None:
    def change(by_id, data):
        by_id[31]['id'] = [31]
        data['images'].append({'file_name': 'x.png'})
        data['images'].append(None)
        data['categories'].append(3)
    keys, problems, _ = read(change_instances(refer_folder(tmp_path), change))
    assert keys == ['104/6'] and any('its object 31 is not in' in p for p in problems)
    assert any('image 3 from 0' in p for p in problems)


def test_object_of_another_picture_is_no_truth(tmp_path: Path) -> None:
    root = change_instances(refer_folder(tmp_path), lambda a, _: a[31].update(image_id=1))
    keys, problems, _ = read(root)
    assert keys == ['104/6'] and 'its object 31 lies in image 1, not in 3' in problems[0]


def test_ann_id_minus_one_is_an_absent_object(tmp_path: Path) -> None:
    def change(by_id, refs):
        by_id[103]['ann_id'] = -1
    _, problems, dataset = read(change_refs(refer_folder(tmp_path), change))
    kinds = {s.key: (s.kind, s.mask is None) for s in dataset.samples()}
    assert problems == [] and kinds == {
        '103/5': ('absent', True), '104/6': ('answerable', False)}


def test_ids_that_come_twice_are_named(tmp_path: Path) -> None:
    def change(by_id, refs):
        by_id[104].update(ref_id=103)
        by_id[104]['sentences'][0]['sent_id'] = by_id[103]['sentences'][0]['sent_id']
    keys, problems, _ = read(change_refs(refer_folder(tmp_path), change))
    assert keys == ['103/5'] and len(problems) == 1 and 'taken by an earlier' in problems[0]


def test_sentence_without_id_takes_no_other_ones(tmp_path: Path) -> None:
    def change(by_id, refs):
        first = by_id[103]['sentences'][0]
        later = {**first, 'sent_id': 0, 'sent': 'the other'}
        by_id[103]['sentences'] = [{'sent': first['sent'], 'raw': first['raw']}, later]
    keys, problems, dataset = read(change_refs(refer_folder(tmp_path), change))
    said = {s.key: s.expression for s in dataset.samples()}
    assert problems == [] and len(keys) == len(set(keys)) == 3
    assert said['103/0'] == 'the other'


@pytest.mark.parametrize('polygon', [
    [1, 2, 3, 4, 5, 6], [[1, 2], [float('nan'), 4], [5, 6]], [[1, 2], ['a', 4], [5, 6]],
    [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
def test_bad_polygon_of_phrasecut(tmp_path: Path, polygon) -> None:
    def change(tasks):
        tasks[0]['Polygons'] = [[polygon]]
        return tasks
    dataset = open_dataset('phrasecut', phrasecut_folder(tmp_path, change), 'val')
    assert [s.key for s in dataset.samples()] == ['8__1']
    assert len(dataset.problems.entries) >= 1


@pytest.mark.parametrize('change', [
    lambda tasks: [*tasks, tasks[1]], lambda tasks: [*tasks, {**tasks[1], 'Polygons': 4}],
    lambda tasks: [*tasks, {**tasks[0], 'task_id': 'x', 'instance_boxes': [3]}]])
def test_bad_task_of_phrasecut(tmp_path: Path, change) -> None:
    dataset = open_dataset('phrasecut', phrasecut_folder(tmp_path, change), 'val')
    assert [s.key for s in dataset.samples()] == ['7__1', '8__1']
    assert any('task 2' in str(p) for p in dataset.problems.entries)


def test_compressed_run_lengths_are_what_pycocotools_reads() -> None:
    coco = pytest.importorskip('pycocotools.mask')
    rng = np.random.default_rng(3)
    for density in (0.02, 0.5, 0.97):
        mask = rng.random((37, 53)) < density
        packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        for counts in (packed['counts'], packed['counts'].decode()):
            np.testing.assert_array_equal(decode_rle({**packed, 'counts': counts}), mask)
            with pytest.raises(BadInputError, match='run lengths'):
                decode_rle({**packed, 'counts': counts[:-1]})


# --- masks and pictures of the folder --------------------------------------------------------

def folder(root: Path, entries, picture=None, **saved) -> Path:
    (picture or Image.new('RGB', (W, H), (9, 99, 200))).save(root / 'a.png', **saved)
    (root / 'refs.json').write_text(json.dumps(entries))
    return root


TRUE = box_mask(5, 5, 25, 15)


def picture_of(mode: str) -> Image.Image:
    grey = Image.fromarray((TRUE * 255).astype(np.uint8))
    if mode == 'white first':   # palette whose index 0 is white
        image = Image.fromarray((~TRUE).astype(np.uint8), 'P')
        image.putpalette([255, 255, 255, 0, 0, 0])
        return image
    if mode == 'black first':
        image = Image.fromarray(TRUE.astype(np.uint8), 'P')
        image.putpalette([0, 0, 0, 200, 30, 30])
        return image
    if mode == 'cut out':       # transparent around the object, white everywhere
        image = Image.new('RGBA', (W, H), (255, 255, 255, 0))
        image.paste((255, 255, 255, 255), mask=grey)
        return image
    if mode == 'I;16':
        return Image.fromarray(TRUE.astype(np.uint16))
    return grey.convert(mode)


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16', 'white first',
                                  'black first', 'cut out'])
def test_mask_pictures_of_any_mode(tmp_path: Path, mode: str) -> None:
    picture_of(mode).save(tmp_path / 'm.png')
    np.testing.assert_array_equal(FileMask(tmp_path / 'm.png', ('f', 'e')).load(), TRUE)


def test_float_mask_with_nan_and_cmyk(tmp_path: Path) -> None:
    values = np.where(TRUE, 1.0, np.nan).astype(np.float32)
    Image.fromarray(values).save(tmp_path / 'm.tif')
    np.testing.assert_array_equal(FileMask(tmp_path / 'm.tif', ('f', 'e')).load(), TRUE)
    picture_of('RGB').convert('CMYK').save(tmp_path / 'c.tif')
    np.testing.assert_array_equal(FileMask(tmp_path / 'c.tif', ('f', 'e')).load(), TRUE)


def test_mask_drawn_by_transparency_alone_is_refused(tmp_path: Path) -> None:
    image = Image.new('RGBA', (W, H), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), mask=picture_of('L'))
    image.save(tmp_path / 'm.png')
    with pytest.raises(EntryError, match='by transparency alone'):
        FileMask(tmp_path / 'm.png', ('f', 'e')).load()


class Nothing:
    """A predictor that must not be asked."""

    needs_truth = False

    def prepare(self, view):
        self.view = view

    def ground(self, scene, text):
        raise AssertionError(text)


@pytest.mark.parametrize('mask, reason', [
    (np.zeros((H, W), np.uint8), 'no pixel'), (np.ones((H, W + 1), np.uint8), 'its mask is')])
def test_mask_that_no_answer_can_meet_is_left_out(tmp_path: Path, mask, reason: str) -> None:
    Image.fromarray(mask).save(tmp_path / 'm.png')
    folder(tmp_path, [{'image': 'a.png', 'expression': 'the mug', 'mask': 'm.png'}])
    (group,) = open_dataset('folder', tmp_path).groups
    result = evaluate_group(Nothing(), group)
    assert result.records == () and reason in str(result.problems[0])


@pytest.mark.parametrize('dtype, top', [(np.uint16, 4095), (np.uint16, 65535), (np.float32, 1.0)])
def test_deep_grey_pictures_keep_their_greys(tmp_path: Path, dtype, top) -> None:
    ramp = np.linspace(0, top, H * W).reshape(H, W).astype(dtype)
    Image.fromarray(ramp).save(tmp_path / 'a.tif')
    Image.fromarray(TRUE).save(tmp_path / 'm.png')
    (tmp_path / 'refs.json').write_text(json.dumps(
        [{'image': 'a.tif', 'expression': 'the mug', 'mask': 'm.png'}]))
    image = open_dataset('folder', tmp_path).groups[0].open().image
    assert image[0, 0, 0] == 0 and image[-1, -1, 0] == 255
    assert abs(int(image[H // 2, 0, 0]) - 127) <= 2


def test_bomb_is_one_bad_entry(tmp_path: Path) -> None:
    import struct
    import zlib
    head = b'IHDR' + struct.pack('>IIBBBBB', 60000, 60000, 8, 0, 0, 0, 0)
    (tmp_path / 'bomb.png').write_bytes(
        b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + head
        + struct.pack('>I', zlib.crc32(head)))
    Image.fromarray(TRUE).save(tmp_path / 'm.png')
    folder(tmp_path, [{'image': 'bomb.png', 'expression': 'x', 'mask': 'm.png'},
                      {'image': 'a.png', 'expression': 'y', 'mask': 'bomb.png'}])
    for group in open_dataset('folder', tmp_path).groups:
        result = evaluate_group(Nothing(), group)
        assert len(result.problems) == 1 and 'bomb.png' in str(result.problems[0])


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize('value, size, expected', [
    (6, (H, W), 'turned'), (6, (W, H), 'stored'), (8, (H, W), 'turned'), (3, (W, H), 'turned'),
    (1, (W, H), 'stored')])
def test_mask_size_decides_whether_a_folder_picture_is_turned(
        tmp_path: Path, value: int, size, expected: str) -> None:
    stored = np.zeros((H, W, 3), np.uint8)
    stored[:, :, 0] = np.arange(W)
    stored[:, :, 1] = np.arange(H)[:, None]
    Image.new('L', size, 255).save(tmp_path / 'm.png')
    folder(tmp_path, [{'image': 'a.png', 'expression': 'x', 'mask': None},
                      {'image': 'a.png', 'expression': 'y', 'mask': 'm.png'}],
           Image.fromarray(stored), exif=exif(value))
    opened = open_dataset('folder', tmp_path).groups[0].open()
    want = {6: np.rot90(stored, -1), 8: np.rot90(stored), 3: stored[::-1, ::-1]}.get(value)
    np.testing.assert_array_equal(opened.image, stored if expected == 'stored' else want)


def test_refer_pictures_stay_as_they_are_stored(tmp_path: Path) -> None:
    """COCO's annotations count stored pixels, whatever EXIF says of a picture."""
    root = refer_folder(tmp_path)
    _, _, dataset = read(root)
    path = dataset.groups[0].path
    before = dataset.groups[0].open().image
    Image.fromarray(before).save(path, format='PNG', exif=exif(3))
    np.testing.assert_array_equal(dataset.groups[0].open().image, before)


def test_folder_entry_without_id_takes_no_later_ones(tmp_path: Path) -> None:
    Image.fromarray(TRUE).save(tmp_path / 'm.png')
    entry = {'image': 'a.png', 'mask': 'm.png'}
    folder(tmp_path, [{**entry, 'expression': 'x'}, {**entry, 'expression': 'y', 'id': '0'},
                      {**entry, 'expression': 'z', 'id': 0}, {**entry, 'expression': 'w',
                                                             'id': None}])
    dataset = open_dataset('folder', tmp_path)
    assert {s.key: s.expression for s in dataset.samples()} == {'0#': 'x', '0': 'y', '3': 'w'}
    (problem,) = dataset.problems.entries
    assert 'entry 2' in str(problem) and 'taken' in str(problem)


@pytest.mark.parametrize('change', [
    {'bbox_xywh': 'wide'}, {'bbox_xywh': [1, 2, 3]}, {'bbox_xywh': [1, 2, None, 4]},
    {'tags': 7}, {'image': 5}])
def test_bad_folder_entry(tmp_path: Path, change) -> None:
    Image.fromarray(TRUE).save(tmp_path / 'm.png')
    entry = {'image': 'a.png', 'mask': 'm.png', 'expression': 'x'}
    folder(tmp_path, [{**entry, **change}, entry])
    dataset = open_dataset('folder', tmp_path)
    assert [s.key for s in dataset.samples()] == ['1'] and len(dataset.problems.entries) == 1
    assert encode_rle(next(dataset.samples()).mask.load()) == encode_rle(TRUE)
