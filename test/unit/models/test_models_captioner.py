"""Captioners and contrastive scorers read from folders in the published layout."""
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

import transformers_folders

from ris_ros.files import write_sums
from ris_ros.language import Analysis
from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.tas.method import TAS
from ris_ros.methods.tas.settings import TASSettings
from ris_ros.models.captioner import load_captioner, picture_format
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.models.proposals import Proposals
from ris_ros.models.scorers import load_itc
from ris_ros.profiles import Networks, get_profile
from ris_ros.types import BadInputError, Command, Target, View, WeightsError


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


@pytest.mark.parametrize('kind, beams', [('git', 1), ('blip', 1), ('blip', 3)])
def test_captions_are_the_models_own(folders, kind, beams):
    folder, model = folders(kind)
    captioner = load_captioner(folder, beams=beams, max_new_tokens=5)
    expected = model.generate(pixel_values=pictures(3), num_beams=beams, max_new_tokens=5,
                              do_sample=False)
    words = captioner.tokenizer.batch_decode(expected, skip_special_tokens=True)
    assert captioner.caption(pictures(3)) == [' '.join(w.split()) for w in words]


def test_blip2_from_its_folder_says_what_it_said_before(folders):
    """Beam search as TAS wants it, by the network in memory and by the one read back."""
    folder, model = folders('blip-2')
    captioner = load_captioner(folder, beams=3, max_new_tokens=6)
    said = captioner.caption(pictures(4))
    captioner.model = model.eval()
    assert said == captioner.caption(pictures(4)) and len(set(said)) > 1


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


@pytest.mark.parametrize('itc', ['', 'blip2_itm'])
def test_tas_over_a_profile_with_a_captioner(folders, tmp_path, monkeypatch, itc):
    """BLIP-2 describes and CLIP, or BLIP-2's contrastive head, compares."""
    pytest.importorskip('spacy')
    pytest.importorskip('open_clip')
    for kind, name in (('blip-2', 'blip2-opt-2.7b'), ('blip-2-itc', 'blip2-itm-vit-g')):
        shutil.copytree(folders(kind)[0], tmp_path / name)
        write_sums(tmp_path / name)
    networks = Networks(get_profile('paper'), 'cpu', 'fp32', tmp_path)
    masks = torch.zeros(3, 48, 48, dtype=torch.bool)
    for i, x in enumerate((0, 16, 32)):
        masks[i, 8:30, x:x + 14] = True
    config = {'embed_dim': 16, 'vision_cfg': {'image_size': 32, 'patch_size': 16, 'width': 64,
                                              'layers': 1},
              'text_cfg': {'context_length': 8, 'width': 32, 'heads': 2, 'layers': 1},
              'vocabulary': ['mug']}
    clip = ClipModel(build_clip(config), config)
    networks._loaded['clip_vit_b_32', 'cpu', 'fp32'] = clip
    monkeypatch.setattr(networks, 'proposer', lambda settings: None)
    settings = TASSettings(scorer=itc, beams=2, max_new_tokens=4, min_mask_area=10)
    method = TAS.from_networks(networks, settings)
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    scene = method.prepare_with(View(image), Proposals.of(masks))
    assert len(scene.cache['description'].captions) == 3
    said = Analysis(Command('mug', target=Target('mug', 'mug')),
                    doc_from_rows([['mug', 'NOUN', 'NN', 'ROOT', 0]]))
    grounding = method.ground(scene, said)
    assert len(grounding.order) == 3 and np.isfinite(grounding.scores).all()


def test_networks_of_another_kind(tmp_path):
    networks = Networks(get_profile('paper'), 'cpu', 'fp32', tmp_path)
    with pytest.raises(BadInputError, match='describes no pictures'):
        networks.captioner('clip_rn50')
    with pytest.raises(BadInputError, match='does not compare'):
        networks.scorer('git_base_coco')
    with pytest.raises(WeightsError, match='ris models fetch git_base_coco'):
        networks.captioner('git_base_coco')


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
