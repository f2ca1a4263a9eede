"""The thread that owns the models: one reply for every job, one scene in memory."""
from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from service_fakes import CAMERA, MASK, SHAPE, ArrayConverter, World

from ris_ros.language import Analysis
from ris_ros.methods.base import Method
from ris_ros.methods.options import OutcomeSettings
from ris_ros.segmenter import Segmenter
from ris_ros.service.frames import FrameSet, Stamped
from ris_ros.service.parameters import LanguageParameters, NodeParameters
from ris_ros.service.segmenters import KEPT_SCENES, method_defaults, profile_segmenter
from ris_ros.service.sight import Sight
from ris_ros.service.worker import Job, Worker, failure_of, warm_up_image
from ris_ros.types import (
    BadInputError,
    Command,
    Grounding,
    Outcome,
    RisError,
    Scene,
    Target,
    WeightsError,
)

RGB = np.zeros((*SHAPE, 3), np.uint8)


class Counted(Method):
    """A method that knows how many of its scenes are alive, and does what a text says."""

    name, settings_class = 'counted', OutcomeSettings
    settings, device = OutcomeSettings(), 'cpu'

    def __init__(self):
        self.alive: weakref.WeakSet[Scene] = weakref.WeakSet()
        self.most_alive = 0
        self.views = []

    @classmethod
    def from_networks(cls, networks, settings):
        return cls()

    def prepare(self, view):
        gc.collect()
        # The one that is made now counts too.
        self.most_alive = max(self.most_alive, len(self.alive) + 1)
        self.views.append(view)
        scene = Scene(self.name, view, MASK[None], np.array([[20, 10, 24, 20]], np.float32),
                      MASK[None].sum(axis=(1, 2)), np.ones(1, np.float32),
                      timings={'proposals': 0.5})
        self.alive.add(scene)
        return scene

    def ground(self, scene, analysis):
        text = analysis.command.text
        for word, error in (('bowl', RuntimeError('a shape does not fit')),
                            ('cup', MemoryError('no room')),
                            ('spoon', WeightsError('the weights are damaged')),
                            ('fork', BadInputError('this method knows no forks'))):
            if word in text:
                raise error
        return Grounding(np.ones(1, np.float32), np.zeros(1, np.int64),
                         np.ones(1, np.float32), timings={'match': 0.1})


def understand(text):
    """Take the whole sentence for the object, without a parser; `please` names none."""
    return Analysis(Command(text, target=None if text == 'please' else Target(text)), None)


@pytest.fixture
def method():
    return Counted()


@pytest.fixture
def worker():
    worker = Worker(lambda: None)
    yield worker
    assert worker.close()


def sight(stamp=1.0, rgb=RGB, **parameters):
    frames = FrameSet(Stamped(stamp, rgb, ('camera', stamp), 'camera'),
                      Stamped(stamp, np.full(SHAPE, 0.5, np.float32), ('depth', stamp), 'camera'),
                      Stamped(stamp, CAMERA, ('info', stamp), 'camera'))
    return Sight(frames, True, NodeParameters(**parameters), ArrayConverter())


def ask(worker, text='the mug', **changes):
    done = threading.Event()
    worker._notify = done.set
    worker.submit(Job('token', text, sight(**changes)))
    assert done.wait(60.0)
    (reply,) = worker.fetch()
    assert reply.token == 'token'
    return reply


def load(worker, method, **options):
    worker.load(lambda: Segmenter(method, understand, **{'scene_cache': KEPT_SCENES, **options}),
                warm_up=False).result(20.0)


# ---- one reply for every job -------------------------------------------------------------

def test_an_answer(worker, method):
    load(worker, method)
    reply = ask(worker)
    assert reply.failure is None and reply.measured.outcome is Outcome.SUCCEEDED
    assert reply.measured.geometry.point[2] == pytest.approx(0.5)
    np.testing.assert_array_equal(reply.image, RGB)
    assert reply.timings['proposals'] == 0.5 and reply.timings['match'] == 0.1
    assert not reply.reused_scene and reply.infer_s > 0
    (view,) = method.views
    assert view.camera == CAMERA and view.depth[0, 0] == 0.5


@pytest.mark.parametrize(('text', 'outcome', 'said'), [
    ('the bowl', Outcome.MODEL_ERROR, 'RuntimeError: a shape does not fit'),
    ('the cup', Outcome.OUT_OF_MEMORY, 'no room'),
    ('the spoon', Outcome.MODEL_ERROR, 'the weights are damaged'),
    ('the fork', Outcome.INVALID_COMMAND, 'knows no forks'),
])
def test_a_failure_ends_its_job_alone(worker, method, text, outcome, said):
    load(worker, method)
    reply = ask(worker, text)
    assert reply.failure[0] is outcome and said in reply.failure[1] and reply.infer_s > 0
    assert ask(worker).measured.outcome is Outcome.SUCCEEDED


def test_an_image_that_cannot_be_read(worker, method):
    load(worker, method)
    reply = ask(worker, rgb=BadInputError('step is too small'))
    assert reply.failure == (Outcome.INVALID_IMAGE, 'step is too small')
    assert method.views == []
    reply = ask(worker, rgb=KeyError('a fault of the converter'))
    assert reply.failure[0] is Outcome.MODEL_ERROR


def test_a_sentence_that_names_nothing(worker, method):
    load(worker, method)
    reply = ask(worker, 'please')
    assert reply.measured.outcome is Outcome.INVALID_COMMAND and reply.measured.geometry is None


def test_before_and_after_there_are_models(worker, method):
    assert ask(worker).failure == (Outcome.MODEL_ERROR, 'no model is loaded')
    load(worker, method)
    assert ask(worker).failure is None
    worker.unload()
    assert ask(worker).failure is not None
    gc.collect()
    assert len(method.alive) == 0


def test_loading_that_fails_is_told_and_leaves_nothing(worker, method):
    def broken():
        raise WeightsError('no weights')
    load(worker, method)
    with pytest.raises(WeightsError, match='no weights'):
        worker.load(broken).result(20.0)
    assert ask(worker).failure == (Outcome.MODEL_ERROR, 'no model is loaded')


def test_warm_up_runs_the_whole_method_once(worker, method):
    seconds = worker.load(
        lambda: Segmenter(method, understand, scene_cache=KEPT_SCENES)).result(20.0)
    assert seconds > 0 and len(method.views) == 1
    assert method.views[0].rgb.shape == warm_up_image().shape


def test_kinds_of_failure():
    class OutOfMemoryError(Exception):
        """Named as torch's own."""
    assert failure_of(OutOfMemoryError('CUDA'))[0] is Outcome.OUT_OF_MEMORY
    assert failure_of(RisError('say so')) == (Outcome.MODEL_ERROR, 'say so')
    assert failure_of(ZeroDivisionError('x'))[1] == 'the model failed: ZeroDivisionError: x'


# ---- one scene in memory -----------------------------------------------------------------

def test_a_second_sentence_about_the_same_images_reuses_the_scene(worker, method):
    load(worker, method)
    ask(worker)
    reply = ask(worker, 'the red mug')
    assert reply.reused_scene and len(method.views) == 1 and 'proposals' not in reply.timings
    assert reply.measured.outcome is Outcome.SUCCEEDED
    assert not ask(worker, stamp=2.0).reused_scene


@pytest.mark.parametrize('allowed', [1, 2])
def test_never_more_scenes_in_memory_than_the_segmenter_may_keep(worker, method, allowed):
    load(worker, method, scene_cache=allowed)
    for stamp in range(8):
        for text in ('the mug', 'the red mug'):
            ask(worker, text, stamp=float(stamp), rgb=np.full_like(RGB, stamp))
        gc.collect()
        assert len(method.alive) <= allowed
    assert len(method.views) == 8 and method.most_alive == allowed


def test_the_node_keeps_one_scene(monkeypatch):
    asked = {}

    def from_profile(profile, **options):
        asked.update(options, profile=profile)
        return 'segmenter'
    monkeypatch.setattr(Segmenter, 'from_profile', from_profile)
    p = NodeParameters(method='tas', precision='bf16', model_dir='/weights', device='cpu',
                       language=LanguageParameters('shipped'))
    assert profile_segmenter(p, {'alpha': 0.5}) == 'segmenter'
    assert asked == {'profile': 'tabletop', 'method': 'tas', 'device': 'cpu',
                     'precision': 'bf16', 'model_dir': '/weights', 'settings': {'alpha': 0.5},
                     'scene_cache': 1, 'pipeline': 'shipped'}


def test_settings_of_a_method_under_a_profile():
    kind, settings = method_defaults('hybridgl', 'tabletop')
    assert isinstance(settings, kind)
    for names in (('crystal_ball', 'tabletop'), ('hybridgl', 'crystal_ball')):
        with pytest.raises(BadInputError, match='crystal_ball'):
            method_defaults(*names)


# ---- session and worker together ---------------------------------------------------------

@dataclass
class Bell:
    """Rung by the worker; the test's own thread then fetches, as the executor does."""

    event: threading.Event

    def wait(self, session):
        assert self.event.wait(20.0)
        self.event.clear()
        session.on_replies()


def test_from_messages_to_results(method):
    bell = Bell(threading.Event())
    worker = Worker(bell.event.set)
    try:
        load(worker, method)
        world = World(models=worker, busy_policy='queue')
        world.session.activate()
        for text in ('the mug', 'the bowl', 'please', 'the red mug'):
            world.session.on_command(text)
        world.frame(depth=True)
        for _ in range(4):
            bell.wait(world.session)
        assert [outcome for _, outcome in world.publisher.outcomes] == [
            Outcome.SUCCEEDED, Outcome.MODEL_ERROR, Outcome.INVALID_COMMAND, Outcome.SUCCEEDED]
        first, _, _, last = world.publisher.results
        assert first.details['reused_scene'] is False and last.details['reused_scene'] is True
        assert first.details['point_xyz'][2] == pytest.approx(0.5)
        world.surroundings.set(use_depth='false')
        world.frame(image=BadInputError('no pixels'), age=-0.1)
        world.session.on_command('the mug')
        bell.wait(world.session)
        assert world.publisher.results[-1].ending.outcome is Outcome.INVALID_IMAGE
    finally:
        assert worker.close()


def test_a_box_that_cannot_be_computed_does_not_cost_the_target(worker, method, monkeypatch):
    def broken(*_):
        raise np.linalg.LinAlgError('did not converge')
    monkeypatch.setattr('ris_ros.service.sight.detail_of', broken)
    load(worker, method)
    reply = ask(worker)
    assert reply.failure is None and reply.measured.outcome is Outcome.SUCCEEDED
    assert 'LinAlgError' in reply.notes[-1] and reply.detail.box is None
