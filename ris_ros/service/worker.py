"""The one thread that owns the models; no ROS here.

Loading, warming up and inference all happen on this thread, because compiled models and
inference modes are bound to the thread that made them.  Replies wait in a queue; `notify`
wakes the ROS executor, which fetches and publishes them on its own thread.
"""
from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from ris_ros.service.detail import Detail
from ris_ros.service.sight import Sight
from ris_ros.service.talk import Asked, Talk
from ris_ros.service.text import shortened
from ris_ros.target import Measurement
from ris_ros.types import BadInputError, Outcome, RisError, Scene, Segmentation, View

LOGGER = logging.getLogger(__name__)
T = TypeVar('T')


class SegmenterLike(Protocol):
    """What the worker needs of ris_ros.Segmenter."""

    def prepare(self, view: View, /, key: Hashable = None) -> Scene:
        """Look at a view and keep the scene under `key`."""
        ...

    def kept(self, key: Hashable, /) -> Scene | None:
        """Return the scene that was prepared under a key, None where it is no longer kept."""
        ...

    def forget(self) -> None:
        """Let go of all scenes."""
        ...

    def ground(self, scene: Scene, text: str, /, max_candidates: int) -> Segmentation:
        """Answer one sentence about it; max_candidates: objects that are listed at most."""
        ...


@dataclass(frozen=True)
class Job:
    """One command for the models: a sentence about a sight.

    token: given back in the reply.  id: the command's.  in_reply_to: id of the command whose
    question it answers, None where it may be one of its own.
    """

    token: Any
    text: str
    sight: Sight
    id: str = ''
    in_reply_to: str | None = None


@dataclass(frozen=True)
class Reply:
    """What became of a job: a segmentation with its final outcome, or a failure.

    image: (H, W, 3) uint8 RGB, what was looked at.  failure: the outcome and its sentence.
    infer_s: seconds in the models.  reused_scene: whether the view had been prepared before.
    timings: seconds per stage, those of the preparation only where it was done for this job.
    notes: what makes the target doubtful.  detail: what is told beyond the target.  frame_id: of
    points, poses and boxes where that is not the image's own.  others: of several objects all but
    the first.  destination: of where it is to go.  about: the token of the job on whose sight an
    answer to a question is, and in_reply_to its command's id; None for a command of its own.
    """

    token: Any
    segmentation: Segmentation | None = None
    measured: Measurement | None = None
    image: np.ndarray | None = None
    failure: tuple[Outcome, str] | None = None
    infer_s: float = 0.0
    reused_scene: bool = False
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    detail: Detail = field(default_factory=Detail)
    frame_id: str = ''
    others: tuple[Measurement, ...] = ()
    destination: Measurement | None = None
    about: Any = None
    in_reply_to: str | None = None


class Worker:
    """Runs jobs one after the other on its own thread.

    notify() is called from that thread whenever a reply is there to be fetched.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._segmenter: SegmenterLike | None = None
        self._talk: Talk | None = None
        self._thread = threading.Thread(target=self._run, name='ris-models', daemon=True)
        self._thread.start()

    def load(self, factory: Callable[[], SegmenterLike], warm_up: bool = True) -> Future[float]:
        """Build the segmenter; the future holds the seconds it took, or the error."""
        future: Future[float] = Future()
        self._jobs.put(lambda: self._load(factory, warm_up, future))
        return future

    def unload(self) -> None:
        """Let go of the models once the running job is through."""
        self._jobs.put(self._forget)

    def forget(self) -> None:
        """Let go of the prepared scene once the running job is through."""
        self._jobs.put(self._forget_scenes)

    def submit(self, job: Job) -> None:
        """Queue a job; exactly one reply with its token follows."""
        self._jobs.put(lambda: self._answer(job))

    def examine(self, examination: Callable[[SegmenterLike | None], T]) -> Future[T]:
        """Do something else with the segmenter, None where there is none, once its turn comes."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(examination(self._segmenter))
            except BaseException as error:
                future.set_exception(error if isinstance(error, Exception) else RisError(
                    f'{type(error).__name__}: {error}'))
            self._notify()
        self._jobs.put(run)
        return future

    def fetch(self) -> list[Reply]:
        """Return the replies that have come in since the last call."""
        replies = []
        while True:
            try:
                replies.append(self._replies.get_nowait())
            except queue.Empty:
                return replies

    def close(self, timeout_s: float = 5.0) -> bool:
        """End the thread after the running job; False if it is still busy after that time."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while True:
            task = self._jobs.get()
            if task is None:
                self._forget()
                return
            try:
                task()
            except BaseException:  # the thread must live as long as the node
                LOGGER.exception("a task of the models' thread failed")

    def _load(self, factory: Callable[[], SegmenterLike], warm_up: bool,
              future: Future[float]) -> None:
        start = time.perf_counter()
        try:
            self._forget()
            segmenter = factory()
            if warm_up:  # the first pass of a network is several times slower than the rest
                segmenter.ground(segmenter.prepare(View(warm_up_image())), 'the red box',
                                 max_candidates=1)
            self._segmenter, self._talk = segmenter, Talk(segmenter)
            future.set_result(time.perf_counter() - start)
        except BaseException as error:  # a library may end the process with SystemExit
            future.set_exception(error if isinstance(error, Exception) else RisError(
                f'the models could not be loaded: {type(error).__name__}: {error}'))

    def _forget(self) -> None:
        self._segmenter = self._talk = None

    def _forget_scenes(self) -> None:
        if self._talk is not None:
            self._talk.forget()
        if self._segmenter is not None:
            self._segmenter.forget()

    def _answer(self, job: Job) -> None:
        start = time.perf_counter()
        try:
            reply = self._ground(job, start)
        except BaseException as error:
            failure = failure_of(error)
            reply = Reply(job.token, failure=failure, infer_s=time.perf_counter() - start)
            if not isinstance(error, BadInputError):
                self._forget_scenes()  # what is kept may be what broke
        self._replies.put(reply)
        self._notify()

    def _ground(self, job: Job, start: float) -> Reply:
        segmenter, talk = self._segmenter, self._talk
        if segmenter is None or talk is None:
            return Reply(job.token, failure=(Outcome.MODEL_ERROR, 'no model is loaded'))
        answered = talk.answer(job)
        if answered is not None:
            return _measured(job, *answered, infer_s=time.perf_counter() - start)
        key = job.sight.key
        # The segmenter alone keeps scenes; two caches held more than either was allowed.
        scene = segmenter.kept(key)
        reused = scene is not None
        if scene is None:
            try:
                scene = segmenter.prepare(job.sight.view(), key=key)
            except BadInputError as error:
                return Reply(job.token, failure=(Outcome.INVALID_IMAGE, str(error)),
                             infer_s=time.perf_counter() - start)
        segmentation = checked(segmenter.ground(
            scene, job.text, max_candidates=job.sight.parameters.max_candidates), scene.view)
        infer_s = time.perf_counter() - start
        timings = dict(segmentation.timings) if reused else {
            **scene.timings, **segmentation.timings}
        talk.heard(job, segmentation, scene)
        return _measured(job, segmentation, Asked(job, scene.view), infer_s=infer_s,
                         reused_scene=reused, timings=timings)


def _measured(job: Job, segmentation: Segmentation, seen: Asked, **more: Any) -> Reply:
    """Return the reply to a job with all that is measured; seen: what the answer is about."""
    sight, view = seen.job.sight, seen.view
    # The middle of several objects is on none of them: each is measured by itself.
    each = [replace(segmentation, mask=c.mask) for c in segmentation.selected]
    first = each[0] if len(each) > 1 else segmentation
    measured = sight.measure(first, view)
    goal = segmentation.destination
    own = seen.job is job
    detail, notes = Detail(), sight.notes
    try:
        detail = sight.detail(first, measured, view)
    except Exception as error:   # a target that is right needs no box
        LOGGER.exception('box and places of candidates')
        notes = (*notes, 'the box and the places of candidates are missing: '
                 f'{type(error).__name__}: {shortened(str(error))}')
    return Reply(job.token, segmentation, measured, view.rgb, notes=notes, detail=detail,
                 others=tuple(sight.measure(s, view) for s in each[1:]),
                 destination=None if goal is None else sight.measure(goal, view),
                 about=None if own else seen.job.token,
                 in_reply_to=None if own else seen.name or seen.job.id, **more)


def checked(segmentation: Segmentation, view: View) -> Segmentation:
    """Return the segmentation; raises RisError for one that cannot be an answer about `view`.

    Numbers that are none come out of networks in a precision too small for them.
    """
    mask = segmentation.mask
    if mask.shape != view.size or mask.dtype != np.bool_:
        raise RisError(f'the method gave a mask of shape {mask.shape} and type {mask.dtype} for '
                       f'an image of {view.size}')
    if not np.isfinite((segmentation.score, segmentation.margin)).all():
        raise RisError(f'the method gave scores that are no numbers ({segmentation.score:g}, '
                       f'margin {segmentation.margin:g}); try precision fp32')
    found = segmentation.outcome in (Outcome.SUCCEEDED, Outcome.SUCCEEDED_2D)
    if found and not mask.any():
        raise RisError('the method says that it found the object, but its mask is empty')
    return segmentation


def failure_of(error: BaseException) -> tuple[Outcome, str]:
    """Return the outcome and the sentence for an error that came out of a model."""
    try:
        said = str(error)
    except Exception:  # an error that cannot even say what it is
        said = 'no message'
    if isinstance(error, BadInputError):
        return Outcome.INVALID_COMMAND, said
    if isinstance(error, MemoryError) or is_out_of_memory(type(error).__name__, said):
        return Outcome.OUT_OF_MEMORY, (f'out of memory ({shortened(said)}); use a smaller '
                                       'profile or image')
    if isinstance(error, RisError):
        return Outcome.MODEL_ERROR, said
    LOGGER.error('the model failed:\n%s', ''.join(traceback.format_exception(error)))
    return Outcome.MODEL_ERROR, f'the model failed: {type(error).__name__}: {shortened(said)}'


def is_out_of_memory(kind: str, said: str) -> bool:
    """Say whether an error of torch means too little memory; torch may not be installed."""
    text = said.lower()
    return kind == 'OutOfMemoryError' or (kind == 'RuntimeError' and any(
        sign in text for sign in ('out of memory', "can't allocate memory", 'alloc_failed')))


def warm_up_image(height: int = 480, width: int = 640) -> np.ndarray:
    """Return an (H, W, 3) uint8 picture with a few boxes, so that every stage has work."""
    image = np.full((height, width, 3), 170, dtype=np.uint8)
    for index, colour in enumerate(((200, 30, 30), (30, 120, 40), (40, 60, 200))):
        left = width * (1 + 3 * index) // 10
        image[height // 3:height * 2 // 3, left:left + width // 5] = colour
    return image
