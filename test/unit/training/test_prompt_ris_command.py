"""`ris train prompt_ris` as a command: what it refuses, and a whole run on a tiny data set."""
import json
import pickle

import pytest

pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')
pytest.importorskip('pycocotools')
import numpy as np
import prompt_ris_networks as small
import small_networks
import torch
from datasets_fixtures import refer_folder
from prompt_ris_training import arguments, small_settings, task

from ris_ros.cli.main import main
from ris_ros.methods.prompt_ris.calibration import FEATURES
from ris_ros.methods.prompt_ris.method import PromptRisMethod
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.models.weights import Entry
from ris_ros.profiles import Networks, Profile
from ris_ros.training.prompt_ris.calibrate import Judged, calibrate, fit_logistic, refusals
from ris_ros.training.prompt_ris.start import go_on_from, own_clip, own_clip_config
from ris_ros.types import BadInputError, View


@pytest.fixture
def model_dir(tmp_path, monkeypatch):
    """A folder with a small CLIP and a small SAM under the tabletop profile's names."""
    folder = tmp_path / 'models'
    folder.mkdir()
    small_networks.write(folder, 'tabletop_clip', small.small_network().clip, small.clip_config())
    small_networks.write(folder, 'tabletop_sam', small.small_sam(), small.SAM.to_dict())
    monkeypatch.setenv('RIS_MODEL_DIR', str(folder))
    return folder


@pytest.fixture
def data(tmp_path):
    """A data set with three training pictures and a tested one."""
    refer_folder(tmp_path / 'data', 'refcoco')
    path = tmp_path / 'data' / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps([{**r, 'split': 'train'} for r in refs]))
    return tmp_path / 'data'


SMALL = ['--network', 'image_size=64', '--network', 'prompts=4', '--network', 'prompt_heads=4',
         '--network', 'text_length=12', '--network', 'coarse_width=32', '--network',
         'coarse_heads=4', '--network', 'text_heads=4']
QUICK = ['--set', 'images=2', '--set', 'sentences=2', '--set', 'log_steps=1', '--threads', '1',
         '--device', 'cpu']


def train(data, work, *more):
    return main(['train', 'prompt_ris', '--dataset', 'refcoco', '--root', str(data), '--work',
                 str(work), '--val-scenes', '1', *SMALL, *QUICK, *map(str, more)])


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('curves', ['one', 'each'])
def test_from_a_data_set_to_a_method(model_dir, data, tmp_path, curves, capsys):
    work = tmp_path / 'work'
    assert train(data, work, '--epochs', 4, '--set', f'curves={curves}', '--parts-only') == 0
    assert 'training data: ' in capsys.readouterr().out
    names = ['prompt_ris'] if curves == 'one' else ['prompt_ris_coarse', 'prompt_ris_end']
    for name in names:
        assert (work / f'{name}.csv').exists() and (work / f'{name}.summary.json').exists()
    steps = [json.loads((work / f'{n}.summary.json').read_text())['steps'] for n in names]
    assert sum(steps) == 4      # four epochs over two pictures, two pictures a step
    record = json.loads((work / 'weights' / 'prompt_ris.json').read_text())
    assert set(record['config']['bases']) == {'clip', 'sam'}
    assert {'miou', 'coarse_miou', 'calibration', 'frozen_sha256'} <= set(record['validation'])
    assert (work / 'embeddings' / 'embeddings.npy').exists()
    entry = Entry('made', 'prompt_ris', 'prompt_ris.safetensors', 'safetensors',
                  folder=str(work / 'weights'))
    networks = Networks(Profile('p', '', {'prompt_ris': 'made'}, entries={'made': entry}), 'cpu',
                        model_dir=model_dir)
    method = PromptRisMethod.from_networks(networks, PromptRisSettings())
    assert method.prepare(View(np.zeros((40, 60, 3), np.uint8))).cache['picture'] is not None


@pytest.mark.filterwarnings('ignore')
def test_training_goes_on_from_a_network(model_dir, data, tmp_path):
    assert train(data, tmp_path / 'first', '--steps', 2) == 0
    weights = tmp_path / 'first' / 'weights' / 'prompt_ris.safetensors'
    assert train(data, tmp_path / 'second', '--steps', 1, '--init', weights, '--set',
                 'train_sam=decoder', '--name', 'more') == 0
    assert (tmp_path / 'second' / 'weights' / 'more.safetensors').exists()


@pytest.mark.parametrize(('given', 'words'), [
    ([], 'neither is given'),
    (['--steps', 3, '--minutes', 1], 'both are given'),
    (['--steps', 3, '--epochs', 1], 'one of them'),
    (['--epochs', -1], 'above zero'),
    (['--steps', 3, '--set', 'images=0'], 'images must lie in'),
    (['--steps', 3, '--set', 'imagse=2'], 'did you mean images'),
    (['--steps', 3, '--set', 'train_sam=some'], 'must be one of none, mask'),
    (['--steps', 3, '--set', 'sentences=1'], 'icl compares'),
    (['--steps', 3, '--network', 'prompts=many'], 'prompts must be of type int'),
    (['--steps', 3, '--device', 'cuda'], 'no usable GPU'),
    (['--steps', 3, '--set', 'mirror=true'], 'sentences false'),
    (['--steps', 3, '--set', 'embeddings=device'], 'embeddings=device is for the tabletop'),
    (['--steps', 3, '--network', 'fit=pad', '--val-scenes', 9], 'none is left'),
    (['--steps', 3, '--clip', 'tabletop_sam'], 'is of kind sam, not clip'),
    (['--steps', 3, '--profile', 'nowhere'], 'nowhere'),
    (['--steps', 3, '--init', 'none.safetensors'], 'cannot be read'),
    (['--steps', 3, '--network', 'text_heads=7'], 'text_heads 7 does not divide')])
def test_what_is_refused(model_dir, data, tmp_path, given, words, capsys):
    if 'cuda' in given and torch.cuda.is_available():
        pytest.skip('this machine has a GPU')
    assert train(data, tmp_path / 'work', *given) in (1, 2)
    assert words in capsys.readouterr().err
    assert not (tmp_path / 'work' / 'weights').exists()


@pytest.mark.parametrize(('given', 'words'), [
    (['--dataset', 'refcoco', '--steps', '1'], '--root is missing'),
    (['--steps', '1', '--seen-only'], 'never places its held-out kinds'),
    (['--steps', '1', '--scenes', '0'], '--scenes and --val-scenes')])
def test_what_does_not_go_together(given, words, capsys):
    assert main(['train', 'prompt_ris', *given]) == 2
    assert words in capsys.readouterr().err


def test_a_data_set_without_its_pictures(model_dir, data, tmp_path, capsys):
    for path in [p for p in (data / 'images').rglob('*') if p.is_file()]:
        path.unlink()
    assert train(data, tmp_path / 'work', '--steps', 1) == 2
    assert 'missing' in capsys.readouterr().err


def test_every_setting_is_shown(capsys):
    assert main(['train', 'prompt_ris', '--show-config']) == 0
    shown = capsys.readouterr().out
    for name in ('coarse_part', 'train_sam', 'prompt_dropout', 'prompts', 'unequal_depth', 'fit'):
        assert f'\n{name}:' in shown
    assert arguments('--steps', 3).dataset == 'tabletop'


# ---------------------------------------------------------------- going on, an own CLIP
def test_frozen_parts_are_not_taken_from_the_file(tmp_path):
    from safetensors.torch import save_file
    made, other = task().network, small.small_network(seed=5)
    save_file(other.state_dict(), tmp_path / 'x.safetensors')
    before = made.sam.mask_decoder.iou_token.weight.clone()
    go_on_from(made, tmp_path / 'x.safetensors', small_settings())
    assert torch.equal(made.sam.mask_decoder.iou_token.weight, before)
    assert torch.equal(made.sam_prompts.text_in.weight, other.sam_prompts.text_in.weight)
    state = {k: v for k, v in other.state_dict().items() if 'sam_prompts.text_in' not in k}
    save_file(state, tmp_path / 'y.safetensors')
    with pytest.raises(BadInputError, match=r'lacks sam_prompts\.text_in'):
        go_on_from(made, tmp_path / 'y.safetensors', small_settings())


def test_the_tabletops_own_clip_knows_where_patches_are():
    clip = own_clip(own_clip_config(['mug'], 64, 12))
    places = clip.visual.positional_embedding[1:].view(4, 4, -1)
    near = (places[0, 0] - places[0, 1]).norm()
    assert near < (places[0, 0] - places[0, 3]).norm()
    assert (clip.visual.positional_embedding[0] == 0).all()


# ---------------------------------------------------------------- calibration
def test_logistic_regression_finds_what_made_the_data():
    rng = np.random.default_rng(0)
    x = {'peak': rng.normal(3, 2, 20000), 'inside': rng.normal(size=20000)}
    truth = 1 / (1 + np.exp(-(0.8 * x['peak'] - 1.5 * x['inside'] - 2)))
    fit = fit_logistic(x, rng.random(20000) < truth)
    assert fit.bias == pytest.approx(-2, abs=0.15)
    assert fit.weights['peak'] == pytest.approx(0.8, abs=0.06)
    assert fit.weights['inside'] == pytest.approx(-1.5, abs=0.08)


@pytest.mark.parametrize('fits', [np.zeros(9, bool), np.ones(9, bool)])
def test_one_class_only(fits):
    fit = fit_logistic({'peak': np.arange(9.0)}, fits)
    p = fit.probability({'peak': np.arange(9.0)})
    assert np.isfinite(p).all() and (p < 0.2).all() != fits[0]


def test_evidence_is_compared_on_sentences_it_was_not_fitted_on():
    rng = np.random.default_rng(1)
    absent = rng.random(400) < 0.25
    fits = ~absent
    features = {'presence': np.where(absent, -1, 1) * 2 + rng.normal(size=400),
                'peak': rng.normal(size=400), 'inside': np.zeros(400),
                'quality': rng.normal(size=400)}
    calibration, report = calibrate(Judged(np.arange(400), features, fits, absent))
    assert set(calibration.fits) == set(FEATURES) == set(report)
    assert report['head']['log_loss'] < report['mask']['log_loss'] - 0.2
    assert report['head']['absent_recall'] > 0.85 and report['mask']['absent_recall'] < 0.2
    assert 'inside' not in calibration.fits['mask'].weights


def test_refusals_by_hand():
    judged = Judged(np.array([0, 0, 1, 2]), {}, np.array([1, 0, 0, 0], bool),
                    np.array([False, True, False, True]))
    found = refusals(judged, np.array([0.2, 0.9, 0.1, 0.3], np.float32))
    # Sentences 1 and 2 are refused, and 3 has no answer at all; 1 and 3 are absent.
    assert found == {'absent_precision': pytest.approx(2 / 3), 'absent_recall': 1.0,
                     'refused_answerable': 0.5}
