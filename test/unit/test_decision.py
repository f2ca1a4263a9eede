"""From a grounding to an outcome: whose masks, how many candidates, and which are one object."""
import dataclasses

import numpy as np
import pytest

from ris_ros.decision import decide, distinct, shares, unheeded
from ris_ros.methods.options import OutcomeSettings
from ris_ros.types import (
    BadInputError,
    Command,
    Grounding,
    Ignored,
    Negation,
    Ordinal,
    Outcome,
    Regions,
    Scene,
    Target,
    View,
)

VIEW = View(np.zeros((40, 60, 3), np.uint8))
SAID = Command('the mug', target=Target('the mug'))
EVERYTHING = OutcomeSettings(score_threshold=0.0, ambiguity_margin=0.0)


def squares(n, side=4):
    """N squares that touch nothing."""
    masks = np.zeros((n, 40, 60), bool)
    for k in range(n):
        y, x = 5 * (k // 12), 5 * (k % 12)
        masks[k, y:y + side, x:x + side] = True
    return Regions.of(masks)


def scene_of(regions):
    return Scene('test', VIEW, regions.masks, regions.boxes, regions.areas,
                 np.ones(len(regions), np.float32))


def grounding(probabilities, **more):
    values = np.asarray(probabilities, np.float32)
    return Grounding(values, np.argsort(-values, kind='stable'), values, **more)


def test_as_many_candidates_as_asked_for():
    """A constant of 5 once capped the node's parameter max_candidates (1 to 254)."""
    scene, found = scene_of(squares(96)), grounding(np.linspace(1, 0.1, 96))
    for asked in (1, 2, 7, 60, 254):
        out = decide(scene, found, SAID, EVERYTHING, asked)
        assert [c.rank for c in out.candidates] == list(range(1, min(asked, 96) + 1))
        assert [c.index for c in out.candidates] == list(range(min(asked, 96)))
    assert len(decide(scene, found, SAID, EVERYTHING).candidates) == 10
    with pytest.raises(BadInputError, match='at least 1'):
        decide(scene, found, SAID, EVERYTHING, 0)


def test_the_outcome_does_not_depend_on_how_many_are_listed():
    scene, close = scene_of(squares(3)), grounding([0.8, 0.75, 0.1])
    for asked in (1, 2, 3):
        out = decide(scene, close, SAID, OutcomeSettings(), asked)
        assert out.outcome is Outcome.AMBIGUOUS and out.margin == pytest.approx(0.05)
        assert len(out.candidates) == asked and '0.75' in out.message


def test_masks_are_read_from_the_grounding():
    proposals, own = squares(3), squares(2, side=3)
    found = grounding([0.3, 0.9], own=own, notes=('"frobnicate" is no word of the network.',))
    out = decide(scene_of(proposals), found, SAID, OutcomeSettings())
    assert out.outcome is Outcome.SUCCEEDED_2D and out.regions is own
    np.testing.assert_array_equal(out.mask, own.masks[1])
    assert [c.box for c in out.candidates] == [(5, 0, 3, 3), (0, 0, 3, 3)]
    assert out.notes == found.notes
    bare = Scene.without_proposals('test', VIEW, {}, {})
    again = decide(bare, found, SAID, OutcomeSettings())
    np.testing.assert_array_equal(again.mask, out.mask)


def test_nothing_to_choose_among():
    bare = Scene.without_proposals('test', VIEW, {}, {})
    for found in (grounding([]), grounding([], own=squares(0))):
        out = decide(bare, found, SAID, OutcomeSettings())
        assert out.outcome is Outcome.NO_MATCH and not out.mask.any()
        assert out.mask.shape == (40, 60) and out.score == out.margin == 0


@pytest.mark.parametrize('probabilities', [[np.nan], [np.nan, 0.1], [np.nan, np.nan]])
def test_what_is_no_number_is_no_match(probabilities):
    regions = squares(len(probabilities))
    found = dataclasses.replace(grounding(probabilities),
                                order=np.arange(len(probabilities)))
    out = decide(scene_of(regions), found, SAID, OutcomeSettings())
    assert out.outcome is Outcome.NO_MATCH and not out.mask.any()


def one_by_one(regions, order, limit, most):
    """The same choice, pair by pair."""
    kept = []
    for i in order:
        if len(kept) < most and not any(
                (regions.masks[i] & regions.masks[k]).sum()
                > limit * min(regions.areas[i], regions.areas[k]) for k in kept):
            kept.append(int(i))
    return kept


@pytest.mark.parametrize('most', [1, 2, 5, 40])
@pytest.mark.parametrize('limit', [0.0, 0.3, 0.5, 1.0])
def test_distinct_objects_as_pair_by_pair(most, limit):
    rng = np.random.default_rng(most)
    masks = np.zeros((40, 40, 60), bool)
    for mask in masks[:-1]:  # the last stays empty
        y, x, h, w = rng.integers(0, 30), rng.integers(0, 50), *rng.integers(1, 25, 2)
        mask[y:y + h, x:x + w] = rng.random(mask[y:y + h, x:x + w].shape) < 0.8
    masks[7] = masks[3]
    regions, order = Regions.of(masks), rng.permutation(40)
    assert distinct(regions, order, limit, most) == one_by_one(regions, order, limit, most)
    assert distinct(regions, order[:0], limit, most) == []


def test_shares_are_of_the_smaller_mask():
    masks = np.zeros((3, 40, 60), bool)
    masks[0, 0:10, 0:10], masks[1, 0:10, 5:10], masks[2, 9:11, 0:10] = True, True, True
    assert shares(Regions.of(masks), 0, np.array([1, 2])).tolist() == [1.0, 0.5]
    assert shares(Regions.of(masks), 1, np.array([2, 0])).tolist() == [0.25, 1.0]


RED = Target('the red mug')


@pytest.mark.parametrize('target, said', [
    (dataclasses.replace(SAID.target, negations=(Negation('attribute', "that isn't red", RED),)),
     "that isn't red"),
    (dataclasses.replace(SAID.target, ordinal=Ordinal(2, 'left')), 'counts in a row'),
    (dataclasses.replace(SAID.target, count='both'), 'both'),
    (dataclasses.replace(SAID.target, count=3), '3'),
    (dataclasses.replace(SAID.target, view='nearest'), 'nearness')])
def test_what_is_not_heeded_refuses_or_is_told(target, said):
    """A negation that was dropped once gave the very object that was excluded."""
    scene, found = scene_of(squares(3)), grounding([0.9, 0.2, 0.1])
    command = Command('as said', target=target)
    refused = decide(scene, found, command, OutcomeSettings())
    assert refused.outcome is Outcome.NO_MATCH and not refused.mask.any()
    assert said in refused.message and len(refused.candidates) == 3
    told = decide(scene, found, command, OutcomeSettings(ignored='report'))
    assert told.outcome is Outcome.SUCCEEDED_2D and told.mask.any()
    assert any(said in note for note in told.notes)


def test_ignored_words_are_told_and_conditions_refuse():
    scene, found = scene_of(squares(2)), grounding([0.9, 0.1])
    told = decide(scene, found, dataclasses.replace(
        SAID, ignored=(Ignored('hey robot', 'a form of address'),)), OutcomeSettings())
    assert told.outcome is Outcome.SUCCEEDED_2D
    assert told.notes == ('"hey robot" was not used (a form of address)',)
    condition = Ignored('if it is dry', 'a condition, which is not checked', constraint=True)
    refused = decide(scene, found, dataclasses.replace(SAID, ignored=(condition,)),
                     OutcomeSettings())
    assert refused.outcome is Outcome.NO_MATCH and 'if it is dry' in refused.message
    assert unheeded(SAID) == ()
