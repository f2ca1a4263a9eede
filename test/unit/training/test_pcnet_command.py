"""`ris train pcnet` from sentences to a network that answers, on pictures made on the spot."""
import argparse
import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
for needed in ('open_clip', 'segment_anything', 'spacy', 'cv2', 'safetensors'):
    pytest.importorskip(needed)
import datasets_fixtures
import pcnet_networks as small
import prompt_ris_training
import small_networks

from ris_ros.methods.pcnet.method import PCNetMethod
from ris_ros.methods.registry import settings_for
from ris_ros.models.clip import build_clip
from ris_ros.models.weights import MODEL_DIR_VARIABLE
from ris_ros.profiles import get_profile
from ris_ros.segmenter import networks_of
from ris_ros.training.judged import Judged
from ris_ros.training.pcnet import run as stages
from ris_ros.training.pcnet.backbone import Backbone, hand_over
from ris_ros.training.pcnet.calibrate import calibrate
from ris_ros.training.pcnet.calibrating import CalibrationLoss
from ris_ros.training.pcnet.command import add_arguments, network_settings, run
from ris_ros.training.pcnet.settings import config_of, tabletop_network
from ris_ros.training.pcnet.tabletop_pairs import placed, tabletop_pairs, tell
from ris_ros.types import BadInputError, View, WeightsError

TINY = ['--network', 'channels=16', '--network', 'image_size=64', '--network', 'stride=16']
FAST = ['--device', 'cpu', '--set', 'log_steps=1', '--set', 'precision=fp32']


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def arguments(*given):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(g) for g in given])


def train(*given):
    return run(arguments(*given))


@pytest.fixture
def model_dir(tmp_path, monkeypatch):
    folder = tmp_path / 'models'
    folder.mkdir()
    small_networks.write_clip_and_sam(folder)
    torch.manual_seed(0)
    small_networks.write(folder, 'small_clip', build_clip(small.CLIP), small.CLIP)
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(folder))
    return folder


@pytest.fixture
def scenes(tmp_path):
    prompt_ris_training.shards(tmp_path / 'scenes' / 'train', range(5))
    prompt_ris_training.shards(tmp_path / 'scenes' / 'val', range(80500, 80503))
    return tmp_path / 'scenes'


@pytest.fixture
def tabletop(tmp_path, scenes):
    return ['--work', tmp_path / 'work', '--scenes-dir', scenes, '--scenes', 5, '--val-scenes', 3,
            '--per-object', 4, *TINY, *FAST, '--set', 'images=4']


def test_the_tabletop_from_sentences_to_an_answer(tmp_path, model_dir, tabletop, monkeypatch):
    small_clip = {**small.CLIP, 'vocabulary': stages.own_clip(64)['vocabulary'],
                  'text_cfg': {**small.CLIP['text_cfg'], 'context_length': 24}}
    monkeypatch.setattr(stages, 'own_clip', lambda size: {
        **small_clip, 'vision_cfg': {**small.CLIP['vision_cfg'], 'image_size': size}})
    assert train(*tabletop, '--steps', 3) == 0
    work = tmp_path / 'work'
    assert {p.name for p in work.iterdir()} >= {
        'sentences', 'proposals', 'backbone', 'weights', 'pcnet.csv', 'pcnet.ckpt',
        'pcnet_backbone.csv', 'pcnet.summary.json'}
    record = json.loads((work / 'weights' / 'tabletop_pcnet.json').read_text())
    assert record['config']['network']['form']['sees'] == 'each'
    assert {'pointm', 'calibration'} <= set(record['validation'])
    for name in ('tabletop_pcnet.json', 'tabletop_pcnet.safetensors'):
        (model_dir / name).write_bytes((work / 'weights' / name).read_bytes())
    networks = networks_of('tabletop', 'cpu')
    method = PCNetMethod.from_networks(networks, settings_for('pcnet', get_profile('tabletop')))
    from ris_ros.language import analyse
    scene = method.prepare(View(np.full((480, 640, 3), 90, np.uint8)))
    found = method.ground(scene, analyse('the red mug'))
    assert found.heatmap.shape == (480, 640) and len(found.own)


def test_stages_one_by_one_need_no_parser_after_the_first(tmp_path, model_dir, tabletop,
                                                          monkeypatch):
    assert train('--stage', 'sentences', *tabletop) == 0
    from ris_ros.language import pipelines
    monkeypatch.setattr(pipelines, 'load_pipeline', lambda *_: pytest.fail('spaCy was asked for'))
    backbone = tmp_path / 'small_clip.safetensors'
    for end in ('.safetensors', '.json'):
        backbone.with_suffix(end).write_bytes((model_dir / f'small_clip{end}').read_bytes())
    asked = [*tabletop, '--steps', 2, '--backbone', backbone, '--network', 'text_length=12']
    with pytest.raises(BadInputError, match='--stage proposals'):
        train('--stage', 'pcnet', *asked)
    assert train('--stage', 'proposals', *tabletop) == 0
    assert train('--stage', 'pcnet', *asked, '--no-calibration') == 0
    assert (tmp_path / 'work' / 'weights' / 'tabletop_pcnet.safetensors').is_file()


def test_a_data_set_in_the_refer_layout(tmp_path, model_dir):
    root = tmp_path / 'data'
    datasets_fixtures.refer_folder(root)
    given = ['--dataset', 'refcoco', '--root', root, '--work', tmp_path / 'work', *TINY, *FAST,
             '--clip', 'tabletop_clip']
    with pytest.raises(BadInputError, match='residual'):
        train(*given, '--steps', 1)
    backbone = model_dir / 'small_clip.safetensors'
    given = [*given[:-2], '--backbone', backbone, '--network', 'text_length=12',
             '--set', 'images=2', '--network', 'companions=2', '--set', 'validate_steps=1']
    assert train(*given, '--epochs', 1.5) == 0
    summary = json.loads((tmp_path / 'work' / 'pcnet.summary.json').read_text())
    assert summary['settings']['steps'] == 2          # one and a half times two objects
    record = json.loads((tmp_path / 'work' / 'weights' / 'pcnet.json').read_text())
    assert record['config']['network']['companions'] == 2
    from safetensors.torch import load_file
    state = load_file(tmp_path / 'work' / 'weights' / 'pcnet.safetensors')
    assert state['companion_cues'].abs().sum() > 0 and state['companion_texts'].shape == (3, 2,
                                                                                          16)
    assert state['visual_projection.weight'].dtype == torch.float16


def test_another_number_of_scenes_is_another_file(tabletop):
    train('--stage', 'sentences', *tabletop)
    train('--stage', 'sentences', *tabletop)
    with pytest.raises(BadInputError, match='holds the sentences of'):
        train('--stage', 'sentences', *tabletop, '--per-object', 5)


@pytest.mark.parametrize('given, said', [
    (['--dataset', 'refcoco', '--steps', 1], '--root is missing'),
    (['--root', '/nowhere', '--steps', 1], 'is no folder'),
    (['--stage', 'pcnet', '--steps', 1], '--stage backbone'),
    (['--epochs', 2, '--steps', 3], 'one of them'), (['--scenes', 0, '--steps', 1], '--scenes'),
    ([], 'steps or by minutes'), (['--steps', 1, '--set', 'pcnet.extra=0'], 'extra to 1'),
    (['--steps', 1, '--network', 'stages=9'], 'stages'),
    (['--steps', 1, '--network', 'stride=12'], 'stride'),
    (['--steps', 1, '--network', 'depth=2'], 'unknown setting'),
    (['--steps', 1, '--device', 'cuda:7'], 'GPU'),
    (['--steps', 1, '--set', 'pcnet.keep_best=speed'], 'no figure'),
    (['--steps', 1, '--set', 'backbone.iad=off'], 'unknown setting')])
def test_what_does_not_fit_is_said_before_anything_is_made(tmp_path, given, said, monkeypatch):
    from ris_ros.training.pcnet import material
    monkeypatch.setattr(material, 'make_sentences', lambda args: pytest.fail('work was begun'))
    with pytest.raises(BadInputError, match=said):
        train('--work', tmp_path / 'work', *given)
    assert not (tmp_path / 'work').exists()


def test_networks_by_form(tmp_path):
    paper = network_settings(arguments('--form', 'paper'))
    assert (paper.channels, paper.stages, paper.rows, paper.sees) == (1024, 3, 'batch', 'own')
    released = network_settings(arguments('--form', 'released'))
    assert released.reshape and released.text_weight == 0.1 and not released.keep_end
    assert network_settings(arguments()) == tabletop_network()
    assert network_settings(arguments('--dataset', 'refcoco')) == paper
    (tmp_path / 'net.yaml').write_text('stages: 2\n')
    changed = network_settings(arguments('--network-config', tmp_path / 'net.yaml',
                                         '--network', 'channels=64'))
    assert changed == dataclasses.replace(tabletop_network(), stages=2, channels=64)


def test_show_config_says_everything(capsys):
    assert train('--show-config') == 0
    text = capsys.readouterr().out
    for name in ('dense_weight', 'iad_margin', 'contrary_weight', 'modulation', 'companions'):
        assert f'{name}:' in text


@pytest.mark.parametrize('damage', ['cut', 'foreign', 'no json'])
def test_a_damaged_backbone_is_refused(model_dir, tabletop, damage):
    train('--stage', 'sentences', *tabletop)
    path = model_dir / 'small_clip.safetensors'
    if damage == 'cut':
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == 'foreign':
        path.write_bytes((model_dir / 'tabletop_clip.safetensors').read_bytes())
    else:
        path.with_suffix('.json').unlink()
    with pytest.raises(WeightsError):
        train('--stage', 'pcnet', *tabletop, '--steps', 1, '--backbone', path,
              '--network', 'text_length=12')


# ---- the small CLIP ---------------------------------------------------------------------------

def test_pcnet_starts_where_the_small_clip_is():
    """The first map's products are those of the pool's values with the text, as MaskCLIP reads."""
    from ris_ros.training.pcnet.settings import NetworkSettings
    torch.manual_seed(0)
    network = NetworkSettings(channels=16, image_size=64, stride=16, text_length=12)
    config = config_of(network, small.CLIP)
    backbone = Backbone(config).eval()
    made = small.network(form={'start': 'sentence'})
    hand_over(backbone.clip.state_dict(), made)
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    tokens = made.tokenise(['the red mug', 'a box'])[0]
    with torch.no_grad():
        cells = backbone.look(pixels)[1]
        torch.testing.assert_close(made.eval().image_tokens(pixels), cells, rtol=0, atol=1e-4)
        torch.testing.assert_close(made.encode_tokens(tokens), backbone.read(tokens), rtol=0,
                                   atol=1e-5)
    plain = small.network(seed=3)
    before = plain.visual_projection.weight.clone()
    hand_over(backbone.clip.state_dict(), plain, projections=False)
    assert torch.equal(plain.visual_projection.weight, before)


def test_the_small_clips_pictures_are_those_of_open_clip():
    torch.manual_seed(0)
    config = small.config(stride=32)
    backbone = Backbone(config).eval()
    plain = build_clip({**small.CLIP, 'vision_cfg': {**small.CLIP['vision_cfg'],
                                                     'image_size': 64}}).eval()
    plain.load_state_dict(backbone.clip.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    with torch.no_grad():
        expected = plain.encode_image((pixels / 255 - backbone.mean) / backbone.std)
        torch.testing.assert_close(backbone.look(pixels)[0], expected, rtol=0, atol=1e-5)


# ---- the annotator ----------------------------------------------------------------------------

def test_sentences_are_about_every_object_and_fit_it_alone():
    truth = prompt_ris_training.truth(3)
    said = tell(truth, np.random.default_rng(0), 8)
    about = {instance for instance, _ in said}
    assert about == {int(i) + 1 for i in np.flatnonzero(truth.visible)}
    assert len(said) == len(set(said)) and all(text == text.lower() for _, text in said)
    by_text = {}
    for instance, text in said:
        assert by_text.setdefault(text, instance) == instance
    again = tell(truth, np.random.default_rng(0), 8)
    assert said == again != tell(truth, np.random.default_rng(1), 8)


def test_a_place_is_told_of_the_one_that_its_name_singles_out():
    """Only such a sentence says on its own whether the place is so."""
    from ris_ros.simulation.teller import Teller
    for seed in range(12):
        truth = prompt_ris_training.truth(seed % 4)
        teller = Teller(truth, np.random.default_rng(seed))
        for i in teller.visible:
            made = placed(teller, i)
            if made is not None:
                assert made.parts[0].instances == made.targets == (i + 1,)
                side = next((p for p in ('left', 'right') if p in made.tags), None)
                if side:
                    middle = (truth.camera.width - 1) / 2
                    assert (truth.centres[i, 0] < middle) == (side == 'left')
    words = {text for seed in range(8) for _, text in tell(prompt_ris_training.truth(seed % 4),
                                                           np.random.default_rng(seed))}
    assert any('left' in w for w in words) and any('right' in w for w in words)


def test_sentences_of_the_mirrored_picture_are_true_of_it():
    truths = [prompt_ris_training.truth(seed) for seed in range(3)]
    pairs = tabletop_pairs(truths, 'three', count=6)
    assert [p.mirrored for p in pairs.pictures] == [False, True] * 3
    assert [p.row for p in pairs.pictures] == [0, 0, 1, 1, 2, 2]
    mirrored = tell(truths[1].mirrored(), np.random.default_rng((0, truths[1].seed, 1)), 6)
    assert [s.text for s in pairs.pictures[3].said] == [text for _, text in mirrored]
    assert len(tabletop_pairs(truths, 'three', count=6, mirrored=False).pictures) == 3
    with pytest.raises(BadInputError, match='at least one'):
        tabletop_pairs(truths, 'three', count=0)


# ---- calibration ------------------------------------------------------------------------------

def test_the_calibration_loss_has_a_gradient_and_a_tower_of_its_own():
    from ris_ros.models.clip import ClipModel
    from ris_ros.training.pcnet.showing import Shown
    clip = ClipModel(build_clip(small_networks.CLIP), small_networks.CLIP)
    loss = CalibrationLoss(clip, ['the red mug', 'the bowl', 'left of'])
    own = torch.randn(2, 3, 16, requires_grad=True)
    batch = {'pixels': torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8),
             'name': torch.tensor([0, 1, 2, 0, 1, 2])}
    value = loss(batch, own, Shown())
    value.backward()
    assert torch.isfinite(value.detach()) and own.grad.abs().sum() > 0
    one = torch.stack([loss(batch, stage[None], Shown()) for stage in own])
    torch.testing.assert_close(value, one.mean())
    assert all(p.grad is None for p in clip.model.parameters())


def test_probabilities_come_from_answers():
    rng = np.random.default_rng(0)
    inside = rng.normal(size=400)
    fits = rng.random(400) < 1 / (1 + np.exp(-3 * inside))
    judged = Judged(np.arange(400), {'peak': inside + 1, 'inside': inside,
                                     'first': rng.normal(size=400)}, fits, ~fits)
    fit, report = calibrate(judged)
    probability = fit.probability(judged.features)
    assert probability[fits].mean() > 0.7 > 0.35 > probability[~fits].mean()
    assert {'log_loss', 'absent_precision', 'absent_recall'} <= set(report)
