"""The merged training set: no picture that is tested on, objects by annotation, b sentences."""
import dataclasses
import json
import pickle

import pytest

pytest.importorskip('torch')
pytest.importorskip('pycocotools')
import numpy as np
import torch
from datasets_fixtures import refer_folder

from ris_ros.datasets.categories import COCO_NAMES, SEEN, UNASSIGNED, UNSEEN
from ris_ros.training.prompt_ris.embeddings import cached_embeddings, stamp_of
from ris_ros.training.prompt_ris.refer_corpus import (
    held_out_images,
    merged,
    open_vocabulary_counts,
    partitions,
)
from ris_ros.training.prompt_ris.sentences import Said, choose, targets_array, without_words
from ris_ros.types import BadInputError

SEEN_NAMES = """
person bicycle car motorcycle train truck boat bench bird horse sheep bear zebra giraffe
backpack handbag suitcase frisbee skis kite surfboard bottle fork spoon bowl banana apple
sandwich orange broccoli carrot pizza donut chair bed toilet tv laptop mouse remote microwave
oven toaster refrigerator book clock vase toothbrush"""
UNSEEN_NAMES = """
airplane bus cat dog cow elephant umbrella tie snowboard skateboard cup knife cake couch
keyboard sink scissors"""


def test_the_open_vocabulary_split():
    assert (len(SEEN), len(UNSEEN), len(UNASSIGNED)) == (48, 17, 15)
    assert len(COCO_NAMES) == 80 and set(COCO_NAMES) == SEEN | UNSEEN | UNASSIGNED
    assert {COCO_NAMES[i] for i in SEEN} == set(SEEN_NAMES.split())
    assert {COCO_NAMES[i] for i in UNSEEN} == set(UNSEEN_NAMES.split())


def test_published_counts_of_the_split():
    """Known from CGFormer's loader; a copy of the data is held to them on load."""
    from ris_ros.datasets.refer_counts import SEEN_UNSEEN
    assert SEEN_UNSEEN['refcoco', 'unc']['val'] == (3175, 445)
    assert SEEN_UNSEEN['refcoco', 'unc']['test'] == (3200, 394)
    assert SEEN_UNSEEN['refcoco+', 'unc'] == {'val': (3171, 444), 'test': (3189, 394)}
    assert SEEN_UNSEEN['refcocog', 'umd'] == {'val': (2000, 386), 'test': (3935, 759)}
    assert SEEN_UNSEEN['refcocog', 'google'] == {'val': (3923, 760)}


# The fixture: picture 1 trains (objects 11, 12), 2 is testA, 3 testB; object 12 is in val too.
@pytest.fixture
def root(tmp_path):
    refer_folder(tmp_path, 'refcoco')
    return tmp_path


def change_refs(root, dataset, change, partition='unc'):
    path = next((root / dataset).glob(f'refs({partition}).p'))
    refs = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(change(refs)))


def only_train(refs):
    """Make picture 1 a training picture, as published splits do: no other split has it."""
    return [{**r, 'split': 'train'} if r['image_id'] == 1 else r for r in refs]


def test_pictures_of_any_other_split_are_left_out(root):
    assert held_out_images(root, ['refcoco']) == {'1', '2', '3'}
    with pytest.raises(BadInputError, match='no picture left'):
        merged(root)
    change_refs(root, 'refcoco', only_train)
    assert held_out_images(root, ['refcoco']) == {'2', '3'}
    corpus = merged(root)
    assert [p.key for p in corpus.pictures] == ['1']
    assert corpus.facts['images'] == 1 and corpus.facts['objects'] == 2


def test_another_data_set_on_the_same_pictures_holds_them_out(root):
    """RefCOCOg's test pictures may be RefCOCO's training pictures: all are COCO's train2014."""
    change_refs(root, 'refcoco', only_train)
    refer_folder(root, 'refcocog')
    unc = next((root / 'refcocog').glob('refs*.p'))
    umd = unc.with_name('refs(umd).p')
    unc.rename(umd)
    for held, left in (({1}, set()), ({2}, {'1'})):
        change_refs(root, 'refcocog', lambda refs, held=held: [
            {**r, 'split': 'val' if r['image_id'] in held else 'train'} for r in refs], 'umd')
        assert partitions(root, 'refcocog') == ['umd']
        for merge in ((), ['refcoco']):     # also where only one of them is trained on
            if left:
                assert {p.key for p in merged(root, merge).pictures} == left
            else:
                with pytest.raises(BadInputError, match='no picture left'):
                    merged(root, merge)


def test_objects_are_joined_by_their_annotation(root):
    change_refs(root, 'refcoco', only_train)
    refer_folder(root, 'refcoco+')
    change_refs(root, 'refcoco+', lambda refs: [
        {**r, 'ref_id': r['ref_id'] + 1000} for r in only_train(refs)])
    picture, = merged(root).pictures
    assert set(picture.masks) == {11, 12}
    targets = {said.targets for said in picture.sentences}
    assert targets == {(11,), (12,)}
    # The same words in two data sets are two sentences, in two partitions of one only one.
    assert sum(s.text == 'person' for s in picture.sentences) == 2
    text = picture.masks[11].load()
    assert text.shape == picture.size and text.any()


def test_a_partition_more_adds_no_sentence_twice(root):
    change_refs(root, 'refcoco', only_train)
    before = merged(root)
    unc = root / 'refcoco' / 'refs(unc).p'
    (root / 'refcoco' / 'refs(google).p').write_bytes(unc.read_bytes())
    after = merged(root)
    assert len(after.pictures[0].sentences) == len(before.pictures[0].sentences)
    assert after.facts['repeated_sentences'] == before.facts['sentences']


def test_seen_categories_alone(root):
    """Object 11 is a person (seen), 12 an airplane (unseen)."""
    change_refs(root, 'refcoco', only_train)
    corpus = merged(root, seen_only=True)
    assert {s.targets for s in corpus.pictures[0].sentences} == {(11,)}
    assert corpus.facts['unseen_sentences'] > 0
    counts = open_vocabulary_counts(root, 'refcoco', 'unc')
    assert counts == {'seen': 1, 'unseen': 2, 'neither': 0}


def test_missing_data_sets(tmp_path):
    with pytest.raises(BadInputError, match='holds none of refcoco'):
        merged(tmp_path)
    refer_folder(tmp_path, 'refcoco')
    with pytest.raises(BadInputError, match='refcocog is missing'):
        merged(tmp_path, ['refcoco', 'refcocog'])


# ---------------------------------------------------------------- b sentences
def test_every_sentence_before_any_again():
    said = [Said(f'word{i} a b c', (i,)) for i in range(3)]
    rng = np.random.default_rng(0)
    assert {s.targets for s in choose(said, 3, 0.5, rng)} == {(0,), (1,), (2,)}
    for _ in range(20):
        chosen = choose(said, 7, 0.5, rng)
        assert len(chosen) == 7 and {s.text for s in chosen[:3]} == {s.text for s in said}
        for again in chosen[3:]:
            whole = next(s.text for s in said if s.targets == again.targets)
            assert set(again.text.split()) <= set(whole.split()) and again.text
    assert len({s.text for s in choose(said[:1], 30, 0.5, rng)}) > 3


def test_one_word_always_stays():
    rng = np.random.default_rng(0)
    assert all(len(without_words('a b', 0.9, rng).split()) >= 1 for _ in range(200))
    assert without_words('mug', 0.9, rng) == 'mug'
    kept = [len(without_words('a b c d e f g h i j', 0.2, rng).split()) for _ in range(500)]
    assert abs(np.mean(kept) - 8) < 0.2


def test_targets_as_numbers():
    made = targets_array([Said('a', ()), Said('b', (4,)), Said('c', tuple(range(1, 20)))])
    assert made.shape == (3, 8) and made[0].tolist() == [-1] * 8
    assert made[1].tolist() == [4] + [-1] * 7 and made[2].tolist() == list(range(1, 9))


# ---------------------------------------------------------------- embeddings on disk
class Counter:
    """Embeds picture r as r everywhere, and remembers which it was asked for."""

    def __init__(self, stop_after=None):
        self.asked, self.stop_after = [], stop_after

    def __call__(self, rows):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += list(rows)
        return torch.tensor([float(r) for r in rows])[:, None, None, None].expand(-1, 2, 3, 3)


def stamp(**changes):
    from torch import nn
    torch.manual_seed(0)
    return {**stamp_of(nn.Linear(2, 2), [f'p{i}' for i in range(10)], 'square'), **changes}


def test_embeddings_are_made_once_and_gone_on_with(tmp_path):
    first = Counter(stop_after=6)
    with pytest.raises(KeyboardInterrupt):
        cached_embeddings(tmp_path / 'e', stamp(), (2, 3, 3), first, batch=2, flush=1)
    assert first.asked == [0, 1, 2, 3, 4, 5]
    second = Counter()
    found = cached_embeddings(tmp_path / 'e', stamp(), (2, 3, 3), second, batch=2, flush=1)
    assert second.asked == [6, 7, 8, 9]
    assert found.shape == (10, 2, 3, 3) and found[:][:, 0, 0, 0].tolist() == list(range(10))
    assert found[3].dtype == np.float16
    third = Counter()
    cached_embeddings(tmp_path / 'e', stamp(), (2, 3, 3), third)
    assert third.asked == []


def test_embeddings_of_something_else_are_refused(tmp_path):
    cached_embeddings(tmp_path / 'e', stamp(), (2, 3, 3), Counter())
    with pytest.raises(BadInputError, match='other encoder'):
        cached_embeddings(tmp_path / 'e', stamp(encoder='x'), (2, 3, 3), Counter())
    (tmp_path / 'e' / 'progress.json').write_text('{')
    with pytest.raises(BadInputError, match='cannot be read'):
        cached_embeddings(tmp_path / 'e', stamp(), (2, 3, 3), Counter())
    (tmp_path / 'e' / 'progress.json').write_text(json.dumps({'stamp': stamp(), 'done': 10}))
    (tmp_path / 'e' / 'embeddings.npy').unlink()
    with pytest.raises(BadInputError, match='is missing'):
        cached_embeddings(tmp_path / 'e', stamp(), (2, 3, 3), Counter())


# ---------------------------------------------------------------- batches
def test_a_batch_of_a_refer_data_set(root):
    from prompt_ris_networks import clip_config

    from ris_ros.methods.prompt_ris.layout import Layout
    from ris_ros.models.clip import tokenizer_for
    from ris_ros.training.prompt_ris.frames import DrawnFrames
    from ris_ros.training.prompt_ris.sources import ReferSource
    change_refs(root, 'refcoco', only_train)
    corpus = merged(root)
    layout = Layout.of((40, 60), 'stretch', 64, 16, 64, 8)
    source = ReferSource(corpus.pictures, tokenizer_for(clip_config()), 12, layout, 2, 4, 0.2, 0)
    batch = source.draw(np.random.default_rng(0), 0, 0.0)
    assert batch['pixels'].shape == (2, 3, 64, 64) and batch['sam'].shape == (2, 3, 64, 64)
    assert batch['masks'].shape == (8, 32, 32) and batch['tokens'].shape == (8, 12)
    frames = DrawnFrames(layout, lambda pixels: pixels)
    truth = frames.truth(batch, 1)
    for row, target in enumerate(batch['targets'][:, 0]):
        mask = corpus.pictures[0].masks[int(target)].load()
        share = truth[row].mean().item()
        assert share == pytest.approx(mask.mean(), abs=0.01)
    assert torch.equal(frames.shown(batch).embeddings(), batch['sam'].float())
    again = source.draw(np.random.default_rng(0), 0, 0.0)
    assert all(torch.equal(torch.as_tensor(batch[k]), torch.as_tensor(again[k])) for k in batch)


def test_a_picture_of_another_size(root):
    from PIL import Image

    from ris_ros.training.prompt_ris.sources import read_pixels
    change_refs(root, 'refcoco', only_train)
    picture, = merged(root).pictures
    Image.new('RGB', (9, 7)).save(picture.path)
    with pytest.raises(BadInputError, match='is 9x7, its annotations are for 60x40'):
        read_pixels(picture)
    with pytest.raises(BadInputError, match='missing'):
        read_pixels(dataclasses.replace(picture, path=picture.path.with_name('no.jpg')))
