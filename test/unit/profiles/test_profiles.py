"""Profiles over files in the published formats, with small random networks inside."""
import hashlib
import json
import os

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')

from ris_ros.models import clip as clip_module
from ris_ros.models import sam as sam_module
from ris_ros.models.architectures import architecture
from ris_ros.models.options import ProposalSettings
from ris_ros.models.weights import Entry
from ris_ros.profiles import Networks, Profile, all_profiles, get_profile
from ris_ros.types import BadInputError, View, WeightsError

CLIP = {'embed_dim': 64, 'quick_gelu': True,
        'vision_cfg': {'image_size': 32, 'patch_size': 16, 'width': 64, 'layers': 2},
        'text_cfg': {'context_length': 77, 'vocab_size': 49408, 'width': 64, 'heads': 1,
                     'layers': 1}}
SAM = sam_module.SamConfig.from_dict({
    'image_size': 64, 'patch_size': 16, 'prompt_dim': 32,
    'encoder': {'embed_dim': 32, 'depth': 1, 'num_heads': 2, 'global_attn_indexes': [0]},
    'decoder': {'depth': 1, 'num_heads': 2, 'mlp_dim': 32, 'iou_head_hidden_dim': 32}})


RESNET = {**CLIP, 'vision_cfg': {'image_size': 32, 'layers': [1, 1, 1, 1], 'width': 16}}
# Networks of the published names, files as OpenAI and Meta named them, sizes small.
LAYOUTS = {'clip_vit_b_16': ('ViT-B-16', CLIP), 'clip_vit_b_32': ('ViT-B-32', {
    **CLIP, 'vision_cfg': {**CLIP['vision_cfg'], 'patch_size': 32, 'image_size': 64}}),
    'clip_rn50': ('RN50', RESNET)}


class Archive(torch.nn.Module):
    """Holds a state dict under nested names, to be scripted as OpenAI's archives are."""

    def __init__(self, state):
        super().__init__()
        for name, value in state.items():
            owner, *path = name.split('.')
            module = self
            parts = [owner, *path]
            for part in parts[:-1]:
                if not hasattr(module, part):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_buffer(parts[-1], value)

    def forward(self, x):
        return x


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A folder with ViT-B-16.pt (TorchScript, half precision) and a SAM .pth."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('published')
    model = clip_module.build_clip(CLIP).eval()
    half = {k: v.half() for k, v in model.state_dict().items()}
    model.load_state_dict({k: v.float() for k, v in half.items()})
    sizes = {'input_resolution': 32, 'context_length': 77, 'vocab_size': 49408}
    archive = Archive({**half, **{k: torch.tensor(v) for k, v in sizes.items()}})
    torch.jit.save(torch.jit.script(archive), folder / 'ViT-B-16.pt')
    sam = sam_module.build_sam(SAM).eval()
    torch.save(sam.state_dict(), folder / 'sam_vit_h_4b8939.pth')
    return folder, model, sam


@pytest.fixture
def networks(published, monkeypatch):
    folder, _, _ = published
    out = Networks(get_profile('paper'), 'cpu', 'fp32', folder)
    for name, small in (('clip_vit_b_16', CLIP), ('sam_vit_h', SAM.to_dict())):
        entry = out.store.entries[name]
        known(out.store, name, small_layout(monkeypatch, folder, entry, small), entry.format)
    return out


def small_layout(monkeypatch, folder, entry, config):
    """Write an architecture beside the shipped ones, in a user's folder; return its name."""
    name = f'small-{entry.config}'
    (folder / f'{name}.json').write_text(json.dumps({'kind': entry.kind, 'config': config}))
    monkeypatch.setenv('RIS_ARCHITECTURE_DIR', str(folder))
    return name


def test_clip_from_a_torchscript_archive(networks, published):
    loaded, model = networks.clip(), published[1]
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_images(pixels), model.encode_image(pixels))
        tokens = loaded.tokenizer(['a photo of a mug'])
        torch.testing.assert_close(loaded.encode_text(['a photo of a mug']),
                                   model.encode_text(tokens))
    assert networks.clip() is loaded, 'read once'


def write_archive(folder, entry, layout, form):
    """Write a CLIP of random weights in half precision as published; return the model."""
    torch.manual_seed(1)
    model = clip_module.build_clip(layout).eval()
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict({k: v.float() if v.is_floating_point() else v
                           for k, v in half.items()})
    size = layout['vision_cfg']['image_size']
    sizes = {'input_resolution': size, 'context_length': 77, 'vocab_size': 49408}
    state = {**half, **{k: torch.tensor(v) for k, v in sizes.items()}}
    path = folder / entry.file
    if form == 'torchscript':
        torch.jit.save(torch.jit.script(Archive(state)), path)
    elif form == 'openai':       # the state dict of that archive
        torch.save(state, path)
    else:                        # what open_clip's trainer writes
        torch.save({'epoch': 1, 'name': 'x', 'state_dict': half}, path)
    return model


def known(store, name, config, form):
    """Give a network of the manifest the hash of the file that was made here."""
    entry = store.entries[name]
    file = next(f for f in store.folders if (f / entry.file).exists()) / entry.file
    store.entries[name] = Entry(entry.name, entry.kind, entry.file, form, config, entry.url,
                                hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.parametrize('form', ['torchscript', 'openai', 'open_clip'])
@pytest.mark.parametrize('name', sorted(LAYOUTS))
def test_every_clip_of_the_papers_computes_the_same_after_loading(name, form, tmp_path,
                                                                  monkeypatch):
    config, layout = LAYOUTS[name]
    networks = Networks(get_profile('paper'), 'cpu', 'fp32', tmp_path)
    assert networks.store.entries[name].config == config
    small = small_layout(monkeypatch, tmp_path, networks.store.entries[name], layout)
    model = write_archive(tmp_path, networks.store.entries[name], layout, form)
    known(networks.store, name, small, 'torchscript' if form == 'torchscript' else 'torch')
    loaded = networks.scorer(name)
    size = layout['vision_cfg']['image_size']
    assert loaded.image_size == size
    pixels = torch.rand(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_images(pixels), model.encode_image(pixels))
        text = ['a photo of a mug', 'left']
        torch.testing.assert_close(loaded.encode_text(text),
                                   model.encode_text(loaded.tokenizer(text)))
    if name == get_profile('paper').networks['scorer']:
        assert networks.scorer() is loaded, 'what TAS compares with in the paper'


def test_sam_from_a_state_dict(networks, published):
    proposer, sam = networks.proposer(ProposalSettings(pred_iou_thresh=0.0)), published[2]
    assert all(torch.equal(a, b) for a, b in zip(proposer.sam.state_dict().values(),
                                                 sam.state_dict().values(), strict=True))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert proposer.propose(View(picture)).masks.shape[1:] == (48, 64)


def test_hybridgl_over_published_files_answers_as_before_saving(networks, published):
    """The whole method: CLIP from an archive and SAM from a .pth, against the networks made."""
    pytest.importorskip('spacy')
    from ris_ros.language import Analysis
    from ris_ros.language.docs import doc_from_rows
    from ris_ros.methods.hybridgl.method import HybridGL
    from ris_ros.methods.hybridgl.settings import HybridGLSettings
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.proposals import SamProposer
    from ris_ros.types import Command, Target
    _, model, sam = published
    settings = HybridGLSettings(start_block=1, gem_blocks=1, pred_iou_thresh=0.0,
                                stability_score_thresh=0.0, min_mask_region_area=0)
    before = HybridGL(ClipModel(model, CLIP), SamProposer(sam, settings), settings)
    after = HybridGL.from_networks(networks, settings)
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    said = Analysis(Command('the mug', target=Target('the mug', 'mug')), doc_from_rows(
        [['the', 'DET', 'DT', 'det', 1], ['mug', 'NOUN', 'NN', 'ROOT', 1]]))
    scenes = [method.prepare(View(picture)) for method in (before, after)]
    assert len(scenes[0].masks) > 0
    np.testing.assert_array_equal(scenes[0].masks, scenes[1].masks)
    one, two = (m.ground(s, said) for m, s in zip((before, after), scenes, strict=True))
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-5)
    assert one.order.tolist() == two.order.tolist()


@pytest.mark.skipif(os.environ.get('RIS_FULL_SIZE') != '1',
                    reason='set RIS_FULL_SIZE=1 for networks of the published sizes (6 GB)')
def test_published_sizes_in_published_files(tmp_path):
    """Random weights, real sizes: ViT-B/16, ViT-B/32 and RN50 archives, and SAM ViT-H."""
    networks = Networks(get_profile('paper'), 'cpu', 'fp32', tmp_path)
    for name in LAYOUTS:
        entry = networks.store.entries[name]
        layout = architecture(entry.config, 'clip')
        model = write_archive(tmp_path, entry, layout, 'torchscript')
        known(networks.store, name, entry.config, 'torchscript')
        loaded, pixels = networks.scorer(name), torch.rand(1, 3, 224, 224)
        with torch.no_grad():
            torch.testing.assert_close(loaded.encode_images(pixels), model.encode_image(pixels))
        networks.release()
        del loaded, model
    sam = sam_module.build_sam(architecture('vit_h', 'sam')).eval()
    entry = networks.store.entries['sam_vit_h']
    torch.save(sam.state_dict(), tmp_path / entry.file)
    known(networks.store, 'sam_vit_h', entry.config, 'torch')
    proposer = networks.proposer(ProposalSettings())
    mine, theirs = sam.state_dict(), proposer.sam.state_dict()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine) and mine.keys() == theirs.keys()


def test_the_real_files_hash_is_demanded(published):
    with pytest.raises(WeightsError, match=r'damaged|made from another file'):
        Networks(get_profile('paper'), 'cpu', 'fp32', published[0]).clip()


def test_roles_and_overrides():
    with pytest.raises(BadInputError, match='no network for captioner'):
        Networks(get_profile('paper'), 'cpu', 'fp32').name_of('captioner')
    bare = Profile('bare', '', {'clip': 'clip_vit_b_16'})
    with pytest.raises(BadInputError, match='no captioner; set captions and negatives to false'):
        Networks(bare, 'cpu', 'fp32').captioner()
    profile = get_profile('tabletop')
    assert 'start_block' in profile.overrides('hybridgl', {'start_block', 'alpha'})
    assert profile.overrides('clip_only', {'margin'}) == {}


def test_profile_overrides_fit_the_methods():
    from ris_ros.methods.registry import BUILT_IN, find_method, settings_for
    from ris_ros.settings import describe
    for profile in all_profiles().values():
        for method in BUILT_IN:
            settings_for(method, profile)
        every = {f.name for m in BUILT_IN for f in describe(find_method(m).settings_class())}
        for method, values in profile.settings.items():
            assert method == '*' or method in BUILT_IN
            assert set(values) <= every, 'an override that no method has'
