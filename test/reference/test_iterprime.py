"""IteRPrimE under `rules: released` equals the authors' code, step by step."""
import dataclasses
import re

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('spacy')

import reference

from ris_ros.methods.iterprime import text as language
from ris_ros.methods.iterprime.method import IteRPrimE
from ris_ros.methods.iterprime.settings import IterPrimeSettings
from ris_ros.models.albef import AlbefConfig, load_albef
from ris_ros.models.matcher import Matcher
from ris_ros.models.proposals import Proposals
from ris_ros.models.wordpiece import WordPiece
from ris_ros.types import View

CONFIG, ARRAYS = reference.load('iterprime')
CASES = CONFIG['cases']
MODES = range(5)
SIZE = tuple(CONFIG['image_hw'])


def vocabulary():
    """Return the vectors' vocabulary as far as the cases show it.

    Ids 73 to 108 continue a word by one character (a to z, 0 to 9), 5 to 40 are the same
    characters alone; each word's first piece is what those continuations leave of it.
    """
    characters = 'abcdefghijklmnopqrstuvwxyz0123456789'
    known = {0: '[PAD]', 1: '[UNK]', 2: '[CLS]', 3: '[SEP]'}
    known.update({5 + i: c for i, c in enumerate(characters)})
    known.update({73 + i: f'##{c}' for i, c in enumerate(characters)})
    for case in CASES:
        ids = list(case['token_ids'])[1:]
        for word in re.findall(r'\w+|[^\w\s]', CONFIG['prompt'].format(case['expression'])):
            first, length = ids.pop(0), len(word)
            while ids and 73 <= ids[0] <= 108 and length > 1:
                ids.pop(0)
                length -= 1
            if first != 1:
                known[first] = word[:length]
        assert not ids, case['expression']
    return [known.get(i, f'[unused{i}]') for i in range(CONFIG['config']['vocab'])]


@pytest.fixture(scope='module')
def matcher():
    torch.set_num_threads(1)
    state = {name.removeprefix('weights/'): torch.from_numpy(ARRAYS[name])
             for name in ARRAYS.files if name.startswith('weights/')}
    sizes = dict(CONFIG['config'])
    model = load_albef(state, AlbefConfig.from_dict(sizes))
    return Matcher(model, WordPiece(vocabulary()))


@pytest.fixture(scope='module')
def method(matcher):
    return IteRPrimE(matcher, None, IterPrimeSettings(
        rules='released', layer=CONFIG['grad_cam_layer'], iterations=CONFIG['iterations'],
        keep=CONFIG['lambda'], threshold=CONFIG['theta'], component_limit=CONFIG['kappa']))


@pytest.fixture(scope='module')
def scene(method):
    masks = torch.from_numpy(reference.unpack_masks(ARRAYS['masks'], SIZE[1]))
    return method.prepare_with(View(np.zeros((*SIZE, 3), np.uint8)), Proposals.of(masks),
                               pixels=torch.from_numpy(ARRAYS['image']).float())


def plan_of(matcher, case):
    words = case['expression'].split()
    primary = language.primary_from_tree(case['tree'], words, case['upos'])
    return language.plan_of_words(words, case['upos'], primary, case['expression'],
                                  matcher.tokenizer.count, 'released')


def in_mode(method, mode):
    return IteRPrimE(method.matcher, None, dataclasses.replace(method.settings, mode=mode))


@pytest.mark.parametrize('case', CASES, ids=lambda c: c['expression'])
def test_token_plan(matcher, case):
    plan = plan_of(matcher, case)
    assert matcher.tokenizer.encode(
        CONFIG['prompt'].format(case['expression'])) == case['token_ids']
    wanted = case['primary_word_tokens']
    assert plan.primary_tokens == (None if wanted is None else tuple(wanted))
    assert list(plan.effective_tokens) == case['effective_tokens']


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('index', range(len(CASES)))
def test_maps_and_match(method, scene, index, mode):
    case = CASES[index]
    got, = in_mode(method, mode).ground_plans(
        scene, [case['expression']], [plan_of(method.matcher, case)])
    np.testing.assert_allclose(got.details['match'], case['modes'][str(mode)]['itm'], atol=1e-4)
    np.testing.assert_allclose(got.heatmap, ARRAYS[f'case{index}/heatmap_mode{mode}'],
                               atol=1e-3)


@pytest.mark.parametrize('mode', MODES)
def test_side_by_side_as_one_by_one(method, scene, mode):
    """Sentences of other lengths and with other numbers of looks do not disturb each other."""
    plans = [plan_of(method.matcher, case) for case in CASES]
    got = in_mode(method, mode).ground_plans(scene, [c['expression'] for c in CASES], plans)
    for index, (case, grounding) in enumerate(zip(CASES, got, strict=True)):
        np.testing.assert_allclose(grounding.details['match'],
                                   case['modes'][str(mode)]['itm'], atol=1e-4)
        np.testing.assert_allclose(grounding.heatmap,
                                   ARRAYS[f'case{index}/heatmap_mode{mode}'], atol=1e-3)


@pytest.mark.parametrize('index', range(len(CASES)))
def test_mask_scores_and_choice(method, scene, index):
    case = CASES[index]
    got, = method.ground_plans(scene, [case['expression']], [plan_of(method.matcher, case)])
    np.testing.assert_allclose(got.details['mask_scores'], ARRAYS[f'case{index}/mask_scores'],
                               atol=1e-3)
    if got.details['mask_scores'].any():
        assert int(got.order[0]) == case['selected_mask']
    else:  # the released program then returns an empty mask, whatever its index
        assert not len(got.order) and not ARRAYS[f'case{index}/mask_scores'].any()
