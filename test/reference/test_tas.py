"""TAS under `rules: released` equals the authors' code, step by step."""
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('spacy')
pytest.importorskip('cv2')

import reference

from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.tas.method import TAS, Description
from ris_ros.methods.tas.settings import TASSettings
from ris_ros.methods.tas.text import text_plan
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.models.proposals import Proposals, boxes_of
from ris_ros.types import View

CONFIG, ARRAYS = reference.load('tas')
CASES = range(len(CONFIG['cases']))
IMAGES = sorted({case['image'] for case in CONFIG['cases']})
TOLERANCE = 1e-4


def make_clip():
    shape = CONFIG['clip']
    config = {
        'embed_dim': shape['embed'], 'quick_gelu': shape['activation'] == 'quickgelu',
        'init_logit_scale': float(np.log(shape['logit_scale'])),
        'vision_cfg': {'width': shape['width'], 'layers': shape['layers'],
                       'head_width': shape['width'] // shape['heads'],
                       'patch_size': shape['patch'], 'image_size': shape['image']},
        'text_cfg': {'width': 64, 'heads': 1, 'layers': 1, 'context_length': 8},
        'vocabulary': ['unused']}
    model = build_clip(config)

    def value(name, tensor):
        found = torch.from_numpy(reference.tensor(
            f'visual.{name}', tuple(tensor.shape), CONFIG['seed_clip_visual']))
        exact = 'ln_' in name or 'embedding' in name
        return found if exact else found.half().float()

    model.visual.load_state_dict(
        {name: value(name, tensor) for name, tensor in model.visual.state_dict().items()})
    return ClipModel(model, config)


class GivenTexts:
    """A scorer whose text features are those of the vectors."""

    def __init__(self, clip):
        self.clip, self.known = clip, {}
        for index, case in enumerate(CONFIG['cases']):
            for texts, name in (([case['expression'].lower()], 'expression'),
                                (case['captions'], 'captions'), (case['negatives'], 'negatives')):
                key = f'case{index}/text_{name}'
                if key in ARRAYS.files:
                    self.known.update(zip(texts, torch.from_numpy(ARRAYS[key]), strict=True))

    def __getattr__(self, name):
        return getattr(self.clip, name)

    def encode_text(self, texts):
        # The head phrase only serves the decision whether anything matches at all.
        unused = torch.ones(CONFIG['clip']['embed'])
        return torch.stack([self.known.get(text, unused) for text in texts]) if texts else \
            torch.zeros(0, CONFIG['clip']['embed'])


class Captioner:
    """What the released code's captioner sees: 224 pixels, stretched, CLIP's statistics."""

    fit, image_size = 'stretch', 224

    def __init__(self, clip):
        self.mean, self.std = clip.mean, clip.std


@pytest.fixture(scope='module')
def method():
    torch.set_num_threads(1)
    clip = make_clip()
    return TAS(GivenTexts(clip), proposer=None, captioner=Captioner(clip), settings=TASSettings(
        rules='released', alpha=CONFIG['alpha'], negative_lambda=CONFIG['lam'],
        score_scale=CONFIG['clip']['logit_scale']))


def proposals(image):
    masks = torch.from_numpy(
        reference.unpack_masks(ARRAYS[f'image{image}/proposals'], CONFIG['image_hw'][1]))
    return masks, boxes_of(masks)


PROMPTS = sorted({text for case in CONFIG['cases'] for text in case['negatives']})


@pytest.fixture(scope='module')
def scenes(method):
    out = {}
    for image in IMAGES:
        masks, _ = proposals(image)
        captions = next(c['captions'] for c in CONFIG['cases'] if c['image'] == image)
        out[image] = method.prepare_with(
            View(ARRAYS[f'image{image}']), Proposals.of(masks),
            description=Description(tuple(captions), tuple((p, None) for p in PROMPTS)))
    return out


def ground(method, scenes, index):
    case = CONFIG['cases'][index]
    plan = dataclasses.replace(text_plan(doc_from_rows(case['parse']), 'released'),
                               sentence=case['expression'].lower())  # with its own spaces
    assert plan.sentence in method.scorer.known
    others = np.array([prompt in case['negatives'] for prompt in PROMPTS], dtype=bool)
    return case, f'case{index}/', method.score(scenes[case['image']], plan, others)


@pytest.mark.parametrize('image', IMAGES)
def test_filter_and_centroids(scenes, image):
    cache = scenes[image].cache
    np.testing.assert_array_equal(cache['kept'], ARRAYS[f'image{image}/kept'])
    np.testing.assert_array_equal(cache['centroids'], ARRAYS[f'image{image}/centroids_row_col'])


@pytest.mark.parametrize('image', IMAGES)
def test_crops(method, image):
    masks, boxes = proposals(image)
    # The released boxes hold distances between outermost pixels, ours extents.
    np.testing.assert_array_equal(boxes.numpy() - [0, 0, 1, 1],
                                  ARRAYS[f'image{image}/boxes_xywh'])
    kept, picture = torch.from_numpy(ARRAYS[f'image{image}/kept']), ARRAYS[f'image{image}']
    soft = method._soft(picture)
    for model, view, name in ((method.scorer, 'crop', 'clip'),
                              (method.captioner, 'blur', 'captioner')):
        key = f'image{image}/{name}_input_every_8'
        if key in ARRAYS.files:  # the captioner's of the first image only
            got = method.views(picture, soft, masks[kept], boxes[kept], model, view)
            np.testing.assert_allclose(got[..., ::8, ::8].numpy(), ARRAYS[key], atol=2e-3)


@pytest.mark.parametrize('image', IMAGES)
def test_features(scenes, image):
    got, expected = scenes[image].cache['features'].numpy(), ARRAYS[f'image{image}/clip_features']
    unit = got / np.linalg.norm(got, axis=1, keepdims=True)
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, expected / length, atol=TOLERANCE)
    np.testing.assert_allclose(got if length.max() > 1.001 else unit, expected, atol=TOLERANCE)


@pytest.mark.parametrize('index', CASES)
def test_terms_and_score(method, scenes, index):
    case, key, grounding = ground(method, scenes, index)
    found = grounding.details
    for name, stored in (('v', 'v_score'), ('p', 'p_score'), ('n', 'n_similarity_mean'),
                         ('score', 'score_softmax')):
        expected = ARRAYS[key + stored][:, 0]
        if np.isnan(expected).any():  # no negatives or a single mask: 0 / 0 in the released code
            assert np.isfinite(found[name]).all()
            continue
        np.testing.assert_allclose(found[name], expected, atol=TOLERANCE,
                                   err_msg=f'{name} of {case["expression"]!r}')


@pytest.mark.parametrize('index', CASES)
def test_choice_before_and_after_the_rectifier(method, scenes, index):
    case, key, grounding = ground(method, scenes, index)
    if np.isnan(ARRAYS[key + 'score_softmax']).any():
        pytest.skip('the released code has no scores to choose by')
    kept = grounding.details['kept'].tolist()
    assert grounding.details['before_rectifier'] == case['choice_before_rectifier']
    assert kept.index(grounding.order[0]) == case['choice'], case['expression']
