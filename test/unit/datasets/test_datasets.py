"""Readers on synthetic folders: every stated rule, and every kind of bad input."""
from __future__ import annotations

import collections
import importlib.util
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from datasets_fixtures import OWNERS, SEGMENTATIONS, box_mask, phrasecut_folder, refer_folder

from ris_ros.datasets import masks, refer_counts
from ris_ros.datasets.base import EntryError
from ris_ros.datasets.categories import SEEN, UNASSIGNED, UNSEEN
from ris_ros.datasets.expressions import is_position_substring, is_position_word, position_shares
from ris_ros.datasets.files import load_pickle
from ris_ros.datasets.refer import ReferOptions, match_split, write_refer
from ris_ros.datasets.registry import DATASETS, open_dataset
from ris_ros.types import BadInputError

pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return refer_folder(tmp_path)


def samples(root: Path, split: str, dataset: str = 'refcoco', **options):
    opened = open_dataset(dataset, root, split, ReferOptions(**options))
    return {s.key: s for s in opened.samples()}


# --- REFER ---------------------------------------------------------------------------------

@pytest.mark.parametrize('split, keys', [
    ('train', ['100/0', '100/1', '101/2']), ('val', ['105/7']), ('testA', ['102/3', '102/4']),
    ('testB', ['103/5', '104/6']), ('test', ['102/3', '102/4', '103/5', '104/6'])])
def test_splits_match_as_the_loader_does(root: Path, split: str, keys: list[str]) -> None:
    assert list(samples(root, split)) == keys


def test_split_rules() -> None:
    assert match_split('testA', 'testA') and not match_split('testA', 'testB')
    assert match_split('test', 'testB') and match_split('testC', 'testBC')
    assert match_split('val', 'val') and not match_split('val', 'val2')


def test_share_of_position_sentences_is_told(root: Path) -> None:
    notes = open_dataset('refcoco', root, 'testA').notes
    assert any('50.0 % (words rule)' in n and '100.0 % (substring rule)' in n
               and 'implies 46.2 %' in n for n in notes)


def test_unknown_split_says_which_there_are(root: Path) -> None:
    with pytest.raises(BadInputError, match='testA, testB, train, val'):
        samples(root, 'vla')


def test_samples_of_an_image_share_a_group(root: Path) -> None:
    dataset = open_dataset('refcoco', root, 'testB')
    (group,) = dataset.groups
    opened = group.open()
    assert opened.image.shape == (40, 60, 3) and opened.image[0, 5].tolist() == [90, 5, 90]
    assert [s.object_id for s in opened.samples] == ['31', '32']
    assert dataset.facts['sentences'] == 2 and dataset.facts['images'] == 1
    assert any('1810 are published' in note for note in dataset.notes)


def test_sentence_field_and_first_sentence(root: Path) -> None:
    assert samples(root, 'train')['100/0'].expression == 'the left person'
    assert samples(root, 'train', sentence_field='raw')['100/0'].expression == 'The Left Person'
    assert list(samples(root, 'train', sentences='first')) == ['100/0', '101/2']
    assert samples(root, 'testA')['102/3'].expression == 'man on the right'


def test_seen_and_unseen_follow_coco_ids(root: Path) -> None:
    assert (len(SEEN), len(UNSEEN), len(UNASSIGNED)) == (48, 17, 15)
    assert samples(root, 'train')['100/0'].unseen is False
    assert samples(root, 'train')['101/2'].unseen is True
    assert samples(root, 'testB')['103/5'].unseen is None   # traffic light: in neither set
    facts = open_dataset('refcoco', root, 'test').facts
    assert (facts['seen_references'], facts['unseen_references']) == (1, 1)   # of three


def test_seen_split_is_not_applied_to_foreign_category_ids(tmp_path: Path) -> None:
    refer_folder(tmp_path, 'tabletop')
    assert samples(tmp_path, 'train', 'tabletop')['101/2'].unseen is None


def test_google_and_umd_files_are_told_apart(tmp_path: Path, root: Path) -> None:
    with pytest.raises(BadInputError, match='--split-by may be: unc'):
        samples(root, 'val', split_by='google')


def test_expected_counts_join_test_splits() -> None:
    assert refer_counts.expected('refcoco', 'unc', 'test') == {
        'references': 3785, 'sentences': 10752, 'images': 1500, 'seen_references': 3200,
        'unseen_references': 394}
    assert refer_counts.expected('refcocog', 'umd', 'test')['sentences'] == 9602
    assert refer_counts.expected('refcoco', 'unc', 'all') == {}


@pytest.mark.skipif('RIS_DATA_DIR' not in os.environ, reason='RIS_DATA_DIR names no REFER root')
@pytest.mark.parametrize('dataset, split_by', sorted(refer_counts.REFERENCES))
def test_counts_of_the_real_data(dataset: str, split_by: str) -> None:
    for split in {*refer_counts.REFERENCES[dataset, split_by],
                  *refer_counts.SEEN_UNSEEN[dataset, split_by]}:
        facts = open_dataset(dataset, os.environ['RIS_DATA_DIR'], split,
                             ReferOptions(split_by)).facts
        expected = refer_counts.expected(dataset, split_by, split)
        assert {k: facts[k] for k in expected} == expected


# --- mask conventions ------------------------------------------------------------------------

def test_three_conventions_on_an_object_that_overlaps_itself(root: Path) -> None:
    by_rule = {rule: samples(root, 'train', overlap=rule)['100/0'].mask.load()
               for rule in masks.CONVENTIONS}
    first, second = (masks.decode([p], 40, 60) for p in SEGMENTATIONS[11])
    np.testing.assert_array_equal(by_rule['union'], first | second)
    np.testing.assert_array_equal(by_rule['hole'], first ^ second)
    np.testing.assert_array_equal(by_rule['cris'], first | second)
    assert (first & second).sum() > 50
    levels = masks.cris_levels(masks.decode_levels(SEGMENTATIONS[11], 40, 60))
    assert set(np.unique(levels)) == {0, 254, 255}
    assert open_dataset('refcoco', root, 'train').facts['overlapping_masks'] == 1


def test_object_in_parts_is_whole_under_every_convention(root: Path) -> None:
    loaded = [samples(root, 'train', overlap=rule)['101/2'].mask.load()
              for rule in masks.CONVENTIONS]
    expected = box_mask(32, 2, 40, 10) | box_mask(45, 20, 55, 30)
    for mask in loaded:
        np.testing.assert_array_equal(mask, expected)


def test_unknown_convention() -> None:
    with pytest.raises(BadInputError, match='union, hole, cris'):
        masks.decode(SEGMENTATIONS[11], 40, 60, 'other')


def test_run_lengths_round_trip_and_agree_with_coco() -> None:
    coco = pytest.importorskip('pycocotools.mask')
    rng = np.random.default_rng(0)
    for mask in (rng.random((7, 5)) < 0.5, np.ones((3, 4), bool), np.zeros((3, 4), bool),
                 box_mask(5, 5, 25, 15)):
        rle = masks.encode_rle(mask)
        np.testing.assert_array_equal(masks.decode_rle(rle), mask)
        packed = coco.frPyObjects(rle, *mask.shape)
        np.testing.assert_array_equal(coco.decode(packed), mask)
        np.testing.assert_array_equal(masks.decode_rle(packed), mask)
        text = {'size': rle['size'], 'counts': packed['counts'].decode()}
        np.testing.assert_array_equal(masks.decode_rle(text), mask)


def test_run_lengths_that_do_not_fit() -> None:
    with pytest.raises(BadInputError, match='add up to 5, the size 3x2 needs 6'):
        masks.decode_rle({'size': [2, 3], 'counts': [2, 3]})
    with pytest.raises(BadInputError, match='counts'):
        masks.decode_rle({'size': [2, 3]})


# --- bad input ---------------------------------------------------------------------------------

def change_instances(root: Path, change) -> Path:
    path = root / 'refcoco' / 'instances.json'
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def change_refs(root: Path, change) -> Path:
    path = root / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    change(refs)
    path.write_bytes(pickle.dumps(refs, 2))
    return path


def left_out(root: Path, split: str) -> list[str]:
    with pytest.raises(EntryError):
        open_dataset('refcoco', root, split, strict=True)
    return [str(p) for p in open_dataset('refcoco', root, split).problems.entries]


def test_polygon_of_two_points_is_not_read_as_a_box(root: Path) -> None:
    def change(data) -> None:
        next(a for a in data['annotations'] if a['id'] == 31)['segmentation'] = [[1, 2, 30, 40]]
    change_instances(root, change)
    problems = left_out(root, 'testB')
    assert len(problems) == 2 and all('instances.json, annotation 31' in p for p in problems)
    assert 'polygon 0 has 2 points, 3 are needed' in problems[0]
    assert list(samples(root, 'testB')) == ['104/6']


def test_short_polygon_beside_a_good_one_is_dropped_alone(root: Path) -> None:
    def change(data) -> None:
        next(a for a in data['annotations'] if a['id'] == 31)['segmentation'].append([1, 2, 3])
    change_instances(root, change)
    assert ['no list of x, y pairs' in p for p in left_out(root, 'testB')] == [True]
    assert samples(root, 'testB')['103/5'].mask.load().sum() == 400


def test_mask_size_other_than_the_image(root: Path) -> None:
    def change(data) -> None:
        data['images'][1]['width'] = 61
    change_instances(root, change)
    (problem,) = left_out(root, 'testA')
    assert 'annotation 21' in problem and '[40, 60]' in problem and '[40, 61]' in problem


def test_picture_size_other_than_stated(root: Path) -> None:
    change_instances(root, lambda data: data['images'][2].update(width=61))
    (group,) = open_dataset('refcoco', root, 'testB').groups
    with pytest.raises(EntryError, match='60x40, its annotations are for 61x40'):
        group.open()


def test_reference_without_an_object(root: Path) -> None:
    def change(refs) -> None:
        refs[3]['ann_id'] = None
        refs[4]['ann_id'] = 999
    change_refs(root, change)
    first, second = (str(p) for p in open_dataset('refcoco', root, 'test').problems.entries)
    assert 'refs(unc).p, reference 3 (ref_id 103): means no object' in first
    assert 'reference 4 (ref_id 104): its object 999 is not in' in second
    assert list(samples(root, 'test')) == ['102/3', '102/4']


def test_reference_with_missing_parts(root: Path) -> None:
    def change(refs) -> None:
        del refs[3]['sentences']
        refs[4]['sentences'][0]['sent'] = '  '
        refs.append('text')
        refs.append({'ref_id': 1})
    change_refs(root, change)
    problems = '\n'.join(str(p) for p in open_dataset('refcoco', root, 'test').problems.entries)
    for text in ('has no sentences', 'has no text in "sent"', 'reference 6: is a str',
                 'reference 7: has no "split"'):
        assert text in problems


def test_truncated_files_are_named(root: Path) -> None:
    folder = root / 'refcoco'
    for name in ('instances.json', 'refs(unc).p'):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:len(whole) // 2])
        with pytest.raises(BadInputError) as caught:
            samples(root, 'val')
        assert name in str(caught.value) and 'truncated' in str(caught.value)
        (folder / name).write_bytes(whole)
    (folder / 'instances.json').write_text('[]')
    with pytest.raises(BadInputError, match='no COCO instances file'):
        samples(root, 'val')


def test_missing_files_are_named(root: Path) -> None:
    with pytest.raises(BadInputError, match=r'refcoco\+'):
        samples(root, 'val', 'refcoco+')
    (root / 'refcoco' / 'instances.json').unlink()
    with pytest.raises(BadInputError, match=r'instances\.json is missing'):
        samples(root, 'val')
    with pytest.raises(BadInputError, match='no folder'):
        open_dataset('refcoco', root / 'gone')
    with pytest.raises(BadInputError, match='needs --root'):
        open_dataset('folder')
    with pytest.raises(BadInputError, match=', '.join(DATASETS).replace('+', r'\+')):
        open_dataset('coco')


class Attack:
    def __reduce__(self):
        return os.system, ('touch attacked',)


@pytest.mark.parametrize('value', [Attack(), [collections.OrderedDict()], np.float64(1)])
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_pickle_with_foreign_classes_is_refused(tmp_path: Path, value, protocol: int,
                                                monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(BadInputError, match=r'refs\(unc\)\.p names the class'):
        load_pickle(path)
    assert not (tmp_path / 'attacked').exists()


def test_plain_containers_are_read(tmp_path: Path) -> None:
    value = [{'a': (1, 2.5, None, True), 'b': {3}, 'c': frozenset('x')}]
    (tmp_path / 'x.p').write_bytes(pickle.dumps(value, 2))
    assert load_pickle(tmp_path / 'x.p') == value


def test_python_2_strings_fall_back_to_latin_1(tmp_path: Path) -> None:
    path = tmp_path / 'x.p'
    path.write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xe9'\np3\nsa.")   # protocol 0, byte string
    assert load_pickle(path) == [{'sent': 'café'}]


def test_writer_refuses_what_readers_could_not_use(tmp_path: Path) -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    ref = {'ref_id': 1, 'image_id': 1, 'ann_id': 1, 'split': 'val', 'sentences': ['x']}
    for images, objects, refs, match in (
            ([({}, picture)], [], [], 'needs an "id"'),
            ([({'id': 1}, picture[..., 0])], [], [], 'must be'),
            ([({'id': 1}, picture)], [{'id': 3}], [], 'annotation 3 lacks image_id'),
            ([({'id': 1}, picture)], [], [{**ref, 'image_id': 2}], 'was not written'),
            ([({'id': 1}, picture)], [], [{**ref, 'ann_id': None}], 'has no ann_id'),
            ([({'id': 1}, picture)], [], [{'ref_id': 4}], 'reference 4 lacks'),
            ([({'id': 1}, picture)], [], [{**ref, 'x': object()}], 'object cannot be written')):
        with pytest.raises(BadInputError, match=match):
            write_refer(tmp_path, 'd', images, objects, [], refs)
        assert not (tmp_path / 'd').exists()


def test_other_readers_see_plain_refer_files(root: Path) -> None:
    refs = pickle.loads((root / 'refcoco' / 'refs(unc).p').read_bytes())
    assert (root / 'refcoco' / 'refs(unc).p').read_bytes()[:2] == b'\x80\x02'
    assert refs[0]['sentences'][0] == {'sent_id': 0, 'raw': 'The Left Person',
                                       'sent': 'the left person',
                                       'tokens': ['the', 'left', 'person']}
    assert refs[0]['sent_ids'] == [0, 1] and type(refs[0]['ref_id']) is int
    data = json.loads((root / 'refcoco' / 'instances.json').read_text())
    assert {a['id']: a['image_id'] for a in data['annotations']} == OWNERS
    assert {i['file_name'] for i in data['images']} == {
        p.name for p in (root / 'images/mscoco/images/train2014').iterdir()}


# --- expressions ---------------------------------------------------------------------------------

def test_position_rules_differ_on_parts_of_words() -> None:
    assert is_position_substring('The CUP') and not is_position_word('the cup')
    assert is_position_substring('bright laptop') and not is_position_word('bright laptop')
    assert is_position_word('man behind the second car')
    assert not is_position_substring('man behind the second car')
    assert position_shares(['a cup', 'left one']) == {'substring': 1.0, 'words': 0.5}
    assert position_shares([]) == {'substring': None, 'words': None}


# --- PhraseCut -----------------------------------------------------------------------------------

def test_phrasecut_masks_are_filled_with_truncated_vertices(tmp_path: Path) -> None:
    dataset = open_dataset('phrasecut', phrasecut_folder(tmp_path), 'val')
    cups, chimney = dataset.samples()
    np.testing.assert_array_equal(   # outline included: both ends belong to the mask
        cups.mask.load(), box_mask(2, 2, 11, 11) | box_mask(20, 20, 26, 26))
    assert cups.unseen is False and chimney.unseen is True
    assert cups.tags == ('coco', 'multi', 'type:name', 'middle')
    assert chimney.tags == ('unseen', 'single', 'type:attribute', 'large')
    assert chimney.mask.load().sum() == 41 * 31
    assert 'polygon 1 of instance 1 has 1 points' in str(dataset.problems.entries[0])


def test_phrasecut_subsets_by_frequency(tmp_path: Path) -> None:
    phrasecut_folder(tmp_path)
    names = [[f'n{k}', 1000 - k] for k in range(50)] + [['chimney', 2000], ['cup', 1]]
    (tmp_path / 'name_att_rel_count.json').write_text(json.dumps({'name': names}))
    cups, chimney = open_dataset('phrasecut', tmp_path, 'val').samples()
    assert {t for t in chimney.tags if t.startswith('top')} == {'top20', 'top100', 'top500'}
    assert {t for t in cups.tags if t.startswith('top')} == {'top100', 'top500'}


@pytest.mark.parametrize('change, match', [
    (lambda t: [{**t[0], 'Polygons': []}, t[1]], 'means no object'),
    (lambda t: [{**t[0], 'Polygons': [[[[1, 1]]]]}, t[1]], '1 points, 3 are needed'),
    (lambda t: [{**t[0], 'image_id': 99}, t[1]], 'image 99 has no size'),
    (lambda t: [{**t[0], 'phrase': ' '}, t[1]], 'empty phrase'),
    (lambda t: [{'task_id': '7__1'}, t[1]], 'has no image_id, phrase, Polygons'),
    (lambda t: [3, t[1]], 'is a int')])
def test_phrasecut_bad_tasks(tmp_path: Path, change, match: str) -> None:
    phrasecut_folder(tmp_path, change)
    dataset = open_dataset('phrasecut', tmp_path, 'val')
    assert [s.key for s in dataset.samples()] == ['8__1']
    assert match in str(dataset.problems.entries[0])
    assert 'refer_val.json, task 0' in str(dataset.problems.entries[0])
    with pytest.raises(EntryError, match=match):
        open_dataset('phrasecut', tmp_path, 'val', strict=True)


def test_phrasecut_files_and_splits(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r'image_data_split3000\.json is missing'):
        open_dataset('phrasecut', tmp_path, 'val')
    phrasecut_folder(tmp_path)
    (tmp_path / 'image_data_split3000.json').rename(tmp_path / 'image_data_split.json')
    assert open_dataset('phrasecut', tmp_path, 'val').facts['sentences'] == 2
    with pytest.raises(BadInputError, match='train, val, test, miniv'):
        open_dataset('phrasecut', tmp_path, 'testA')
    with pytest.raises(BadInputError, match=r'refer_test\.json is missing'):
        open_dataset('phrasecut', tmp_path, 'test')


# --- plain folder --------------------------------------------------------------------------------

GOOD = {'image': 'i.png', 'mask': None, 'expression': 'a cup'}


def write_folder(root: Path, entries) -> Path:
    (root / 'refs.json').write_text(json.dumps(entries))
    return root


@pytest.mark.parametrize('entry, match', [
    ({'image': 'i.png', 'expression': 'x'}, 'has no mask'),
    ({**GOOD, 'expression': ' '}, 'empty expression'),
    ({**GOOD, 'mask': 3}, 'must be paths'), (7, 'is a int'),
    ({**GOOD, 'id': 0}, 'taken by an earlier entry')])
def test_folder_bad_entries(tmp_path: Path, entry, match: str) -> None:
    write_folder(tmp_path, [{**GOOD, 'id': 0}, entry])
    dataset = open_dataset('folder', tmp_path)
    assert len(list(dataset.samples())) == 1
    assert match in str(dataset.problems.entries[0]) and 'entry 1' in str(
        dataset.problems.entries[0])
    with pytest.raises(EntryError, match=match):
        open_dataset('folder', tmp_path, strict=True)


def test_folder_without_mask_is_an_absent_target(tmp_path: Path) -> None:
    (sample,) = open_dataset('folder', write_folder(tmp_path, [{**GOOD, 'tag': 'x'}])).samples()
    assert sample.kind == 'absent' and sample.tags == ('x',)


def test_folder_damaged(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r'refs\.json is missing'):
        open_dataset('folder', tmp_path)
    write_folder(tmp_path, {'image': 1})
    with pytest.raises(BadInputError, match='holds a dict'):
        open_dataset('folder', tmp_path)
    (tmp_path / 'refs.json').write_text('[{"image":')
    with pytest.raises(BadInputError, match='truncated'):
        open_dataset('folder', tmp_path)
    write_folder(tmp_path, [{**GOOD, 'split': 'val'}])
    with pytest.raises(BadInputError, match="split 'test'"):
        open_dataset('folder', tmp_path, 'test')
    (tmp_path / 'i.png').write_bytes(b'no picture')
    with pytest.raises(EntryError, match=r'i\.png cannot be read'):
        open_dataset('folder', write_folder(tmp_path, [GOOD])).groups[0].open()


SHARED = Path(os.environ.get('RIS_SHARED_DIR', Path(__file__).parents[4] / 'shared'))
PHOTOS = SHARED / 'data' / 'photos_cc'


@pytest.mark.skipif(not PHOTOS.is_dir(), reason='photos_cc is not here (RIS_SHARED_DIR)')
def test_photographs() -> None:
    dataset = open_dataset('folder', PHOTOS, strict=True)
    assert dataset.facts['sentences'] == 118 and dataset.facts['images'] == 36
    areas = {str(e['id']): e['mask_area'] for e in json.loads((PHOTOS / 'refs.json').read_text())}
    for group in dataset.groups:
        opened = group.open()
        for sample in opened.samples:
            mask = sample.mask.load()
            assert mask.shape == opened.image.shape[:2]
            assert mask.sum() == areas[sample.key]


# --- tabletop ------------------------------------------------------------------------------------

def test_tabletop_is_the_same_rendered_and_exported(tmp_path: Path) -> None:
    if importlib.util.find_spec('mujoco') is None:   # imported later, once told how to render
        pytest.skip('mujoco is not installed')
    dataset = open_dataset('tabletop', split='val', scenes=2)
    rendered = [g.open() for g in dataset.groups]
    assert [g.key for g in dataset.groups] == ['80000', '80001']
    images, objects, refs = [], [], []
    for number, opened in enumerate(rendered):
        images.append(({'id': number}, opened.image))
        for sample in opened.samples:
            ann_id = len(objects) + 1 if sample.mask is not None else None
            if sample.mask is not None:
                objects.append({'id': ann_id, 'image_id': number, 'category_id': 1,
                                    'bbox': [0, 0, 1, 1],
                                    'segmentation': masks.encode_rle(sample.mask.load())})
            refs.append({'ref_id': len(refs), 'image_id': number, 'ann_id': ann_id,
                         'split': 'val', 'sentences': [sample.expression],
                         'tag': sample.tags[0], 'answerable': sample.kind == 'answerable',
                         'ann_ids': [1, 2] if sample.kind == 'ambiguous' else [],
                         'unseen': sample.unseen, 'category_id': 1})
    write_refer(tmp_path, 'tabletop', images, objects, [{'id': 1, 'name': 'thing'}], refs)
    exported = [g.open() for g in open_dataset('tabletop', tmp_path, 'val').groups]
    for ours, theirs in zip(rendered, exported, strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        there = {s.expression: s for s in theirs.samples}
        for sample in ours.samples:
            other = there[sample.expression]
            assert (sample.kind, sample.tags, sample.unseen) == (
                other.kind, other.tags, other.unseen)
            if sample.mask is not None:
                np.testing.assert_array_equal(sample.mask.load(), other.mask.load())


def test_tabletop_splits() -> None:
    with pytest.raises(BadInputError, match='val, test, unseen'):
        open_dataset('tabletop', split='train')
    assert len(open_dataset('tabletop').groups) == 1000
