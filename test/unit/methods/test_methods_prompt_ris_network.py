"""The network of Prompt-RIS: towers in step, prompts, masks; each rule by itself."""
import dataclasses

import pytest

pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')
import torch
from prompt_ris_networks import CONFIG, clip_config, small_network, tokens_of

from ris_ros.methods.prompt_ris.network import PointDraw
from ris_ros.methods.prompt_ris.prompting import steps_of
from ris_ros.models import vit
from ris_ros.types import BadInputError

TEXTS = ['the red mug', 'the bowl left of the mug', 'the small red bowl on the big mug', 'mug']


def changed(**fields):
    return dataclasses.replace(CONFIG, **fields)


def look(network, pictures=1, size=(48, 64), seed=3):
    generator = torch.Generator().manual_seed(seed)
    layout = network.layout(size)
    pixels = torch.randn(pictures, 3, *layout.clip, generator=generator)
    shown = torch.rand(pictures, 3, *layout.sam, generator=generator) * 255
    return network.look(layout, pixels, network.embed(shown)), pixels


def everything(count):
    return torch.ones(count, 3, dtype=torch.bool)


# ---------------------------------------------------------------- towers
@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_towers_without_prompts_are_plain_clip(fit):
    network = small_network(changed(prompts=0, fit=fit))
    clip, ids = network.clip, tokens_of(TEXTS)
    with torch.no_grad():
        picture, pixels = look(network)
        keep = torch.arange(ids.shape[1]) <= ids.argmax(1)[:, None]
        start = clip.token_embedding(ids) + clip.positional_embedding[:ids.shape[1]]
        image, text = network.prompting(clip, picture.begun, start, keep)
        ends = clip.ln_final(text)[torch.arange(4), ids.argmax(1)] @ clip.text_projection
        expected = clip.encode_text(torch.nn.functional.pad(ids, (0, 12 - ids.shape[1])))
        torch.testing.assert_close(ends, expected, rtol=0, atol=1e-5)
        if fit == 'stretch':     # open_clip's own tower takes squares alone
            own = vit.head(clip.visual, image)[:, 0]
            torch.testing.assert_close(own, clip.encode_image(pixels), rtol=0, atol=1e-5)
    assert len(image) == 1, 'without prompts the image tower runs once per picture'


def test_equal_towers_without_prompts_at_unequal_depth():
    clip = clip_config(layers=(4, 2))
    network = small_network(changed(prompts=0), clip=clip)
    ids = tokens_of(TEXTS)
    with torch.no_grad():
        picture, _ = look(network)
        result = network.coarse(picture, ids)
        expected = network.clip.encode_text(torch.nn.functional.pad(ids, (0, 12 - ids.shape[1])))
        ends = result.text[torch.arange(4), ids.argmax(1)] @ network.clip.text_projection
    torch.testing.assert_close(ends, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(('rule', 'expected'), [
    ('even', [(0, 0), (1, None), (2, None), (3, 1), (4, None), (5, None)]),
    ('early', [(0, 0), (1, 1), (2, None), (3, None), (4, None), (5, None)]),
    ('late', [(0, None), (1, None), (2, None), (3, None), (4, 0), (5, 1)])])
def test_unequal_towers_run_in_step(rule, expected):
    assert steps_of(6, 2, rule) == expected
    assert steps_of(2, 6, rule) == [(j, i) for i, j in expected]
    assert steps_of(3, 3, rule) == [(0, 0), (1, 1), (2, 2)]


def test_unequal_towers_can_be_refused():
    with pytest.raises(BadInputError, match='6 and 2 layers'):
        steps_of(6, 2, 'refuse')
    assert steps_of(2, 2, 'refuse') == [(0, 0), (1, 1)]


def test_prompts_work_both_ways():
    network = small_network()
    with torch.no_grad():
        first, _ = look(network, seed=3)
        second, _ = look(network, seed=4)
        one = network.coarse(first, tokens_of(TEXTS[:1]))
        other_picture = network.coarse(second, tokens_of(TEXTS[:1]))
        other_text = network.coarse(first, tokens_of(['the blue bowl']))
    assert (one.text - other_picture.text).abs().max() > 1e-3
    assert (one.logits - other_text.logits).abs().max() > 1e-4


@pytest.mark.parametrize('off', ['v2l', 'l2v'])
def test_one_direction_alone(off):
    network = small_network(changed(**{off: False}))
    ids = tokens_of(TEXTS)
    with torch.no_grad():
        first, _ = look(network, seed=3)
        second, _ = look(network, seed=4)
        texts = network.coarse(first, ids).text, network.coarse(second, ids).text
        image, _ = network.prompting(
            network.clip, first.begun, network.clip.token_embedding(ids),
            torch.ones(ids.shape, dtype=torch.bool))
    seen = (texts[0] - texts[1]).abs().max() > 1e-4
    assert bool(seen) is (off == 'l2v')
    assert len(image) == (1 if off == 'l2v' else len(ids))


@pytest.mark.parametrize('shared', [0, 1, 2, 3, 9])
def test_layers_before_language_run_once_per_picture(shared):
    network = small_network(changed(shared_layers=shared))
    ids, blocks = tokens_of(TEXTS), network.clip.visual.transformer.resblocks
    rows = []
    for block in blocks:
        block.ln_1.register_forward_hook(lambda module, given, out: rows.append(len(out)))
    with torch.no_grad():
        picture, _ = look(network)
        once = list(rows)
        result = network.coarse(picture, ids)
        assert once == [1] * min(shared, 3)
        assert rows == [1] * min(shared, 3) + [4] * (3 - min(shared, 3))
        assert picture.begun.done == min(shared, 3)
        assert len(picture.begun.ready) == min(shared + 1, 3)
        # Language reaches the picture through the later layers alone.
        other = network.coarse(picture, tokens_of(['the blue bowl on the mug'] * 4))
    assert (result.logits - other.logits).abs().max() > 1e-6


# ---------------------------------------------------------------- the causal text mask
@pytest.mark.parametrize('rule', ['prompts', 'causal', 'all'])
def test_text_mask(rule):
    network = small_network(changed(text_mask=rule))
    mask = network.prompting.text_mask(3, torch.device('cpu'))
    words, prompts = mask[4:], mask[:4]
    assert words[:, :4].all()
    assert torch.equal(words[:, 4:], torch.ones(3, 3).bool().tril())
    if rule == 'all':
        assert prompts.all()
    else:
        assert not prompts[:, 4:].any()
        own = torch.ones(4, 4).bool()
        assert torch.equal(prompts[:, :4], own.tril() if rule == 'causal' else own)


@pytest.mark.parametrize('l2v', [True, False])
def test_a_later_word_reaches_earlier_ones_only_through_the_picture(l2v):
    """Text is causal: what changes is what vision-to-language prompts read of a picture that
    language-to-vision prompts have changed; without these, nothing."""
    network = small_network(changed(l2v=l2v))
    ids = tokens_of(['the red mug left of bowl', 'the red mug left of big'])
    with torch.no_grad():
        picture, _ = look(network)
        text = network.coarse(picture, ids).text
    difference = (text[0, :6] - text[1, :6]).abs().max()
    assert (difference > 1e-4) if l2v else (difference < 1e-6)


def test_padding_has_no_influence():
    network = small_network(changed(presence=True))
    short, long = tokens_of(TEXTS), tokens_of(TEXTS, length=12)
    with torch.no_grad():
        picture, _ = look(network)
        first, second = network.coarse(picture, short), network.coarse(picture, long)
        torch.testing.assert_close(first.logits, second.logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(first.presence, second.presence, rtol=0, atol=1e-5)
        # Without the point: beyond the outer patch centres a map is flat, and rounding decides
        # which of the cells there is the highest.
        given = torch.tensor([[True, False, True]])
        masks = [network.refine(picture, c, given.expand(4, 3))[0] for c in (first, second)]
        torch.testing.assert_close(masks[0], masks[1], rtol=0, atol=2e-5)
        for row in range(4):     # nor has what else is in the batch
            alone = network.coarse(picture, tokens_of(TEXTS[row:row + 1]))
            torch.testing.assert_close(alone.logits[0], first.logits[row], rtol=0, atol=1e-5)
            mask = network.refine(picture, alone, given)[0]
            torch.testing.assert_close(mask[0], masks[0][row], rtol=0, atol=2e-5)


def test_sentences_of_two_pictures_side_by_side():
    network = small_network()
    ids = tokens_of(TEXTS)
    with torch.no_grad():
        both, pixels = look(network, pictures=2)
        together = network.coarse(both, ids)
        masks = network.refine(both, together, everything(4))[0]
        for k in range(2):
            own = network.look(both.layout, pixels[k:k + 1], both.embedding[k:k + 1])
            part = network.coarse(own, ids[2 * k:2 * k + 2])
            torch.testing.assert_close(part.logits, together.logits[2 * k:2 * k + 2], rtol=0,
                                       atol=1e-5)
            mask = network.refine(own, part, everything(2))[0]
            torch.testing.assert_close(mask, masks[2 * k:2 * k + 2], rtol=0, atol=2e-5)


def test_recomputed_layers_have_the_same_gradient():
    network = small_network()
    ids, gradients = tokens_of(TEXTS), []
    for recompute in (False, True):
        network.zero_grad()
        picture, _ = look(network)
        network.coarse(picture, ids, recompute).logits.square().mean().backward()
        gradients.append(network.prompting.v2l[0].tokens.grad.clone())
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_attention_of_fixed_queries_is_plain_attention():
    from ris_ros.methods.prompt_ris.blocks import Attention
    torch.manual_seed(0)
    attention = Attention(12, 20, 16, 4)
    queries, features = torch.randn(5, 12), torch.randn(3, 7, 20)
    keep = torch.rand(3, 7) > 0.3
    keep[:, 0] = True
    for mask in (None, keep):
        plain = attention(queries.expand(3, -1, -1), attention.project(features), mask)
        torch.testing.assert_close(attention.of_fixed(queries, features, mask), plain, rtol=0,
                                   atol=1e-5)


@pytest.mark.parametrize(('fields', 'words'), [
    ({'prompt_heads': 5}, 'prompt_heads 5 does not divide'),
    ({'text_heads': 7}, 'text_heads 7 does not divide'), ({'text_length': 13}, '12 tokens')])
def test_sizes_that_do_not_fit(fields, words):
    with pytest.raises(BadInputError, match=words):
        small_network(changed(**fields))


def test_a_resnet_is_refused():
    clip = clip_config(vision_cfg={'image_size': 64, 'layers': [1, 1, 1, 1], 'width': 8})
    with pytest.raises(BadInputError, match='plain ViT'):
        small_network(clip=clip)


# ---------------------------------------------------------------- end to end
def test_all_eight_prompt_subsets_differ():
    network = small_network()
    subsets = torch.tensor([[m, p, t] for m in (0, 1) for p in (0, 1) for t in (0, 1)]).bool()
    with torch.no_grad():
        picture, _ = look(network)
        coarse = network.coarse(picture, tokens_of(['the red mug'] * 8))
        masks, scores = network.refine(picture, coarse, subsets)
    assert masks.shape == (8, 32, 32) and scores.shape == (8,)
    assert torch.isfinite(masks).all()
    apart = (masks[:, None] - masks[None]).abs().amax(dim=(2, 3)) > 1e-4
    assert torch.equal(apart, ~torch.eye(8).bool())


def test_every_trained_part_gets_a_gradient():
    network = small_network(changed(presence=True, mask_gain=True, coarse_bias=True,
                                    coarse_scale='learned')).train()
    picture, _ = look(network)
    coarse = network.coarse(picture, tokens_of(TEXTS))
    masks, _ = network.refine(picture, coarse, everything(4), PointDraw())
    (masks.square().mean() + coarse.presence.mean()).backward()
    # The library's CLIP has a projection and a logit scale for contrast, SAM boxes and more
    # masks: no part of this network reads them.
    idle = {name for name, p in network.named_parameters()
            if p.grad is None and name.split('.')[0] not in ('clip', 'sam')}
    assert not idle
    assert network.clip.visual.conv1.weight.grad.abs().max() > 0
