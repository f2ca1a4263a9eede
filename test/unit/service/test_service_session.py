"""The session's state machine, driven by hand: what starts when, what is said, how it ends."""
from __future__ import annotations

import pytest
from service_fakes import MEASURED, World

from ris_ros.service.session import REFUSED
from ris_ros.service.switching import Choice
from ris_ros.types import Outcome


@pytest.fixture
def world():
    world = World()
    world.session.activate()
    return world


# ---- every way to end --------------------------------------------------------------------

def ask(world, text='the mug'):
    world.session.on_command(text)
    world.frame()


def answered_as(outcome):
    def script(world):
        ask(world)
        world.models.answer(outcome)
        world.session.on_replies()
    return script


def failed_as(outcome):
    def script(world):
        ask(world)
        world.models.fail(outcome)
        world.session.on_replies()
    return script


def invalid(world):
    world.session.on_command('{"text": 5}')


def not_active(world):
    world.session.stop('a break')
    world.session.on_command('the mug')


def rejected(world):
    world.surroundings.set(busy_policy='reject')
    ask(world)
    world.session.on_command('the bowl')


def superseded(world):
    ask(world)
    world.session.on_command('the bowl')


def canceled(world):
    world.session.on_command('the mug')
    assert world.session.on_cancel() == 1


def timed_out(world):
    ask(world)   # the models never answer
    world.tick(59.0)
    assert world.publisher.results == []
    world.tick(2.0)


def no_image(world):
    world.session.on_command('the mug')
    world.tick(4.9)
    assert world.publisher.results == []
    world.tick(0.2)


def stale_image(world):
    world.session.on_command('the mug')
    world.frame(age=3.0)
    world.tick(5.1)


def without_a_transform(world):
    world.surroundings.set(target_frame='base_link', use_depth='true')
    world.session.on_command('the mug')
    world.frame(depth=True)
    world.models.answer(measured=MEASURED)
    world.session.on_replies()
    world.tick(0.25)


SCRIPTS = {
    Outcome.TF_ERROR: without_a_transform,
    **{outcome: answered_as(outcome) for outcome in (
        Outcome.SUCCEEDED, Outcome.SUCCEEDED_2D, Outcome.NO_MATCH, Outcome.AMBIGUOUS,
        Outcome.NO_DEPTH, Outcome.UNCALIBRATED, Outcome.DEPTH_MISMATCH)},
    **{outcome: failed_as(outcome) for outcome in (
        Outcome.INVALID_IMAGE, Outcome.MODEL_ERROR, Outcome.OUT_OF_MEMORY)},
    Outcome.INVALID_COMMAND: invalid, Outcome.NOT_ACTIVE: not_active,
    Outcome.REJECTED_BUSY: rejected, Outcome.SUPERSEDED: superseded, Outcome.CANCELED: canceled,
    Outcome.TIMEOUT: timed_out, Outcome.NO_IMAGE: no_image, Outcome.STALE_IMAGE: stale_image,
}
LATER = {Outcome.TARGET_LOST}   # there is no tracking yet


def test_every_outcome_has_a_script():
    assert set(SCRIPTS) == set(Outcome) - LATER


@pytest.mark.parametrize('outcome', SCRIPTS, ids=lambda outcome: outcome.name)
def test_each_outcome_is_reached_and_told_once(world, outcome):
    SCRIPTS[outcome](world)
    (result,) = world.publisher.results
    assert result.ending.outcome is outcome and result.ending.message
    assert result.details['method'] == 'hybridgl' and result.details['total_ms'] >= 0
    with_outputs = outcome.code < 20 or outcome in (
        Outcome.UNCALIBRATED, Outcome.DEPTH_MISMATCH, Outcome.TF_ERROR)
    assert len(world.publisher.shown) == with_outputs


# ---- frames and models -------------------------------------------------------------------

def test_the_newest_image_is_answered_with_its_own_stamp(world):
    world.frame()
    world.clock.advance(0.1)
    world.frame()
    world.session.on_command('the mug')
    world.clock.advance(0.4)
    job = world.models.answer()
    assert job.text == 'the mug' and job.sight.frames.image.stamp == 100.1
    world.session.on_replies()
    (result,) = world.publisher.results
    assert result.record.frames is job.sight.frames
    assert result.details['image_age_ms'] == 0.0
    assert result.details['stamp_to_result_ms'] == pytest.approx(400.0)
    assert result.details['infer_ms'] == 250.0 and result.details['proposals_ms'] == 200.0
    assert result.details['frame_id'] == 'camera' and len(result.ending.candidates) == 1
    (reply, frames, _), = world.publisher.shown
    assert frames is job.sight.frames and reply.segmentation is not None


def test_one_job_at_a_time_and_the_next_after_its_reply(world):
    world.surroundings.set(busy_policy='queue')
    ask(world)
    world.session.on_command('the bowl')
    world.frame()
    world.tick()
    assert [job.text for job in world.models.jobs] == ['the mug']
    world.models.answer()
    world.session.on_replies()
    assert [job.text for job in world.models.jobs] == ['the bowl']


def test_the_answer_to_a_superseded_command_is_dropped(world):
    ask(world)
    world.session.on_command('the bowl')
    world.frame()
    assert len(world.models.jobs) == 1   # the models are still at the first
    world.models.answer()
    world.session.on_replies()
    assert world.publisher.shown == [] and [job.text for job in world.models.jobs] == ['the bowl']
    world.models.answer()
    world.session.on_replies()
    assert [outcome for _, outcome in world.publisher.outcomes] == [
        Outcome.SUPERSEDED, Outcome.SUCCEEDED]
    assert len(world.publisher.shown) == 1


@pytest.mark.parametrize(('use_depth', 'publishers', 'wanted'), [
    ('true', 0, True), ('false', 1, False), ('auto', 0, False), ('auto', 1, True)])
def test_depth_is_waited_for_where_it_is_wanted(world, use_depth, publishers, wanted):
    world.surroundings.set(use_depth=use_depth)
    world.surroundings.depth_publishers = publishers
    ask(world)
    assert len(world.models.jobs) == (not wanted)
    if wanted:
        world.frame(depth=True)
    (job,) = world.models.jobs
    assert job.sight.want_depth is wanted
    assert (job.sight.frames.depth is not None) is wanted


def test_depth_that_was_seen_is_wanted_though_nobody_offers_it_any_more(world):
    world.frame(age=3.0, depth=True)
    ask(world)
    assert world.models.jobs == []


def test_a_command_keeps_the_parameters_of_its_start(world):
    ask(world)
    world.surroundings.set(max_candidates=3, ambiguity_policy='best')
    job = world.models.answer()
    assert job.sight.parameters.ambiguity_policy == 'report'
    world.session.on_replies()
    assert world.publisher.shown[0][2] is job.sight.parameters


def test_outputs_that_cannot_be_published_end_their_command_alone(world):
    ask(world)
    world.publisher.refuses = ValueError('a mask of a strange type')
    world.models.answer()
    world.session.on_replies()
    (result,) = world.publisher.results
    assert result.ending.outcome is Outcome.MODEL_ERROR
    assert 'strange type' in result.ending.message
    world.publisher.refuses = None
    ask(world)
    world.models.answer()
    world.session.on_replies()
    assert world.publisher.results[1].ending.outcome is Outcome.SUCCEEDED


# ---- time --------------------------------------------------------------------------------

def test_the_clock_jumps_back(world):
    ask(world)
    world.tick()
    world.clock.ros -= 50.0
    world.session.on_tick()
    (result,) = world.publisher.results
    assert result.ending.outcome is Outcome.CANCELED and 'jumped back' in result.ending.message
    assert ('warn', 'the clock jumped back by 50 s; images are forgotten') in world.publisher.log
    assert world.models.forgets == 1
    world.models.answer()   # of the frame from before
    world.session.on_replies()
    assert len(world.publisher.results) == 1
    world.session.on_command('the mug')   # the picture from the future is not taken
    assert world.models.jobs == []
    world.frame()
    assert len(world.models.jobs) == 1


def test_a_small_step_back_is_no_jump(world):
    world.tick()
    world.session.on_command('the mug')
    world.clock.ros -= 0.005
    world.session.on_tick()
    assert world.publisher.results == []


def test_queued_commands_expire_too(world):
    world.surroundings.set(busy_policy='queue')
    ask(world)
    world.session.on_command('{"text": "the bowl", "timeout_s": 1}')
    world.tick(1.5)
    ((_, outcome),) = world.publisher.outcomes
    assert outcome is Outcome.TIMEOUT and '1 s' in world.publisher.results[0].ending.message
    assert world.publisher.state == 'RUNNING'


# ---- status ------------------------------------------------------------------------------

def test_status_follows_the_state():
    world = World()
    world.session.publish_status()
    assert world.publisher.state == 'INACTIVE' and not world.publisher.statuses[-1].active
    assert world.publisher.statuses[-1].message == 'the node is not active yet'
    world.session.activate()
    assert world.publisher.state == 'IDLE' and world.publisher.statuses[-1].active
    world.session.on_command('{"text": "the mug", "id": "m"}')
    values = world.publisher.statuses[-1].values
    assert (values['state'], values['command_id'], values['command']) == (
        'WAITING', 'm', 'the mug')
    assert values['open'] == 1 and values['image_age_ms'] is None
    world.frame(age=0.25)
    world.session.on_tick()   # when the models have the word already
    assert world.publisher.state == 'RUNNING'
    assert world.publisher.statuses[-1].values['image_age_ms'] == pytest.approx(250.0)
    world.models.answer()
    world.session.on_replies()
    world.session.on_tick()
    assert world.publisher.state == 'IDLE'
    assert world.publisher.statuses[-1].values['images_received'] == 1


def test_the_heartbeat_goes_by_the_steady_clock(world):
    count = len(world.publisher.statuses)
    for _ in range(20):
        world.clock.steady += 0.06   # the node's clock stands still
        world.session.on_tick()
    assert len(world.publisher.statuses) == count + 1
    for _ in range(10):
        world.clock.steady += 0.499   # ticks of a node that stands by, a little early
        world.session.on_tick()
    assert len(world.publisher.statuses) == count + 6


def test_commands_are_logged_when_they_are_taken(world):
    world.session.on_command('{"text": "the mug", "id": "m"}')
    world.session.on_command('')
    assert [text for _, text in world.publisher.log] == ['command m: the mug']


# ---- lifecycle ---------------------------------------------------------------------------

def test_who_speaks_too_early_is_told_why():
    world = World()
    session, said = world.session, []

    def speak():
        session.on_command('{"text": "the mug", "id": "m"}')
        result = world.publisher.results[-1]
        assert result.ending.outcome is Outcome.NOT_ACTIVE and result.record.id == 'm'
        said.append(result.ending.message)

    speak()
    session.begin_loading()
    speak()
    assert session.load(lambda: None, warm_up=False).result() == 1.5
    assert world.models.loaded[0][1] is False
    session.loaded(Choice('hybridgl', 'tabletop'))
    speak()
    session.refuse('no weights')
    speak()
    session.unload()
    speak()
    session.activate()
    session.stop('the node was deactivated')
    speak()
    assert said == ['the node is not active yet', 'the models are loading',
                    'the node is configured but not active', f'{REFUSED}: no weights',
                    'the node is not configured', 'the node was deactivated']
    assert world.models.unloads == 1


def test_stopping_ends_all_and_forgets_the_images(world):
    world.surroundings.set(busy_policy='queue')
    ask(world)
    world.session.on_command('the bowl')
    world.session.stop('the node was deactivated')
    assert [outcome for _, outcome in world.publisher.outcomes] == [Outcome.CANCELED] * 2
    assert world.publisher.state == 'INACTIVE'
    world.session.activate()
    world.session.on_command('the cup')
    assert len(world.models.jobs) == 1   # the old image is gone, and the models are still busy
    world.frame()
    assert len(world.models.jobs) == 1
    world.models.answer()
    world.session.on_replies()
    assert [job.text for job in world.models.jobs] == ['the cup']
    assert len(world.publisher.results) == 2


def test_nothing_to_cancel(world):
    assert world.session.on_cancel() == 0 and world.publisher.results == []
