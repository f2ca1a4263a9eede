"""TAS: filter, terms, rectifier and bad input, over tiny networks."""
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('spacy')
pytest.importorskip('cv2')

from ris_ros.language import Analysis
from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.tas import scores as scoring
from ris_ros.methods.tas.method import TAS, Description
from ris_ros.methods.tas.settings import TASSettings
from ris_ros.methods.tas.text import text_plan
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.models.proposals import Proposals
from ris_ros.types import BadInputError, Command, Relation, Target, View

CONFIG = {'embed_dim': 16, 'quick_gelu': True,
          'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 32, 'layers': 2,
                         'head_width': 16},
          'text_cfg': {'context_length': 8, 'width': 32, 'heads': 2, 'layers': 1},
          'vocabulary': ['mug', 'the', 'left', 'red', 'box', 'photo', 'of', 'a']}
RN = {**CONFIG, 'vision_cfg': {'image_size': 32, 'layers': [1, 1, 1, 1], 'width': 8}}
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
THE_MUG = [['the', 'DET', 'DT', 'det', 1], ['mug', 'NOUN', 'NN', 'ROOT', 1]]
LEFT_MUG = [['left', 'ADJ', 'JJ', 'amod', 1], ['mug', 'NOUN', 'NN', 'ROOT', 1]]


def said(rows, position=None):
    text = ' '.join(row[0] for row in rows)
    return Analysis(Command(text, target=Target(text, 'mug', position=position)),
                    doc_from_rows(rows))


class Given:
    def __init__(self, masks):
        self.masks = masks

    def propose(self, view):
        return Proposals.of(self.masks)


class Parrot:
    """A captioner that always says the same and remembers what it saw."""

    image_size, fit = 16, 'stretch'
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, text):
        self.text, self.seen = text, []

    def caption(self, pixels):
        self.seen.append(len(pixels))
        return [self.text] * len(pixels)


def make_clip(config):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return ClipModel(build_clip(config), config)


@pytest.fixture(scope='module')
def clip():
    return make_clip(CONFIG)


def squares(*places, side=20):
    masks = torch.zeros(len(places), 64, 64, dtype=torch.bool)
    for i, (y, x) in enumerate(places):
        masks[i, y:y + side, x:x + side] = True
    return masks


QUARTERS = squares((2, 2), (2, 40), (40, 2), (40, 40))


def make(clip, masks, text='a red box and a mug', rules='paper', **settings):
    options = {'min_mask_area': 30, 'rules': rules, **settings}
    return TAS(clip, Given(masks), TASSettings(**options), Parrot(text))


def answer(method, analysis=None):
    scene = method.prepare(View(IMAGE))
    grounding = method.ground(scene, analysis or said(THE_MUG))
    assert np.isfinite(grounding.scores[grounding.order]).all()
    assert ((grounding.probabilities >= 0) & (grounding.probabilities <= 1)).all()
    assert not np.isnan(grounding.scores).any()
    return scene, grounding


@pytest.mark.parametrize('rules', ['paper', 'released'])
@pytest.mark.parametrize('n', [0, 1, 2, 4])
def test_any_number_of_proposals(clip, rules, n):
    _, grounding = answer(make(clip, QUARTERS[:n], rules=rules))
    assert sorted(grounding.order) == list(range(n))


@pytest.mark.parametrize('rules', ['paper', 'released'])
def test_whole_image_and_tiny_proposals(clip, rules):
    whole, dot, line = (torch.zeros(1, 64, 64, dtype=torch.bool) for _ in range(3))
    whole[:], dot[0, 5, 60], line[0, 3, :] = True, True, True
    for masks in (whole, dot, line, torch.cat([whole, dot, line]), torch.cat([dot, line])):
        _, grounding = answer(make(clip, masks, rules=rules, mask_filter='off'))
        assert len(grounding.order) == len(masks)
        _, filtered = answer(make(clip, masks, rules=rules))
        assert len(filtered.order) >= 1, 'one is always left'
    _, nothing = answer(make(clip, torch.zeros(2, 64, 64, dtype=torch.bool), rules=rules))
    assert not len(nothing.order), 'empty masks are no objects'


def test_filter_drops_small_and_contained_masks():
    outer = np.zeros((4, 8, 8), dtype=bool)
    outer[0, :4], outer[1, :2], outer[2, 6:, :], outer[3, 7, 7] = True, True, True, True
    flat = outer.reshape(4, -1).astype(float)
    areas, shared = outer.sum((1, 2)), flat @ flat.T
    assert scoring.keep_masks(areas, shared, 2, 0.4).tolist() == [0, 2]
    assert scoring.keep_masks(areas, shared, 1, 1.0).tolist() == [0, 1, 2, 3]
    assert scoring.keep_masks(areas, shared, 1000, 0.4).tolist() == [0, 2], 'all too small'
    same = np.full((2, 2), 5.0)
    assert scoring.keep_masks(np.array([5, 5]), same, 0, 0.4).tolist() == [0], 'the later goes'


def test_terms_without_spread_or_negatives():
    np.testing.assert_allclose(scoring.normalised(np.array([3.0])), [1.0])
    np.testing.assert_allclose(scoring.normalised(np.array([2.0, 2.0])), [0.5, 0.5])
    similarity = np.array([[1.0, 3.0], [2.0, 4.0]])
    np.testing.assert_allclose(scoring.mean_negatives(similarity, np.zeros(2, bool)), [0, 0])
    np.testing.assert_allclose(scoring.mean_negatives(similarity, np.array([False, True])),
                               [3, 4])


@pytest.mark.parametrize('text', ['', 'mug', 'the ' * 300 + 'mug', '!?'])
def test_captions_of_any_kind(clip, text):
    scene, grounding = answer(make(clip, QUARTERS, text))
    assert len(scene.cache['description'].captions) == 4
    assert np.isfinite(grounding.details['p']).all() and np.isfinite(grounding.details['n']).all()


def test_score_is_the_sum_of_its_terms(clip):
    pytest.importorskip('nltk')
    method = make(clip, QUARTERS, alpha=0.3, negative_lambda=0.5)
    scene, grounding = answer(method)
    found = grounding.details
    unit = torch.nn.functional.normalize
    prompts = [p for p, noun in scene.cache['description'].negatives if noun != 'mug']
    assert prompts, 'the box is something else'
    image = unit(scene.cache['features'], dim=-1)
    text = unit(clip.encode_text(['the mug', 'a red box and a mug', *prompts]), dim=-1)
    scale = clip.logit_scale
    np.testing.assert_allclose(found['v'], scale * (image @ text[0]), atol=1e-4)
    np.testing.assert_allclose(found['p'], scale * (text[1] @ text[0]).expand(4), atol=1e-4)
    np.testing.assert_allclose(found['n'], scale * (image @ text[2:].T).mean(1), atol=1e-4)
    raw = found['v'] + 0.3 * found['p'] - 0.5 * found['n']
    assert grounding.order[0] == raw.argmax()


def test_captioner_sees_kept_masks_in_batches_and_the_image_once(clip):
    masks = torch.cat([QUARTERS, squares((4, 4), side=6)])  # the last lies in the first
    method = make(clip, masks, caption_batch=3)
    scene, _ = answer(method)
    assert scene.cache['kept'].tolist() == [0, 1, 2, 3]
    assert method.captioner.seen == [3, 1, 1]
    method.ground(scene, said(LEFT_MUG))
    assert method.captioner.seen == [3, 1, 1], 'a further sentence asks for no caption'


def test_without_a_captioner(clip):
    with pytest.raises(BadInputError, match='needs a captioner'):
        TAS(clip, Given(QUARTERS))
    alone = TAS(clip, Given(QUARTERS), TASSettings(captions=False, negatives=False,
                                                   min_mask_area=30))
    _, grounding = answer(alone)
    assert not grounding.details['p'].any() and not grounding.details['n'].any()
    assert grounding.order[0] == np.argmax(grounding.details['v'])


@pytest.mark.parametrize(('position', 'places'), [
    ('left', {0, 2}), ('right', {1, 3}), ('top', {0, 1}), ('bottom', {2, 3}),
    ('top left', {0}), ('bottom right', {3}), ('middle', {0, 1, 2, 3}), (None, {0, 1, 2, 3})])
def test_paper_rectifier_looks_where_the_sentence_points(clip, position, places):
    _, grounding = answer(make(clip, QUARTERS), said(LEFT_MUG, position))
    assert set(grounding.order.tolist()) == places
    off = make(clip, QUARTERS, rectifier=False)
    assert len(answer(off, said(LEFT_MUG, position))[1].order) == 4


@pytest.mark.parametrize(('relations', 'position', 'kept'), [
    (['left'], None, [0, 2]), (['right'], None, [1, 3]), (['above'], None, [0, 1]),
    (['below'], None, [2, 3]), (['left'], 'top', [0]), (['above', 'right'], None, [1]),
    (['behind'], None, [0, 1, 2, 3]), (['next_to', 'between'], None, [0, 1, 2, 3])])
def test_paper_rectifier_reads_relations_of_the_subject(relations, position, kept):
    centres = np.array([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0]])
    target = Target('the mug', 'mug', position=position,
                    relations=tuple(Relation(kind, 'bowl') for kind in relations))
    plan = text_plan(doc_from_rows(LEFT_MUG), 'paper')
    assert scoring.allowed(plan, target, centres, 'paper').tolist() == kept


def test_relations_point_nowhere_where_the_setting_is_off():
    centres = np.array([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0]])
    plan = text_plan(doc_from_rows(LEFT_MUG), 'paper')
    relations = (Relation('left', 'bowl'),)
    for position, kept in ((None, [0, 1, 2, 3]), ('top', [0, 1])):
        target = Target('the mug', 'mug', position=position, relations=relations)
        assert scoring.allowed(plan, target, centres, 'paper', relations=False).tolist() == kept


def test_paper_halves_without_a_common_mask():
    centres = np.array([[0.0, 0.0], [10.0, 10.0]])
    target = Target('the bottom left mug', 'mug', position='bottom left')
    plan = text_plan(doc_from_rows(LEFT_MUG), 'paper')
    assert scoring.allowed(plan, target, centres, 'paper').tolist() == [0, 1]


@pytest.mark.parametrize(('words', 'quadrants'), [
    ('left mug', {0, 2}), ('right mug', {1, 3}), ('top mug', {0, 1}), ('bottom mug', None),
    ('left laptop', {0}), ('rightmost mug', {1, 3})])
def test_released_rectifier_matches_words_by_their_letters(words, quadrants):
    adjective, noun = words.split()
    plan = text_plan(doc_from_rows([[adjective, 'ADJ', 'JJ', 'amod', 1],
                                    [noun, 'NOUN', 'NN', 'ROOT', 1]]), 'released')
    centres = np.array([[0, 0], [0, 9], [9, 0], [9, 9]])
    got = set(scoring.allowed(plan, None, centres, 'released').tolist())
    bogus = bool(plan.entity.relations)
    assert got == (quadrants if quadrants and not bogus else {0, 1, 2, 3})


@pytest.mark.parametrize('view', ['crop', 'blur'])
def test_views(clip, view):
    striped = QUARTERS & (torch.arange(64) % 3 > 0)
    scene, _ = answer(make(clip, striped, clip_view=view, caption_view=view))
    other, _ = answer(make(clip, striped, clip_view='crop'))
    assert torch.equal(scene.cache['features'], other.cache['features']) == (view == 'crop')


def test_any_clip_scores(clip):
    method = make(make_clip(RN), QUARTERS)
    assert len(answer(method)[1].order) == 4


def test_several_features_per_region_count_by_the_best(clip):
    method = make(clip, QUARTERS)
    scene = method.prepare_with(View(IMAGE), Proposals.of(QUARTERS),
                                description=Description(('a mug',) * 4))
    features = scene.cache['features']
    several = torch.stack([features.flip(0), features, -features], dim=1)
    texts = clip.encode_text(['the mug'])
    both = np.maximum(method._similarity(features, texts),
                      method._similarity(features.flip(0), texts))
    got = method._similarity(several, texts)
    assert (got >= both - 1e-6).all() and got.shape == (4, 1)


class Known:
    """A room in which every kind of relation is decided: mask 1 against all others."""

    places = object()

    def holds(self, kind, picture):
        out = np.zeros_like(picture)
        out[1] = 1
        return out


@pytest.mark.parametrize(('target', 'heeded'), [
    (Target('the mug closest to me', 'mug', view='nearest'), ('view',)),
    (Target('the mug behind the box closest to me', 'mug', view='nearest',
            relations=(Relation('behind', 'box', 'the box'),)), ()),
    (Target('the tallest mug', 'mug', attributes=('tallest',)), ())])
def test_the_view_is_heeded_only_where_the_room_decides_it(clip, target, heeded):
    method = make(clip, QUARTERS, relations_in='room')
    scene = method.prepare(View(IMAGE))
    scene = replace(scene, cache={**scene.cache, 'room': Known()})
    found = method.ground(scene, Analysis(Command(target.expression, target=target),
                                          doc_from_rows(THE_MUG)))
    assert found.order[0] == 1 and found.heeded == heeded


def test_where_the_room_decides_nothing_no_text_is_read_for_it(clip, monkeypatch):
    target = Target('the mug left of the box', 'mug', relations=(Relation('left', 'box'),))
    analysis = Analysis(Command(target.expression, target=target), doc_from_rows(THE_MUG))
    read = []
    for where in ('picture', 'room'):
        method = make(clip, QUARTERS, relations_in=where, rectifier=False)
        scene = method.prepare(View(IMAGE))
        scene = replace(scene, cache={**scene.cache, 'room': Known()})
        calls, encode = [], clip.encode_text
        with monkeypatch.context() as patch:
            patch.setattr(clip, 'encode_text',
                          lambda texts, c=calls, e=encode: (c.append(tuple(texts)), e(texts))[1])
            found = method.ground(scene, analysis)
        read.append((calls, found.scores.tolist()))
    assert read[0] == read[1]


def test_settings_that_do_not_fit(clip):
    with pytest.raises(BadInputError, match='odd'):
        make(clip, QUARTERS, blur_kernel=74)
    with pytest.raises(BadInputError):
        method = make(clip, QUARTERS)
        method.ground(method.prepare(View(IMAGE)), Analysis(Command('', problem='nothing'), None))
