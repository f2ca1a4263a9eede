"""Targets in another frame: by the transform of the image's own time, or not at all."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from service_fakes import MASK, MEASURED, World

from ris_ros.geometry import OrientedBox, RigidTransform, rotate
from ris_ros.service.detail import Detail
from ris_ros.service.placing import Placing
from ris_ros.target import Measurement
from ris_ros.types import Candidate, Outcome, Segmentation

HALF = np.sqrt(0.5)
# A quarter turn about z, then moved: x becomes y.
TURN = RigidTransform.of(np.array([0.0, 0.0, HALF, HALF]), np.array([1.0, 2.0, 3.0]))
POINT = MEASURED.geometry.point
BOX = OrientedBox(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.0, 0.0, 1.0]), np.full(3, 0.1))


@pytest.fixture
def world():
    world = World(target_frame='base_link', tf_timeout_s=0.3)
    world.session.activate()
    return world


def asked(world, **reply):
    world.session.on_command('the mug')
    world.frame(depth=True)
    world.models.answer(**{'measured': MEASURED, **reply})
    world.session.on_replies()


def shown(world):
    ((reply, _, _),) = world.publisher.shown
    return reply


def moved(point):
    return np.array([1 - point[1], 2 + point[0], 3 + point[2]])


def test_all_that_has_a_place_is_in_the_wanted_frame(world):
    world.surroundings.transforms['base_link'] = TURN
    asked(world, detail=Detail(BOX, {1: POINT}))
    (result,) = world.publisher.results
    assert result.ending.outcome is Outcome.SUCCEEDED
    assert result.details['frame_id'] == 'base_link'
    np.testing.assert_allclose(result.details['point_xyz'], moved(POINT))
    np.testing.assert_allclose(result.details['box_xyz'], moved(BOX.centre))
    np.testing.assert_allclose(result.details['box_xyzw'], [0, 0, HALF, HALF])
    np.testing.assert_allclose(result.ending.points[1], moved(POINT))
    reply = shown(world)
    geometry = reply.measured.geometry
    assert reply.frame_id == 'base_link'
    np.testing.assert_allclose(geometry.cloud, TURN.points(MEASURED.geometry.cloud), atol=1e-6)
    np.testing.assert_allclose(geometry.centre, moved(MEASURED.geometry.centre))
    # The ray from the camera, turned with it.
    np.testing.assert_allclose(rotate(geometry.orientation, np.array([0, 0, 1.0])),
                               TURN.points(POINT / np.linalg.norm(POINT)) - TURN.translation)
    assert all(image.stamp == 100.0 for _, image in world.surroundings.asked)


@pytest.mark.parametrize(('policy', 'axis'), [('top_down', (0, 0, -1)), ('identity', (0, 0, 1))])
def test_orientations_are_meant_of_the_wanted_frame(world, policy, axis):
    world.surroundings.set(pose_orientation=policy)
    world.surroundings.transforms['base_link'] = TURN
    asked(world)
    np.testing.assert_allclose(
        rotate(shown(world).measured.geometry.orientation, np.array([0, 0, 1.0])), axis, atol=1e-9)


def test_an_answer_waits_for_its_transform(world):
    asked(world)
    assert world.publisher.results == []
    world.session.on_command('the bowl')   # takes its place only once it has ended
    assert [o for _, o in world.publisher.outcomes] == [Outcome.SUPERSEDED]
    world.surroundings.transforms['base_link'] = TURN
    world.tick()
    world.models.answer(measured=MEASURED)
    world.session.on_replies()
    assert [o for _, o in world.publisher.outcomes] == [Outcome.SUPERSEDED, Outcome.SUCCEEDED]


def test_it_comes_while_the_answer_waits(world):
    asked(world)
    world.tick(0.1)
    world.surroundings.transforms['base_link'] = TURN
    world.tick(0.1)
    assert [o for _, o in world.publisher.outcomes] == [Outcome.SUCCEEDED]


def test_it_is_looked_for_while_the_models_work(world):
    """tf2 keeps ten seconds; a network on a processor may take longer."""
    world.session.on_command('the mug')
    world.frame(depth=True)
    world.surroundings.transforms['base_link'] = TURN
    world.tick()
    del world.surroundings.transforms['base_link']
    world.tick(20.0)
    world.models.answer(measured=MEASURED)
    world.session.on_replies()
    assert [o for _, o in world.publisher.outcomes] == [Outcome.SUCCEEDED]


def test_without_a_transform_there_is_no_target_but_a_mask(world):
    world.surroundings.transforms['base_link'] = 'base_link is not connected'
    asked(world, detail=Detail(BOX, {1: POINT}))
    world.tick(0.2)
    assert world.publisher.results == []
    world.tick(0.2)
    (result,) = world.publisher.results
    assert result.ending.outcome is Outcome.TF_ERROR
    assert "from 'camera' to 'base_link': base_link is not connected" in result.ending.message
    assert result.details['point_xyz'] is None and result.ending.points == {}
    assert 'box_xyz' not in result.details
    reply = shown(world)
    assert reply.measured.geometry is None and reply.segmentation.mask is MASK


def test_a_lookup_that_breaks_is_no_target_either(world):
    def broken():
        raise RuntimeError('tf2 fell over')
    world.surroundings.transforms['base_link'] = broken
    asked(world)
    world.tick(0.4)
    (result,) = world.publisher.results
    assert result.ending.outcome is Outcome.TF_ERROR and 'tf2 fell over' in result.ending.message


def test_a_guess_without_a_transform_stays_a_guess(world):
    asked(world, measured=replace(MEASURED, outcome=Outcome.AMBIGUOUS, message='two fit'))
    world.tick(0.4)
    (result,) = world.publisher.results
    assert result.ending.outcome is Outcome.AMBIGUOUS and result.details['point_xyz'] is None
    assert 'No transform from' in result.details['notes']


@pytest.mark.parametrize(('target', 'measured'), [
    ('camera', MEASURED), ('/camera', MEASURED), ('', MEASURED),
    ('base_link', Measurement(Outcome.NO_MATCH, 'nothing fits'))])
def test_where_no_transform_is_needed_none_is_waited_for(world, target, measured):
    world.surroundings.set(target_frame=target)
    asked(world, measured=measured)
    (result,) = world.publisher.results
    assert result.ending.outcome is measured.outcome and result.details['frame_id'] == 'camera'


def test_time_runs_out_while_it_waits(world):
    world.surroundings.set(tf_timeout_s=60.0, command_timeout_s=1.0)
    asked(world)
    world.tick(1.5)
    assert [o for _, o in world.publisher.outcomes] == [Outcome.TIMEOUT]
    world.surroundings.transforms['base_link'] = TURN
    world.session.on_command('the bowl')   # the models are free again
    world.frame(depth=True)
    world.tick()
    world.models.answer(measured=MEASURED)
    world.session.on_replies()
    assert [o for _, o in world.publisher.outcomes] == [Outcome.TIMEOUT, Outcome.SUCCEEDED]


def test_a_clock_that_jumps_makes_transforms_forgotten(world):
    world.clock.ros -= 50.0
    world.session.on_tick()
    assert world.surroundings.jumps == 1


def test_images_without_a_frame(world):
    image = replace(world.stamped(100.0, None), frame_id='')
    placing = Placing(world.surroundings, 'base_link', image)
    assert not placing.look() and 'name no frame' in placing.reason
    assert world.surroundings.asked == []


def test_several_that_fit_have_places():
    """For who has to choose; a candidate without depth has none."""
    from ris_ros.geometry import GeometrySettings
    from ris_ros.service.detail import detail_of
    from ris_ros.types import Camera, View
    depth = np.full((48, 64), 0.5, np.float32)
    depth[:, 40:] = np.nan
    left, right = np.zeros((48, 64), bool), np.zeros((48, 64), bool)
    left[10:30, 5:25] = right[10:30, 42:62] = True
    candidates = tuple(Candidate(rank, rank, 0.5, mask, (0.0,) * 4)
                       for rank, mask in ((1, left), (2, right)))
    view = View(np.zeros((48, 64, 3), np.uint8), depth, Camera(60, 60, 31.5, 23.5, 64, 48))
    several = Segmentation(left, 0.5, 0.0, Outcome.AMBIGUOUS, '', candidates)
    measured = Measurement(Outcome.AMBIGUOUS, '')
    detail = detail_of(several, measured, view, GeometrySettings(), wanted=False)
    assert detail.points.keys() == {1} and detail.box is None
    assert detail.points[1][2] == pytest.approx(0.5) and detail.points[1][0] < 0
    one = replace(several, outcome=Outcome.SUCCEEDED_2D)
    assert detail_of(one, measured, view, GeometrySettings(), wanted=False).points == {}
    assert detail_of(one, measured, view, GeometrySettings(), wanted=True).points.keys() == {1}
    blind = View(view.rgb)
    assert detail_of(several, measured, blind, GeometrySettings(), wanted=True).points == {}
