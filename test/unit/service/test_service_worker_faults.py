"""Every call to the models made to fail: an outcome each, and the next command is right."""
from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from test_service_worker import Counted, Job, ask, load, sight, understand

from ris_ros.segmenter import Segmenter
from ris_ros.service.worker import Worker, failure_of
from ris_ros.types import BadInputError, Outcome, RisError


class UnsayableError(Exception):
    def __str__(self):
        raise ValueError('it cannot even say what it is')


class Faulty(Counted):
    """Does once, in `prepare` or `ground`, what it is told to."""

    def __init__(self):
        super().__init__()
        self.faults = {}

    def _fault(self, call, result):
        change = self.faults.pop(call, None)
        return result if change is None else change(result)

    def prepare(self, view):
        scene = super().prepare(view)
        return self._fault('prepare', scene)

    def ground(self, scene, analysis):
        return self._fault('ground', super().ground(scene, analysis))


def raising(error):
    def change(_result):
        raise error
    return change


def putting(**values):
    """Change what a frozen answer holds, as a network of a bad day would."""
    def change(result):
        for name, value in values.items():
            object.__setattr__(result, name, value)
        return result
    return change


NAN = np.array([np.nan], np.float32)
FAULTS = {
    'exception': (raising(RuntimeError('shapes')), Outcome.MODEL_ERROR, 'RuntimeError: shapes'),
    'memory': (raising(MemoryError('full')), Outcome.OUT_OF_MEMORY, 'full'),
    'memory of torch': (raising(RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")),
        Outcome.OUT_OF_MEMORY, 'allocate memory'),
    'memory of a GPU': (raising(RuntimeError('CUDA error: out of memory')),
                        Outcome.OUT_OF_MEMORY, 'out of memory'),
    'system exit': (raising(SystemExit(3)), Outcome.MODEL_ERROR, 'SystemExit'),
    'interrupt': (raising(KeyboardInterrupt()), Outcome.MODEL_ERROR, 'KeyboardInterrupt'),
    'unsayable': (raising(UnsayableError()), Outcome.MODEL_ERROR, 'Unsayable'),
    'a text that ROS cannot carry': (raising(RuntimeError('\ud83d')), Outcome.MODEL_ERROR, ''),
    'nothing': (lambda _: None, Outcome.MODEL_ERROR, 'AttributeError'),
}
OF_GROUND = {
    'NaN scores': (putting(scores=NAN), Outcome.MODEL_ERROR, 'NaN'),
    'NaN probabilities': (putting(probabilities=NAN), Outcome.MODEL_ERROR, 'NaN'),
}


@pytest.fixture
def method():
    return Faulty()


@pytest.fixture
def worker(method):
    worker = Worker(lambda: None)
    load(worker, method)
    yield worker
    assert worker.close()


@pytest.mark.parametrize(('call', 'name'), [
    *(('prepare', name) for name in FAULTS),
    *(('ground', name) for name in (*FAULTS, *OF_GROUND))])
def test_each_fault_has_its_outcome_and_the_next_command_is_right(worker, method, call, name):
    change, outcome, said = {**FAULTS, **OF_GROUND}[name]
    method.faults[call] = change
    start = time.monotonic()
    reply = ask(worker)
    assert reply.failure is not None and reply.failure[0] is outcome, reply
    assert said in reply.failure[1] and time.monotonic() - start < 60.0
    views = len(method.views)
    assert ask(worker).measured.outcome is Outcome.SUCCEEDED
    assert len(method.views) == views + 1, 'what may be broken was kept'


def test_an_image_that_the_method_cannot_use_is_an_invalid_image(worker, method):
    method.faults['prepare'] = raising(BadInputError('the image is too small for this method'))
    reply = ask(worker)
    assert reply.failure == (Outcome.INVALID_IMAGE, 'the image is too small for this method')
    method.faults['ground'] = raising(BadInputError('this method takes no such sentence'))
    assert ask(worker).failure[0] is Outcome.INVALID_COMMAND


class Lying:
    """A segmenter whose answers cannot be true."""

    def __init__(self, method, change):
        self.inner, self.change = Segmenter(method, understand), change

    def prepare(self, view, key=None):
        return self.inner.prepare(view, key)

    def kept(self, key):
        return None

    def forget(self):
        self.inner.forget()

    def ground(self, scene, text, max_candidates):
        return self.change(self.inner.ground(scene, text, max_candidates))


@pytest.mark.parametrize(('change', 'said'), [
    (putting(mask=np.ones((3, 4), bool)), 'shape (3, 4)'),
    (putting(mask=np.ones((48, 64), np.uint8)), 'uint8'),
    (putting(mask=np.zeros((48, 64), bool)), 'empty'),
    (putting(score=float('nan')), 'no numbers'), (putting(margin=float('inf')), 'no numbers'),
])
def test_an_answer_that_cannot_be_true_is_none(change, said):
    worker = Worker(lambda: None)
    try:
        worker.load(lambda: Lying(Counted(), change), warm_up=False).result(20.0)
        outcome, message = ask(worker).failure
        assert outcome is Outcome.MODEL_ERROR and said in message
    finally:
        assert worker.close()


def test_a_command_behind_one_that_hangs_is_answered_when_that_is_through(worker, method):
    going_on = threading.Event()
    method.faults['ground'] = lambda result: (going_on.wait(20.0), result)[1]
    done = []
    worker._notify = lambda: done.append(1)
    for token in ('hanging', 'next'):
        worker.submit(Job(token, 'the mug', sight()))
    time.sleep(0.2)
    assert worker.fetch() == []
    going_on.set()
    end = time.monotonic() + 20.0
    while len(done) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert [reply.token for reply in worker.fetch()] == ['hanging', 'next']


@pytest.mark.parametrize('error', [SystemExit(1), KeyboardInterrupt(), RisError('no weights')])
def test_loading_that_ends_the_process_does_not(error):
    worker = Worker(lambda: None)
    try:
        def factory():
            raise error
        with pytest.raises(RisError):
            worker.load(factory).result(20.0)
        load(worker, Counted())
        assert ask(worker).measured.outcome is Outcome.SUCCEEDED
    finally:
        assert worker.close()


def test_a_bell_that_cannot_be_rung_does_not_end_the_thread(worker):
    def broken():
        raise RuntimeError('the guard condition is gone')
    worker._notify = broken
    worker.submit(Job('lost', 'the mug', sight()))
    end = time.monotonic() + 20.0
    while not worker.fetch() and time.monotonic() < end:
        time.sleep(0.01)
    assert ask(worker).measured.outcome is Outcome.SUCCEEDED


def test_long_errors_are_cut():
    assert len(failure_of(RuntimeError('x' * 10_000))[1]) < 400


def test_the_scene_is_forgotten_on_request(worker, method):
    ask(worker)
    worker.forget()
    assert not ask(worker).reused_scene and len(method.views) == 2
