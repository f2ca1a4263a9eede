"""Profiles over files in the published formats, with small random networks inside."""
import hashlib

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')

from ris_ros.models import clip as clip_module  # noqa: E402
from ris_ros.models import sam as sam_module  # noqa: E402
from ris_ros.models.options import ProposalSettings  # noqa: E402
from ris_ros.models.weights import Entry  # noqa: E402
from ris_ros.profiles import PROFILES, Networks, get_profile  # noqa: E402
from ris_ros.types import BadInputError, WeightsError  # noqa: E402

CLIP = {'embed_dim': 64, 'quick_gelu': True,
        'vision_cfg': {'image_size': 32, 'patch_size': 16, 'width': 64, 'layers': 2},
        'text_cfg': {'context_length': 77, 'vocab_size': 49408, 'width': 64, 'heads': 1,
                     'layers': 1}}
SAM = sam_module.SamConfig.from_dict({
    'image_size': 64, 'patch_size': 16, 'prompt_dim': 32,
    'encoder': {'embed_dim': 32, 'depth': 1, 'num_heads': 2, 'global_attn_indexes': [0]},
    'decoder': {'depth': 1, 'num_heads': 2, 'mlp_dim': 32, 'iou_head_hidden_dim': 32}})


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
    monkeypatch.setitem(clip_module.PUBLISHED, 'ViT-B-16', CLIP)
    monkeypatch.setitem(sam_module.PUBLISHED, 'vit_h', SAM)
    out = Networks(get_profile('paper'), 'cpu', 'fp32', folder)
    for name, entry in list(out.store.entries.items()):
        path = folder / entry.file
        if path.exists():
            out.store.entries[name] = Entry(
                entry.name, entry.kind, entry.file, entry.format, entry.config, entry.url,
                hashlib.sha256(path.read_bytes()).hexdigest())
    return out


def test_clip_from_a_torchscript_archive(networks, published):
    loaded, model = networks.clip(), published[1]
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_images(pixels), model.encode_image(pixels))
        tokens = loaded.tokenizer(['a photo of a mug'])
        torch.testing.assert_close(loaded.encode_text(['a photo of a mug']),
                                   model.encode_text(tokens))
    assert networks.clip() is loaded, 'read once'


def test_sam_from_a_state_dict(networks, published):
    proposer, sam = networks.proposer(ProposalSettings(pred_iou_thresh=0.0)), published[2]
    assert all(torch.equal(a, b) for a, b in zip(proposer.sam.state_dict().values(),
                                                 sam.state_dict().values(), strict=True))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert proposer.propose(picture).masks.shape[1:] == (48, 64)


def test_the_real_files_hash_is_demanded(published):
    with pytest.raises(WeightsError, match='damaged'):
        Networks(get_profile('paper'), 'cpu', 'fp32', published[0]).clip()


def test_roles_and_overrides():
    with pytest.raises(BadInputError, match='no network for captioner'):
        Networks(get_profile('paper'), 'cpu', 'fp32').name_of('captioner')
    profile = PROFILES['tabletop']
    assert 'start_block' in profile.overrides('hybridgl', {'start_block', 'alpha'})
    assert profile.overrides('clip_only', {'margin'}) == {}


def test_profile_overrides_fit_the_methods():
    from ris_ros.methods.registry import BUILT_IN, find_method
    from ris_ros.settings import describe, from_mapping
    for profile in PROFILES.values():
        for method in BUILT_IN:
            settings_cls = find_method(method).settings_class()
            known = {f.name for f in describe(settings_cls)}
            from_mapping(settings_cls, profile.overrides(method, known))
        every = {f.name for m in BUILT_IN for f in describe(find_method(m).settings_class())}
        for method, values in profile.settings.items():
            assert method == '*' or method in BUILT_IN
            assert set(values) <= every, 'an override that no method has'
