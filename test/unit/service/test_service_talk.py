"""Questions and answers over commands: through the session, with the worker's own thread."""
from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from service_fakes import SHAPE, World

from ris_ros.language import analyse
from ris_ros.methods.base import Method
from ris_ros.methods.options import OutcomeSettings
from ris_ros.segmenter import Segmenter
from ris_ros.service.worker import Worker
from ris_ros.types import Grounding, Outcome, Regions, Scene

MASKS = np.zeros((3, *SHAPE), bool)
for _k in range(3):
    MASKS[_k, 10:26, 20 * _k + 2:20 * _k + 16] = True
PICTURE = np.full((*SHAPE, 3), 120, np.uint8)
PICTURE[MASKS[0]], PICTURE[MASKS[1]], PICTURE[MASKS[2]] = (220, 30, 30), (30, 60, 220), (
    240, 220, 30)
FITS = {'mug': [0.95, 0.01, 0.01], 'box': [0.01, 0.95, 0.9], 'bowl': [0.01, 0.95, 0.01]}


class Named(Method):
    """Fits names as told."""

    name, settings_class, device = 'named', OutcomeSettings, 'cpu'

    def __init__(self):
        self.settings = OutcomeSettings(decision='count')

    @classmethod
    def from_networks(cls, networks, settings):
        return cls()

    def prepare(self, view):
        regions = Regions.of(MASKS)
        return Scene('named', view, regions.masks, regions.boxes, regions.areas,
                     np.ones(3, np.float32))

    def ground(self, scene, analysis):
        values = np.asarray(FITS.get(analysis.command.target.name, [0.01] * 3), np.float32)
        return Grounding(values, np.argsort(-values, kind='stable'), values, fits={
            **{k: np.asarray(v, np.float32) for k, v in FITS.items()},
            analysis.command.target.name: values})


@pytest.fixture
def say():
    """A function that sends a command, waits for its result and returns it."""
    bell = threading.Event()
    worker = Worker(bell.set)
    worker.load(lambda: Segmenter(Named(), analyse), warm_up=False).result(20.0)
    world = World(models=worker)
    world.session.activate()

    def send(text, seconds=1.0, picture=PICTURE, **more):
        world.clock.advance(seconds)
        bell.clear()
        count = len(world.publisher.results)
        world.session.on_command(json.dumps({'text': text, **more}) if more else text)
        if len(world.publisher.results) == count:
            world.frame(depth=True, image=picture)
            assert bell.wait(60.0)
            world.session.on_replies()
        (result,) = world.publisher.results[count:]
        return result
    send.world = world
    yield send
    assert worker.close()


def test_an_answer_is_about_the_image_that_was_asked_about(say):
    first = say('pick up the box', id='a')
    assert first.ending.outcome is Outcome.AMBIGUOUS
    assert first.details['question'] == 'the blue box or the yellow box?'
    assert first.details['options'] == 'the blue box; the yellow box'
    stamp = first.record.frames.image.stamp
    done = say('the yellow one', picture=np.zeros_like(PICTURE))
    assert done.ending.outcome is Outcome.SUCCEEDED and done.details['in_reply_to'] == 'a'
    assert done.record.frames.image.stamp == stamp, 'mask and header belong together'
    assert done.details['image_age_ms'] >= 1000
    assert done.details['point_xyz'] is not None and 'question' not in done.details
    shown, frames, _ = say.world.publisher.shown[-1]
    np.testing.assert_array_equal(shown.segmentation.mask, MASKS[2])
    np.testing.assert_array_equal(shown.image, PICTURE)
    assert frames is done.record.frames


def test_in_reply_to_names_the_question(say):
    say('pick up the box', id='a')
    done = say('the blue one', in_reply_to='a')
    assert done.ending.outcome is Outcome.SUCCEEDED and done.details['in_reply_to'] == 'a'
    wrong = say('the blue one', in_reply_to='a', id='late')
    assert wrong.ending.outcome is Outcome.INVALID_COMMAND
    assert 'no open question' in wrong.ending.message
    say('pick up the box', id='b')
    for answer, asked, said in (('the blue one', 'x', 'no open question'),
                                ('what time is it', 'b', 'does not answer')):
        wrong = say(answer, in_reply_to=asked)
        assert wrong.ending.outcome is Outcome.INVALID_COMMAND and said in wrong.ending.message


def test_another_command_is_no_answer(say):
    say('pick up the box')
    found = say('pick up the mug')
    assert found.ending.outcome is Outcome.SUCCEEDED and 'in_reply_to' not in found.details
    late = say('the blue one')
    assert late.ending.outcome is Outcome.NO_MATCH and 'in_reply_to' not in late.details


@pytest.mark.parametrize('window, seconds, resolved', [(20.0, 19.0, True), (20.0, 21.0, False),
                                                       (0.0, 1.0, False)])
def test_a_question_closes_with_time(say, monkeypatch, window, seconds, resolved):
    say.world.surroundings.set(answer_window_s=window)
    say('pick up the box')
    import ris_ros.dialogue as module
    now = module.time.monotonic()
    monkeypatch.setattr(say.world.models._talk._dialogue, '_clock', lambda: now + seconds)
    done = say('the yellow one')
    assert ('in_reply_to' in done.details) == resolved


def test_a_clock_that_jumps_closes_the_question(say):
    say('pick up the box', id='a')
    say.world.models.forget()
    assert say('the yellow one', in_reply_to='a').ending.outcome is Outcome.INVALID_COMMAND


def test_destination_and_further_objects_are_told(say):
    done = say('put the mug in the bowl')
    assert done.ending.outcome is Outcome.SUCCEEDED
    assert done.details['destination'] == 'inside the bowl'
    assert done.details['destination_outcome'] == 'SUCCEEDED'
    assert done.details['destination_xyz'][0] > done.details['point_xyz'][0]
    done = say('pick up the mug and the bowl')
    assert done.details['selected'] == 2
    assert done.details['point_2_xyz'][0] > done.details['point_xyz'][0]
    lost = say('put the mug in the pan')
    assert lost.ending.outcome is Outcome.NO_MATCH and lost.details['point_xyz'] is None
    assert lost.details['destination_outcome'] == 'NO_MATCH'
    asked = say('put the mug in the box', id='c')
    assert asked.ending.outcome is Outcome.AMBIGUOUS and asked.details['question']
    done = say('the yellow one', in_reply_to='c')
    assert done.ending.outcome is Outcome.SUCCEEDED
    assert done.details['destination_xyz'][0] > done.details['point_xyz'][0]


@pytest.mark.parametrize('value', [True, 1.5, '', 'x' * 200, ['a']])
def test_an_in_reply_to_of_a_wrong_kind(say, value):
    done = say('the blue one', in_reply_to=value)
    assert done.ending.outcome is Outcome.INVALID_COMMAND
    assert '"in_reply_to"' in done.ending.message
