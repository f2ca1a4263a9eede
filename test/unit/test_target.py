"""Which outcome a segmentation ends with, and that node and command line cannot differ in it."""
from __future__ import annotations

import numpy as np
import pytest

from ris_ros.geometry import GeometrySettings
from ris_ros.target import Missing, measure_target
from ris_ros.types import BadInputError, Camera, Outcome, Segmentation

SHAPE = (48, 64)
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
MASK = np.zeros(SHAPE, bool)
MASK[10:30, 20:44] = True


def segmentation(outcome=Outcome.SUCCEEDED_2D, mask=MASK):
    return Segmentation(mask, 0.9, 0.5, outcome, 'as it was said')


def depth(metres=0.5, shape=SHAPE):
    return np.full(shape, metres, np.float32)


def refuse(what):
    def give():
        raise BadInputError(what)
    return give


def never():
    raise AssertionError('this is not needed and must not be converted')


def test_found_and_measured():
    got = measure_target(segmentation(), depth(), CAMERA)
    assert (got.outcome, got.message) == (Outcome.SUCCEEDED, 'as it was said')
    assert got.geometry.point[2] == pytest.approx(0.5) and got.depth_valid_ratio == 1.0


def test_depth_and_camera_from_callables_are_the_same():
    direct = measure_target(segmentation(), depth(), CAMERA)
    called = measure_target(segmentation(), depth, lambda: CAMERA)
    assert called.outcome is direct.outcome
    np.testing.assert_array_equal(called.geometry.point, direct.geometry.point)


@pytest.mark.parametrize('given, camera, outcome, said', [
    (Missing('no depth came'), CAMERA, Outcome.NO_DEPTH, 'no depth came'),
    (Missing('no depth came'), Missing('no camera came'), Outcome.NO_DEPTH, 'no depth came'),
    (depth(), Missing('no camera came'), Outcome.UNCALIBRATED, 'no camera came'),
    (never, Missing('no camera came'), Outcome.UNCALIBRATED, 'no camera came'),
    (never, refuse('zeros in K'), Outcome.UNCALIBRATED, 'zeros in K'),
    (never, Camera(0.0, 60.0, 31.5, 23.5, 64, 48), Outcome.UNCALIBRATED, 'focal lengths'),
    (never, Camera(60.0, 60.0, 31.5, 23.5, 640, 480), Outcome.UNCALIBRATED, '640x480'),
    (refuse('a strange encoding'), CAMERA, Outcome.DEPTH_MISMATCH, 'a strange encoding'),
    (depth(shape=(24, 32)), CAMERA, Outcome.DEPTH_MISMATCH, 'registered to colour'),
    (depth(np.nan), CAMERA, Outcome.NO_DEPTH, 'only 0 pixels'),
    (depth(50.0), CAMERA, Outcome.NO_DEPTH, 'only 0 pixels'),
])
def test_found_but_not_measured(given, camera, outcome, said):
    got = measure_target(segmentation(), given, camera)
    assert got.outcome is outcome and said in got.message and got.geometry is None


def test_the_share_of_valid_depth_is_told_even_where_it_is_too_small():
    few = depth(np.nan)
    few[15:17, 25:30] = 0.5
    got = measure_target(segmentation(), few, CAMERA)
    assert got.outcome is Outcome.NO_DEPTH and 0 < got.depth_valid_ratio < 0.1


def test_settings_reach_the_geometry():
    assert measure_target(segmentation(), depth(50.0), CAMERA,
                          GeometrySettings(max_m=60.0)).outcome is Outcome.SUCCEEDED


def test_nobody_asked_for_a_target():
    got = measure_target(segmentation(), None, Missing('no camera came'))
    assert (got.outcome, got.message, got.geometry) == (
        Outcome.SUCCEEDED_2D, 'as it was said', None)


@pytest.mark.parametrize(('outcome', 'policy'), [
    (outcome, policy) for outcome in Outcome for policy in ('report', 'best')
    if outcome is not Outcome.SUCCEEDED_2D and (outcome, policy) != (Outcome.AMBIGUOUS, 'best')])
def test_other_outcomes_pass_through_unmeasured(outcome, policy):
    got = measure_target(segmentation(outcome), never, never, ambiguity_policy=policy)
    assert (got.outcome, got.message) == (outcome, 'as it was said')
    assert got.geometry is None


def test_the_best_guess_has_a_point_and_stays_ambiguous():
    guess = segmentation(Outcome.AMBIGUOUS)
    got = measure_target(guess, depth(), CAMERA, ambiguity_policy='best')
    assert got.outcome is Outcome.AMBIGUOUS and got.geometry is not None
    assert got.message == 'as it was said' and got.depth_valid_ratio == 1.0
    without = measure_target(guess, depth(np.nan), CAMERA, ambiguity_policy='best')
    assert without.outcome is Outcome.AMBIGUOUS and without.geometry is None
    assert without.message == 'as it was said' and without.depth_valid_ratio == 0.0


def test_an_unknown_policy_is_refused():
    with pytest.raises(BadInputError, match='report or best'):
        measure_target(segmentation(), None, CAMERA, ambiguity_policy='guess')


def test_errors_of_the_program_are_not_hidden():
    def broken():
        raise KeyError('a fault of ours')
    with pytest.raises(KeyError):
        measure_target(segmentation(), broken, CAMERA)
