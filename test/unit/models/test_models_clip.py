"""The CLIP adapter: what open_clip computes, from published layouts too."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
open_clip = pytest.importorskip('open_clip')

from ris_ros.models.architectures import architecture, architectures
from ris_ros.models.clip import ClipModel, build_clip, clip_tokenizer, load_clip
from ris_ros.models.tokenizer import WordTokenizer, vocab_of
from ris_ros.types import BadInputError, WeightsError

SMALL = {'embed_dim': 16, 'quick_gelu': True,
         'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 32, 'layers': 3,
                        'head_width': 16},
         'text_cfg': {'context_length': 12, 'width': 32, 'heads': 2, 'layers': 2},
         'vocabulary': ['bowl', 'mug', 'of', 'red', 'the']}


@pytest.fixture(scope='module')
def clip():
    torch.manual_seed(0)
    return ClipModel(build_clip(SMALL), SMALL)


def test_text_features_equal_the_whole_tower(clip):
    texts = ['the red mug', 'bowl', 'the mug of the red bowl of the mug', 'zebra']
    with torch.no_grad():
        expected = clip.model.encode_text(clip.tokenizer(texts))
    # Cutting behind the last end token is exact, because attention is causal.
    torch.testing.assert_close(clip.encode_text(texts), expected)
    torch.testing.assert_close(clip.encode_text(texts[1:2]), expected[1:2])


def test_each_sentence_goes_through_the_tower_once(clip, monkeypatch):
    seen = []
    tower = clip._text_tower
    monkeypatch.setattr(clip, '_text_tower', lambda t: seen.append(len(t)) or tower(t))
    first = clip.encode_text(['of of', 'red red', 'of of'])
    again = clip.encode_text(['red red', 'of of'])
    assert seen == [2]
    torch.testing.assert_close(first[[1, 0]], again)
    assert clip.encode_text([]).shape == (0, 16)


def test_text_cache_is_bounded():
    model = ClipModel(build_clip(SMALL), SMALL, text_cache=3)
    kept = model.encode_text([f'red {"mug " * n}' for n in range(6)])
    assert kept.shape == (6, 16) and len(model._texts) == 3


@pytest.mark.parametrize('name', architectures('clip'))
def test_published_layouts(name):
    with torch.device('meta'):
        ours = {k: v.shape for k, v in build_clip(architecture(name, 'clip')).state_dict().items()}
        config = open_clip.get_model_config(name)
        reference = open_clip.model.CLIP(**config).state_dict()
    assert ours == {k: v.shape for k, v in reference.items()}


def test_published_towers_use_quick_gelu():
    with torch.device('meta'):
        block = build_clip(architecture('ViT-B-16', 'clip')).visual.transformer.resblocks[0]
    assert type(block.mlp.gelu).__name__ == 'QuickGELU'


def test_a_state_dict_in_openais_form_loads_and_computes_the_same(clip):
    state = {k: v.half() if v.is_floating_point() else v
             for k, v in clip.model.state_dict().items()}
    rounded = load_clip({k: v.float() for k, v in state.items()}, SMALL)
    state.update(input_resolution=torch.tensor(32), context_length=torch.tensor(12),
                 vocab_size=torch.tensor(9))
    loaded = load_clip(state, SMALL)
    pixels = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(loaded.encode_images(pixels), rounded.encode_images(pixels))
    assert loaded.logit_scale == pytest.approx(clip.logit_scale, rel=1e-3)


def test_weights_that_do_not_fit_are_named(clip):
    state = dict(clip.model.state_dict())
    state.pop('visual.proj')
    with pytest.raises(WeightsError, match=r'visual\.proj'):
        load_clip(state, SMALL)
    with pytest.raises(BadInputError, match='vison_cfg'):
        build_clip({**SMALL, 'vison_cfg': {}})
    with pytest.raises(BadInputError, match='does not fit'):
        build_clip({**SMALL, 'vision_cfg': {'imagesize': 3}})


def test_word_tokenizer():
    tokenizer = WordTokenizer(['mug', 'red', 'the'], context_length=6)
    ids = tokenizer(['The RED mug!', 'a green mug', 'the ' * 9, ''])
    the, red, mug, unknown, start, end = 5, 4, 3, 1, 2, 6
    assert ids.tolist() == [[start, the, red, mug, end, 0], [start, unknown, unknown, mug, end, 0],
                            [start, the, the, the, the, end], [start, end, 0, 0, 0, 0]]
    assert ids.argmax(dim=-1).tolist() == [4, 4, 5, 1]
    assert tokenizer.vocab_size == 7 and tokenizer.unknown_words('a red Zebra') == ('a', 'zebra')
    assert tokenizer('red').shape == (1, 6) and tokenizer(['red'], 4).shape == (1, 4)
    assert vocab_of(['The mug.', "the mug's red"]) == ['mug', 'red', 's', 'the']
    with pytest.raises(BadInputError):
        WordTokenizer(['mug', 'mug'])


def test_byte_pair_tokenizer_is_open_clips():
    tokens = clip_tokenizer()(['a photo of a mug'])
    assert tokens.shape == (1, 77) and int(tokens.max()) == 49407
    assert tokens.argmax(dim=-1).item() == np.count_nonzero(tokens[0]) - 1


def test_bf16_stays_close(clip):
    reduced = ClipModel(build_clip(SMALL), SMALL, precision='bf16')
    reduced.model.load_state_dict(clip.model.state_dict())
    pixels = torch.rand(2, 3, 32, 32)
    a, b = clip.encode_images(pixels), reduced.encode_images(pixels)
    assert torch.cosine_similarity(a, b).min() > 0.99 and not torch.equal(a, b)
