"""Towers taken apart: against open_clip's own forward and against plain transcriptions."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
functional = torch.nn.functional

from ris_ros.models import gem, sampling, vit
from ris_ros.models.clip import build_clip
from ris_ros.models.region_streams import Fusion, hybrid_features, token_grid
from ris_ros.types import BadInputError

CONFIG = {'embed_dim': 16, 'quick_gelu': True,
          'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 32, 'layers': 4,
                         'head_width': 16},
          'text_cfg': {'context_length': 4, 'width': 32, 'heads': 2, 'layers': 1},
          'vocabulary': ['word']}


@pytest.fixture(scope='module')
def visual():
    torch.manual_seed(1)
    tower = build_clip(CONFIG).visual.eval().requires_grad_(False)
    for block in tower.transformer.resblocks:
        torch.nn.init.normal_(block.attn.in_proj_bias, std=0.1)
    return tower


@pytest.fixture(scope='module')
def views():
    generator = torch.Generator().manual_seed(2)
    local, context = torch.randn(2, 5, 3, 32, 32, generator=generator)
    tokens = (torch.rand(5, 16, generator=generator) - 0.4).clamp(min=0)
    tokens[4] = 0  # a region that vanishes on the patch grid
    return local, context, tokens


def test_blocks_equal_open_clip(visual, views):
    x = vit.tokens_of(visual, views[0])
    torch.testing.assert_close(x, visual.embed(views[0]))
    for block in visual.transformer.resblocks:
        torch.testing.assert_close(vit.run_block(block, x), block(x))
        torch.testing.assert_close(vit.run_block(block, x, cls_only=True), block(x)[:, :1])
        x = block(x)
    torch.testing.assert_close(vit.head(visual, x[:, 0]), visual(views[0]))


def test_cls_mask_equals_an_additive_mask(visual, views):
    local, _, tokens = views
    x = visual.embed(local)
    keys = functional.pad(tokens > 0, (1, 0), value=True)
    blocked = torch.zeros(5, 17, 17)
    blocked[:, 0].masked_fill_(~keys, float('-inf'))
    per_head = blocked.repeat_interleave(2, dim=0)
    block = visual.transformer.resblocks[1]
    expected = block(x, attn_mask=per_head)
    torch.testing.assert_close(vit.run_block(block, x, keys), expected)
    torch.testing.assert_close(vit.run_block(block, x, keys, cls_only=True), expected[:, :1])


def plain_hybrid(visual, local, context, tokens, start, beta, cls, mode):
    """Equations 1 and 2 written down without any saving."""
    keys = functional.pad(tokens > 0, (1, 0), value=True)
    mask = torch.zeros(len(local), 17, 17)
    mask[:, 0].masked_fill_(~keys, float('-inf'))
    mask = mask.repeat_interleave(2, dim=0)
    gate = functional.pad(tokens, (1, 0), value=cls)[..., None]
    x, g = visual.embed(local), visual.embed(context)
    for i, block in enumerate(visual.transformer.resblocks):
        if i < start:
            x, g = block(x), block(g)
        elif mode == 'g2l':
            x, g = block(x + beta * gate * g), block(g, attn_mask=mask)
        else:
            x, g = block(x), block(x + beta * g, attn_mask=mask)
    return visual.ln_post((x if mode == 'g2l' else g)[:, 0]) @ visual.proj


@pytest.mark.parametrize('mode', ['g2l', 'l2g'])
@pytest.mark.parametrize('start, cls', [(0, 1.0), (2, 0.0), (3, 1.0)])
def test_hybrid_equals_the_plain_form(visual, views, mode, start, cls):
    got = hybrid_features(visual, *views, Fusion(mode, start, 1.5, bool(cls)))
    torch.testing.assert_close(got, plain_hybrid(visual, *views, start, 1.5, cls, mode))


def test_single_streams_and_sums(visual, views):
    local, context, tokens = views

    def run(mode, **kw):
        return hybrid_features(visual, local, context, tokens,
                               Fusion(mode, 2, 2.0, **kw))
    torch.testing.assert_close(run('local'), visual(local))
    torch.testing.assert_close(run('global', attention_mask=False), visual(context))
    assert not torch.allclose(run('global'), visual(context), atol=1e-3)
    torch.testing.assert_close(run('g2l_l2g'), run('g2l') + run('l2g'))
    torch.testing.assert_close(run('global_local', global_weight=0.3),
                               0.3 * run('global') + 0.7 * run('local'))
    masked = run('global', attention_mask=False, token_mask=True)
    assert not torch.allclose(masked, visual(context), atol=1e-3)
    assert torch.isfinite(run('g2l')).all(), 'a region without a patch attends to CLS alone'
    with pytest.raises(BadInputError, match='start_block'):
        hybrid_features(visual, local, context, tokens, Fusion('g2l', 4))
    with pytest.raises(BadInputError, match='fusion'):
        hybrid_features(visual, local, context, tokens, Fusion('sideways', 1))


def test_token_grid():
    masks = torch.zeros(3, 64, 48, dtype=torch.bool)
    masks[0, :16] = True          # the first of four rows of patches
    masks[1, 3, 3] = True         # one pixel: nothing at the patch centres
    soft = token_grid(masks, (4, 4))
    expected = functional.interpolate(masks[:, None].float(), size=(4, 4), mode='bilinear',
                                      align_corners=False)[:, 0].flatten(1)
    torch.testing.assert_close(soft, expected)
    assert soft[1].sum() == 0
    binary = token_grid(masks, (4, 4), 'binary')
    assert binary[0].tolist() == [1.0] * 4 + [0.0] * 12
    assert binary[1].nonzero().tolist() == [[0]], 'the best covered patch keeps the region'
    assert binary[2].sum() == 0


@pytest.mark.parametrize('size', [(48, 64), (37, 53), (16, 16)])
def test_composites_equal_compositing_at_full_resolution(size):
    rng = np.random.default_rng(3)
    inside, outside = torch.from_numpy(rng.random((2, 3, *size))).float()
    masks = torch.from_numpy(rng.random((4, *size)) < 0.5)
    taps = sampling.Taps(size, (32, 32))
    mixed = torch.where(masks[:, None], inside, outside)
    expected = functional.interpolate(mixed, size=(32, 32), mode='bilinear', align_corners=False)
    torch.testing.assert_close(sampling.composite(taps, inside, outside, masks), expected,
                               atol=1e-6, rtol=1e-5)
    fill = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    mixed = torch.where(masks[:, None], inside, fill)
    expected = functional.interpolate(mixed, size=(32, 32), mode='bilinear', align_corners=False)
    torch.testing.assert_close(sampling.composite(taps, inside, fill, masks), expected,
                               atol=1e-6, rtol=1e-5)


def test_crops_equal_cropping_and_resizing():
    rng = np.random.default_rng(4)
    image = torch.from_numpy(rng.random((3, 40, 60))).float()
    masks = torch.ones(2, 40, 60, dtype=torch.bool)
    masks[1, :, 30:] = False
    boxes = torch.tensor([[10.0, 5, 20, 30], [20.0, 0, 20, 40]])
    fill = torch.zeros(3, 1, 1)
    got = sampling.crops(image, masks, boxes, 64, fill, supersample=1)
    first = functional.interpolate(image[None, :, 5:35, 10:30], size=(64, 64), mode='bilinear',
                                   align_corners=False)[0]
    inner = (slice(None), slice(3, -3), slice(3, -3))  # beyond a crop's edge ours sees the image
    torch.testing.assert_close(got[0][inner], first[inner], atol=1e-4, rtol=1e-4)
    assert (got[1][:, :, 40:] == 0).all() and (got[1][:, :, :28] > 0).any()
    smooth = sampling.crops(image, masks, boxes, 16, fill, supersample=4)
    assert smooth.shape == (2, 3, 16, 16)
    assert smooth[0].mean() == pytest.approx(image[:, 5:35, 10:30].mean().item(), abs=0.01)


def plain_gem(visual, images, blocks):
    """One head and one token set at a time, as the equations say it."""
    x = visual.embed(images)
    layers = visual.transformer.resblocks
    for block in layers[:-blocks]:
        x = block(x)
    total = x
    for block in layers[-blocks:]:
        y = block.ln_1(x)
        qkv = functional.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias)
        q, k, v = (p.reshape(1, -1, 2, 16).transpose(1, 2) for p in qkv.chunk(3, -1))
        tau = y.norm(dim=-1).mean() / 16 ** 0.5
        out = 0
        for s in (v, k, q):
            s = s / s.norm(dim=-1, keepdim=True)
            s = torch.softmax(tau * s @ s.transpose(-1, -2), dim=-1) @ s
            s = s / s.norm(dim=-1, keepdim=True)
            out = out + torch.softmax(tau * s @ s.transpose(-1, -2), dim=-1) @ v
        total = total + block.attn.out_proj((out / 3).transpose(1, 2).flatten(2))
        x = block(x)
    features = visual.ln_post(total) @ visual.proj
    return features[:, 1:] / features[:, 1:].norm(dim=-1, keepdim=True)


def test_gem_equals_the_plain_form_at_the_trained_size(visual):
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(vit.gem_features(visual, images, 3), plain_gem(visual, images, 3))


def test_gem_at_another_size_and_its_errors(visual):
    images = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(6))
    features = vit.gem_features(visual, images, 2)
    assert features.shape == (1, 48, 16)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(1, 48))
    with pytest.raises(BadInputError, match='gem_blocks'):
        vit.gem_features(visual, images, 5)
    with pytest.raises(BadInputError, match='multiple'):
        vit.gem_features(visual, images[..., :47], 2)


def test_response_map():
    features = functional.normalize(torch.randn(16, 8, generator=torch.Generator().manual_seed(7)),
                                    dim=-1)
    similarity = gem.similarity_map(features, features[5], (4, 4), 64)
    response = gem.coherence_map(similarity, (30, 50))
    assert response.shape == (30, 50) and response.min() == 0 and response.max() == 1
    row, column = divmod(int(response.argmax()), 50)
    assert row // 7.5 == 1 and column // 12.5 == 1, 'the peak lies in patch (1, 1)'
    at_once = gem.response_map(features, features[5], (4, 4), 64, (30, 50))
    torch.testing.assert_close(at_once, response, rtol=0, atol=1e-5)
    flat = gem.coherence_map(torch.zeros(64, 64), (30, 50))
    assert (flat == 1).all(), 'a constant map prefers nothing'
    assert (gem.response_map(torch.ones(16, 8), features[5], (4, 4), 64, (30, 50)) == 1).all()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bool])
def test_means_inside_and_outside(dtype):
    guidance = torch.arange(12.0).reshape(3, 4)
    masks = torch.zeros(3, 12)
    masks[0, :3] = 1
    masks[1] = 1
    inside, outside = gem.means_inside_and_outside(guidance, masks.to(dtype), masks.sum(1))
    assert inside.tolist() == [1.0, 5.5, 0.0]
    assert outside.tolist() == pytest.approx([7.0, 0.0, 5.5])


def test_sums_over_runs():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(6, 9, 7, generator=generator) > torch.rand(6, 1, 1, generator=generator)
    masks[0], masks[1] = False, True
    guidance = torch.rand(9, 7, generator=generator)
    runs = gem.runs_of(masks)
    torch.testing.assert_close(gem.sums_inside(guidance, runs),
                               (masks * guidance.double()).sum(dim=(1, 2)))
    areas = masks.flatten(1).sum(1)
    for got, expected in zip(
            gem.means_inside_and_outside(guidance, runs, areas),
            gem.means_inside_and_outside(guidance, masks.flatten(1).float(), areas),
            strict=True):
        torch.testing.assert_close(got.float(), expected)
    assert len(gem.sums_inside(guidance, gem.runs_of(masks[:0]))) == 0


def test_a_tower_that_cannot_be_taken_apart_is_refused(visual):
    vit.check_tower(visual)
    resnet = build_clip({**CONFIG, 'vision_cfg': {'layers': [1, 1, 1, 1], 'width': 8,
                                                  'image_size': 32}})
    with pytest.raises(BadInputError, match='ViT'):
        vit.check_tower(resnet.visual)
