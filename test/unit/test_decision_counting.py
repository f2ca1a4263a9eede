"""Outcomes by counting: how many objects fit what is said, and which of them are meant."""
import dataclasses
import itertools

import numpy as np
import pytest

from ris_ros.decision import decide
from ris_ros.decision.meaning import Layout
from ris_ros.decision.objects import at_least, counts
from ris_ros.methods.options import OutcomeSettings
from ris_ros.types import (
    Command,
    Grounding,
    Negation,
    Ordinal,
    Outcome,
    Regions,
    Relation,
    Scene,
    Target,
    View,
)

COUNT = OutcomeSettings(decision='count')
MUG = Target('the mug', head='mug', name='mug')


def row_of(n, depth=None, size=(40, 200)):
    """N squares from left to right, 20 pixels apart, of sides 6, 7, 8 ..."""
    masks = np.zeros((n, *size), bool)
    for k in range(n):
        masks[k, 20:26 + k, 20 * k + 2:20 * k + 8 + k] = True
    regions = Regions.of(masks)
    view = View(np.zeros((*size, 3), np.uint8), depth)
    return Scene('test', view, regions.masks, regions.boxes, regions.areas,
                 np.ones(n, np.float32))


def grounding(ranking, **fits):
    values = np.asarray(ranking, np.float32)
    return Grounding(values, np.argsort(-values, kind='stable'), values,
                     fits={n.replace('_', ' '): np.asarray(v, np.float32)
                           for n, v in fits.items()})


def ask(scene, found, target=MUG, settings=COUNT, **more):
    return decide(scene, found, Command('as said', target=target, targets=(target,)), settings,
                  **more)


def test_counts_are_those_of_every_combination():
    p = np.array([0.1, 0.7, 0.4, 0.95])
    by_number = np.zeros(5)
    for chosen in itertools.product((0, 1), repeat=4):
        by_number[sum(chosen)] += np.prod([q if c else 1 - q for q, c in zip(
            p, chosen, strict=True)])
    got = counts(p)
    np.testing.assert_allclose((got.none, got.one, got.several),
                               (by_number[0], by_number[1], by_number[2:].sum()))
    np.testing.assert_allclose(at_least(p, 3), [*by_number[:3], by_number[3:].sum()])
    assert counts(np.zeros(0)).none == 1.0


def test_none_one_and_several():
    scene = row_of(3)
    nothing = ask(scene, grounding([0.9, 0.1, 0.1], mug=[0.05, 0.02, 0.01]))
    assert nothing.outcome is Outcome.NO_MATCH and not nothing.mask.any()
    assert nothing.counts[0] == pytest.approx(0.95 * 0.98 * 0.99, abs=1e-3)
    one = ask(scene, grounding([0.9, 0.1, 0.1], mug=[0.95, 0.02, 0.01]))
    assert one.outcome is Outcome.SUCCEEDED_2D and [c.index for c in one.selected] == [0]
    assert 0.85 < one.confidence < 1
    # The margin between the two is large; that they are two mugs is what counts.
    two = ask(scene, grounding([0.9, 0.1, 0.1], mug=[0.95, 0.9, 0.01]))
    assert two.outcome is Outcome.AMBIGUOUS and not two.selected
    assert two.counts[2] == pytest.approx(0.95 * 0.9, abs=0.02)


@pytest.mark.parametrize('said', [
    {'position': 'left'}, {'further': ('bigger',)}, {'ordinal': Ordinal(1, 'left')},
    {'relations': (Relation('left', 'bowl', 'the bowl', 'bowl'),)}])
def test_what_chooses_among_likes_makes_it_unambiguous(said):
    found = grounding([0.9, 0.3, 0.1], mug=[0.95, 0.9, 0.01], bowl=[0.01, 0.02, 0.9])
    out = ask(row_of(3), found, dataclasses.replace(MUG, **said))
    assert out.outcome is Outcome.SUCCEEDED_2D and [c.index for c in out.selected] == [0]


def test_one_object_seen_twice_is_one():
    scene = row_of(2)
    masks = np.concatenate([scene.masks, scene.masks[:1]])
    masks[2, 20, 2] = False
    regions = Regions.of(masks)
    scene = dataclasses.replace(scene, masks=regions.masks, boxes=regions.boxes,
                                areas=regions.areas)
    out = ask(scene, grounding([0.9, 0.1, 0.8], mug=[0.95, 0.02, 0.94]))
    assert out.outcome is Outcome.SUCCEEDED_2D and out.counts[2] < 0.05


def test_a_relation_that_holds_for_no_pair():
    found = grounding([0.9, 0.1, 0.1], mug=[0.95, 0.01, 0.01], bowl=[0.01, 0.02, 0.9])
    left = dataclasses.replace(MUG, relations=(Relation('left', 'bowl', 'the bowl', 'bowl'),))
    right = dataclasses.replace(MUG, relations=(Relation('right', 'bowl', 'the bowl', 'bowl'),))
    assert ask(row_of(3), found, left).outcome is Outcome.SUCCEEDED_2D
    out = ask(row_of(3), found, right)
    assert out.outcome is Outcome.NO_MATCH and 'no two objects' in out.message
    # Among likes it is enough that it holds for one of them.
    two = grounding([0.9, 0.1, 0.8], mug=[0.95, 0.01, 0.95], bowl=[0.01, 0.9, 0.01])
    assert ask(row_of(3), two, right).outcome is Outcome.SUCCEEDED_2D
    absent = grounding([0.9, 0.1, 0.1], mug=[0.95, 0.01, 0.01], bowl=[0.01, 0.02, 0.03])
    out = ask(row_of(3), absent, left)
    assert out.outcome is Outcome.NO_MATCH and '"the bowl"' in out.message


def test_between_wants_two_others():
    target = dataclasses.replace(MUG, relations=(
        Relation('between', 'bowl', 'the bowl', 'bowl'),
        Relation('between', 'can', 'a can', 'can')))
    for cans, outcome in (([0, 0, 0.9], Outcome.SUCCEEDED_2D), ([0, 0.9, 0], Outcome.NO_MATCH)):
        found = grounding([0.1, 0.9, 0.1], mug=[0.01, 0.95, 0.01], bowl=[0.9, 0.01, 0.01],
                          can=cans)
        assert ask(row_of(3), found, target).outcome is outcome


def test_front_and_behind_go_by_depth_where_there_is_depth():
    depth = np.full((40, 200), 1.0, np.float32)
    depth[:, 20:] = 2.0  # the second is lower in the picture by its size, but farther away
    behind = dataclasses.replace(MUG, relations=(Relation('behind', 'bowl', 'the bowl', 'bowl'),))
    found = grounding([0.1, 0.9], mug=[0.01, 0.95], bowl=[0.95, 0.01])
    assert ask(row_of(2, depth), found, behind).outcome is Outcome.SUCCEEDED_2D
    assert ask(row_of(2), found, behind).outcome is Outcome.NO_MATCH


NOT_RED = Negation('attribute', 'that is not red', Target(
    'the red mug', head='mug', attributes=('red',), name='red mug'))


def test_what_is_denied_is_not_chosen():
    """"The can that is not on the left" once returned the can on the left with score 0.94."""
    scene, target = row_of(3), dataclasses.replace(MUG, negations=(NOT_RED,))
    found = grounding([0.9, 0.5, 0.1], mug=[0.95, 0.95, 0.01], red_mug=[0.97, 0.02, 0.01])
    out = ask(scene, found, target)
    assert out.outcome is Outcome.SUCCEEDED_2D and [c.index for c in out.selected] == [1]
    np.testing.assert_array_equal(out.mask, scene.masks[1])
    all_red = grounding([0.9, 0.5, 0.1], mug=[0.95, 0.95, 0.01], red_mug=[0.97, 0.96, 0.01])
    assert ask(scene, all_red, target).outcome is Outcome.NO_MATCH
    two = grounding([0.9, 0.5, 0.3], mug=[0.95, 0.95, 0.95], red_mug=[0.97, 0.02, 0.01])
    assert ask(scene, two, target).outcome is Outcome.AMBIGUOUS
    for listed in (1, 2, 3):  # the outcome does not depend on how many are listed
        out = ask(scene, found, target, max_candidates=listed)
        assert [c.index for c in out.selected] == [1] and len(out.candidates) == listed


def test_denied_places_and_relations():
    left = Negation('position', 'not on the left', dataclasses.replace(MUG, position='left'))
    found = grounding([0.9, 0.5], mug=[0.95, 0.95])
    out = ask(row_of(2), found, dataclasses.replace(MUG, negations=(left,)))
    assert [c.index for c in out.selected] == [1]
    beside = Negation('relation', 'not left of the bowl', dataclasses.replace(
        MUG, relations=(Relation('left', 'bowl', 'the bowl', 'bowl'),)))
    found = grounding([0.9, 0.1, 0.5], mug=[0.95, 0.01, 0.95], bowl=[0.01, 0.95, 0.01])
    out = ask(row_of(3), found, dataclasses.replace(MUG, negations=(beside,)))
    assert [c.index for c in out.selected] == [2]


@pytest.mark.parametrize('excluded, kind', [
    (dataclasses.replace(MUG, further=('bigger',)), 'object'), (Target('it'), 'object'),
    (MUG, 'other'), (MUG, 'attribute')])
def test_what_cannot_be_ruled_out_refuses(excluded, kind):
    target = dataclasses.replace(MUG, negations=(Negation(kind, 'not that', excluded),))
    out = ask(row_of(2), grounding([0.9, 0.1], mug=[0.95, 0.01]), target)
    assert out.outcome is Outcome.NO_MATCH and 'not that' in out.message and not out.selected


LIKES = [0.9, 0.95, 0.02, 0.97]


@pytest.mark.parametrize('ordinal, index', [
    (Ordinal(1, 'left'), 0), (Ordinal(2, 'left'), 1), (Ordinal(3, 'left'), 3),
    (Ordinal(1, 'right'), 3), (Ordinal(2, 'right'), 1), (Ordinal(-1, 'left'), 3)])
def test_ordinals_count_the_likes_alone(ordinal, index):
    found = grounding([0.1, 0.2, 0.9, 0.3], mug=LIKES)
    out = ask(row_of(4), found, dataclasses.replace(MUG, ordinal=ordinal))
    assert out.outcome is Outcome.SUCCEEDED_2D and [c.index for c in out.selected] == [index]
    assert out.candidates[0].index == index


def test_ordinals_beyond_the_row_and_without_a_side():
    found = grounding([0.1, 0.2, 0.9, 0.3], mug=LIKES)
    out = ask(row_of(4), found, dataclasses.replace(MUG, ordinal=Ordinal(4, 'left')))
    assert out.outcome is Outcome.NO_MATCH and '3 fit' in out.message
    out = ask(row_of(4), found, dataclasses.replace(MUG, ordinal=Ordinal(2)))
    assert out.outcome is Outcome.NO_MATCH and 'side' in out.message


def test_doubtful_rows_are_asked_about():
    found = grounding([0.1, 0.2, 0.9], mug=[0.55, 0.6, 0.55])
    out = ask(row_of(3), found, dataclasses.replace(MUG, ordinal=Ordinal(2, 'left')))
    assert out.outcome is Outcome.AMBIGUOUS and not out.selected


@pytest.mark.parametrize('count, outcome, indices', [
    ('all', Outcome.SUCCEEDED_2D, [0, 1, 3]), (3, Outcome.SUCCEEDED_2D, [0, 1, 3]),
    ('both', Outcome.AMBIGUOUS, []), (4, Outcome.NO_MATCH, []), ('several', Outcome.NO_MATCH, [])])
def test_several_objects_one_mask_each(count, outcome, indices):
    scene = row_of(4)
    out = ask(scene, grounding([0.1, 0.2, 0.9, 0.3], mug=LIKES),
              dataclasses.replace(MUG, count=count))
    assert out.outcome is outcome and [c.index for c in out.selected] == indices
    if indices:
        np.testing.assert_array_equal(out.mask, scene.masks[indices].any(0))
        for chosen in out.selected:
            np.testing.assert_array_equal(chosen.mask, scene.masks[chosen.index])


def test_nearest_by_depth_else_by_the_picture():
    target = dataclasses.replace(MUG, view='nearest')
    found = grounding([0.9, 0.2], mug=[0.95, 0.95])
    assert [c.index for c in ask(row_of(2), found, target).selected] == [1]  # it reaches lower
    depth = np.full((40, 200), 1.0, np.float32)
    depth[:, 20:] = 2.0
    assert [c.index for c in ask(row_of(2, depth), found, target).selected] == [0]
    far = dataclasses.replace(MUG, view='farthest')
    assert [c.index for c in ask(row_of(2, depth), found, far).selected] == [1]


def test_a_look_at_the_whole_picture_counts_too():
    """IteRPrimE hides what it chose and looks again."""
    bare = grounding([0.9, 0.1])
    for some, more, outcome in ((0.9, 0.1, Outcome.SUCCEEDED_2D), (0.9, 0.8, Outcome.AMBIGUOUS),
                                (0.1, 0.0, Outcome.NO_MATCH)):
        found = dataclasses.replace(bare, fits=None, at_least=(some, more))
        assert ask(row_of(2), found).outcome is outcome


def test_without_numbers_or_a_name_it_goes_by_the_margin():
    close = dataclasses.replace(grounding([0.8, 0.75]), fits=None)
    out = ask(row_of(2), close)
    assert out.outcome is Outcome.AMBIGUOUS and out.counts is None
    named = grounding([0.8, 0.1], mug=[0.9, 0.1])
    assert ask(row_of(2), named, Target('the left')).counts is None
    assert ask(row_of(2), named, settings=OutcomeSettings()).counts is None


def test_rows_from_every_side():
    scene = row_of(3)
    layout = Layout(scene.view, scene.regions, {}, 0.5)
    index = np.arange(3)
    assert layout.row(index, 'left') == layout.row(index, 'top') == (0, 1, 2)
    assert layout.row(index, 'right') == layout.row(index, 'front') == (2, 1, 0)
