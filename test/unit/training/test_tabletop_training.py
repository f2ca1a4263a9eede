import argparse
import dataclasses
import importlib.util
import json
import os
import pickle

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from tabletop_jobs import job_of, with_settings

from ris_ros.models.sam import SamConfig, SamDecoderConfig, SamEncoderConfig
from ris_ros.models.sam_decoder import PointDecoder
from ris_ros.training.engine import checkpoint, muon
from ris_ros.training.engine.draws import as_tensors, draw
from ris_ros.training.engine.fit import fit
from ris_ros.training.engine.optimiser import Optimiser
from ris_ros.training.engine.options import read_settings
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.engine.settings import EngineSettings
from ris_ros.training.engine.task import Task
from ris_ros.training.tabletop import captioner, clip_draws
from ris_ros.training.tabletop import clip as tabletop_clip
from ris_ros.training.tabletop import clip_texts as tabletop_captions
from ris_ros.training.tabletop import clip_views as tabletop_views
from ris_ros.training.tabletop import sam as tabletop_sam
from ris_ros.training.tabletop.captioner_texts import Shown
from ris_ros.training.tabletop.clip_texts import SPOILED, Names, fits
from ris_ros.training.tabletop.proposals import known_proposals
from ris_ros.training.tabletop.sam_draws import SamSource
from ris_ros.training.tabletop.settings import CaptionerSettings, ClipSettings
from ris_ros.training.tabletop.shards import (
    SceneStore,
    render_shards,
    render_splits,
    scene_digest,
)
from ris_ros.types import BadInputError


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp('shards')
    folders = render_shards(root, 80100, 4, workers=1)
    stamp = folders[0].stat().st_mtime_ns
    assert render_shards(root, 80100, 4, workers=1)[0].stat().st_mtime_ns == stamp
    return SceneStore(folders)


def test_store_indexes_visible_objects(store):
    assert len(store) == 4
    for thing in store.things:
        mask = store.instances(thing.scene) == thing.instance
        assert mask.sum() == thing.pixels >= 300
        x0, y0, x1, y1 = thing.box
        assert mask[y0:y1, x0:x1].sum() == thing.pixels


def test_sam_targets_cover_the_object(store):
    source = SamSource(store, tabletop_sam.TABLETOP_SAM, 2, 6)
    rng = np.random.default_rng(0)
    for _ in range(4):
        sample = source.sample(rng)
        assert sample.extent == (192, 256) and not sample.image[192:].any()
        cells = sample.targets.shape[-1]
        for point, target in zip(sample.points, sample.targets, strict=True):
            x, y = (point * cells / 256).astype(int)
            assert target[y, x] > 0, 'the prompt lies in its own target'
            assert target.min() >= 0 and target.max() <= 1 + 1e-6


def test_mask_loss_prefers_the_truth():
    target = torch.zeros(2, 8, 8)
    target[:, 2:5, 2:5] = 1
    right = (target * 20 - 10)[:, None].repeat(1, 3, 1, 1)
    good = tabletop_sam.mask_loss(right, torch.ones(2, 3), target)
    bad = tabletop_sam.mask_loss(-right, torch.ones(2, 3), target)
    assert good < 0.05 < 1 < bad


def test_captions_speak_of_their_own_object():
    rng = np.random.default_rng(3)
    words = set(tabletop_captions.vocabulary())
    for _ in range(300):
        text, said = tabletop_captions.caption(rng, Names('mug', 'red'))
        assert tabletop_captions.fits(said, Names('mug', 'red'))
        assert {w.strip('.,') for w in text.split()} <= words
    table = tabletop_captions.truth_table(
        [[Names('mug', 'red')], [Names('cup', 'blue'), Names('bowl', 'red')]],
        [Names('mug', None), Names(None, 'red'), Names('bowl', 'blue')])
    assert table.tolist() == [[True, True, False], [False, True, False]]


def test_several_true_pairs_share_the_target():
    true = torch.tensor([[True, True, False], [False, False, True]])
    perfect = torch.where(true, 30.0, -30.0)
    assert tabletop_clip.both_ways(perfect, true) < tabletop_clip.both_ways(-perfect, true)
    # Two equally good captions of one picture: half the mass each, hence log 2 for that row.
    assert float(tabletop_clip.both_ways(perfect, true)) == pytest.approx(np.log(2) / 4, abs=1e-3)


@pytest.fixture(scope='module')
def found(store, tmp_path_factory):
    cache = tmp_path_factory.mktemp('proposals')
    first = known_proposals(store, 2, tabletop_views.SIZE, None, cache, 'cpu')
    stamp = [p.stat().st_mtime_ns for p in cache.iterdir()]
    again = known_proposals(store, 2, tabletop_views.SIZE, None, cache, 'cpu')
    assert [p.stat().st_mtime_ns for p in cache.iterdir()] == stamp, 'made once'
    assert (again.packed[:] == first.packed[:]).all()
    return first


def test_proposals_know_what_they_show(store, found):
    assert len(found.good) and set(found.scene) == {0, 1}
    for index in range(len(found.iou)):
        scene, mask = int(found.scene[index]), found.mask(index)
        picture = cv2.resize(np.ascontiguousarray(store.instances(scene)), mask.shape[::-1],
                             interpolation=cv2.INTER_NEAREST)
        truth = picture == found.instance[index]
        iou = (mask & truth).sum() / (mask | truth).sum()
        assert iou == pytest.approx(found.iou[index], abs=0.1)   # made at full size


def test_spoiled_proposals_come_with_the_whole_object(store, found, tmp_path):
    views, rng = tabletop_views.Views(store, tmp_path, found), np.random.default_rng(0)
    scenes, masks, shown = views.regions(rng, 200)
    kinds = [names[0].kind for names in shown]
    spoiled = [i for i, kind in enumerate(kinds[:-1]) if kind == SPOILED]
    assert bool(spoiled) == bool(len(found.bad))
    for i in spoiled:
        assert scenes[i] == scenes[i + 1] and kinds[i + 1] not in (SPOILED, 'table')
        whole = masks[i + 1]
        assert (masks[i] & whole).sum() / (masks[i] | whole).sum() < 0.75
    assert not fits(Names(None, None), Names(SPOILED, None))
    crops, names = views.crops(rng, 9)
    assert crops.shape[0] == len(names) == 9 and crops.any(axis=(1, 2, 3, 4)).all()


@pytest.mark.parametrize('shape', [(12, 12), (24, 8), (8, 24)])
def test_muon_steps_as_torchs_own(shape):
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for _ in range(3)]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    start = [p.detach().clone() for p in ours]
    steps = (muon.Muon(ours, 1e-2, 0.02),
             torch.optim.Muon(theirs, 1e-2, weight_decay=0.02, adjust_lr_fn='match_rms_adamw'))
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(shape)
            b.grad = a.grad.clone()
        for optimiser in steps:
            optimiser.step()
    for a, b, before in zip(ours, theirs, start, strict=True):
        # Torch rounds to bfloat16 on the way.
        assert (a - b).norm() < 0.05 * (b - before).norm()


def test_orthogonalised_matrices_keep_their_directions():
    torch.manual_seed(0)
    x = torch.randn(4, 6, 20)
    left, values, right = torch.linalg.svd(muon.orthogonalised(x), full_matrices=False)
    assert values.min() > 0.5 and values.max() < 1.3
    wanted_left, _, wanted = torch.linalg.svd(x, full_matrices=False)
    nearest = wanted_left @ wanted
    assert (torch.nn.functional.cosine_similarity(
        (left @ right).flatten(1), nearest.flatten(1)) > 0.999).all()
    torch.testing.assert_close(muon.orthogonalised(x.transpose(1, 2)),
                               muon.orthogonalised(x).transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('shape', ['good', 'bad', 'free'])
def test_views_do_without_one_sort_of_proposals(store, found, shape, tmp_path):
    iou, of = {'good': (0.5, 0.5), 'bad': (0.9, 0.9), 'free': (0.7, 0.5)}[shape]
    lacking = dataclasses.replace(found, iou=np.full_like(found.iou, iou),
                                  of=np.full_like(found.of, of))
    assert not len(getattr(lacking, shape))
    views = tabletop_views.Views(store, tmp_path, lacking)
    assert len(views.regions(np.random.default_rng(0), 60)[2]) == 60


class Hidden(Task):
    """Two layers, of which Muon trains the first."""

    name, hidden = 'hidden', ('0.',)

    def __init__(self):
        self.model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 1))

    def loss(self, batch, fraction):
        """Not asked for."""
        raise NotImplementedError


def test_both_optimisers_step_and_resume(tmp_path):
    torch.manual_seed(0)
    settings = EngineSettings(optimiser='muon', weight_decay=0.01, steps=60)
    task = Hidden()
    model, first = task.model, Optimiser(task.groups(settings), settings)
    assert [p.shape for p in first.parts[0].param_groups[0]['params']] == [(5, 6)]
    assert len(first.parameters) == 4
    x, losses = torch.randn(32, 6), []
    first.set_rate(5e-2)
    for _ in range(60):
        loss = (model(x)[:, 0] - x.sum(1)).square().mean()
        first.zero_grad()
        loss.backward()
        first.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    checkpoint.save(tmp_path / 'a.ckpt', {'optimiser': first.state_dict()})
    second = Optimiser(task.groups(settings), settings)
    second.load_state_dict(torch.load(tmp_path / 'a.ckpt', weights_only=True)['optimiser'])
    for a, b in zip(first.parts, second.parts, strict=True):
        assert str(a.state_dict()) == str(b.state_dict())
    other = dataclasses.replace(settings, optimiser='adamw')
    with pytest.raises(BadInputError, match='trained other parameters'):
        Optimiser(task.groups(other), other).load_state_dict(first.state_dict())


def small_clip():
    config = tabletop_clip.tabletop_clip_config()
    config['vision_cfg'] |= {'width': 32, 'layers': 5, 'head_width': 16}
    config['text_cfg'] |= {'width': 32, 'heads': 2, 'layers': 1}
    return config


def test_clip_step_trains_and_the_run_resumes(store, found, tmp_path):
    job = job_of(ClipSettings, store, tmp_path, local=8, hybrid=6, crop=4)
    views, config = tabletop_views.Views(store, tmp_path, found), small_clip()

    def run(job):
        model = tabletop_clip.ClipTrainee(config)
        before = [p.detach().clone() for p in model.parameters()]
        outcome = fit(tabletop_clip.ClipTask(model, config, views, views, job), job.settings,
                      tmp_path, job.runtime)
        return outcome, all((a != b).any() for a, b in zip(before, model.parameters(),
                                                           strict=True))

    outcome, learned = run(job)
    assert learned and outcome.steps == 3
    assert {'local_kind', 'hybrid_both'} <= set(outcome.figures) <= set(ClipSettings.figures)
    longer, _ = run(with_settings(job, steps=5))
    assert longer.steps == 5
    with pytest.raises(BadInputError, match='made with proposals'):
        other = tabletop_views.Views(store, tmp_path, None)
        fit(tabletop_clip.ClipTask(tabletop_clip.ClipTrainee(config), config, other, other, job),
            job.settings, tmp_path, job.runtime)


def test_clip_loss_on_all_patches_is_what_the_methods_compute(store, found, tmp_path):
    """Every patch kept and no colours changed: the encoders are those of inference."""
    from ris_ros.models import vit
    views, config = tabletop_views.Views(store, tmp_path, found), small_clip()
    torch.manual_seed(0)
    model = tabletop_clip.ClipTrainee(config).eval()
    rng = np.random.default_rng(0)
    scenes, masks, _ = views.regions(rng, 3)
    region = as_tensors(clip_draws.region_arrays(rng, views, scenes, masks,
                                                 tabletop_views.GRID**2))
    shown = torch.where(torch.from_numpy(tabletop_views.to_patches(masks))[..., None],
                        model.normalised(region['sharp'], False), region['fill'])
    pixels = torch.from_numpy(tabletop_views.from_patches(shown.numpy())).permute(0, 3, 1, 2)
    with torch.no_grad():
        torch.testing.assert_close(model.local(region, False),
                                   model.clip.encode_image(pixels), rtol=1e-4, atol=1e-5)
        dense = {'pictures': torch.from_numpy(tabletop_views.from_patches(views.sharp[0:2])),
                 'row': torch.tensor([1, 0]), 'weight': torch.eye(tabletop_views.GRID**2)[[5, 9]]}
        torch.manual_seed(1)
        ours = model.dense(dense)
        torch.manual_seed(1)
        whole = model.normalised(dense['pictures'], True).permute(0, 3, 1, 2)
        features = vit.gem_features(model.clip.visual, whole, tabletop_clip.GEM_BLOCKS)
    torch.testing.assert_close(ours, torch.stack([features[1, 5], features[0, 9]]))


def test_written_networks_can_be_checked(tmp_path):
    path = write_network(tmp_path, 'tiny', {'w': torch.ones(3)}, {'a': 1}, {'iou': 0.5})
    record = json.loads((tmp_path / 'tiny.json').read_text())
    assert record['bytes'] == path.stat().st_size and len(record['sha256']) == 64
    assert sorted(p.name for p in tmp_path.iterdir()) == ['tiny.json', 'tiny.safetensors']


TINY_SAM = SamConfig(64, 8, SamEncoderConfig(32, 1, 2, (0,), 4, False, 2.0), 32, 4,
                     SamDecoderConfig(1, 2, 32, 2, 16))


def test_sam_step_lowers_its_loss(store, tmp_path):
    torch.manual_seed(0)
    model = tabletop_sam.SamTrainee(TINY_SAM)
    source = SamSource(store, TINY_SAM, 2, 6)
    batch = draw(source, 0, 0, 0.0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, parts = tabletop_sam.batch_loss(model, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0] and set(parts) == {'objects', 'offsets', 'masks'}
    report = tabletop_sam.validate_masks(model, source, 1)
    assert 0 <= report['iou'] <= report['best_iou'] <= 1
    assert tabletop_sam.validate_masks(model, source, 1) == report


def test_masks_of_several_pictures_are_those_of_each(store):
    torch.manual_seed(0)
    model = tabletop_sam.SamTrainee(TINY_SAM).eval()
    embeddings, points = torch.randn(3, 32, 8, 8), 64 * torch.rand(3, 4, 2)
    with torch.no_grad():
        together = model.masks_of(embeddings, points)
        for i in range(3):
            alone = PointDecoder(model.sam, embeddings[i:i + 1])(points[i])
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[4 * i:4 * i + 4], b, rtol=1e-4, atol=1e-5)


def test_another_picture_or_truth_is_another_store(store):
    class Brighter:
        truths, color = store.truths, staticmethod(lambda scene: store.color(scene) | 1)

    class Fewer:
        truths, color = store.truths[:-1], store.color

    digests = {scene_digest(s) for s in (store, Brighter, Fewer)}
    assert len(digests) == 3 and scene_digest(store) in digests


def test_the_padding_of_a_picture_is_zero(store):
    batch = draw(SamSource(store, TINY_SAM, 2, 3), 0, 0, 0.0)
    model = tabletop_sam.SamTrainee(TINY_SAM)
    plain, changed = (model.normalised(batch['image'], batch['extent'], c) for c in (False, True))
    for x in (plain, changed):
        assert x.shape == (2, 3, 64, 64) and not x[:, :, 48:].any() and x[:, :, :48].std() > 0.1
    assert (plain != changed).any()


def test_sources_are_pure_and_cheap_to_send(store, found, tmp_path):
    """A worker process gets paths and names, not pictures, and draws what the trainer would."""
    job = job_of(ClipSettings, store, tmp_path)
    clip_source = clip_draws.ClipSource(
        tabletop_views.Views(store, tmp_path, found),
        tabletop_clip.tokenizer_for(tabletop_clip.tabletop_clip_config()), job.settings)
    caption_source = captioner.CaptionSource(
        Shown(store), 64, job_of(CaptionerSettings, store, tmp_path).settings)
    for source in (SamSource(store, TINY_SAM, 2, 3), clip_source, caption_source):
        packed = pickle.dumps(source)
        assert len(packed) < 100_000
        sent = pickle.loads(packed)
        for index in (0, 3):
            a, b = (draw(s, 7, index, 0.5) for s in (source, sent))
            assert flat(a) == flat(b)
        assert flat(draw(source, 7, 0, 0.5)) != flat(draw(source, 7, 1, 0.5))


def flat(batch):
    return {k: flat(v) if isinstance(v, dict) else v.numpy().tobytes() for k, v in batch.items()}


@pytest.mark.parametrize(('more', 'message'), [
    (['--device', 'cuda:63'], 'GPU'), (['--set', 'rate=2', '--set', 'ratte=1'], 'did you mean'),
    (['--steps', '3', '--minutes', '2'], 'both are given'), (['--scenes', '0'], '--scenes'),
    (['--init', 'nowhere'], 'nowhere/tabletop_sam.safetensors is not there'),
    (['--set', 'sam.keep_best=itm'], 'there are: iou'),
    (['--networks', 'sam', '--set', 'clip.local=3'], 'clip is not trained')])
def test_what_cannot_be_is_said_before_anything_is_rendered(more, message, tmp_path,
                                                            monkeypatch, capsys):
    from ris_ros.cli.main import main
    from ris_ros.training.tabletop import shards

    def never(*_):
        raise AssertionError('rendered before the settings were looked at')

    monkeypatch.setattr(shards, 'render_shards', never)
    assert main(['train', 'tabletop', '--work', str(tmp_path), *more]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_settings_of_all_networks_are_shown(capsys, tmp_path):
    from ris_ros.cli.main import main
    from ris_ros.training.tabletop.command import TRAINERS
    assert main(['train', 'tabletop', '--show-config']) == 0
    path = tmp_path / 'config.yaml'
    path.write_text(capsys.readouterr().out)
    for name, trainer in TRAINERS.items():
        args = argparse.Namespace(config=path, settings=[])
        assert read_settings(trainer.settings, args, name, tuple(TRAINERS)) == trainer.settings()


def test_sam_is_trained_by_the_command(store, tmp_path, monkeypatch):
    from ris_ros.cli.main import main
    from ris_ros.training.tabletop import shards
    monkeypatch.setattr(tabletop_sam, 'TABLETOP_SAM', TINY_SAM)
    monkeypatch.setattr(shards, 'render_shards', lambda root, *_: [store_folder(store)])
    words = ['train', 'tabletop', '--work', str(tmp_path), '--networks', 'sam', '--steps', '2',
             '--device', 'cpu', '--set', 'images=2', '--set', 'sam.validation_images=1']
    assert main(words) == 0
    record = json.loads((tmp_path / 'weights' / 'tabletop_sam.json').read_text())
    assert set(record['validation']) == {'step', 'seconds', 'iou', 'best_iou'}
    assert main([*words, '--init', str(tmp_path / 'weights')]) == 2, 'another start, same folder'
    torch.manual_seed(5)
    summary = json.loads((tmp_path / 'sam.summary.json').read_text())
    assert summary['settings']['rate'] == 1e-3 and summary['steps'] == 2


def store_folder(store):
    return store._color[0].path.parent


def test_clip_goes_on_from_weights_of_another_grid(tmp_path):
    config = tabletop_clip.tabletop_clip_config()
    config['vision_cfg'] |= {'width': 32, 'layers': 1, 'head_width': 16}
    config['text_cfg'] |= {'width': 32, 'heads': 2, 'layers': 1}
    small = {**config, 'vision_cfg': {**config['vision_cfg'], 'image_size': 160}}
    source = tabletop_clip.build_clip(small)
    write_network(tmp_path, 'tabletop_clip', source.state_dict(), small, {})
    model = tabletop_clip.build_clip(config)
    from open_clip.model import resize_pos_embed
    load_network(tmp_path, 'tabletop_clip', model, resize_pos_embed)
    assert torch.equal(model.visual.conv1.weight, source.visual.conv1.weight)
    grown = model.visual.positional_embedding
    assert grown.shape[0] == 1 + tabletop_views.GRID**2
    assert torch.equal(grown[0], source.visual.positional_embedding[0])
    with pytest.raises(BadInputError, match='missing'):
        load_network(tmp_path / 'nowhere', 'tabletop_clip', model)


def test_only_what_a_dead_process_left_is_removed(tmp_path):
    for pid in (os.getpid(), 2 ** 30):
        (tmp_path / f'.shard_080100.pid{pid}.abcd.tmp').mkdir()
    render_shards(tmp_path, 80100, 0, workers=1)
    assert [p.name for p in tmp_path.iterdir()] == [
        f'.shard_080100.pid{os.getpid()}.abcd.tmp']


def test_shards_keep_settled_poses_and_old_ones_are_told(store, tmp_path, capsys):
    from ris_ros.simulation import TabletopWorld
    truth = store.truths[2]
    with TabletopWorld(truth.seed) as world:
        np.testing.assert_array_equal(truth.poses, world.frame.poses)
        np.testing.assert_array_equal(truth.pixels, world.truth.pixels)
        np.testing.assert_array_equal(store.color(2), world.frame.color)
        put = world.to_camera(np.array([o.position for o in world.spec.objects]))
        assert np.abs(put - truth.xyz).max() > 1e-4, 'as put is not as settled'
    folder, = render_shards(tmp_path, 80100, 1, workers=1)
    old = [{'seed': 80100, 'objects': [{'kind': 'mug'}]}]
    for damage, message in ((json.dumps(old), 'older version'), ('{"format"', 'cannot be read'),
                            (json.dumps({'format': 2, 'scenes': [{}]}), 'render it again')):
        (folder / 'scenes.json').write_text(damage)
        with pytest.raises(BadInputError, match=message):
            SceneStore([folder])
    capsys.readouterr()
    assert render_shards(tmp_path, 80100, 1, workers=1) == [folder]
    assert 'rendering again' in capsys.readouterr().err
    assert len(SceneStore([folder])) == 1


def test_a_shard_of_fewer_scenes_than_wanted_is_rendered_again(tmp_path):
    render_shards(tmp_path, 80100, 1, workers=1)
    assert len(SceneStore(render_shards(tmp_path, 80100, 2, workers=1))) == 2


def test_cluttered_scenes_stand_beside_plain_ones(tmp_path):
    store = render_splits(tmp_path, {'val': 1, 'clutter_val': 1, 'clutter_test': 0}, workers=1)
    assert [t.seed for t in store.truths] == [80000, 280000]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['clutter_val', 'val']
    assert len(store.truths[1]) >= 10 and store.by_scene[1][0].scene == 1
    with pytest.raises(BadInputError, match='1000 scenes'):
        render_splits(tmp_path, {'test': 1001}, workers=1)
