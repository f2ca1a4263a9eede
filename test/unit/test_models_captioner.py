"""Captioners and contrastive scorers read from folders in the published layout."""
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

import transformers_folders  # noqa: E402

from ris_ros.models.captioner import load_captioner, picture_format  # noqa: E402
from ris_ros.models.scorers import load_itc  # noqa: E402
from ris_ros.types import WeightsError  # noqa: E402


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    torch.set_num_threads(1)
    root, made = tmp_path_factory.mktemp('networks'), {}

    def folder(kind):
        if kind not in made:
            made[kind] = root / kind, transformers_folders.write(root / kind, kind)
        return made[kind]
    return folder


def pictures(n):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('kind', ['git', 'blip', 'blip-2'])
def test_captions_do_not_depend_on_the_batch(folders, kind):
    folder, _ = folders(kind)
    captioner = load_captioner(folder, beams=2, max_new_tokens=6)
    together = captioner.caption(pictures(4))
    assert together == [captioner.caption(one[None])[0] for one in pictures(4)]
    assert any(together), 'says something'
    assert not any('<' in text or '[' in text for text in together), 'no special tokens'
    assert captioner.caption(pictures(0)) == []


@pytest.mark.parametrize('kind', ['git', 'blip'])
def test_greedy_captions_are_the_models_own(folders, kind):
    folder, model = folders(kind)
    captioner = load_captioner(folder, beams=1, max_new_tokens=5)
    expected = model.generate(pixel_values=pictures(3), num_beams=1, max_new_tokens=5,
                              do_sample=False)
    words = captioner.tokenizer.batch_decode(expected, skip_special_tokens=True)
    assert captioner.caption(pictures(3)) == [' '.join(w.split()) for w in words]


def test_blip2_stops_at_a_line_break(folders):
    folder, _ = folders('blip-2')
    captioner = load_captioner(folder, beams=1, max_new_tokens=6)
    assert captioner.tokenizer.convert_ids_to_tokens(captioner.options['eos_token_id']) == 'Ċ'
    head = captioner.model.language_model.lm_head.weight
    with torch.no_grad():
        head.copy_(torch.zeros_like(head))
    captioner.options['bad_words_ids'] = [[i] for i in range(len(captioner.tokenizer)) if i != 4]
    assert captioner.caption(pictures(2)) == ['', '']


def test_reduced_precision_and_formats(folders):
    folder, _ = folders('blip-2')
    captioner = load_captioner(folder, precision='bf16', beams=1, max_new_tokens=3)
    assert captioner.model.dtype == torch.bfloat16
    assert len(captioner.caption(pictures(2))) == 2
    assert picture_format(folder).fit == 'stretch'
    git = picture_format(folders('git')[0])
    assert (git.fit, git.image_size) == ('cover', 32)
    np.testing.assert_allclose(git.mean, transformers_folders.MEAN)


@pytest.mark.parametrize('kind', ['blip-itc', 'blip-2-itc'])
def test_itc_is_the_models_own(folders, kind):
    folder, model = folders(kind)
    scorer, texts = load_itc(folder), ['a red mug', 'the blue box on the table']
    tokens = scorer.tokenizer(texts, padding=True, return_tensors='pt')
    option = 'use_image_text_matching_head' if kind == 'blip-2-itc' else 'use_itm_head'
    with torch.no_grad():
        out = model(pixel_values=pictures(3), input_ids=tokens['input_ids'],
                    attention_mask=tokens['attention_mask'], **{option: False})
    expected = out.logits_per_image if kind == 'blip-2-itc' else out.itm_score
    unit = torch.nn.functional.normalize
    cosine = unit(scorer.encode_images(pictures(3)), dim=-1) @ unit(
        scorer.encode_text(texts), dim=-1).T
    cosine = cosine.amax(1) if cosine.ndim == 3 else cosine
    torch.testing.assert_close(cosine, expected, atol=1e-5, rtol=0)
    assert cosine.std() > 1e-4
    assert torch.isfinite(scorer.encode_text(['the mug ' * 60])).all(), 'longer than the tower'
    assert scorer.encode_text([]).shape == (0, 8)


def test_damaged_folders(folders, tmp_path):
    with pytest.raises(WeightsError, match='no captioner'):
        bad = tmp_path / 'bert'
        bad.mkdir()
        (bad / 'config.json').write_text(json.dumps({'model_type': 'bert'}))
        (bad / 'preprocessor_config.json').write_text(json.dumps(
            {'size': 32, 'image_mean': [0] * 3, 'image_std': [1] * 3}))
        load_captioner(bad)
    with pytest.raises(WeightsError, match='cannot be read'):
        load_captioner(tmp_path / 'nothing')
    with pytest.raises(WeightsError, match='lacks weights'):
        load_captioner(folders('blip-itc')[0])
