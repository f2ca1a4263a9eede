"""The image-text matcher: published layouts, Grad-CAM's gradient, batches, word pieces."""
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from ris_ros.models.albef import (
    Albef,
    AlbefConfig,
    attention_gradient,
    load_albef,
)
from ris_ros.models.matcher import Matcher
from ris_ros.models.wordpiece import WordPiece, read_vocabulary, words_of
from ris_ros.types import BadInputError, WeightsError

VOCABULARY = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'there', 'is', 'a', 'red', 'mug', 'cup', '##s',
              'left', 'of', ',', "'", 'cafe', '##teria', '日']
SIZES = {'image_size': 32, 'patch': 8, 'vision_width': 16, 'vision_depth': 2, 'vision_heads': 2,
         'text_width': 24, 'text_layers': 4, 'fusion_layer': 2, 'heads': 2, 'intermediate': 32,
         'vocab': len(VOCABULARY), 'positions': 12}
CONFIG = AlbefConfig.from_dict(SIZES)


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    made = Albef(CONFIG)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return made.eval()


@pytest.fixture(scope='module')
def matcher(model):
    return Matcher(model, WordPiece(VOCABULARY))


def test_the_official_checkpoint_layout(model):
    """Nested under "model", the text tower under ".bert", with what pre-training left behind."""
    state = {name.replace('text_encoder.', 'text_encoder.bert.'): value.half()
             for name, value in model.state_dict().items()}
    state.update({name.replace('visual_encoder', 'visual_encoder_m'): value * 0
                  for name, value in model.state_dict().items() if 'visual' in name})
    state['text_encoder.bert.embeddings.position_ids'] = torch.arange(12)[None]
    state['text_encoder.cls.predictions.bias'] = state['image_queue'] = torch.zeros(3)
    loaded = load_albef({'model': state, 'epoch': 3}, CONFIG)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name
    assert sum(p.numel() for p in loaded.parameters()) == sum(
        p.numel() for p in model.parameters())


def test_checkpoints_that_do_not_fit(model):
    state = dict(model.state_dict())
    with pytest.raises(WeightsError, match=r'pos_embed is \(1, 17, 16\), not \(1, 65, 16\)'):
        load_albef(state, dataclasses.replace(CONFIG, image_size=64))
    del state['itm_head.bias']
    with pytest.raises(WeightsError, match=r'lack 1 tensors.*itm_head\.bias'):
        load_albef(state, CONFIG)
    with pytest.raises(WeightsError, match='no state dict'):
        load_albef({'model': 3}, CONFIG)
    with pytest.raises(BadInputError, match='image_sise'):
        AlbefConfig.from_dict({'image_sise': 3})
    for wrong in ({'patch': 7}, {'heads': 5}, {'fusion_layer': 4}):
        with pytest.raises(BadInputError, match='does not fit'):
            AlbefConfig.from_dict({**SIZES, **wrong})


def batch(model, rows):
    ids = torch.randint(4, len(VOCABULARY), (rows, 6))
    valid = torch.arange(6)[None] < torch.tensor([6, 4, 3][:rows])[:, None]
    return torch.randn(1, 3, 32, 32), ids, valid


def test_the_gradient_is_the_slope_of_the_match_logit(model):
    """Against finite differences through the whole network, one attention weight at a time."""
    torch.manual_seed(1)
    double = Albef(CONFIG).double().eval()
    double.load_state_dict(model.state_dict())
    pixels, ids, valid = batch(model, 1)
    with torch.no_grad():
        keys = double.image_keys(double.visual_encoder(pixels.double()))
        x = double.read(ids, valid)
    weights, gradient, match = attention_gradient(double, x, valid, keys, None, 2)
    assert weights.shape == (1, 2, 6, 17)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 6))
    own = double.layers[2]

    def logit(changed):
        with torch.no_grad():
            mixed = (changed.double() @ keys[0][1]).transpose(1, 2).flatten(2)
            read = own.read(x, valid)
            y = own.feed_forward(own.crossattention.output(mixed, read))
            return double.itm_head(double.fuse(y, valid, keys, start=3)[:, 0])[0]

    torch.testing.assert_close(logit(weights).softmax(-1)[1].float(), match[0])
    for head, token, place in ((0, 0, 3), (1, 2, 16), (0, 5, 0)):
        step = torch.zeros_like(weights)
        step[0, head, token, place] = 1e-3
        slope = (logit(weights + step) - logit(weights - step))[1] / 2e-3
        assert float(gradient[0, head, token, place]) == pytest.approx(float(slope), rel=1e-2,
                                                                       abs=1e-6)
    assert all(p.grad is None for p in double.parameters())


def test_padding_and_neighbours_change_nothing(model):
    torch.manual_seed(2)
    pixels, ids, valid = batch(model, 3)
    with torch.no_grad():
        keys = model.image_keys(model.visual_encoder(pixels))
        x = model.read(ids, valid)
    seen = torch.rand(3, 17) > 0.3
    seen[:, 0] = True
    weights, gradient, match = attention_gradient(model, x, valid, keys, seen, 2)
    assert weights[~seen[:, None, None].expand_as(weights)].abs().max() == 0
    for row, length in enumerate((6, 4, 3)):
        with torch.no_grad():
            alone = model.read(ids[row:row + 1, :length], valid[row:row + 1, :length])
        one = attention_gradient(model, alone, valid[row:row + 1, :length], keys,
                                 seen[row:row + 1], 2)
        torch.testing.assert_close(one[0][0], weights[row, :, :length], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one[1][0], gradient[row, :, :length], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one[2][0], match[row], atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        whole = model(pixels.expand(3, -1, -1, -1), ids, valid).softmax(-1)[:, 1]
    torch.testing.assert_close(
        attention_gradient(model, x, valid, keys, None, 2)[2], whole, atol=1e-5, rtol=1e-4)


def test_training_reaches_every_weight(model):
    trained = Albef(CONFIG)
    _, ids, valid = batch(model, 3)
    trained(torch.randn(3, 3, 32, 32), ids, valid).square().sum().backward()
    without = [name for name, p in trained.named_parameters() if p.grad is None]
    assert not without


def test_sentences_are_read_once(matcher, monkeypatch):
    first, _ = matcher.read(['red mug', 'mug'])
    assert first.ids == (2, 4, 5, 6, 7, 8) and first.hidden.shape == (6, 24)
    calls = []
    monkeypatch.setattr(matcher.model, 'read', lambda *a: calls.append(a))
    assert matcher.read(['mug', 'red mug'])[1] is first and not calls


def test_matcher_edges(model, matcher):
    with pytest.raises(BadInputError, match='takes 12; say it shorter'):
        matcher.read(['red mug left of a red mug of a'])
    assert matcher.known_pieces('blorp gnarf') == 0
    assert matcher.known_pieces('blorp mugs') == 2
    for layer in (1, 3):
        with pytest.raises(BadInputError, match=r'must lie in \[2, 2\]'):
            matcher.check_layer(layer)
    with pytest.raises(WeightsError, match='"there", "is" and "a"'):
        Matcher(model, WordPiece(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'mug']))
    with pytest.raises(WeightsError, match='knows 18'):
        Matcher(model, WordPiece([*VOCABULARY, 'more']))
    pixels = matcher.pixels(np.full((20, 50, 3), 255, np.uint8))
    assert pixels.shape == (1, 3, 32, 32)
    assert float(pixels[0, 0, 3, 3]) == pytest.approx((1 - 0.48145466) / 0.26862954, rel=1e-5)


@pytest.mark.parametrize('separator', [False, True])
def test_word_pieces_as_transformers_cuts_them(tmp_path, separator):
    transformers = pytest.importorskip('transformers')
    path = tmp_path / 'vocab.txt'
    path.write_text('\n'.join(VOCABULARY) + '\n', encoding='utf-8')
    assert read_vocabulary(path) == VOCABULARY
    theirs = transformers.BertTokenizer(
        vocab={p: i for i, p in enumerate(VOCABULARY)})
    ours = WordPiece(VOCABULARY, separator)
    for text in ('a red mug', 'Mugs, cups', 'CAFÉTERIA', "a mug's", '  red\tmug\n', 'mug日cup',
                 'blorp', '', 'a' * 101, 'red-mug', 'mugsx'):
        wanted = theirs(text)['input_ids']
        assert ours.encode(text) == (wanted if separator else wanted[:-1]), text
    assert ours.count('mugs,') == 3 and words_of('Ünder') == ['under']


def test_vocabularies_that_cannot_be(tmp_path):
    with pytest.raises(WeightsError, match=r'lacks \[CLS\], \[SEP\]'):
        WordPiece(['[PAD]', '[UNK]'])
    with pytest.raises(WeightsError, match='twice'):
        WordPiece([*VOCABULARY, 'mug'])
    with pytest.raises(WeightsError, match='cannot be read'):
        read_vocabulary(tmp_path / 'absent')


def test_blip_weights_give_blips_match():
    """transformers' BLIP and ours over the same weights: the match of image and sentence."""
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(3)
    config = transformers.BlipConfig(
        text_config={'vocab_size': len(VOCABULARY), 'hidden_size': 24, 'encoder_hidden_size': 16,
                     'intermediate_size': 32, 'num_hidden_layers': 3, 'num_attention_heads': 2,
                     'max_position_embeddings': 12, 'projection_dim': 8},
        vision_config={'hidden_size': 16, 'intermediate_size': 64, 'num_hidden_layers': 2,
                       'num_attention_heads': 2, 'image_size': 32, 'patch_size': 8},
        projection_dim=8, image_text_hidden_size=8)
    theirs = transformers.BlipForImageTextRetrieval(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = load_albef(theirs.state_dict(), AlbefConfig.from_dict({
        **SIZES, 'fusion_layer': 0, 'text_layers': 3, 'vision_eps': config.vision_config.
        layer_norm_eps, 'text_eps': config.text_config.layer_norm_eps, 'separator': True}))
    pixels, ids = torch.randn(1, 3, 32, 32), torch.tensor([[2, 4, 5, 6, 8, 3]])
    valid = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        wanted = theirs(input_ids=ids, pixel_values=pixels, attention_mask=valid.long(),
                        use_itm_head=True).itm_score
        torch.testing.assert_close(ours(pixels, ids, valid), wanted, atol=1e-5, rtol=1e-4)
