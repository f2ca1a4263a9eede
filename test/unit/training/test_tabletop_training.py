import dataclasses
import importlib.util
import json
import os

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from ris_ros.models.sam import SamConfig, SamDecoderConfig, SamEncoderConfig
from ris_ros.training.engine import loop, muon
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.tabletop import clip as tabletop_clip
from ris_ros.training.tabletop import clip_texts as tabletop_captions
from ris_ros.training.tabletop import clip_views as tabletop_views
from ris_ros.training.tabletop import sam as tabletop_sam
from ris_ros.training.tabletop.clip_texts import SPOILED, Names, fits
from ris_ros.training.tabletop.proposals import known_proposals
from ris_ros.training.tabletop.shards import SceneStore, render_shards
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
    sampler = tabletop_sam.SamSampler(store, tabletop_sam.TABLETOP_SAM, np.random.default_rng(0))
    for _ in range(4):
        sample = sampler.draw()
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
    assert (again.packed == first.packed).all()
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


def test_spoiled_proposals_come_with_the_whole_object(store, found):
    views = tabletop_views.Views(store, np.random.default_rng(0), found)
    scenes, masks, shown = views.regions(200)
    kinds = [names[0].kind for names in shown]
    spoiled = [i for i, kind in enumerate(kinds[:-1]) if kind == SPOILED]
    assert bool(spoiled) == bool(len(found.bad))
    for i in spoiled:
        assert scenes[i] == scenes[i + 1] and kinds[i + 1] not in (SPOILED, 'table')
        whole = masks[i + 1]
        assert (masks[i] & whole).sum() / (masks[i] | whole).sum() < 0.75
    assert not fits(Names(None, None), Names(SPOILED, None))
    crops, names = views.crops(9)
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
def test_views_do_without_one_sort_of_proposals(store, found, shape):
    iou, of = {'good': (0.5, 0.5), 'bad': (0.9, 0.9), 'free': (0.7, 0.5)}[shape]
    lacking = dataclasses.replace(found, iou=np.full_like(found.iou, iou),
                                  of=np.full_like(found.of, of))
    assert not len(getattr(lacking, shape))
    assert len(tabletop_views.Views(store, np.random.default_rng(0), lacking).regions(60)[2]) == 60


def test_both_optimisers_step_and_resume(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 1))
    first, x = muon.MuonAdamW(model, ('0.',), 5e-2, 0.01), torch.randn(32, 6)
    assert [p.shape for p in first.parts[0].param_groups[0]['params']] == [(5, 6)]
    assert sum(len(g['params']) for g in first.param_groups) == 4
    losses = []
    for _ in range(60):
        loss = (model(x)[:, 0] - x.sum(1)).square().mean()
        first.zero_grad()
        loss.backward()
        first.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    loop.save_checkpoint(tmp_path / 'a.ckpt', 60, loop.Budget(1.0), model, first)
    second = muon.MuonAdamW(model, ('0.',), 5e-2, 0.01)
    assert loop.load_checkpoint(tmp_path / 'a.ckpt', loop.Budget(1.0), model, second) == 60
    for a, b in zip(first.parts, second.parts, strict=True):
        assert str(a.state_dict()) == str(b.state_dict())


def test_clip_step_trains_and_the_run_resumes(store, found, tmp_path):
    config = tabletop_clip.tabletop_clip_config()
    config['vision_cfg'] |= {'width': 32, 'layers': 5, 'head_width': 16}
    config['text_cfg'] |= {'width': 32, 'heads': 2, 'layers': 1}
    model = tabletop_clip.ClipTrainee(config)
    views = tabletop_views.Views(store, np.random.default_rng(0), found)
    trainer = tabletop_clip.ClipTrainer(model, config, views, torch.device('cpu'))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    history = loop.train('clip', model, optimiser, loop.Budget(0.02), tmp_path / 'a.ckpt',
                         trainer.loss, lambda: trainer.validate(views, 6), base_rate=1e-3)
    assert any((a != b).any() for a, b in zip(before, model.parameters(), strict=True))
    assert {'local_kind', 'hybrid_both'} <= set(history[-1])
    again = loop.Budget(0.02)
    step = loop.load_checkpoint(tmp_path / 'a.ckpt', again, model, optimiser)
    assert step == history[-1]['step'] and again.fraction == 1


def test_written_networks_can_be_checked(tmp_path):
    path = write_network(tmp_path, 'tiny', {'w': torch.ones(3)}, {'a': 1}, {'iou': 0.5})
    record = json.loads((tmp_path / 'tiny.json').read_text())
    assert record['bytes'] == path.stat().st_size and len(record['sha256']) == 64
    assert sorted(p.name for p in tmp_path.iterdir()) == ['tiny.json', 'tiny.safetensors']


def test_a_missing_gpu_is_an_error():
    if torch.cuda.is_available():
        pytest.skip('this machine has a GPU')
    with pytest.raises(BadInputError, match='no GPU'):
        loop.pick_device('cuda')


def test_sam_step_lowers_its_loss(store):
    torch.manual_seed(0)
    config = SamConfig(64, 8, SamEncoderConfig(32, 1, 2, (0,), 4, False, 2.0), 32, 4,
                       SamDecoderConfig(1, 2, 32, 2, 16))
    model = tabletop_sam.SamTrainee(config)
    sampler = tabletop_sam.SamSampler(store, config, np.random.default_rng(0))
    batch = [sampler.draw() for _ in range(2)]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = tabletop_sam.batch_loss(model, batch, torch.device('cpu'))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    report = tabletop_sam.validate_masks(model, sampler, 1, torch.device('cpu'))
    assert 0 <= report['iou'] <= report['best_iou'] <= 1


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
