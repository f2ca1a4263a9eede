"""The simulated tabletop as a data set: rendered, exported, and from the command line."""
import importlib.util
import json

import numpy as np
import pytest

if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from ris_ros.cli.main import main
from ris_ros.datasets.base import ArrayMask, UnionMask
from ris_ros.datasets.refer import read_refer
from ris_ros.datasets.registry import open_dataset
from ris_ros.datasets.tabletop_export import export_refer
from ris_ros.simulation import SPLITS, TabletopWorld
from ris_ros.simulation.spec import is_clutter, purpose_of
from ris_ros.types import BadInputError


def test_render_and_export_from_the_command_line(tmp_path, capsys):
    assert main(['tabletop', 'render', '--seed', '80003', '-o', str(tmp_path / 'scene')]) == 0
    truth = json.loads((tmp_path / 'scene' / 'scene.json').read_text())
    assert truth['seed'] == 80003
    assert len(list((tmp_path / 'scene' / 'masks').glob('*.png'))) == len(truth['objects'])
    assert main(['tabletop', 'export', '--scenes', '2', '--first-seed', '80003',
                 '--out', str(tmp_path / 'refer')]) == 0
    capsys.readouterr()
    dataset = read_refer(tmp_path / 'refer', 'tabletop', 'val')
    samples = list(dataset.samples())
    wanted = [e['text'] for e in truth['expressions']]
    assert set(wanted) <= {s.expression for s in samples}
    assert (tmp_path / 'refer' / 'tabletop' / 'depth' / '80003.png').exists()
    with TabletopWorld(80003) as world:
        first = next(s for s in samples if s.expression == wanted[0] and s.image_id == '80003')
        target = world.expressions[0].targets[0]
        np.testing.assert_array_equal(first.mask.load(), world.instances == target)
    assert main(['tabletop', 'render', '--seed', '-3', '-o', str(tmp_path / 'x')]) == 2
    assert 'negative' in capsys.readouterr().err


def test_a_scene_of_a_split_is_rendered_by_its_number(tmp_path, capsys):
    assert main(['tabletop', 'render', '--split', 'clutter_test:2', '-o', str(tmp_path)]) == 0
    said = capsys.readouterr().out
    truth = json.loads((tmp_path / 'scene.json').read_text())
    assert truth['seed'] == 900002 and truth['split'] == 'clutter_test'
    assert 'false_relation' in said and 'ambiguous' in said
    assert {e['kind'] for e in truth['expressions']} == {'answerable', 'ambiguous', 'absent'}


@pytest.mark.parametrize('words, message', [
    (['render'], 'by --seed or by --split'),
    (['render', '--seed', '1', '--split', 'val'], 'by --seed or by --split'),
    (['render', '--split', 'clutter'], 'has no split'),
    (['render', '--split', 'val:-1'], 'after the colon'),
    (['render', '--split', 'test:1000'], '0 to 999'),
    (['export'], 'by --first-seed and --scenes, or by --split'),
    (['export', '--scenes', '2'], 'by --first-seed and --scenes'),
    (['export', '--scenes', '2', '--split', 'val:2'], 'by --first-seed and --scenes'),
    (['export', '--scenes', '0', '--first-seed', '2'], 'at least one'),
    (['export', '--split', 'test:1001'], '1000 scenes'),
    (['export', '--split', 'val:0'], 'cannot be exported'),
    (['export', '--split', 'val:1', '--sentences', '-1'], 'too few')])
def test_scenes_that_do_not_exist_are_refused(tmp_path, capsys, words, message):
    out = ['-o' if words[0] == 'render' else '--out', str(tmp_path / 'out')]
    assert main(['tabletop', *words, *out]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp('export')
    seeds = [SPLITS[f'clutter_{s}'].start for s in ('train', 'val', 'test')]
    export_refer(root, seeds, sentences=40)
    return root


def test_clutter_is_the_same_rendered_and_exported(exported):
    ours = open_dataset('tabletop', split='clutter_test', scenes=1).groups[0].open()
    theirs = open_dataset('tabletop', exported, 'test').groups[0].open()
    np.testing.assert_array_equal(ours.image, theirs.image)
    there = {s.expression: s for s in theirs.samples}
    assert set(there) == {s.expression for s in ours.samples}, 'only training is described'
    several = 0
    for sample in ours.samples:
        other = there[sample.expression]
        assert (sample.kind, sample.tags, sample.unseen) == (other.kind, other.tags, other.unseen)
        assert len(sample.masks) == len(other.masks)
        if sample.kind == 'answerable':
            np.testing.assert_array_equal(sample.mask.load(), other.mask.load())
        else:
            assert sample.mask is None and not sample.masks
        if sample.masks:
            several += 1
            assert 'several' in sample.tags and len(sample.masks) > 1
            for one, two in zip(sample.masks, other.masks, strict=True):
                np.testing.assert_array_equal(one.load(), two.load())
            assert sample.mask.load().sum() == sum(m.load().sum() for m in sample.masks)
            assert sample.object_id.count('+') == len(sample.masks) - 1
    assert several


def test_training_scenes_are_described_object_by_object(exported):
    dataset = read_refer(exported, 'tabletop', 'train')
    group = dataset.groups[0].open()
    assert len(group.samples) > 50 and not dataset.problems.entries
    by_object = {}
    for sample in group.samples:
        if sample.kind == 'answerable':
            by_object.setdefault(sample.object_id, []).append(sample)
    assert len(by_object) >= 5 and max(map(len, by_object.values())) >= 4
    with TabletopWorld(SPLITS['clutter_train'].start) as world:
        instances = world.instances
    for samples in by_object.values():
        masks = [s.mask.load() for s in samples]
        assert all((m == masks[0]).all() for m in masks)
        assert (np.unique(instances[masks[0]]) > 0).all()
    assert {t for s in group.samples for t in s.tags} >= {'attribute', 'negation', 'absent'}
    references = json.loads((exported / 'tabletop' / 'unanswerable(unc).json').read_text())
    assert {r['world'] for r in references} == {'clutter_train', 'clutter_val', 'clutter_test'}
    assert {r['split'] for r in references} == {'train', 'val', 'test'}


def test_a_reference_to_several_objects_needs_all_of_them(exported, tmp_path):
    path = exported / 'tabletop' / 'unanswerable(unc).json'
    references = json.loads(path.read_text())
    several = next(r for r in references if r['answerable'] and r['split'] == 'val')
    whole = path.read_text()
    try:
        several['ann_ids'][-1] = 10**6
        path.write_text(json.dumps(references))
        dataset = read_refer(exported, 'tabletop', 'val')
        assert [str(1000000) in p.message for p in dataset.problems.entries] == [True]
        several['ann_ids'] = []
        path.write_text(json.dumps(references))
        dataset = read_refer(exported, 'tabletop', 'val')
        assert ['means no object' in p.message for p in dataset.problems.entries] == [True]
    finally:
        path.write_text(whole)


def test_splits_keep_to_their_seeds():
    seen = [s for seeds in SPLITS.values() for s in (seeds.start, seeds.stop - 1)]
    assert seen == sorted(seen), 'no seed is in two splits'
    assert SPLITS['test'] == range(100000, 101000) and SPLITS['train'] == range(80000)
    assert SPLITS['clutter_test'].start >= 900000
    assert not any(s.stop > 900000 for n, s in SPLITS.items() if 'train' in n or 'val' in n)
    assert purpose_of(SPLITS['clutter_val'].start) == 'val' and not is_clutter(80000)
    assert len(open_dataset('tabletop', split='clutter_test').groups) == 1000
    assert len(open_dataset('tabletop', split='clutter_val').groups) == 500
    with pytest.raises(BadInputError, match='clutter_test'):
        open_dataset('tabletop', split='clutter_train')


def test_depth_can_be_withheld_from_every_group():
    dataset = open_dataset('tabletop', split='val', scenes=1).without_depth()
    (group,) = dataset.groups
    opened, whole = group.open(), group.group.open()
    assert opened.depth is None and whole.depth is not None
    assert (opened.image == whole.image).all()
    assert [s.key for s in opened.samples] == [s.key for s in whole.samples]
    cut = group.limited(2)
    assert cut.limit == 2 and cut.key == group.key and len(cut.open().samples) == 2
    assert cut.open().view.depth is None


def test_a_union_leaves_its_parts_as_they_are():
    a, b = (ArrayMask(np.arange(4).reshape(2, 2) == k) for k in (0, 3))
    assert UnionMask((a, b)).load().tolist() == [[True, False], [False, True]]
    assert a.array.sum() == b.array.sum() == 1
