"""What PCNet's training is given: sentences, colours, packed proposals, and nothing else."""
import builtins
import gzip
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
import datasets_fixtures
import pcnet_training as made_up
import prompt_ris_training

from ris_ros.methods.pcnet.settings import PCNetSettings
from ris_ros.models.proposals import Proposals, boxes_of
from ris_ros.training.pcnet import pairs as pair_files
from ris_ros.training.pcnet.contraries import contrary
from ris_ros.training.pcnet.cues import cues_of, with_cues
from ris_ros.training.pcnet.drawing import Drawing, PairsSource
from ris_ros.training.pcnet.pairs import Pairs, Picture, Said, check_cues, read_pairs, write_pairs
from ris_ros.training.pcnet.proposals import (
    PART,
    Unpacker,
    count_of,
    packed,
    stamp_of,
    stored_proposals,
)
from ris_ros.training.pcnet.sources import ShardPictures, check_rows, read_refer_pairs
from ris_ros.training.pcnet.validation import read_questions, write_questions
from ris_ros.types import BadInputError


@pytest.fixture
def root(tmp_path):
    datasets_fixtures.refer_folder(tmp_path)
    return tmp_path


# ---- masks and boxes are out of reach -----------------------------------------------------------

FORBIDDEN = ('segmentation', 'bbox', 'instances.npy', 'scenes.json', 'MaskSource', 'CocoMask',
             'ArrayMask', 'SceneStore', 'SceneTruth', 'datasets.masks')


def everything_in(value, found=None):
    """Return all objects that can be reached from one."""
    found = {} if found is None else found
    if id(value) in found or isinstance(value, type | str | bytes | int | float | np.ndarray):
        return found
    found[id(value)] = value
    inner = []
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(value)
    elif hasattr(value, '__dict__'):
        inner = list(vars(value).values())
    for one in inner:
        everything_in(one, found)
    return found


def source_over(pairs, pictures):
    return PairsSource(pairs, pictures, np.ones((len(pairs.texts()), 4), np.int32),
                       Drawing(2, 1, 3, 'picture', image_size=64))


def test_what_refer_data_give_to_training_has_no_mask_and_no_box(root):
    pairs, pictures = read_refer_pairs(root, 'refcoco')
    pairs = with_cues(pairs, {s.text: (s.text,) * 5 for p in pairs.pictures for s in p.said})
    source = source_over(pairs, pictures)
    packed_up = pickle.dumps(source)
    for word in FORBIDDEN:
        assert word.encode() not in packed_up, word
    allowed = {'PairsSource', 'Drawing', 'FilePictures', 'dict', 'list', 'tuple'}
    kinds = {type(v).__name__ for v in everything_in(source).values()}
    assert kinds - {'PosixPath', 'NoneType', 'ndarray'} <= allowed, kinds
    for name, value in vars(source).items():
        if isinstance(value, np.ndarray):     # numbers of texts, rows of pictures
            assert (value.ndim <= 2 and value.shape[-1] <= 8) or name == 'tokens'


def test_reading_refer_data_builds_no_annotation(root, monkeypatch):
    """Not even their polygons are kept while the file is parsed."""
    from ris_ros.datasets import masks
    for name in ('polygon_faults', 'usable_polygons', 'has_overlap'):
        monkeypatch.setattr(masks, name, lambda *_: pytest.fail('a mask was looked at'))
    kept = []
    original = json.loads
    monkeypatch.setattr(json, 'loads', lambda *a, **k: kept.append(original(*a, **k)) or kept[-1])
    read_refer_pairs(root, 'refcoco')
    assert kept and all(a is None for a in kept[-1]['annotations'])
    assert len(kept[-1]['images']) == 3


def test_of_a_shard_nothing_but_its_colours_is_opened(tmp_path, monkeypatch):
    prompt_ris_training.shards(tmp_path, range(4))
    opened = []
    for module, name in ((builtins, 'open'), (io, 'open')):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, *a, _o=original, **k: opened.append(
            str(path)) or _o(path, *a, **k))
    load = np.load
    monkeypatch.setattr(np, 'load', lambda path, *a, **k: opened.append(str(path)) or load(
        path, *a, **k))
    pictures = ShardPictures(sorted(tmp_path.glob('shard_*')))
    assert pictures.keys == ('0', '1', '2', '3') and pictures.read(2).shape == (480, 640, 3)
    said = Said('a', 'the box', ('box',) * 3)
    source = source_over(Pairs('p', [Picture(str(r), r, (said,)) for r in range(4)]), pictures)
    again = pickle.loads(pickle.dumps(source))
    again.draw(np.random.default_rng(0), 0, 0.0)
    names = {Path(path).name for path in opened if 'shard_' in path}
    assert names == {'color.npy'}
    reached = everything_in(again).values()
    paths = {str(v.path) for v in reached if hasattr(v, 'path')}
    assert paths and all(path.endswith('color.npy') for path in paths)


def test_a_shard_that_has_colours_alone_is_enough(tmp_path):
    prompt_ris_training.shards(tmp_path, range(2))
    for name in ('instances.npy', 'scenes.json'):
        (tmp_path / 'shard_000000' / name).unlink()
    assert len(ShardPictures([tmp_path / 'shard_000000'])) == 2


# ---- data sets ----------------------------------------------------------------------------------

def test_refer_data(root):
    pairs, pictures = read_refer_pairs(root, 'refcoco')
    assert [p.key for p in pairs.pictures] == ['1'] and pictures.keys == ('1',)
    said = pairs.pictures[0].said
    assert [s.text for s in said] == ['the left person', 'person', 'the airplane']
    assert [len(group) for group in pairs.pictures[0].references()] == [2, 1]
    assert pictures.read(0).shape == (40, 60, 3)


@pytest.mark.parametrize('break_it, said', [
    (lambda root: (root / 'refcoco' / 'refs(unc).p').unlink(), 'refs'),
    (lambda root: (root / 'refcoco' / 'instances.json').unlink(), 'instances.json'),
    (lambda root: (root / 'refcoco' / 'instances.json').write_text('{"images": ['), 'truncated'),
    (lambda root: (root / 'refcoco' / 'instances.json').write_text('[]'), 'list of images'),
    (lambda root: [p.unlink() for p in root.rglob('*.png')], 'is missing'),
    (lambda root: __import__('shutil').rmtree(root / 'images'), 'missing')])
def test_missing_parts_of_a_data_set(root, break_it, said):
    break_it(root)
    with pytest.raises(BadInputError, match=said):
        read_refer_pairs(root, 'refcoco')


def test_a_split_without_references(root):
    with pytest.raises(BadInputError, match='no usable reference'):
        read_refer_pairs(root, 'refcoco', 'testC')


def test_sentences_of_other_pictures_are_refused(tmp_path):
    prompt_ris_training.shards(tmp_path, range(2))
    pictures = ShardPictures([tmp_path / 'shard_000000'])
    said = (Said('a', 'the box', ('box',) * 3),)
    check_rows(Pairs('p', [Picture('1', 1, said)]), pictures)
    for wrong in (Picture('0', 1, said), Picture('9', 9, said)):
        with pytest.raises(BadInputError, match='are for row'):
            check_rows(Pairs('p', [wrong]), pictures)


# ---- files of sentences -------------------------------------------------------------------------

def test_pairs_come_back(tmp_path):
    pairs = made_up.pairs_of(made_up.Squares(3))
    path = tmp_path / 'p.json.gz'
    write_pairs(path, pairs)
    again = read_pairs(path)
    assert again.pictures == pairs.pictures and again.digest == pairs.digest
    first = path.read_bytes()
    write_pairs(path, again)
    assert path.read_bytes() == first


@pytest.mark.parametrize('change', [
    lambda data: data[:-20], lambda data: b'', lambda data: b'not gzip',
    lambda data: gzip.compress(b'{"format": 7}'), lambda data: gzip.compress(b'[]'),
    lambda data: gzip.compress(gzip.decompress(data).replace(b'"texts":[', b'"texts":["x",'
                                                             )[:-40])])
def test_a_damaged_file_of_sentences_is_refused(tmp_path, change):
    path = tmp_path / 'p.json.gz'
    write_pairs(path, made_up.pairs_of(made_up.Squares(3)))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BadInputError, match='ris train pcnet --stage sentences'):
        read_pairs(path)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(BadInputError, match='--stage sentences'):
        read_pairs(tmp_path / 'none.json.gz')
    with pytest.raises(BadInputError, match='--stage sentences'):
        read_questions(tmp_path / 'none.json.gz')


def test_questions_come_back(tmp_path):
    questions = made_up.questions_of(made_up.Squares(2))
    write_questions(tmp_path / 'q.json.gz', questions, 'squares')
    assert read_questions(tmp_path / 'q.json.gz') == ('squares', questions)
    data = (tmp_path / 'q.json.gz').read_bytes()
    (tmp_path / 'q.json.gz').write_bytes(data[:-10])
    with pytest.raises(BadInputError, match='no whole file'):
        read_questions(tmp_path / 'q.json.gz')


def test_a_sentence_without_cues_is_named():
    for cues in ((), ('box',), ('box', ' ', 'x')):
        pairs = Pairs('p', [Picture('7', 0, (Said('a', 'the red box', cues),))])
        with pytest.raises(BadInputError, match="picture 7: the sentence 'the red box'"):
            check_cues(pairs, 3)
    check_cues(Pairs('p', [Picture('7', 0, (Said('a', 'the red box', ()),))]), 1)


def test_nothing_to_learn_from():
    with pytest.raises(BadInputError, match='no sentence'):
        Pairs('p', [Picture('7', 0, ())])


def test_pictures_with_one_object_are_told():
    said = (Said('a', 'the box', ('box',) * 3), Said('a', 'box', ('box',) * 3))
    assert '1 pictures have one object' in pair_files.summary(Pairs('p', [Picture('7', 0, said)]))


# ---- cues ---------------------------------------------------------------------------------------

def test_cues_are_worked_out_once(tmp_path, monkeypatch):
    pytest.importorskip('spacy')
    from ris_ros.training.pcnet import cues as module
    kept, calls = tmp_path / 'cues.json', []
    original = module.rule_cues
    monkeypatch.setattr(module, 'rule_cues', lambda doc: calls.append(1) or original(doc))
    texts = ['the red mug', 'the bowl left of the box', 'the red mug']
    first = cues_of(texts, kept)
    assert first['the red mug'][:2] == ('mug', 'red mug') and len(calls) == 2
    assert cues_of(['the red mug'], kept) == {'the red mug': first['the red mug']}
    assert len(calls) == 2
    cues_of([*texts, 'the can'], kept)
    assert len(calls) == 3
    with pytest.raises(BadInputError, match='were made by the rules'):
        cues_of(texts, kept, model='some-chat')
    kept.write_text(kept.read_text()[:-5])
    with pytest.raises(BadInputError, match='no whole file of cues'):
        cues_of(texts, kept)
    kept.write_text('{"model": "", "cues": {"the red mug": ["mug"]}}')
    with pytest.raises(BadInputError, match='has no 5 cues'):
        cues_of(texts, kept)


@pytest.mark.parametrize('text, expected', [
    ('the mug on the left', 'the mug on the right'),
    ('the biggest box', 'the smallest box'), ('red mug', ''),
    ('the cup behind the can', 'the cup in front of the can'),
    ('the mug right next to the bowl', ''), ('the mug on top of the book', ''),
    ('the top left mug', 'the bottom left mug'), ('the larger of the books',
                                                  'the smaller of the books'),
    ('the mug right of the box on top of the book', 'the mug left of the box on top of the book'),
    ('bright mug', ''), ('the back of the chair', '')])
def test_contraries(text, expected):
    assert contrary(text) == expected


# ---- proposals ----------------------------------------------------------------------------------

class Counting:
    """A proposer that counts, and may stop half-way."""

    def __init__(self, masks, stop=None):
        self.masks, self.stop, self.calls = masks, stop, 0

    def __call__(self, view):
        self.calls += 1
        if self.calls == self.stop:
            raise KeyboardInterrupt
        masks = torch.from_numpy(self.masks)
        return Proposals(masks, boxes_of(masks), torch.ones(len(masks)), torch.ones(len(masks)))


SETTINGS = PCNetSettings(most_proposals=5, min_mask_region_area=20)


def test_packing_keeps_the_largest_and_fills_up():
    masks = np.zeros((4, 64, 96), bool)
    masks[0, :4, :4] = masks[1, :32] = masks[2, :, :48] = True
    masks[3, 0, :15] = True                                # below the smallest area
    masks = torch.from_numpy(masks)
    bits = packed(Proposals(masks, boxes_of(masks), torch.ones(4), torch.ones(4)), 5, 16)
    assert bits.shape == (5, 32, 4) and bits.nbytes == 5 * 128
    found = Unpacker('cpu')(torch.from_numpy(bits)[None])[0]
    # Equal areas keep their order.
    assert found[0, :16].all() and not found[0, 16:].any()
    assert found[1, :, :16].all() and found[2].sum() == 2 * 2 and not found[3:].any()
    assert count_of(bits[None]).tolist() == [3]
    none = packed(Proposals(masks[:0], boxes_of(masks[:0]), torch.ones(0), torch.ones(0)), 5, 1)
    assert not none.any()


def test_the_papers_forty_take_five_kilobytes():
    assert packed(Proposals(torch.zeros(0, 8, 8, dtype=torch.bool), torch.zeros(0, 4),
                            torch.ones(0), torch.ones(0)), 40, 1).nbytes == 40 * 32 * 32 // 8


def test_proposals_go_on_where_they_stopped(tmp_path):
    squares = made_up.Squares(2 * PART + 7)
    stamp = stamp_of(squares.keys, 'sam', SETTINGS)
    stopped = Counting(squares.masks(), stop=PART + 50)
    with pytest.raises(KeyboardInterrupt):
        stored_proposals(tmp_path, stamp, squares, stopped)
    assert len(list(tmp_path.glob('part_*'))) == 1 and not list(tmp_path.glob('.*tmp*'))
    rest = Counting(squares.masks())
    found = stored_proposals(tmp_path, stamp, squares, rest)
    assert rest.calls == PART + 7 and found.shape == (2 * PART + 7, 5, 32, 4)
    assert (count_of(found) == 2).all()
    again = Counting(squares.masks())
    assert np.array_equal(stored_proposals(tmp_path, stamp, squares, again), found)
    assert not again.calls
    assert np.array_equal(stored_proposals(tmp_path, stamp, squares, None), found)


def test_proposals_of_something_else_are_refused(tmp_path):
    squares = made_up.Squares(3)
    stored_proposals(tmp_path, stamp_of(squares.keys, 'sam', SETTINGS), squares,
                     Counting(squares.masks()))
    import dataclasses
    others = {'sam': stamp_of(squares.keys, 'other', SETTINGS),
              'keys': stamp_of(('7', '8', '9'), 'sam', SETTINGS),
              'points_per_side': stamp_of(squares.keys, 'sam', dataclasses.replace(
                  SETTINGS, points_per_side=4))}
    for what, stamp in others.items():
        with pytest.raises(BadInputError, match=what):
            stored_proposals(tmp_path, stamp, squares, None)


@pytest.mark.parametrize('damage, said', [
    (lambda p: p.write_bytes(p.read_bytes()[:-10]), 'is damaged'),
    (lambda p: np.save(p, np.zeros((3, 4, 32, 4), np.uint8)), 'is damaged'),
    (lambda p: p.unlink(), '--stage proposals')])
def test_damaged_proposals_are_refused(tmp_path, damage, said):
    squares = made_up.Squares(3)
    stamp = stamp_of(squares.keys, 'sam', SETTINGS)
    stored_proposals(tmp_path, stamp, squares, Counting(squares.masks()))
    damage(tmp_path / 'part_0000000.npy')
    with pytest.raises(BadInputError, match=said):
        stored_proposals(tmp_path, stamp, squares, None)


KILLED = """
import sys, os
sys.path[:0] = {paths!r}
import numpy as np, torch
import pcnet_training as made_up
from ris_ros.training.pcnet.proposals import stored_proposals, stamp_of
from ris_ros.models.proposals import Proposals, boxes_of
from ris_ros.methods.pcnet.settings import PCNetSettings
from pathlib import Path
squares, calls = made_up.Squares(260), []
def propose(view):
    calls.append(1)
    if len(calls) == 250:
        os.kill(os.getpid(), 9)
    masks = torch.from_numpy(squares.masks())
    return Proposals(masks, boxes_of(masks), torch.ones(2), torch.ones(2))
stored_proposals(Path({folder!r}), stamp_of(squares.keys, 'sam', PCNetSettings(
    most_proposals=5, min_mask_region_area=20)), squares, propose)
"""


def test_killed_while_proposing(tmp_path):
    """What was whole stays, nothing half-written is taken for it, and the next run goes on."""
    root = Path(__file__).parents[3]
    script = KILLED.format(paths=[str(root), str(root / 'test' / 'support')],
                           folder=str(tmp_path))
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, timeout=120,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == -signal.SIGKILL
    squares = made_up.Squares(260)
    rest = Counting(squares.masks())
    found = stored_proposals(tmp_path, stamp_of(squares.keys, 'sam', SETTINGS), squares, rest)
    assert rest.calls == 60 and (count_of(found) == 2).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *(f'part_{start:07d}.npy' for start in range(0, 260, PART)), 'stamp.json']
