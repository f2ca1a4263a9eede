"""A world without ROS for the session: clocks that obey, models that answer when told to."""
from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from ris_ros.geometry import Calibration, camera_from_matrix
from ris_ros.service.frames import Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.session import Session
from ris_ros.service.worker import Job, Reply
from ris_ros.target import Measurement, measure_target
from ris_ros.types import Camera, Candidate, Outcome, Segmentation

SHAPE = (48, 64)
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
MASK = np.zeros(SHAPE, bool)
MASK[10:30, 20:44] = True
# What the target under MASK is, half a metre away.
MEASURED = measure_target(
    Segmentation(MASK, 0.9, 0.4, Outcome.SUCCEEDED_2D, ''), np.full(SHAPE, 0.5, np.float32),
    CAMERA)


@dataclass
class FakeClock:
    """ros jumps where it is told to, steady never goes back."""

    ros: float = 100.0
    steady: float = 5.0
    is_simulated: bool = False
    offered: bool = True

    def ros_s(self):
        return self.ros

    def steady_s(self):
        return self.steady

    def simulated(self):
        return self.is_simulated

    def is_offered(self):
        return self.offered

    def advance(self, seconds):
        self.ros += seconds
        self.steady += seconds


@dataclass
class FakeSurroundings:
    p: NodeParameters = field(default_factory=NodeParameters)
    depth_publishers: int = 0
    watched: bool = False
    transforms: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    jumps: int = 0

    def parameters(self):
        return self.p

    def image_topic(self):
        return '/camera/image'

    def depth_is_offered(self):
        return self.depth_publishers > 0

    def wants_detail(self, parameters):
        return self.watched

    def clock_jumped(self):
        self.jumps += 1

    def transform(self, target, image):
        self.asked.append((target, image))
        answer = self.transforms.get(target, f'no frame {target}')
        return answer() if callable(answer) else answer

    def set(self, **changes):
        self.p = replace(self.p, **changes)


@dataclass
class FakeIntake:
    """Messages that lie in the middleware until somebody collects them."""

    queue: list = field(default_factory=list)
    eagerly: bool = False
    lost_images: int = 0

    def collect(self):
        messages, self.queue = self.queue, []
        return messages

    def listen(self, eagerly):
        self.eagerly = eagerly

    def lost(self):
        return self.lost_images


@dataclass
class FakePublisher:
    """Keeps what was said; `refuses` is raised by the next outputs.

    breaks: what to raise by the name of a method, each time it is called.
    """

    results: list = field(default_factory=list)
    statuses: list = field(default_factory=list)
    shown: list = field(default_factory=list)
    log: list = field(default_factory=list)
    diagnosed: list = field(default_factory=list)
    refuses: Exception | None = None
    breaks: dict = field(default_factory=dict)

    def _break(self, name):
        if name in self.breaks:
            raise self.breaks[name]

    def outputs(self, reply, frames, parameters):
        self._break('outputs')
        if self.refuses is not None:
            raise self.refuses
        self.shown.append((reply, frames, parameters))

    def result(self, result):
        self._break('result')
        self.results.append(result)

    def status(self, status):
        self._break('status')
        self.statuses.append(status)

    def diagnostics(self, checks):
        self._break('diagnostics')
        self.diagnosed.append(checks)

    def note(self, text):
        self._break('note')
        self.log.append(('note', text))

    def warn(self, text):
        self._break('warn')
        self.log.append(('warn', text))

    @property
    def outcomes(self):
        return [(r.record.id, r.ending.outcome) for r in self.results]

    @property
    def state(self):
        return self.statuses[-1].values['state']


class FakeModels:
    """Takes jobs and answers them when the test says so, as a busy network would."""

    def __init__(self):
        self.jobs: list[Job] = []
        self.loaded: list[tuple] = []
        self.unloads = self.forgets = 0
        self._replies: list[Reply] = []

    def load(self, factory, warm_up=True):
        self.loaded.append((factory, warm_up))
        future: Future[float] = Future()
        future.set_result(1.5)
        return future

    def unload(self):
        self.unloads += 1

    def forget(self):
        self.forgets += 1

    def submit(self, job):
        self.jobs.append(job)

    def fetch(self):
        replies, self._replies = self._replies, []
        return replies

    def answer(self, outcome=Outcome.SUCCEEDED, message='found', **more):
        """Answer the oldest job; the node is still to be told by `on_replies`."""
        job = self.jobs.pop(0)
        found = Segmentation(MASK, 0.9, 0.4, Outcome.SUCCEEDED_2D, message,
                             (Candidate(1, 3, 0.9, MASK, (20.0, 10.0, 24.0, 20.0)),))
        self._replies.append(replace(
            Reply(job.token, found, Measurement(outcome, message),
                  np.zeros((*SHAPE, 3), np.uint8), infer_s=0.25, timings={'proposals': 0.2}),
            **more))
        return job

    def fail(self, outcome=Outcome.MODEL_ERROR, message='it broke'):
        job = self.jobs.pop(0)
        self._replies.append(Reply(job.token, failure=(outcome, message), infer_s=0.1))
        return job


class ArrayConverter:
    """For messages that are arrays and cameras already; errors are raised, callables called."""

    def __init__(self):
        self.calls = []

    def rgb(self, image):
        return self._read('rgb', image)

    def depth(self, depth, unit):
        metres = self._read('depth', depth)
        return metres * np.float32(0.001) if unit == 'mm' else metres

    def depth_unit(self, depth, unit):
        return 'm' if unit == 'auto' else unit

    def camera(self, info):
        info = self._read('camera', info)
        return camera_from_matrix(info.matrix, info.width, info.height) if isinstance(
            info, Calibration) else info

    def calibration(self, info):
        if isinstance(info, Exception):
            raise info
        return info if isinstance(info, Calibration) else Calibration.of(info)

    def _read(self, what, message):
        self.calls.append(what)
        if isinstance(message, Exception):
            raise message
        return message


class World:
    """A session with everything around it."""

    def __init__(self, models=None, converter=None, **parameters):
        self.clock, self.publisher, self.intake = FakeClock(), FakePublisher(), FakeIntake()
        self.surroundings = FakeSurroundings(NodeParameters(**parameters))
        self.models = models or FakeModels()
        self.converter = converter or ArrayConverter()
        self.session = Session(self.models, self.converter, self.clock, self.intake,
                               self.surroundings, self.publisher)

    def frame(self, age=0.0, depth=False, image=None):
        """Let a colour image come, with depth and intrinsics of its stamp if wanted.

        age: seconds by which the stamp lies behind the clock; without an image of its own the
        picture is blank and counts as another one at every stamp.
        """
        stamp = self.clock.ros - age
        if depth:
            self.session.on_frame('info', self.stamped(stamp, CAMERA))
            self.session.on_frame('depth', self.stamped(stamp, np.full(SHAPE, 0.5, np.float32)))
        self.session.on_frame('image', self.stamped(
            stamp, np.zeros((*SHAPE, 3), np.uint8) if image is None else image))

    @staticmethod
    def stamped(stamp, message):
        return Stamped(stamp, message, ('camera', stamp), 'camera')

    def tick(self, seconds=0.05):
        self.clock.advance(seconds)
        self.session.on_tick()
