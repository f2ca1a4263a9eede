"""Each network of a profile by its kind, on its own device and in its own precision."""
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from ris_ros.files import sha256_of
from ris_ros.models import kinds
from ris_ros.models.kinds import KINDS, kinds_of_role, load_network
from ris_ros.models.weights import Entry, read_manifest
from ris_ros.profiles import Networks, Profile, get_profile
from ris_ros.types import BadInputError, View, WeightsError

TWO = Profile('two', '', {'clip': 'clip_vit_b_16', 'sam': 'sam_vit_b', 'scorer': 'clip_vit_b_16'},
              devices={'sam': 'cuda:1'}, precisions={'clip': 'bf16'})


@pytest.fixture
def gpus(monkeypatch):
    """Let torch report two GPUs."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)


@pytest.fixture
def loaded(monkeypatch):
    """Let each load only say what it was asked for."""
    calls = []

    def load(source, **options):
        calls.append((source.entry.name, source.device, source.precision, options))
        return object()
    monkeypatch.setattr('ris_ros.profiles.networks.load_network', load)
    return calls


def test_every_kind_of_the_manifest_has_a_loader():
    import importlib
    for entry in read_manifest().values():
        module, _, name = KINDS[entry.kind].partition(':')
        assert callable(getattr(importlib.import_module(module), name))


def test_roles_say_what_may_stand_behind_them():
    assert kinds_of_role('clip') == kinds_of_role('pcnet_clip') == ('clip',)
    assert kinds_of_role('scorer') == kinds_of_role('other_scorer') == ('clip', 'itc')
    assert kinds_of_role('small_prompt_sam', frozenset({'sam', 'prompt_sam'})) == ('prompt_sam',)
    for role in ('cilp', 'clip2', 'paperclip', '', 'clip_'):
        with pytest.raises(BadInputError, match='unknown role'):
            kinds_of_role(role)


def test_an_unknown_kind_and_an_unknown_network():
    networks = Networks(TWO, 'cpu', devices={'sam': 'cpu'})
    networks.store.entries['odd'] = Entry('odd', 'oddity', 'x', 'torch')
    with pytest.raises(BadInputError, match=r'odd is of the unknown kind .oddity.; there are: c'):
        networks.load('odd')
    with pytest.raises(BadInputError, match=r'two has no network for matcer \(it has: clip, sam'):
        networks.load('matcer')
    with pytest.raises(BadInputError, match='sam_vit_b is no image-text matcher; take one of'):
        networks.matcher('sam_vit_b')
    with pytest.raises(BadInputError, match='clip_vit_b_16 is no SAM'):
        networks.proposer(None, 'clip')


def test_loaded_once_by_name_place_and_options(gpus, loaded):
    networks = Networks(TWO, 'cuda:0', 'fp16', precisions={'clip_vit_b_16': 'bf16'})
    clip = networks.clip()
    assert networks.scorer() is networks.scorer('clip_vit_b_16') is clip, 'one network, two roles'
    networks.load('sam')
    networks.captioner('blip_base', beams=2)
    networks.captioner('blip_base', beams=2)
    networks.captioner('blip_base', beams=3)
    assert loaded == [
        ('clip_vit_b_16', 'cuda:0', 'bf16', {}), ('sam_vit_b', 'cuda:1', 'fp16', {}),
        ('blip_base', 'cuda:0', 'fp16', {'beams': 2, 'max_new_tokens': 30}),
        ('blip_base', 'cuda:0', 'fp16', {'beams': 3, 'max_new_tokens': 30})]


def test_roles_of_one_network_on_two_devices_are_two(gpus, loaded):
    networks = Networks(TWO, 'cuda:0', devices={'scorer': 'cpu'})
    assert networks.clip() is not networks.scorer()
    assert [call[1:3] for call in loaded] == [('cuda:0', 'bf16'), ('cpu', 'fp32')]


@pytest.mark.parametrize('device, more, place', [
    ('cpu', {}, {'clip': 'cpu', 'sam': 'cuda:1'}),
    ('auto', {}, {'clip': 'cuda', 'sam': 'cuda:1'}),
    ('cpu,sam=cuda:0', {}, {'clip': 'cpu', 'sam': 'cuda:0'}),
    ('sam=cpu', {}, {'clip': 'cuda', 'sam': 'cpu'}),
    ('cpu,sam=cuda:0', {'sam': 'cpu'}, {'clip': 'cpu', 'sam': 'cpu'}),
    ('cpu', {'clip': 'cuda:1'}, {'clip': 'cuda:1', 'sam': 'cuda:1'}),
    ('cpu', {'sam_vit_b': 'cuda:0'}, {'clip': 'cpu', 'sam': 'cuda:0', 'sam_vit_b': 'cuda:0'})])
def test_what_is_said_last_goes_before_the_profile(gpus, device, more, place):
    networks = Networks(TWO, device, devices=more)
    assert {name: networks.place_of(name)[0] for name in place} == place
    assert networks.devices == {networks.device, *place.values()}


def test_precisions_alike(gpus):
    networks = Networks(TWO, 'cpu,sam=cuda:0', 'fp32,sam=fp16', precisions={'clip_rn50': 'bf16'})
    assert networks.place_of('sam') == ('cuda:0', 'fp16')
    assert networks.place_of('clip_vit_b_16') == ('cpu', 'bf16'), "by its name, the role's"
    assert networks.place_of('clip_rn50') == ('cpu', 'bf16')
    assert networks.precision == 'fp32' and networks.device == 'cpu'


def test_a_choice_that_cannot_be_is_an_error_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(BadInputError, match=r'sam of the profile two: .*cuda:1.* no usable GPU'):
        Networks(TWO, 'cpu')
    with pytest.raises(BadInputError, match=r'clip of the profile two: .*no usable GPU'):
        Networks(TWO, 'sam=cpu,clip=cuda')
    for device, precision, said in (
            ('sam=cpu', 'fp16', "precision 'fp16' needs a GPU"),
            ('sam=cpu', 'fp32,sam=fp16', "sam of the profile two: precision 'fp16' needs a GPU"),
            ('sam=cpu,slam=cpu', 'fp32', 'device slam=cpu: .*no such role or network; it'),
            ('sam=cpu', 'slam=bf16', 'precision slam=bf16'), ('sam=mps', 'fp32', "'mps'"),
            ('sam=cpu,sam=cpu', 'fp32', 'cannot read'), ('cuda', 'fp32', 'no usable GPU')):
        with pytest.raises(BadInputError, match=said):
            Networks(TWO, device, precision)


def test_fp16_for_all_and_one_network_on_the_cpu_is_refused_by_name(gpus):
    with pytest.raises(BadInputError, match="scorer of the profile two: precision 'fp16' needs"):
        Networks(TWO, 'cuda,scorer=cpu', 'fp16')


def test_companions_are_the_profiles_own_where_it_has_them(tmp_path):
    (tmp_path / 'words.txt').write_text('[PAD]\n[UNK]\n')
    (tmp_path / 'words.json').write_text(json.dumps(
        {'config': {}, 'sha256': sha256_of(tmp_path / 'words.txt')}))
    networks = Networks(Profile('p', '', {'vocabulary': 'words'}, entries={
        'words': Entry('words', 'vocabulary', 'words.txt', 'text', folder=str(tmp_path))}), 'cpu')
    source = kinds.Source(networks.store.entry('words'), networks.store, 'cpu', 'fp32',
                          networks.load, frozenset(networks.profile.networks))
    assert load_network(source) == source.companion('vocabulary', 'x') == ['[PAD]', '[UNK]']
    with pytest.raises(BadInputError, match='no network for clip_x'):
        source.companion('clip', 'clip_x')


def tabletop(method, **how):
    pytest.importorskip('spacy')
    pytest.importorskip('open_clip')
    pytest.importorskip('segment_anything')
    from ris_ros.models.weights import WeightStore, missing
    from ris_ros.segmenter import Segmenter
    networks = get_profile('tabletop').networks
    if missing(WeightStore(), [networks[role] for role in ('clip', 'sam', 'matcher')]):
        pytest.skip('the shipped networks are not in this checkout')
    return Segmenter.from_profile('tabletop', method=method, **{'device': 'cpu', **how})


@pytest.fixture(scope='module')
def picture():
    """A table with a red and a green disc, for which the shipped networks need no simulator."""
    y, x = np.mgrid[:240, :320]
    rgb = np.full((240, 320, 3), 150, np.uint8)
    rgb[np.hypot(y - 120, x - 90) < 40] = 200, 30, 30
    rgb[np.hypot(y - 120, x - 230) < 40] = 30, 160, 50
    return rgb


def test_sam_in_bf16_beside_clip_in_fp32(picture):
    """Proposals of the one go to the other: the answer is that of fp32, features are fp32."""
    plain = tabletop('clip_only')
    mixed = tabletop('clip_only', precision='fp32,sam=bf16')
    assert mixed.method.clip.precision == 'fp32' and (
        mixed.method.proposer.other.precision == 'bf16')
    scenes = [s.prepare(picture) for s in (plain, mixed)]
    scores = [s.proposal_scores for s in scenes]
    assert len(scores[0]) and not (len(scores[0]) == len(scores[1])
                                   and np.array_equal(*scores)), 'it did compute in bf16'
    best = [s.segment(picture, 'the red cup') for s in (plain, mixed)]
    both = (best[0].candidates[0].mask & best[1].candidates[0].mask).sum()
    either = (best[0].candidates[0].mask | best[1].candidates[0].mask).sum()
    assert both / either > 0.9


def test_clip_in_bf16_beside_sam_in_fp32(picture):
    plain = tabletop('clip_only')
    mixed = tabletop('clip_only', precisions={'clip': 'bf16'})
    scenes = [s.prepare(picture) for s in (plain, mixed)]
    np.testing.assert_array_equal(scenes[0].masks, scenes[1].masks)
    features = [s.cache['features'] for s in scenes]
    assert features[0].dtype == features[1].dtype == torch.float32
    assert not torch.equal(*features)
    assert torch.cosine_similarity(*features).min() > 0.98


@pytest.mark.parametrize('method', ['hybridgl', 'iterprime', 'clip_only', 'region_token'])
def test_proposals_are_handed_over_to_the_methods_device(method, picture, monkeypatch):
    """What `prepare_with` gets is what `Proposals.to` gave for the method's device."""
    from ris_ros.models.proposals import Proposals
    segmenter = tabletop(method)
    there = segmenter.method.proposer.propose(View(picture))
    handed = []

    class Elsewhere(Proposals):
        def to(self, device):
            handed.append(device)
            return there
    monkeypatch.setattr(segmenter.method, 'proposer', type('P', (), {
        'propose': lambda self, view: Elsewhere(None, None, None, None)})())
    scene = segmenter.prepare(picture)
    assert handed == ['cpu'] and len(scene.masks) == len(there)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('method', ['hybridgl', 'tas', 'iterprime', 'clip_only', 'global_local',
                                    'region_token', 'score_map', 'text_only'])
@pytest.mark.parametrize('device', ['cuda,sam=cpu', 'cpu,sam=cuda', 'cuda,caption=cpu',
                                    'cpu,clip=cuda'])
def test_networks_on_two_devices_answer_as_on_one(method, device, picture):
    one, two = tabletop(method, device='cpu'), tabletop(method, device=device)
    answers = [s.segment(picture, 'the red cup') for s in (one, two)]
    assert [a.outcome for a in answers] == [answers[0].outcome] * 2
    masks = [a.candidates[0].mask for a in answers]
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.95


def test_a_network_beside_its_profile_is_found_and_loaded(tmp_path, monkeypatch):
    pytest.importorskip('segment_anything')
    from ris_ros.models.weights import SHIPPED, WeightStore
    if WeightStore().find('tabletop_sam') is None:
        pytest.skip('the shipped networks are not in this checkout')
    monkeypatch.delenv('RIS_MODEL_DIR', raising=False)
    for suffix in ('.safetensors', '.json'):
        (tmp_path / f'my_sam{suffix}').write_bytes(
            (SHIPPED / f'tabletop_sam{suffix}').read_bytes())
    (tmp_path / 'kitchen.yaml').write_text(
        'extends: tabletop\nnetworks:\n'
        '  sam: {kind: sam, file: my_sam.safetensors, format: safetensors}\n')
    own = Networks(get_profile(tmp_path / 'kitchen.yaml'), 'cpu').load('sam').state_dict()
    shipped = Networks(get_profile('tabletop'), 'cpu').load('sam').state_dict()
    assert own.keys() == shipped.keys() and all(torch.equal(own[k], shipped[k]) for k in own)
    with (tmp_path / 'my_sam.safetensors').open('ab') as stream:
        stream.write(b'x')
    with pytest.raises(WeightsError, match=r'my_sam.safetensors is damaged'):
        Networks(get_profile(tmp_path / 'kitchen.yaml'), 'cpu').load('sam')
