"""The small matcher's training: statements that are true, batches, losses, the finished files."""
import argparse
import json
import pickle

import numpy as np
import pytest

torch = pytest.importorskip('torch')
for library in ('cv2', 'PIL', 'tqdm', 'safetensors'):
    pytest.importorskip(library)

import torch.nn.functional as F
from tabletop_jobs import job_of

from ris_ros.models.albef import Albef, AlbefConfig, attention_gradient
from ris_ros.models.matcher import Matcher
from ris_ros.models.weights import WeightStore
from ris_ros.models.wordpiece import WordPiece
from ris_ros.profiles import Networks, get_profile
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.simulation.expressions import POSITION_FORMS, RELATION_FORMS
from ris_ros.simulation.model import look_at_rotation
from ris_ros.simulation.scene import sample_scene
from ris_ros.simulation.truth import SceneTruth
from ris_ros.training.engine.draws import as_tensors, draw
from ris_ros.training.engine.package import write_network
from ris_ros.training.tabletop import matcher as tm
from ris_ros.training.tabletop.matcher_data import IGNORE, MatcherSource, Pictures
from ris_ros.training.tabletop.matcher_report import plan_of, report_on
from ris_ros.training.tabletop.matcher_start import start_from_clip
from ris_ros.training.tabletop.settings import MatcherSettings
from ris_ros.training.tabletop.statements import (
    FOREIGN,
    Speaker,
    matcher_vocabulary,
)

SMALL = {'image_size': 80, 'patch': 16, 'vision_width': 16, 'vision_depth': 1, 'vision_heads': 2,
         'text_width': 16, 'text_layers': 6, 'fusion_layer': 1, 'heads': 2, 'intermediate': 32}


class DrawnStore:
    """Scenes of the simulator's seeds, drawn as discs where things were put."""

    def __init__(self, seeds):
        self.specs = [sample_scene(seed) for seed in seeds]
        self.truths = [SceneTruth.observe(spec, self.instances(i), self.places(i))
                       for i, spec in enumerate(self.specs)]

    def __len__(self):
        return len(self.specs)

    def places(self, scene):
        spec = self.specs[scene]
        turn = look_at_rotation(spec) @ np.diag([1.0, -1.0, -1.0])
        return (np.array([o.position for o in spec.objects]) - np.array(spec.eye)) @ turn

    def instances(self, scene):
        out = np.zeros((480, 640), np.uint8)
        rows, columns = np.mgrid[:480, :640]
        camera, places = self.specs[scene].camera, self.places(scene)
        for i in np.argsort(-places[:, 2]):
            x, y = (camera.fx * places[i, 0] / places[i, 2] + 320,
                    camera.fy * places[i, 1] / places[i, 2] + 240)
            out[(rows - y) ** 2 + (columns - x) ** 2 < 34**2] = i + 1
        return out

    def color(self, scene):
        table = np.full((480, 640, 3), 120, np.uint8)
        instances = self.instances(scene)
        for i, o in enumerate(self.specs[scene].objects):
            table[instances == i + 1] = np.array(o.rgb) * 255
        return table


@pytest.fixture(scope='module')
def store():
    return DrawnStore(range(6))


@pytest.fixture(scope='module')
def config():
    torch.set_num_threads(1)
    return {**tm.tabletop_matcher_config(), **SMALL}


@pytest.fixture(scope='module')
def tokenizer(config):
    return WordPiece(config['vocabulary'])


@pytest.fixture(scope='module')
def pictures(store, tmp_path_factory):
    return Pictures(store, 80, 16, tmp_path_factory.mktemp('pictures'))


def task_of(config, pictures, tokenizer, store, work):
    torch.manual_seed(0)
    job = job_of(MatcherSettings, store, work, scenes=2, statements=4, kept=20,
                 validation_scenes=2)
    return tm.MatcherTask(tm.MatcherTrainee(config), tokenizer, pictures, job)


def statements(store, number=80):
    for scene, truth in enumerate(store.truths):
        for seen in (truth, truth.mirrored()):
            speaker = Speaker(seen, np.random.default_rng(scene))
            for _ in range(number):
                yield seen, speaker.draw()


# Written down again here from what the words mean, in pixels and metres, pair by pair.
RELATION_RULES = {
    'left': lambda a, b: (b['x'] - a['x']) / 40, 'right': lambda a, b: (a['x'] - b['x']) / 40,
    'behind': lambda a, b: (a['z'] - b['z']) / 0.05,
    'front': lambda a, b: (b['z'] - a['z']) / 0.05,
    'on': lambda a, b: 2 if a['on'] == b['id'] and not a['in'] else -2,
    'inside': lambda a, b: 2 if a['on'] == b['id'] and a['in'] else -2,
    'next_to': lambda a, b: (0.16 - np.sqrt(((a['at'] - b['at']) ** 2).sum())) / 0.04}
POSITION_RULES = {'left': lambda o: -o['x'], 'right': lambda o: o['x'], 'top': lambda o: -o['y'],
                  'bottom': lambda o: o['y']}


def things(truth):
    return {i + 1: {'id': i + 1, 'x': truth.centres[i, 0], 'y': truth.centres[i, 1],
                    'at': truth.poses[i, :3], 'z': truth.poses[i, 2], 'scale': truth.scales[i],
                    'on': truth.support[i] + 1, 'in': truth.contained[i]}
            for i in range(len(truth))}


def test_what_is_said_is_true_by_the_rules_of_the_simulator(store):
    positions = {form: POSITION_RULES[p] for p, forms in POSITION_FORMS.items() for form in forms}
    relations = {form: RELATION_RULES[r] for r, forms in RELATION_FORMS.items() for form in forms}
    checked = {'position': 0, 'relation': 0, 'absent': 0, 'size': 0}
    for seen, s in statements(store):
        by_id = things(seen)
        form = ' '.join(w for w, r, before in zip(s.words, s.roles, (0, *s.roles), strict=False)
                        for w in (['{}'] if r and r != before else [w] if not r else []))
        fits = [by_id[i] for i in s.fits[0]]
        checked[s.tag] = checked.get(s.tag, 0) + 1
        assert set(s.targets) <= set(s.fits[0])
        if s.tag == 'position' and form in positions:
            assert max(fits, key=positions[form])['id'] == s.targets[0]
        elif s.tag == 'relation' and form in relations:
            other = by_id[s.fits[1][0]]
            holding = [f['id'] for f in fits if relations[form](f, other) > 1]
            assert list(s.targets) == holding
        elif s.tag == 'absent':
            assert not s.targets and () in s.fits
        elif s.tag == 'size':
            scales = [f['scale'] for f in fits]
            best = min(scales) if 'small' in s.text else max(scales)
            assert by_id[s.targets[0]]['scale'] == best
    assert min(checked.values()) > 20


def test_every_word_that_is_said_is_known(store, tokenizer):
    assert len(set(matcher_vocabulary())) == len(matcher_vocabulary())
    for _, s in statements(store, 20):
        unknown = tokenizer.encode(s.text).count(tokenizer.unknown_id)
        assert unknown == s.words.count(FOREIGN)
        plan = plan_of(s, tokenizer)
        assert plan.primary_word == s.words[plan.primary_tokens[0] - 4]


def test_a_batch_says_where_things_are(pictures, tokenizer):
    source, rng = MatcherSource(pictures, tokenizer, MatcherSettings()), np.random.default_rng(1)
    batch = argparse.Namespace(**source.batch(rng, 4, 6, 14))
    assert batch.patches.shape == (4, 14, 768) and batch.index.shape == (4, 14)
    assert all(len(set(row)) == 14 for row in batch.index)
    some_table = batch.weight.max(1) > 1
    assert some_table.any()
    np.testing.assert_allclose(batch.weight.sum(1)[some_table], 25, rtol=1e-5)
    sums = batch.meant.sum(-1)
    assert ((sums[:, :, 0] > 0.99) == (batch.match == 1)).all()
    assert not sums[batch.match == 0].any() and (batch.meant <= batch.known + 1).all()
    assert batch.primary.sum(-1).max() == 1 and (batch.words & ~batch.valid).sum() == 0
    assert set(np.unique(batch.size)) <= {IGNORE, 0, 1}
    whole = argparse.Namespace(**source.batch(rng, 2, 3, 25))
    assert (whole.weight == 1).all()
    assert (np.sort(whole.index, axis=1) == np.arange(25)).all()


def test_some_late_batches_keep_every_patch(pictures, tokenizer):
    source = MatcherSource(pictures, tokenizer, MatcherSettings(kept=20, all_patches_odds=0.5))
    shapes = {fraction: {draw(source, 0, i, fraction)['index'].shape for i in range(12)}
              for fraction in (0.5, 0.9)}
    assert shapes == {0.5: {(4, 20)}, 0.9: {(4, 20), (2, 25)}}
    packed = pickle.dumps(source)
    assert len(packed) < 100_000
    for name, value in draw(pickle.loads(packed), 0, 3, 0.5).items():
        assert torch.equal(value, draw(source, 0, 3, 0.5)[name]), name


def test_training_runs_what_the_matcher_runs(config, pictures, tokenizer, store, tmp_path):
    """Every patch kept: tower, logits and watched attention are those of inference."""
    task = task_of(config, pictures, tokenizer, store, tmp_path)
    trainee, albef = task.model, task.model.albef
    pixels = torch.randn(2, 3, 80, 80)
    cut = pixels.view(2, 3, 5, 16, 5, 16).permute(0, 2, 4, 1, 3, 5).reshape(2, 25, 3, 16, 16)
    bias = torch.zeros(2, 26)
    image = trainee.tower(cut, torch.arange(25).expand(2, -1), bias)
    torch.testing.assert_close(image, albef.visual_encoder(pixels), rtol=1e-4, atol=1e-5)
    batch = as_tensors(task.source.batch(np.random.default_rng(0), 2, 3, 25))
    ids, valid = batch['ids'], batch['valid']
    logits, weights = trainee.match(image, ids, valid, bias)
    layer = tm.grad_cam_layer(albef.config)
    gradient, = torch.autograd.grad(logits[..., 1].sum(), weights[layer - 1], retain_graph=True)
    for i in range(2):
        torch.testing.assert_close(logits[i], albef(pixels[i:i + 1], ids[i], valid[i]),
                                   rtol=1e-4, atol=1e-5)
        a, g, _ = attention_gradient(albef, albef.read(ids[i], valid[i]), valid[i],
                                     albef.image_keys(image[i:i + 1].detach()), None, layer)
        ours = [part[i].unflatten(1, (3, -1)).transpose(0, 1)
                for part in (weights[layer - 1], gradient)]
        torch.testing.assert_close(ours[0], a, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours[1], g, rtol=1e-3, atol=1e-6)


def test_patches_left_out_count_through_those_kept(config):
    """A table of one colour: a few of its patches with weights stand for all of them."""
    torch.manual_seed(1)
    trainee = tm.MatcherTrainee(config)
    with torch.no_grad():
        trainee.albef.visual_encoder.pos_embed.zero_()
    patches = torch.zeros(1, 25, 3, 16, 16)
    patches[0, :3] = torch.randn(3, 3, 16, 16)
    whole = trainee.tower(patches, torch.arange(25)[None], torch.zeros(1, 26))
    weight = torch.tensor([[1.0] * 4 + [5.5] * 4])
    some = trainee.tower(patches[:, :7], torch.arange(7)[None], weight.log())
    torch.testing.assert_close(some[:, :4], whole[:, :4], rtol=1e-4, atol=1e-5)


def test_three_layers_read_what_the_watched_one_found(config):
    shipped = AlbefConfig.from_dict({k: v for k, v in tm.tabletop_matcher_config().items()
                                     if k != 'vocabulary'})
    assert shipped.text_layers - 1 - tm.grad_cam_layer(shipped) == 3
    assert tm.grad_cam_layer(shipped) > shipped.fusion_layer


def test_no_loss_is_on_the_map_that_is_tested(config, pictures, tokenizer, store, tmp_path):
    """Grad-CAM differentiates the match by attention; training takes no such derivative."""
    task = task_of(config, pictures, tokenizer, store, tmp_path)
    batch = as_tensors(task.source.batch(np.random.default_rng(0), 2, 4, 25))
    losses = task.losses(batch)
    assert set(losses) == {'match', 'names', 'known', 'meant'}
    above = tm.grad_cam_layer(task.config) + task.settings.meant_above
    watched = task.model.albef.layers[tm.grad_cam_layer(task.config)].crossattention
    assert above > tm.grad_cam_layer(task.config)
    losses['meant'].backward(retain_graph=True)
    last = task.model.albef.layers[above + 1]
    assert all(p.grad is None for p in last.parameters()), 'layers above it are not in that loss'
    assert any(p.grad is not None for p in watched.parameters())


def test_hidden_patches_are_seen_by_nothing_and_asked_of_nobody(pictures, tokenizer):
    settings = MatcherSettings(hidden=0.9, hidden_odds=1.0)
    source = MatcherSource(pictures, tokenizer, settings)
    batch = source.batch(np.random.default_rng(1), 3, 5, 25)
    hidden = batch['weight'] < 1e-3
    assert 0 < hidden.mean() < 1
    for name in ('known', 'meant'):
        assert not batch[name][np.broadcast_to(hidden[:, None, None], batch[name].shape)].any()
    plain = MatcherSource(pictures, tokenizer, MatcherSettings(hidden_odds=0.0))
    assert (plain.batch(np.random.default_rng(1), 3, 5, 25)['weight'] >= 1).all()


def test_the_tower_starts_from_the_clip(tmp_path):
    pytest.importorskip('open_clip')
    from ris_ros.models.clip import build_clip
    layout = {'embed_dim': 8, 'quick_gelu': False, 'mean': [0.4, 0.5, 0.6], 'std': [0.2, 0.3, 0.2],
              'vision_cfg': {'image_size': 64, 'patch_size': 16, 'width': 16, 'layers': 1,
                             'head_width': 8, 'mlp_ratio': 3.0},
              'text_cfg': {'context_length': 12, 'width': 16, 'heads': 2, 'layers': 1},
              'vocabulary': ['mug', 'the']}
    torch.manual_seed(3)
    clip = build_clip(layout)
    sizes = {**SMALL, 'vocab': 9, 'positions': 16}
    albef = Albef(AlbefConfig.from_dict(sizes))
    assert start_from_clip(albef, [tmp_path]) is None
    write_network(tmp_path, 'tabletop_clip', clip.state_dict(), layout, {})
    assert start_from_clip(albef, [tmp_path / 'none', tmp_path]) is not None
    x = torch.randn(3, 7, 16)
    theirs, own = clip.visual.transformer.resblocks[0], albef.visual_encoder.blocks[0]
    torch.testing.assert_close(own(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert own.mlp.fc1.weight[48:].abs().min() > 0, 'further hidden units can still learn'
    wide = Albef(AlbefConfig.from_dict({**sizes, 'vision_width': 32}))
    assert start_from_clip(wide, [tmp_path]) is None


def test_steps_lower_every_loss(config, pictures, tokenizer, store, tmp_path):
    task = task_of(config, pictures, tokenizer, store, tmp_path)
    optimiser = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    batch = as_tensors(task.source.batch(np.random.default_rng(0), 3, 8, 20))
    history = []
    for _ in range(40):
        losses = task.losses(batch)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        history.append({k: v.item() for k, v in losses.items()})
    assert set(history[0]) == set(tm.WEIGHTS)
    for name in history[0]:
        assert history[-1][name] < history[0][name], name
    total, parts = task.loss(batch, 0.0)
    assert torch.isfinite(total) and set(parts) == set(tm.WEIGHTS)


def test_losses_leave_out_what_has_no_truth(config, pictures, tokenizer, store, tmp_path):
    """Rows without a target, and patches that are not clear, count in no mean."""
    where, wanted = torch.rand(2, 3, 5), torch.rand(2, 3, 5)
    wanted[0, 1], wanted[1] = 0, 0
    rows = [(0, 0), (0, 2)]
    expected = -torch.stack([(wanted[r] * (where[r] + 1e-6).log()).sum() for r in rows]).mean()
    torch.testing.assert_close(tm._falls_on(where, wanted), expected)
    assert tm._falls_on(where, torch.zeros_like(wanted)) == 0
    task = task_of(config, pictures, tokenizer, store, tmp_path)
    batch = {name: torch.where(torch.rand(2, 20) < 0.5, torch.randint(most, (2, 20)), IGNORE)
             for name, most in (('kind', 4), ('colour', 3), ('size', 2))}
    tokens = torch.randn(2, 20, 16)
    scores = task.model.names(tokens).flatten(0, 1)
    balance = torch.ones(len(KINDS) + 1)
    balance[0] = 0.2
    parts = scores.split([len(KINDS) + 1, len(COLOURS), 2], dim=1)
    means = [F.cross_entropy(p, batch[n].flatten(), b, ignore_index=IGNORE) for p, n, b in zip(
        parts, ('kind', 'colour', 'size'), (balance, None, None), strict=True)]
    torch.testing.assert_close(task._name_loss(tokens, batch),
                               means[0] + 0.5 * means[1] + 0.25 * means[2])
    nothing = {n: torch.full_like(batch[n], IGNORE) for n in ('kind', 'colour', 'size')}
    assert task._name_loss(tokens, nothing) == 0


def test_training_writes_a_matcher_that_the_profile_loads(config, store, tmp_path, monkeypatch):
    monkeypatch.setattr(tm, 'tabletop_matcher_config', lambda: config)
    job = job_of(MatcherSettings, store, tmp_path, kept=20, validation_scenes=2)
    outcome = tm.train_matcher(job)
    record = json.loads((tmp_path / 'weights' / 'tabletop_matcher.json').read_text())
    assert {'itm', 'first', 'peak'} <= set(record['validation'])
    assert outcome.figures.items() <= record['validation'].items()
    matcher = Networks(get_profile('tabletop'), 'cpu', 'fp32', tmp_path / 'weights').matcher()
    assert isinstance(matcher, Matcher) and matcher.known_pieces('the red mug') == 3
    report = report_on(matcher.model, matcher.tokenizer, store, 2)
    assert report['itm'] == record['validation']['itm']


def test_the_tower_starts_from_the_shipped_clip():
    if WeightStore().find('tabletop_clip') is None:
        pytest.skip('the tabletop CLIP is not here')
    sizes = {k: v for k, v in tm.tabletop_matcher_config().items() if k != 'vocabulary'}
    assert start_from_clip(Albef(AlbefConfig.from_dict(sizes)), [tm.SHIPPED]) is not None
