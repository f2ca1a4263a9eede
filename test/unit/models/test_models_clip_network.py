"""Our CLIP towers are those of open_clip: the same numbers, bit for bit, from the same seeds."""
from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip('torch')

from ris_ros.models import clip_network
from ris_ros.models.clip import build_clip
from ris_ros.types import BadInputError

TEXT = {'context_length': 12, 'vocab_size': 50, 'width': 32, 'heads': 2, 'layers': 3}
VIT = {'embed_dim': 16, 'quick_gelu': True, 'text_cfg': TEXT,
       'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 32, 'layers': 3,
                      'head_width': 16, 'mlp_ratio': 3.0}}
RESIDUAL = {'embed_dim': 24, 'text_cfg': TEXT, 'init_logit_scale': 3.0,
            'vision_cfg': {'image_size': 64, 'width': 16, 'layers': [2, 1, 2, 1]}}
ORDINARY = {**VIT, 'quick_gelu': False, 'vision_cfg': {'image_size': 32, 'layers': 1}}


def pair(config: dict, seed: int = 3):
    """Return our network and open_clip's, each from the same seed."""
    open_clip = pytest.importorskip('open_clip')
    torch.manual_seed(seed)
    ours = build_clip(config)
    after = torch.rand(1)
    torch.manual_seed(seed)
    theirs = open_clip.model.CLIP(config['embed_dim'], config['vision_cfg'], config['text_cfg'],
                                  config.get('quick_gelu', False), **{
                                      k: v for k, v in config.items() if k.startswith('init')})
    assert torch.equal(torch.rand(1), after), 'as many random numbers are drawn'
    return ours, theirs


@pytest.mark.parametrize('config', [VIT, RESIDUAL, ORDINARY], ids=['vit', 'residual', 'ordinary'])
class TestEqualsOpenClip:
    def test_names_and_starting_values(self, config):
        ours, theirs = pair(config)
        assert isinstance(ours, clip_network.CLIP)
        mine, other = ours.state_dict(), theirs.state_dict()
        assert list(mine) == list(other)
        assert all(torch.equal(mine[name], other[name]) for name in mine)
        assert [n for n, _ in ours.named_parameters()] == [n for n, _ in
                                                           theirs.named_parameters()]

    @pytest.mark.parametrize('precision', ['fp32', 'bf16'])
    def test_features(self, config, precision):
        ours, theirs = (network.eval() for network in pair(config))
        size = config['vision_cfg']['image_size']
        pixels = torch.randn(3, 3, size, size)
        tokens = torch.randint(0, 50, (4, 12))
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16,
                                             enabled=precision == 'bf16'):
            assert torch.equal(ours.encode_image(pixels), theirs.encode_image(pixels))
            assert torch.equal(ours.encode_text(tokens), theirs.encode_text(tokens))

    def test_gradients_and_statistics(self, config):
        ours, theirs = pair(config)
        size = config['vision_cfg']['image_size']
        pixels, tokens = torch.randn(3, 3, size, size), torch.randint(0, 50, (4, 12))
        for network in (ours, theirs):
            loss = (network.encode_image(pixels) @ network.encode_text(tokens).T
                    * network.logit_scale.exp()).square().sum()
            loss.backward()
        other = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            assert torch.equal(parameter.grad, other[name].grad), name
        assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(),
                                                     strict=True))

    def test_what_methods_read(self, config):
        ours, theirs = pair(config)
        assert torch.equal(ours.attn_mask, theirs.attn_mask)
        assert ours.text_pool_type == theirs.text_pool_type
        for name in ('context_length', 'vocab_size'):
            assert getattr(ours, name) == getattr(theirs, name)
        for name in ('image_size', 'patch_size', 'grid_size', 'output_dim', 'pool_type'):
            assert getattr(ours.visual, name, None) == getattr(theirs.visual, name, None)


def test_the_stem_and_the_layers_stand_open():
    ours, theirs = (network.eval() for network in pair(RESIDUAL))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        a, b = ours.visual.stem(pixels), theirs.visual.stem(pixels)
        assert torch.equal(a, b)
        assert torch.equal(ours.visual.layer1(a), theirs.visual.layer1(b))


def test_what_ours_lacks_is_open_clips():
    open_clip = pytest.importorskip('open_clip')
    config = {**VIT, 'vision_cfg': {**VIT['vision_cfg'], 'no_ln_pre': True}}
    assert isinstance(build_clip(config), open_clip.model.CLIP)
    with pytest.raises(BadInputError, match='no_ln_pre'):
        clip_network.CLIP(16, config['vision_cfg'], TEXT)


@pytest.mark.parametrize('change', [
    {'vision_cfg': {'width': 50}}, {'vision_cfg': {'patch_size': 0}},
    {'text_cfg': {'heads': 5}}, {'vision_cfg': {'layers': 'many'}}])
def test_sizes_that_do_not_fit_together(change):
    config = {key: {**VIT[key], **change.get(key, {})} for key in ('vision_cfg', 'text_cfg')}
    with pytest.raises(BadInputError, match='does not fit'):
        build_clip({**VIT, **config})


def test_open_clip_is_not_imported(tmp_path):
    import subprocess
    code = (f'import sys; from ris_ros.models.clip import build_clip; build_clip({VIT!r}); '
            'print([m for m in ("open_clip", "torchvision", "timm", "transformers") '
            'if m in sys.modules])')
    out = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert out.stdout == '[]\n'
