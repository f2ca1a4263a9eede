"""Another method in the background: the old one answers until the new one is there."""
from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from service_fakes import CAMERA, SHAPE, ArrayConverter, World

from ris_ros.service.frames import FrameSet, Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.sight import Sight
from ris_ros.service.switching import Choice, SwitchingModels
from ris_ros.service.worker import Job
from ris_ros.types import Outcome, Scene, Segmentation, WeightsError

OLD, NEW, OTHER = (Choice(name, 'p') for name in ('old', 'new', 'other'))


class Named:
    """Answers with its name; `gate` holds it up."""

    def __init__(self, name, gate=None):
        self.name, self.gate, self.thread = name, gate, threading.get_ident()

    def prepare(self, view, key=None):
        return Scene.without_proposals(self.name, view, {}, {})

    def kept(self, key):
        return None

    def forget(self):
        pass

    def ground(self, scene, text, max_candidates):
        assert threading.get_ident() == self.thread   # built and used on one thread
        if self.gate is not None:
            assert self.gate.wait(10)
        return Segmentation(np.zeros(SHAPE, bool), 0.0, 0.0, Outcome.NO_MATCH, self.name)


@pytest.fixture
def models():
    models = SwitchingModels(lambda: None)
    models.load(lambda: Named('old'), warm_up=False).result(10)
    models.loaded = OLD
    yield models
    models.close()


def job(token='t'):
    frames = FrameSet(Stamped(1.0, np.zeros((*SHAPE, 3), np.uint8), 'x', 'camera'),
                      info=Stamped(1.0, CAMERA, 'y', 'camera'))
    return Job(token, 'the mug', Sight(frames, False, NodeParameters(), ArrayConverter()))


def answer(models, token='t'):
    models.submit(job(token))
    return reply(models)


def reply(models):
    (found,) = until(models.fetch)
    return found.segmentation.message


def until(call):
    end = time.monotonic() + 10
    while not (result := call()):
        assert time.monotonic() < end
        time.sleep(0.002)
    return result


def test_the_old_one_answers_until_the_new_one_is_there(models):
    gate = threading.Event()

    def build():
        assert gate.wait(10)
        return Named('new')
    assert models.follow(OLD, build, False) is None and models.coming is None
    assert models.follow(NEW, build, False) is None and models.coming == NEW
    assert answer(models) == 'old'
    assert models.follow(NEW, build, False) is None   # not built a second time
    gate.set()
    change = until(lambda: models.follow(NEW, build, False))
    assert (change.choice, change.failure) == (NEW, None) and change.seconds >= 0
    assert models.loaded == NEW and models.coming is None
    assert answer(models) == 'new' and models.follow(NEW, build, False) is None


def test_what_the_old_one_has_begun_it_ends(models):
    gate = threading.Event()
    models.load(lambda: Named('old', gate), warm_up=False).result(10)
    models.submit(job())
    until(lambda: models.follow(NEW, lambda: Named('new'), False))
    models.submit(job())
    assert reply(models) == 'new'
    gate.set()
    assert reply(models) == 'old'


def test_one_that_cannot_be_built_changes_nothing(models):
    def build():
        raise WeightsError('no weights for it')
    change = until(lambda: models.follow(NEW, build, False))
    assert change.failure == 'no weights for it' and models.loaded == OLD
    assert models.coming is None and answer(models) == 'old'
    # A library that ends the process, or a first pass that fails, neither.
    change = until(lambda: models.follow(NEW, lambda: exit(3), False))
    assert 'SystemExit' in change.failure and answer(models) == 'old'


def test_the_last_wish_counts(models):
    gate, built = threading.Event(), []

    def slow():
        assert gate.wait(10)
        built.append(weakref.ref(segmenter := Named('new')))
        return segmenter
    models.follow(NEW, slow, False)
    models.follow(OTHER, lambda: Named('other'), False)
    assert models.coming == OTHER
    assert until(lambda: models.follow(OTHER, lambda: Named('other'), False)).choice == OTHER
    gate.set()
    until(lambda: built)

    def gone():
        gc.collect()
        return built[0]() is None
    until(gone)
    assert answer(models) == 'other'
    models.follow(NEW, slow, False)
    assert models.follow(OTHER, slow, False) is None and models.coming is None   # taken back


def test_old_models_are_let_go(models):
    segmenter = Named('kept')
    alive = weakref.ref(segmenter)
    models.load(lambda holder=[segmenter]: holder.pop(), warm_up=False).result(10)
    del segmenter
    until(lambda: models.follow(NEW, lambda: Named('new'), False))

    def gone():
        models.fetch()
        gc.collect()
        return alive() is None
    until(gone)


def test_without_models_nothing_is_built(models):
    models.follow(NEW, lambda: Named('new'), False)
    models.unload()
    assert models.coming is None
    assert models.follow(NEW, lambda: 1 / 0, False) is None and models.coming is None
    models.submit(job())
    (failed,) = until(models.fetch)
    assert failed.failure[0] is Outcome.MODEL_ERROR


def test_results_and_status_name_the_models_that_answer():
    world = World(method='old')
    world.session.loaded(OLD)
    world.session.activate()
    world.surroundings.set(method='new')
    world.session.expect(NEW)
    assert world.publisher.statuses[-1].values['method'] == 'old'
    assert str(world.publisher.statuses[-1].values['loading']) == 'method new, profile p'
    world.session.on_command('the mug')
    world.frame()
    world.session.loaded(NEW)
    world.models.answer()
    world.session.on_replies()
    assert world.publisher.results[-1].details['method'] == 'old'   # that it was answered by
    assert world.publisher.statuses[-1].values['loading'] is None
    world.session.on_command('the mug')
    world.frame()
    world.models.answer()
    world.session.on_replies()
    assert world.publisher.results[-1].details['method'] == 'new'
    world.session.expect(None, 'method other could not be built: no weights')
    status = world.publisher.statuses[-1]
    assert status.warning and 'no weights' in status.message and status.active
    (check,) = [c for c in world.session.checks() if c.name == 'models']
    assert 'no weights' in check.message
