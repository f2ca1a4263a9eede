"""What users of such nodes report, driven by hand: clocks, cameras, bursts and faults."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from service_fakes import CAMERA, SHAPE, World

from ris_ros.service.frames import Stamped
from ris_ros.types import Outcome


@pytest.fixture
def world():
    world = World()
    world.session.activate()
    return world


def answer(world, **more):
    world.models.answer(**more)
    world.session.on_replies()
    return world.publisher.results[-1]


def picture(value):
    return np.full((*SHAPE, 3), value, np.uint8)


def shown(world, stamp, value, frame_id='camera'):
    """Let a picture come that is known by its content."""
    world.session.on_frame('image', Stamped(stamp, picture(value), ('picture', value), frame_id))


# ---- clocks ------------------------------------------------------------------------------

def test_a_world_that_was_reset_is_looked_at_anew(world):
    """Simulated time, answered at t = 5; the world is reset; another picture at t = 5."""
    world.clock.is_simulated, world.clock.ros = True, 5.0
    world.session.on_tick()
    shown(world, 5.0, 1)
    world.session.on_command('the mug')
    first = world.models.jobs[0].sight
    answer(world)
    forgets = world.models.forgets
    world.clock.ros = 0.1
    world.session.on_tick()
    assert world.models.forgets == forgets + 1   # the prepared scene goes too
    world.clock.ros = 5.0
    world.clock.steady += 4.9
    world.session.on_tick()
    shown(world, 5.0, 2)
    world.session.on_command('the mug')
    second = world.models.jobs[0].sight
    assert second.frames.image.message[0, 0, 0] == 2 and second.key != first.key


def test_the_jump_is_seen_before_the_next_tick(world):
    """A picture of the new world comes first, and must not be forgotten with the old ones."""
    world.clock.is_simulated, world.clock.ros = True, 50.0
    world.session.on_tick()
    shown(world, 50.0, 1)
    world.clock.ros = 1.0
    shown(world, 1.0, 2)
    world.session.on_command('the mug')
    assert world.models.jobs[0].sight.frames.image.message[0, 0, 0] == 2
    answer(world)
    # Nor does an answer about the old world come out after it.
    world.session.on_command('the bowl')
    world.models.answer()
    world.clock.ros = 0.2
    world.session.on_replies()
    assert world.publisher.results[-1].ending.outcome is Outcome.CANCELED


@pytest.mark.parametrize('jump', [-3600.0, 3600.0])
def test_times_told_do_not_jump_with_the_clock(world, jump):
    world.frame(age=0.1)
    world.session.on_command('the mug')
    world.clock.advance(0.5)
    world.models.answer()
    world.clock.ros += jump
    world.session._time.look()   # as if the jump were too small to cancel anything
    world.session.on_replies()
    details = world.publisher.results[-1].details
    assert details['total_ms'] == pytest.approx(500.0)
    assert details['image_age_ms'] == pytest.approx(100.0)
    assert details['stamp_to_result_ms'] == pytest.approx(600.0)


def test_a_clock_that_jumps_ahead_cancels_too(world):
    world.session.on_command('the mug')
    world.clock.ros += 7200.0
    world.session.on_tick()
    result = world.publisher.results[-1]
    assert result.ending.outcome is Outcome.CANCELED
    assert 'ahead by 7200 s' in result.ending.message
    # A picture from before is two hours old by this clock.
    world.session.on_command('the mug')
    assert world.models.jobs == []
    world.frame()
    assert len(world.models.jobs) == 1


def test_simulated_time_without_a_clock_ends_with_the_reason():
    world = World()
    world.clock.is_simulated, world.clock.ros, world.clock.offered = True, 0.0, False
    world.session = type(world.session)(world.models, world.converter, world.clock, world.intake,
                                        world.surroundings, world.publisher)
    world.session.activate()
    status = world.publisher.statuses[-1]
    assert '/clock' in status.message and status.warning and status.values['clock'] == 'silent'
    for come in (False, True):
        world.session.on_command('the mug')
        if come:   # the camera has a clock of its own
            shown(world, 1.7e9, 1)
        for _ in range(60):
            world.clock.steady += 0.1
            world.session.on_tick()
        ending = world.publisher.results[-1].ending
        assert ending.outcome is (Outcome.STALE_IMAGE if come else Outcome.NO_IMAGE)
        assert '/clock' in ending.message and 'use_sim_time' in ending.message
    assert world.models.jobs == [] and len(world.publisher.results) == 2


def test_a_clock_that_falls_silent(world):
    world.clock.is_simulated = True
    world.session.on_tick()
    world.frame()
    world.clock.offered = False
    world.clock.steady += 60.0
    world.session.on_command('{"text": "the mug", "timeout_s": 2}')
    assert world.models.jobs == []    # who knows how old that picture is
    world.clock.steady += 2.5
    world.session.on_tick()
    ending = world.publisher.results[-1].ending
    assert ending.outcome is Outcome.TIMEOUT and '/clock has been silent' in ending.message


def test_a_paused_simulation_shows_what_it_shows(world):
    world.clock.is_simulated = True
    world.session.on_tick()
    world.frame()
    world.clock.steady += 60.0   # somebody publishes the same time all the while
    world.session.on_command('the mug')
    assert len(world.models.jobs) == 1


def test_time_limits_go_by_the_steady_clock(world):
    world.clock.is_simulated = True
    world.session.on_tick()
    world.session.on_command('{"text": "the mug", "timeout_s": 3}')
    world.clock.steady += 3.5
    world.session.on_tick()
    assert [outcome for _, outcome in world.publisher.outcomes] == [Outcome.TIMEOUT]


# ---- stamps ------------------------------------------------------------------------------

def test_a_stamp_of_2038_is_never_answered(world):
    world.frame(age=-4e8)
    world.session.on_command('the mug')
    assert world.models.jobs == []
    world.tick(5.5)
    ending = world.publisher.results[-1].ending
    assert ending.outcome is Outcome.STALE_IMAGE and 'ahead of the node' in ending.message
    assert world.publisher.statuses[-1].values['images_ahead'] == 1
    assert any('ahead' in text for kind, text in world.publisher.log if kind == 'warn')
    # Good pictures beside it are taken, before and after.
    world.frame(age=-4e8)
    world.session.on_command('the mug')
    world.frame(age=0.05)
    assert world.models.jobs[0].sight.frames.image.age_s(world.clock.steady) < 1
    assert sum('ahead' in text for _, text in world.publisher.log) == 1


def test_a_camera_ahead_of_the_clock_does_not_keep_an_old_picture_fresh(world):
    world.frame(age=-0.15)    # within what is allowed
    for _ in range(13):
        world.tick(0.05)
    world.session.on_command('the mug')    # 0.65 s later, by the stamp only 0.5 s
    assert world.models.jobs == []


# ---- images on demand --------------------------------------------------------------------

def queued(world, stream, message, **more):
    world.intake.queue.append((stream, replace(
        World.stamped(world.clock.ros, message), **more)))


def test_images_are_asked_for_only_while_a_command_waits(world):
    assert not world.intake.eagerly
    world.session.on_command('the mug')
    assert world.intake.eagerly
    world.frame()
    assert not world.intake.eagerly and len(world.models.jobs) == 1   # the models work
    world.session.on_command('the bowl')
    assert not world.intake.eagerly
    answer(world)
    assert world.intake.eagerly or len(world.models.jobs) == 1
    world.session.on_cancel()
    assert not world.intake.eagerly


def test_what_lies_in_the_middleware_is_collected_for_a_command(world):
    for _ in range(3):
        world.clock.advance(0.03)
        queued(world, 'image', picture(0))
    world.session.on_command('the mug')
    assert world.models.jobs[0].sight.frames.image.stamp == world.clock.ros
    assert world.intake.queue == []


def test_after_an_answer_the_next_command_gets_the_newest_image(world):
    world.surroundings.set(busy_policy='queue')
    world.frame()
    world.session.on_command('the mug')
    world.session.on_command('the bowl')
    world.clock.advance(0.4)
    queued(world, 'image', picture(0))
    answer(world)
    assert world.models.jobs[0].sight.frames.image.stamp == world.clock.ros


def test_the_time_in_the_middleware_counts_as_age(world):
    def lying(seconds):
        queued(world, 'image', picture(0), waited_s=seconds, stamp=world.clock.ros - seconds)
    lying(0.7)
    world.session.on_command('the mug')
    assert world.models.jobs == []
    lying(0.3)
    world.session.on_tick()
    assert world.models.jobs[0].sight.frames.image.age_s(world.clock.steady) == pytest.approx(0.3)


def test_the_heartbeat_tells_what_has_come(world):
    queued(world, 'image', picture(0), passed_over=29)
    world.intake.lost_images = 4
    world.tick(1.1)
    values = world.publisher.statuses[-1].values
    assert values['images_received'] == 30 and values['images_lost'] == 4
    assert values['image_age_ms'] is not None


def test_intrinsics_sent_once_are_kept_over_jumps(world):
    world.session.on_frame('info', replace(World.stamped(2.0, CAMERA), lasting=True))
    world.clock.ros -= 60.0
    world.session.on_tick()
    world.session.on_command('the mug')
    world.session.on_frame('depth', World.stamped(world.clock.ros, np.ones(SHAPE, np.float32)))
    world.frame()
    (job,) = world.models.jobs
    assert job.sight.frames.info.message is CAMERA


# ---- bursts ------------------------------------------------------------------------------

@pytest.mark.parametrize('policy', ['replace', 'reject', 'queue'])
def test_twenty_commands_at_once_have_twenty_results(world, policy):
    world.surroundings.set(busy_policy=policy)
    world.frame()
    for number in range(20):
        world.session.on_command(f'mug number {number}')
    while world.models.jobs:
        answer(world)
        world.frame()
    assert len(world.publisher.results) == 20
    assert len({record for record, _ in world.publisher.outcomes}) == 20


# ---- faults of the node's own ------------------------------------------------------------

class StubbornError(RuntimeError):
    pass


def test_a_result_that_cannot_be_published_comes_out_bare(world):
    inner, failed = world.publisher.result, []

    def result(result):
        if result.details:
            failed.append(result)
            raise StubbornError('this number has no text')
        inner(result)
    world.publisher.result = result
    world.frame()
    world.session.on_command('{"text": "the mug", "id": "m"}')
    told = answer(world)
    assert told.record.id == 'm' and told.ending.outcome is Outcome.MODEL_ERROR
    assert 'no text' in told.ending.message and len(failed) == 1
    assert len(world.publisher.results) == 1
    # What failed before keeps its outcome.
    world.session.on_command('{"text": 5}')
    assert world.publisher.results[-1].ending.outcome is Outcome.INVALID_COMMAND


@pytest.mark.parametrize('broken', ['result', 'status', 'note', 'warn', 'outputs'])
def test_a_publisher_that_fails_ends_nothing_but_what_it_is_about(world, broken):
    world.publisher.breaks[broken] = StubbornError('no')
    world.session.publish_status()
    world.session.on_command('the mug')
    world.session.on_command('{"text": "a", "id": ""}')
    world.frame()
    world.session.on_tick()
    if world.models.jobs:
        world.models.answer()
    world.session.on_replies()
    world.session.on_cancel()
    world.publisher.breaks.clear()
    before = len(world.publisher.results)
    world.frame()
    world.session.on_command('the bowl')
    assert answer(world).ending.outcome is Outcome.SUCCEEDED
    assert len(world.publisher.results) == before + 1
    if broken != 'result':
        assert before == 2


@pytest.mark.parametrize(('owner', 'method'), [
    ('intake', 'collect'), ('intake', 'listen'), ('intake', 'lost'),
    ('surroundings', 'parameters'), ('surroundings', 'image_topic'),
    ('surroundings', 'depth_is_offered'), ('surroundings', 'clock_jumped'),
    ('models', 'submit'), ('models', 'forget'), ('clock', 'is_offered')])
def test_any_port_may_fail_and_every_command_still_ends(world, monkeypatch, owner, method):
    def fail(*_, **__):
        raise StubbornError('out of order')
    with monkeypatch.context() as patch:
        patch.setattr(getattr(world, owner), method, fail)
        world.session.on_command('the mug')
        world.frame()
        world.clock.ros -= 50.0
        for _ in range(140):
            world.clock.steady += 0.5
            world.session.on_tick()
        world.session.on_replies()
    assert len(world.publisher.results) + len(world.session._board.open) == 1
    world.session.on_cancel()
    assert len(world.publisher.results) == 1
    world.models.jobs.clear()
    world.session._running = None
    world.session.on_tick()
    world.frame()
    world.session.on_command('the bowl')
    assert answer(world).ending.outcome is Outcome.SUCCEEDED
    if (owner, method) not in (('models', 'forget'), ('clock', 'is_offered')):
        assert any('StubbornError' in text for _, text in world.publisher.log)


def test_the_same_fault_is_not_logged_again_and_again(world, monkeypatch):
    monkeypatch.setattr(world.intake, 'lost', lambda: 1 / 0)
    for _ in range(400):
        world.tick(0.05)
    told = [text for _, text in world.publisher.log if 'ZeroDivisionError' in text]
    assert 1 <= len(told) <= 4


# ---- what is said ------------------------------------------------------------------------

def test_total_is_from_command_to_result(world):
    world.session.on_command('the mug')
    world.clock.advance(1.0)
    world.frame()
    world.clock.advance(0.5)
    details = answer(world, timings={'total': 0.001, 'stage': 0.2, 'infer': 0.3}).details
    assert details['total_ms'] == pytest.approx(1500.0)
    assert details['segmenter_ms'] == pytest.approx(1.0)
    assert details['infer_ms'] == 250.0 and details['stage_infer_ms'] == pytest.approx(300.0)


def test_a_timeout_says_where_the_command_stood(world):
    world.surroundings.set(busy_policy='queue', command_timeout_s=2.0)
    world.frame()
    world.session.on_command('{"text": "the mug", "id": "m"}')
    world.tick(2.5)
    world.session.on_command('the bowl')
    world.tick(2.5)
    said = [result.ending.message for result in world.publisher.results]
    assert 'the models are at it still' in said[0] and 'still at command m' in said[1]


def test_the_reason_for_a_shutdown_stays():
    world = World()
    world.session.activate()
    world.session.stop('the node was shut down')
    world.session.unload('the node was shut down')
    world.session.on_command('the mug')
    assert world.publisher.results[-1].ending.message == 'the node was shut down'


def test_replaced_characters_are_told(world):
    world.frame()
    world.session.on_command('{"text": "the red box \\ud83d", "id": "s1"}')
    result = answer(world)
    assert result.record.text == 'the red box \ufffd' and 'cannot carry' in result.details['notes']


def test_doubts_are_told_with_the_result_and_logged_once(world):
    for _ in range(2):
        world.frame()
        world.session.on_command('the mug')
        result = answer(world, notes=('P has a shift',))
        assert result.details['notes'] == 'P has a shift.'
    assert [text for kind, text in world.publisher.log if kind == 'warn'] == ['P has a shift']
