"""HybridGL under `rules: released` equals the authors' code, step by step."""
import copy
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('spacy')

import reference

from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.hybridgl.method import HybridGL, TextFeatures
from ris_ros.methods.hybridgl.settings import HybridGLSettings
from ris_ros.methods.hybridgl.text import text_plan
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.models.proposals import Proposals, boxes_of
from ris_ros.types import View

CONFIG, ARRAYS = reference.load('hybridgl')
CASES = range(len(CONFIG['cases']))
IMAGES = sorted({case['image'] for case in CONFIG['cases']})
TOLERANCE = 1e-4


def make_clip(shape, seed):
    config = {
        'embed_dim': shape['embed'], 'quick_gelu': shape['activation'] == 'quickgelu',
        'init_logit_scale': float(np.log(CONFIG['clip']['logit_scale'])),
        'vision_cfg': {'width': shape['width'], 'layers': shape['layers'],
                       'head_width': shape['width'] // shape['heads'],
                       'patch_size': shape['patch'], 'image_size': shape['image']},
        'text_cfg': {'width': 64, 'heads': 1, 'layers': 1, 'context_length': 8},
        'vocabulary': ['unused']}
    model = build_clip(config)
    model.visual.load_state_dict({
        name: torch.from_numpy(reference.tensor(f'visual.{name}', tuple(value.shape), seed))
        for name, value in model.visual.state_dict().items()})
    return ClipModel(model, config)


def make_method(**settings):
    gem = CONFIG['gem']
    return HybridGL(
        make_clip(CONFIG['clip'], CONFIG['seed_clip_visual']), proposer=None,
        gem_clip=make_clip(gem, CONFIG['seed_gem_visual']),
        settings=HybridGLSettings(
            rules='released', start_block=CONFIG['fusion_block'], beta=float(CONFIG['beta']),
            alpha=CONFIG['alpha'], gem_size=gem['input'],
            gem_blocks=gem['depth_argument'] - 1, gem_iterations=gem['iterations'],
            semantic_scale=CONFIG['clip']['logit_scale'], **settings))


@pytest.fixture(scope='module')
def method():
    return make_method()


def masks_of(image):
    return torch.from_numpy(
        reference.unpack_masks(ARRAYS[f'image{image}/masks'], CONFIG['image_hw'][1]))


@pytest.fixture(scope='module')
def scenes(method):
    out = {}
    for image in IMAGES:
        out[image] = method.prepare_with(View(ARRAYS[f'image{image}']),
                                         Proposals.of(masks_of(image)))
    return out


def ground(method, scenes, index):
    case, key = CONFIG['cases'][index], f'case{index}/'
    plan = text_plan(doc_from_rows(case['parse']), 'released')
    sentence, phrase = (torch.from_numpy(ARRAYS[key + name][0])
                        for name in ('text_sentence', 'text_noun_phrase'))
    has_other = key + 'text_other' in ARRAYS.files
    texts = TextFeatures(
        target=0.5 * sentence + 0.5 * phrase, phrase=phrase,
        others=torch.from_numpy(ARRAYS[key + 'text_other']) if has_other
        else torch.zeros(0, len(phrase)),
        gem=torch.from_numpy(ARRAYS[key + 'gem_text_unit'][0]))
    # The released program lowers k for good once an image has fewer masks; the vectors say
    # what it was for each case.
    here = copy.copy(method)
    here.settings = dataclasses.replace(method.settings, top_k_target=case['k_target'],
                                        top_k_other=case['k_other'])
    return plan, texts, here.score(scenes[case['image']], plan, texts)


@pytest.mark.parametrize('image', IMAGES)
def test_boxes_and_region_inputs(method, image):
    masks = masks_of(image)
    # The released boxes hold distances between outermost pixels, ours extents.
    np.testing.assert_array_equal(boxes_of(masks).numpy() - [0, 0, 1, 1],
                                  ARRAYS[f'image{image}/boxes_xywh'])
    local, context = method.region_views(ARRAYS[f'image{image}'], masks)
    for got, name in ((local, 'local'), (context, 'global')):
        np.testing.assert_allclose(got[..., ::8, ::8].numpy(),
                                   ARRAYS[f'image{image}/{name}_input_every_8'], atol=2e-3)


@pytest.mark.parametrize('mode', ['g2l', 'l2g'])
@pytest.mark.parametrize('image', IMAGES)
def test_hybrid_features(image, mode):
    got = make_method(fusion=mode).region_features(ARRAYS[f'image{image}'], masks_of(image))
    np.testing.assert_allclose(got.numpy(), ARRAYS[f'image{image}/hybrid_{mode}'],
                               atol=TOLERANCE)


def test_features_do_not_depend_on_the_batch(method):
    image = IMAGES[0]
    got = make_method(region_batch=3).region_features(ARRAYS[f'image{image}'], masks_of(image))
    np.testing.assert_allclose(got.numpy(), ARRAYS[f'image{image}/hybrid_g2l'], atol=TOLERANCE)


@pytest.mark.parametrize('index', CASES)
def test_text_plan(index):
    case = CONFIG['cases'][index]
    plan = text_plan(doc_from_rows(case['parse']), 'released')
    assert plan.noun_phrase == case['noun_phrase']
    assert list(plan.other_noun_phrases) == case['other_noun_phrases']
    assert (plan.direction, plan.relation) == (case['direction'], case['relation'])


@pytest.mark.parametrize('index', CASES)
def test_response_map_and_guidance(method, scenes, index):
    from ris_ros.models import gem
    case, key = CONFIG['cases'][index], f'case{index}/'
    _, texts, grounding = ground(method, scenes, index)
    side, patch = CONFIG['gem']['input'], CONFIG['gem']['patch']
    similarity = gem.similarity_map(scenes[case['image']].cache['patches'], texts.gem,
                                    (side // patch,) * 2, side)
    np.testing.assert_allclose(similarity[::16, ::16].numpy(),
                               ARRAYS[key + 'gem_similarity_448_every_16'], atol=TOLERANCE)
    expected = ARRAYS[key + 'guidance_map']
    got = grounding.heatmap
    np.testing.assert_allclose(got / got.mean() * expected.mean(), expected, atol=TOLERANCE)
    np.testing.assert_allclose(grounding.details['guidance'],
                               ARRAYS[key + 'guidance_scores'][:, 0], atol=TOLERANCE)


@pytest.mark.parametrize('index', CASES)
def test_scores_and_choice(method, scenes, index):
    case, key = CONFIG['cases'][index], f'case{index}/'
    _, _, grounding = ground(method, scenes, index)
    semantic = grounding.details['semantic']
    np.testing.assert_allclose(semantic, ARRAYS[key + 'semantic_scores'][:, 0], atol=TOLERANCE)
    assert int(np.argmax(semantic)) == case['semantic_choice']
    top = ARRAYS[key + 'top_masks']
    assert sorted(grounding.order.tolist()) == sorted(top.tolist())
    np.testing.assert_allclose(grounding.scores[top], ARRAYS[key + 'final_scores'],
                               atol=TOLERANCE)
    assert int(grounding.order[0]) == case['final_choice']
