"""HybridGL's scoring on hand-made numbers, and its behaviour at the edges."""
import dataclasses

import numpy as np
import pytest

from ris_ros.methods.hybridgl.scores import (
    Inputs,
    Stated,
    other_phrases,
    paper_scores,
    relations_of,
    released_scores,
)
from ris_ros.methods.hybridgl.settings import HybridGLSettings
from ris_ros.methods.hybridgl.text import HybridGLText
from ris_ros.types import Relation, Target

PAPER, RELEASED = HybridGLSettings(), HybridGLSettings(rules='released')
# Two mugs left and right, a bowl between them, the table under everything.
BOXES = np.array([[10, 50, 20, 20], [80, 50, 30, 30], [45, 50, 20, 20], [0, 0, 120, 100]], float)
MUGS = [0.30, 0.31, 0.20, 0.10]
BOWL = [0.18, 0.17, 0.30, 0.15]


def inputs(sentence=MUGS, phrase=MUGS, others=(), inside=None, outside=None):
    n = len(BOXES)
    zero = np.zeros(n)
    return Inputs(
        cosine=np.stack([sentence, phrase, *others], axis=1), boxes=BOXES,
        inside=zero if inside is None else np.array(inside, float),
        outside=zero if outside is None else np.array(outside, float), mean=0.5,
        iou=np.eye(n), containment=np.eye(n), scale=100.0)


def plan(relation='none', others=(), direction='none'):
    return HybridGLText('a sentence', 'the mug', tuple(others), direction, relation)


def best(scores):
    return int(np.argmax(scores.final))


def test_without_relation_semantics_decide():
    scores = paper_scores(inputs(), plan(), PAPER)
    assert best(scores) == 1 and scores.semantic.sum() == pytest.approx(1)
    assert scores.relative.max() == 1 and len(scores.candidates) == 4


@pytest.mark.parametrize('relation, expected', [('left', 0), ('right', 1)])
def test_a_relation_to_another_object(relation, expected):
    x = inputs(others=[BOWL])
    assert best(paper_scores(x, plan(relation, ['the bowl']), PAPER)) == expected
    target = Target('e', relations=(Relation(relation, 'bowl', 'the bowl'),))
    assert best(paper_scores(x, plan('none', ['the bowl']), PAPER, target)) == expected


@pytest.mark.parametrize('relation, expected', [('big', 1), ('small', 0), ('left', 0),
                                                ('right', 1)])
def test_a_superlative_compares_the_target_with_its_like(relation, expected):
    settings = dataclasses.replace(PAPER, top_k_target=2, relation_needs_object=False)
    assert best(paper_scores(inputs(), plan(relation), settings)) == expected


@pytest.mark.parametrize('relation', ['big', 'small', 'left', 'right'])
def test_without_another_object_there_is_no_relation(relation):
    """Equation 4 needs two objects: "the left mug" is the position map's."""
    strict = paper_scores(inputs(), plan(relation), PAPER)
    assert np.allclose(strict.semantic, paper_scores(inputs(), plan(), PAPER).semantic)
    x = inputs(others=[BOWL])
    loose = dataclasses.replace(PAPER, relation_needs_object=False)
    both = (paper_scores(x, plan(relation, ['the bowl']), s).semantic for s in (PAPER, loose))
    assert np.allclose(*both), 'with another object the setting changes nothing'


def test_switched_off_relations_do_nothing():
    off = dataclasses.replace(PAPER, relation=False)
    scores = paper_scores(inputs(others=[BOWL]), plan('left', ['the bowl']), off)
    assert best(scores) == 1


def test_between_and_next_to():
    cosine = [0.30, 0.10, 0.31, 0.1]   # two candidates: index 0 outside, index 2 between
    first, second = [0.3, .1, .1, .1], [.1, .3, .1, .1]
    x = inputs(cosine, cosine, [first, second])
    settings = dataclasses.replace(PAPER, top_k_target=2, top_k_other=1)
    target = Target('e', relations=(Relation('between', 'a'), Relation('between', 'b')))
    assert best(paper_scores(x, plan(), settings, target)) == 2
    near = Target('e', relations=(Relation('next_to', 'a'),))
    x = inputs([0.1, 0.31, 0.30, 0.1], [0.1, 0.31, 0.30, 0.1], [first])
    assert best(paper_scores(x, plan(), settings, near)) == 2, 'the nearer of two alike'


def test_a_relation_that_nothing_fulfils_leaves_semantics():
    x = inputs(others=[[.3, 0, 0, 0]])
    settings = dataclasses.replace(PAPER, top_k_target=2, top_k_other=1)
    scores = paper_scores(x, plan('left', ['the tray']), settings)
    assert not scores.relation_met and np.isfinite(scores.final).all() and best(scores) == 1
    assert np.allclose(scores.semantic, paper_scores(x, plan(), settings).semantic), 'equation 3'


def test_masks_of_one_object_are_no_pair():
    x = inputs([.30, .31, .1, .1], [.30, .31, .1, .1])
    twins = np.eye(4)
    twins[0, 1] = twins[1, 0] = 0.8
    same = dataclasses.replace(x, iou=twins)
    settings = dataclasses.replace(PAPER, top_k_target=2, relation_needs_object=False)
    assert not paper_scores(same, plan('left'), settings).relation_met
    assert paper_scores(x, plan('left'), settings).relation_met


def test_guidance_decides_between_equals():
    x = inputs([.3, .3, .1, .1], [.3, .3, .1, .1], inside=[.9, .1, .5, .5],
               outside=[.2, .2, .2, .2])
    assert best(paper_scores(x, plan(direction='left'), PAPER)) == 0
    mirrored = dataclasses.replace(x, inside=np.array([.1, .9, .5, .5]))
    assert best(paper_scores(mirrored, plan(direction='left'), PAPER)) == 1
    off = dataclasses.replace(PAPER, coherence=False)
    scores = paper_scores(x, plan(), off)
    np.testing.assert_allclose(scores.final, scores.semantic)


def test_lambda_depends_on_the_size_word():
    x = inputs(inside=[1, 1, 1, 1], outside=[.1, .1, .1, .1])
    for relation, lam in (('none', 9), ('big', 3), ('small', 14)):
        np.testing.assert_allclose(paper_scores(x, plan(relation), PAPER).guidance, 1 - lam * .1)


def test_released_scores_choose_among_the_three_best():
    x = inputs([.30, .31, .29, .1], inside=[0, 0, 0, 9], outside=[.1] * 4)
    scores = released_scores(x, plan(), RELEASED)
    assert sorted(scores.candidates.tolist()) == [0, 1, 2] and scores.final[3] == -np.inf
    # (2 - b) * inside / mean - b * outside / mean with b = 1.8 and mean 0.5
    np.testing.assert_allclose(scores.guidance, [-.36, -.36, -.36, 3.24])


def test_relations_from_the_parsed_command_or_the_plan():
    target = Target('e', relations=(Relation('inside', 'bowl', 'the bowl'),
                                    Relation('between', 'a'), Relation('between', 'b')))
    assert list(relations_of(plan('left', ['x']), target)) == [
        Stated('within', (0,), 'inside'), Stated('between', (1, 2))]
    assert other_phrases(plan(), target) == ('the bowl', 'a', 'b')
    assert list(relations_of(plan('left', ['x', 'y']), None)) == [Stated('left', (0,))]
    assert list(relations_of(plan('big'), Target('e'))) == [Stated('big', ())]
    assert list(relations_of(plan(), None)) == []


# ---- the whole method over small random networks -------------------------------------------

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('spacy')

from ris_ros.language import Analysis
from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.baselines.clip_only import ClipOnly
from ris_ros.methods.baselines.settings import ClipOnlySettings
from ris_ros.methods.hybridgl.method import HybridGL
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.models.proposals import Proposals
from ris_ros.types import BadInputError, Command, View

CONFIG = {'embed_dim': 16, 'quick_gelu': True,
          'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 32, 'layers': 3,
                         'head_width': 16},
          'text_cfg': {'context_length': 8, 'width': 32, 'heads': 2, 'layers': 1},
          'vocabulary': ['bowl', 'left', 'mug', 'of', 'red', 'the']}
ROWS = [['the', 'DET', 'DT', 'det', 2], ['red', 'ADJ', 'JJ', 'amod', 2],
        ['mug', 'NOUN', 'NN', 'ROOT', 2], ['left', 'ADV', 'RB', 'advmod', 2],
        ['of', 'ADP', 'IN', 'prep', 3], ['the', 'DET', 'DT', 'det', 6],
        ['bowl', 'NOUN', 'NN', 'pobj', 4]]
TARGET = Target('the red mug left of the bowl', 'mug', relations=(
    Relation('left', 'bowl', 'the bowl'),))
SAID = Analysis(Command('the red mug left of the bowl', target=TARGET), doc_from_rows(ROWS))
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


class Given:
    """A proposer that knows its answer."""

    def __init__(self, masks):
        self.masks = torch.from_numpy(np.asarray(masks, dtype=bool).reshape(-1, *IMAGE.shape[:2]))

    def propose(self, view):
        return Proposals.of(self.masks)


def rectangles(*spans):
    masks = np.zeros((len(spans), *IMAGE.shape[:2]), dtype=bool)
    for mask, (y0, y1, x0, x1) in zip(masks, spans, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


@pytest.fixture(scope='module')
def clip():
    torch.manual_seed(0)
    return ClipModel(build_clip(CONFIG), CONFIG)


SETTINGS = {'start_block': 1, 'gem_blocks': 2}
FULL, TINY = (0, 40, 0, 56), (20, 21, 30, 31)
MUG, CUP = (5, 15, 5, 20), (20, 35, 30, 50)


@pytest.mark.parametrize('rules', ['paper', 'released'])
@pytest.mark.parametrize('spans', [(), (MUG,), (FULL,), (TINY,), (MUG, FULL, TINY),
                                   (MUG, CUP, FULL, TINY, (0, 3, 0, 3))])
def test_any_number_and_kind_of_proposals(clip, rules, spans):
    method = HybridGL(clip, Given(rectangles(*spans)), HybridGLSettings(rules=rules, **SETTINGS))
    grounding = method.ground(method.prepare(View(IMAGE)), SAID)
    n = len(spans)
    expected = n if rules == 'paper' else min(n, 3)
    assert grounding.scores.shape == grounding.probabilities.shape == (n,)
    assert len(grounding.order) == expected == len(set(grounding.order.tolist()))
    assert np.isfinite(grounding.scores[grounding.order]).all()
    assert (np.diff(grounding.scores[grounding.order]) <= 0).all()
    assert ((grounding.probabilities >= 0) & (grounding.probabilities <= 1)).all()
    assert grounding.heatmap.shape == IMAGE.shape[:2]
    assert grounding.heatmap.min() >= 0 and grounding.heatmap.max() <= 1


@pytest.mark.parametrize('rules', ['paper', 'released'])
@pytest.mark.parametrize('rows', [
    ROWS[:3],                                                       # no other noun
    [['mug', 'NOUN', 'NN', 'ROOT', 0]],
    [['left', 'ADJ', 'JJ', 'ROOT', 0]],                             # no noun at all
    [*[['red', 'ADJ', 'JJ', 'amod', 40]] * 40, ['mug', 'NOUN', 'NN', 'ROOT', 40]],
], ids=['no other noun', 'one word', 'no noun', 'beyond the text length'])
def test_sentences_at_the_edges(clip, rules, rows):
    text = ' '.join(row[0] for row in rows)
    said = Analysis(Command(text, target=Target(text, rows[-1][0])), doc_from_rows(rows))
    for spans in ((), (MUG,), (MUG, CUP, TINY, FULL)):
        method = HybridGL(clip, Given(rectangles(*spans)),
                          HybridGLSettings(rules=rules, **SETTINGS))
        grounding = method.ground(method.prepare(View(IMAGE)), said)
        assert len(grounding.order) == min(len(spans), 3 if rules == 'released' else 4)
        assert np.isfinite(grounding.scores[grounding.order]).all()
        assert np.isfinite(grounding.probabilities).all()
        assert np.isfinite(grounding.heatmap).all()


@pytest.mark.parametrize('rules', ['paper', 'released'])
def test_a_mask_that_vanishes_on_the_token_grid_has_a_feature(clip, rules):
    """A soft grid samples patch centres, between which one pixel falls."""
    method = HybridGL(clip, Given(rectangles(TINY)), HybridGLSettings(rules=rules, **SETTINGS))
    from ris_ros.models.region_streams import token_grid
    masks = torch.from_numpy(rectangles(TINY))
    seen = token_grid(masks, clip.grid, 'binary' if rules == 'paper' else 'soft')
    assert bool(seen.any()) == (rules == 'paper'), 'the released grid loses it'
    features = method.prepare(View(IMAGE)).cache['features']
    assert torch.isfinite(features).all() and features.norm() > 0


POSITION = Analysis(
    Command('', target=Target('the red mug on the left', position='left')),
    doc_from_rows([*ROWS[:3], ['on', 'ADP', 'IN', 'prep', 2], ['the', 'DET', 'DT', 'det', 5],
                   ['left', 'NOUN', 'NN', 'pobj', 3]]))


@pytest.fixture(scope='module')
def scores_with(clip):
    proposer = Given(rectangles(MUG, CUP, (30, 40, 0, 10), (0, 10, 40, 56)))
    known = {}

    def run(**settings):
        key = tuple(sorted(settings.items()))
        if key not in known:
            method = HybridGL(clip, proposer, HybridGLSettings(**{**SETTINGS, **settings}))
            known[key] = method.ground(method.prepare(View(IMAGE)), POSITION).scores
        return known[key]
    return run


LOOSE = {'relation_needs_object': False}   # the sentence names no other object


@pytest.mark.parametrize('settings, base', [
    ({'fusion': 'l2g'}, {}), ({'fusion': 'g2l_l2g'}, {}), ({'fusion': 'local'}, {}),
    ({'fusion': 'global'}, {}), ({'fusion': 'global_local'}, {}), ({'blur': False}, {}),
    ({'token_masking': True}, {'fusion': 'global'}),
    ({'attention_mask': False}, {'fusion': 'global'}),
    ({'global_weight': 0.2}, {'fusion': 'global_local'}),
    ({'relation': False}, LOOSE), ({'relation_needs_object': False}, {}),
    ({'coherence': False}, {}), ({'position': False}, {}),
    ({'view_normalisation': 'imagenet'}, {}), ({'local_fill': 'clip_mean'}, {}),
    ({'token_grid': 'soft'}, {}), ({'fuse_cls': 'on'}, {}), ({'gem_text': 'template'}, {}),
    ({'beta': 0.5}, {}), ({'start_block': 2}, {}), ({'gem_blocks': 1}, {}),
    ({'gem_iterations': 0}, {}), ({'gem_size': 32}, {}), ({'alpha': 0.1}, {}),
    ({'guidance_scale': 5.0}, {}), ({'phrase_weight': 1.0}, {'relation': False}),
    ({'semantic_scale': 10.0}, {}), ({'rules': 'released'}, {}), ({'guidance_lambda': 1.0}, {}),
    ({'top_k_target': 2}, LOOSE)])
def test_every_setting_changes_the_scores(scores_with, settings, base):
    before, after = scores_with(**base), scores_with(**{**base, **settings})
    assert np.abs(np.exp(before) - np.exp(after)).max() > 1e-7


def test_an_image_of_one_colour(clip):
    grey = np.full((40, 56, 3), 128, dtype=np.uint8)
    for rules in ('paper', 'released'):
        method = HybridGL(clip, Given(rectangles(MUG, CUP)),
                          HybridGLSettings(rules=rules, **SETTINGS))
        grounding = method.ground(method.prepare(View(grey)), SAID)
        assert np.isfinite(grounding.scores[grounding.order]).all()


def test_a_second_sentence_needs_no_tower(clip, monkeypatch):
    method = HybridGL(clip, Given(rectangles(MUG, CUP)), HybridGLSettings(**SETTINGS))
    scene = method.prepare(View(IMAGE))
    first = method.ground(scene, SAID)

    def forbidden(*_, **__):
        raise AssertionError('an image tower was run for a sentence')
    monkeypatch.setattr('ris_ros.models.vit.tokens_of', forbidden)
    np.testing.assert_array_equal(method.ground(scene, SAID).scores, first.scores)


def test_wrong_settings_are_named(clip):
    with pytest.raises(BadInputError, match='odd'):
        HybridGL(clip, Given([]), HybridGLSettings(blur_kernel=14))
    method = HybridGL(clip, Given(rectangles(MUG)), HybridGLSettings(start_block=9))
    with pytest.raises(BadInputError, match='start_block'):
        method.prepare(View(IMAGE))
    with pytest.raises(BadInputError, match='no object'):
        HybridGL(clip, Given([]), HybridGLSettings(**SETTINGS)).ground(
            None, Analysis(Command('hm', problem='the command names no object'), None))


def test_looking_again_is_looking_under_the_new_settings(clip):
    """A kept scene once kept patch features whose settings had changed."""
    first = HybridGL(clip, Given(rectangles(MUG, CUP)), HybridGLSettings(**SETTINGS))
    scene = first.prepare(View(IMAGE))
    for changes in ({'fusion': 'local'}, {'gem_blocks': 1}, {'gem_iterations': 2},
                    {'gem_size': 48}, {'blur': False}):
        other = first.with_settings(dataclasses.replace(first.settings, **changes))
        again, anew = other.look_again(scene), other.prepare(View(IMAGE))
        for name in ('features', 'patches', 'areas', 'iou', 'containment'):
            np.testing.assert_array_equal(again.cache[name], anew.cache[name], f'{changes} {name}')
        np.testing.assert_array_equal(other.ground(again, SAID).scores,
                                      other.ground(anew, SAID).scores)
    assert first.look_again(scene).cache['patches'] is scene.cache['patches'], 'as they were'


@pytest.mark.parametrize('view', ['crop', 'masked_crop', 'masked_frame'])
def test_clip_only(clip, view):
    method = ClipOnly(clip, Given(rectangles(MUG, CUP, TINY)), ClipOnlySettings(view=view))
    scene = method.prepare(View(IMAGE))
    grounding = method.ground(scene, SAID)
    assert sorted(grounding.order.tolist()) == [0, 1, 2]
    assert grounding.scores.sum() == pytest.approx(1, abs=1e-5)
    inputs = method.views(IMAGE, torch.from_numpy(scene.masks), torch.from_numpy(scene.boxes))
    assert inputs.shape == (3, 3, 32, 32)
    empty = ClipOnly(clip, Given([]), ClipOnlySettings(view=view))
    assert len(empty.ground(empty.prepare(View(IMAGE)), SAID).order) == 0
