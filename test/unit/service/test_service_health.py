"""What /diagnostics, the self-test and ~/segment say; no ROS."""
from __future__ import annotations

import numpy as np
import pytest
from service_fakes import World

from ris_ros.service import selftest
from ris_ros.service.health import Check, worst
from ris_ros.service.worker import Worker
from ris_ros.types import BadInputError, Level, Outcome, Scene, Segmentation


@pytest.fixture
def world():
    world = World()
    world.session.activate()
    return world


def answer(world, **more):
    world.frame()
    world.models.answer(**more)
    world.session.on_replies()


def check(world, name):
    (found,) = [c for c in world.session.checks() if c.name == name]
    return found


# ---- segment -----------------------------------------------------------------------------

def test_the_last_command_is_answered_again(world):
    heard = []
    with pytest.raises(BadInputError, match='default_command'):
        world.session.repeat(heard.append)
    world.session.on_command('the mug {blue}')
    answer(world)
    world.session.on_command('{"text": 5}')     # is no command
    world.session.repeat(heard.append)
    assert heard == []
    answer(world, outcome=Outcome.NO_MATCH)
    (result,) = heard
    assert result.record.text == 'the mug {blue}' and result.ending.outcome is Outcome.NO_MATCH
    assert result is world.publisher.results[-1] and len(world.publisher.results) == 3
    world.session.repeat(heard.append)
    world.session.stop('a break')
    assert heard[1].ending.outcome is Outcome.CANCELED and heard[1].ending.message == 'a break'


def test_the_default_command_until_there_is_another(world):
    heard = []
    world.surroundings.set(default_command='the bowl')
    world.session.repeat(heard.append)
    answer(world)
    assert heard[0].record.text == 'the bowl'
    world.session.stop('a break')
    world.session.repeat(heard.append)   # is told at once
    assert heard[1].ending.outcome is Outcome.NOT_ACTIVE


def test_every_request_has_its_answer_though_the_policy_refuses(world):
    heard = []
    world.surroundings.set(default_command='the bowl', busy_policy='reject')
    world.session.repeat(heard.append)
    world.session.repeat(heard.append)
    assert [r.ending.outcome for r in heard] == [Outcome.REJECTED_BUSY]
    answer(world)
    assert [r.ending.outcome for r in heard] == [Outcome.REJECTED_BUSY, Outcome.SUCCEEDED]


# ---- diagnostics -------------------------------------------------------------------------

def test_the_models(world):
    assert check(world, 'models').level is Level.OK
    world.session.on_command('the mug')
    answer(world)
    assert check(world, 'models').values['infer_ms_p50'] == 250.0
    world.session.on_command('the mug')
    world.frame()
    world.models.fail(Outcome.OUT_OF_MEMORY, 'too large')
    world.session.on_replies()
    broken = check(world, 'models')
    assert broken.level is Level.ERROR and 'OUT_OF_MEMORY: too large' in broken.message
    world.session.on_command('{"text": 5}')      # says nothing of the models
    assert check(world, 'models').level is Level.ERROR
    world.session.on_command('the mug')
    answer(world, outcome=Outcome.NO_MATCH)      # they work, though nothing fits
    assert check(world, 'models').level is Level.OK
    commands = check(world, 'commands')
    assert commands.level is Level.OK and commands.values['ended'] == 4
    assert commands.values['NO_MATCH'] == 1 and commands.values['stamp_to_result_ms_p99'] >= 0


def test_models_that_are_not_there():
    world = World()
    assert check(world, 'models').level is Level.WARN
    world.session.begin_loading()
    assert check(world, 'models').message == 'the models are loading'
    world.session.refuse('no weights')
    refused = check(world, 'models')
    assert refused.level is Level.ERROR and 'no weights' in refused.message
    assert check(world, 'camera').level is Level.OK   # nobody listens to it
    world.session.begin_loading()
    assert check(world, 'models').level is Level.WARN


def test_the_camera_and_the_clock(world):
    camera = check(world, 'camera')
    assert camera.level is Level.ERROR and '/camera/image' in camera.message
    world.frame()
    assert check(world, 'camera').level is Level.OK
    world.clock.advance(3.0)
    assert check(world, 'camera').level is Level.WARN and '3 s old' in check(
        world, 'camera').message
    assert check(world, 'clock').level is Level.OK
    world.clock.is_simulated, world.clock.ros, world.clock.offered = True, 0.0, False
    world.session.on_tick()
    assert check(world, 'clock').level is Level.ERROR


def test_they_are_published_at_their_period(world):
    world.surroundings.set(diagnostics_period_s=2.0)
    world.publisher.diagnosed.clear()
    for _ in range(41):
        world.tick(0.25)
    assert 5 <= len(world.publisher.diagnosed) <= 6
    world.surroundings.set(diagnostics_period_s=0.0)
    before = len(world.publisher.diagnosed)
    world.tick(10.0)
    assert len(world.publisher.diagnosed) == before


def test_they_tell_of_images_that_nobody_asked_for(world):
    image = world.stamped(world.clock.ros, np.zeros((48, 64, 3), np.uint8))
    world.intake.queue.append(('image', image))
    world.tick(1.0)
    assert {c.name: c.level for c in world.publisher.diagnosed[-1]}['camera'] is Level.OK


# ---- self-test ---------------------------------------------------------------------------

class Segmenter:
    def __init__(self, prepare=None, mask_shape=(480, 640)):
        self.broken, self.shape = prepare, mask_shape

    def prepare(self, view, key=None):
        if self.broken:
            raise self.broken
        return Scene.without_proposals('m', view, {}, {})

    def ground(self, scene, text, max_candidates):
        return Segmentation(np.zeros(self.shape, bool), 0.0, 0.0, Outcome.NO_MATCH, '')


@pytest.mark.parametrize(('segmenter', 'found'), [
    (Segmenter(), {'prepare': Level.OK, 'ground': Level.OK, 'target': Level.OK}),
    (None, {'prepare': Level.ERROR}),
    (Segmenter(prepare=MemoryError('full')), {'prepare': Level.ERROR}),
    (Segmenter(prepare=SystemExit(1)), {'prepare': Level.ERROR}),
    (Segmenter(mask_shape=(3, 4)), {'prepare': Level.OK, 'ground': Level.ERROR})])
def test_the_stages(segmenter, found):
    checks = selftest.examine_models(segmenter)
    assert {c.name: c.level for c in checks} == found
    assert (worst(checks) is Level.OK) == (len(found) == 3)
    assert all(c.values['ms'] >= 0 for c in checks if segmenter)


def test_a_target_that_is_measured_wrong_is_noticed(monkeypatch):
    assert selftest.examine_target().level is Level.OK
    monkeypatch.setattr(selftest, 'NEAR_M', -1.0)
    assert selftest.examine_target().level is Level.ERROR


def test_it_runs_on_the_thread_of_the_models():
    woken = []
    worker = Worker(lambda: woken.append(1))
    try:
        future = worker.examine(selftest.examine_models)
        assert future.result(10.0)[0] == Check('prepare', Level.ERROR,
                                               'no model is loaded; configure the node')
        worker.load(lambda: Segmenter(), warm_up=False).result(10.0)
        assert worst(worker.examine(selftest.examine_models).result(10.0)) is Level.OK
        broken = worker.examine(lambda _: 1 / 0)
        assert isinstance(broken.exception(10.0), ZeroDivisionError)
    finally:
        assert worker.close()
    assert len(woken) == 3


def test_no_check_is_well():
    assert worst([]) is Level.OK
