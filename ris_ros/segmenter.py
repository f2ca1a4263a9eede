"""The facade: a profile and a method in, a mask and one clear outcome out.

The only place where prepared scenes are kept.
"""
from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.decision import MAX_CANDIDATES, check_numbers, decide
from ris_ros.decision.parts import together, with_destination
from ris_ros.decision.question import question_of
from ris_ros.methods.options import fitting
from ris_ros.methods.registry import find_method, settings_for
from ris_ros.types import (
    BadInputError,
    Camera,
    Command,
    Outcome,
    Scene,
    Segmentation,
    Target,
    View,
)

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.methods.base import Method
    from ris_ros.methods.options import OutcomeSettings
    from ris_ros.profiles import Networks


def method_settings(method: str) -> type[OutcomeSettings]:
    """Return the settings dataclass of a method; raises BadInputError for an unknown one."""
    return find_method(method).settings_class()


def networks_of(profile: str, device: str = 'auto', precision: str = 'fp32',
                model_dir: str | Path | None = None, *,
                devices: Mapping[str, str] | None = None,
                precisions: Mapping[str, str] | None = None,
                pipeline: str = 'auto') -> Networks:
    """Return a profile's networks, none of them loaded yet; see `Segmenter.from_profile`."""
    from ris_ros.profiles import Networks, get_profile
    return Networks(get_profile(profile), device, precision, model_dir, devices=devices,
                    precisions=precisions, pipeline=pipeline)


class Segmenter:
    """Segments what a sentence refers to.

    method: see `ris_ros.methods.base.Method`.
    analyse: from a sentence to its analysis; by default `ris_ros.language.analyse`.
    scene_cache: prepared views that are kept, so that a further sentence about one of them
    is quick; the oldest goes before another is made.  Calls from several threads are worked off
    one after the other.
    sentence_threads: torch threads for a sentence, 0: all; see `ris_ros.profiles.Profile`.
    max_candidates: objects that an answer lists at most.
    """

    def __init__(self, method: Method, analyse: Callable[[str], Analysis] | None = None,
                 scene_cache: int = 2, sentence_threads: int = 0,
                 max_candidates: int = MAX_CANDIDATES) -> None:
        if analyse is None:
            from ris_ros.language import analyse as default
            analyse = default
        self.method, self.max_candidates = method, max_candidates
        self._analyse, self._sentence_threads = analyse, sentence_threads
        self._scenes: OrderedDict[Hashable, Scene] = OrderedDict()
        self._scene_cache = scene_cache
        self._lock = threading.RLock()

    @classmethod
    def from_profile(cls, profile: str = 'tabletop', method: str = 'hybridgl',
                     device: str = 'auto', precision: str = 'fp32',
                     model_dir: str | Path | None = None,
                     settings: Mapping[str, Any] | None = None, for_evaluation: bool = False,
                     devices: Mapping[str, str] | None = None,
                     precisions: Mapping[str, str] | None = None, pipeline: str = 'auto',
                     **options: Any) -> Segmenter:
        """Return a segmenter with the networks of a profile behind a method.

        profile: a name, or the path of a profile's file.
        device: 'auto', 'cpu', 'cuda' or 'cuda:N'.  precision: 'fp32', 'bf16' or 'fp16'.
        devices, precisions: the same for single networks, by role, such as {'sam': 'cuda:0'};
        as text: 'cpu,sam=cuda:0'.  They go before what the profile says.
        model_dir: folder with weights, in place of the shipped and fetched ones.
        settings: method settings over those of the profile.  for_evaluation: allow a method
        that needs the true mask.  options: of the constructor.
        pipeline: of language, by which sentences and a network's captions are parsed: 'auto',
        'shipped', an installed spaCy package or a folder; `analyse` of the options goes before
        it for sentences.
        Raises BadInputError for an unknown profile, method, device, pipeline or setting,
        WeightsError for missing or damaged weights, MissingDependencyError for an absent library.
        """
        from ris_ros.profiles import get_profile
        info, chosen = find_method(method), get_profile(profile)
        if info.evaluation_only and not for_evaluation:
            raise BadInputError(f'{method} chooses by the true mask and serves evaluation alone; '
                                f'run `ris eval --method {method}`, or take another method here')
        final = settings_for(method, chosen, settings)
        networks = networks_of(profile, device, precision, model_dir, devices=devices,
                               precisions=precisions, pipeline=pipeline)
        if options.get('analyse') is None:
            from ris_ros.language import analyse
            from ris_ros.language.pipelines import resolve_pipeline
            resolve_pipeline(pipeline)   # an unknown one is told now, not with a sentence
            options['analyse'] = partial(analyse, pipeline=pipeline)
        if networks.devices == {'cpu'}:
            options.setdefault('sentence_threads', chosen.sentence_threads)
        return cls(info.load().from_networks(networks, final), **options)

    @property
    def settings(self) -> Any:
        """The method's settings, a frozen dataclass."""
        return self.method.settings

    @property
    def needs_truth(self) -> bool:
        """Whether `ground` wants scenes with the true mask; see `Scene.with_truth`."""
        return self.method.needs_truth

    def segment(self, rgb: np.ndarray, text: str, depth: np.ndarray | None = None,
                camera: Camera | None = None, max_candidates: int | None = None) -> Segmentation:
        """Return the mask of what `text` refers to in an (H, W, 3) uint8 RGB image.

        depth: (H, W) float metres registered to it, NaN where nothing was measured.  camera:
        its pinhole camera.  Methods that have no use for these ignore them.  max_candidates:
        in place of the constructor's.
        A sentence that cannot be understood gives the outcome INVALID_COMMAND without a look
        at the image.  Raises BadInputError for an image, depth or camera that cannot be used,
        and where the method cannot take the sentence.
        """
        view = checked_view(View(rgb, depth, camera))
        start = time.perf_counter()
        analysis = self._analyse(text)
        parsed = time.perf_counter() - start
        if analysis.command.target is None:
            return _invalid(view.size, analysis.command, {'parse': parsed})
        scene, known = self._scene(view, None)
        result = self._ground(scene, analysis, parsed, max_candidates)
        prepared = {} if known else {f'prepare_{k}': v for k, v in scene.timings.items()}
        return _with_timings(result, {**prepared, 'total': time.perf_counter() - start})

    def prepare(self, view: View | np.ndarray, key: Hashable | None = None) -> Scene:
        """Do what depends on the view alone; the same view is not prepared twice.

        view: a View, or an (H, W, 3) uint8 RGB image.  key: what the caller knows the view by,
        such as camera and time stamp; equal keys must mean equal views.  By default a digest of
        all pixels, the depth and the camera.
        Raises BadInputError for an image that is not (H, W, 3) uint8 or is empty, and for depth
        or a camera of another size.
        """
        return self._scene(checked_view(view if isinstance(view, View) else View(view)), key)[0]

    def kept(self, key: Hashable) -> Scene | None:
        """Return the scene that was prepared under a key, None where it is not kept."""
        with self._lock:
            if key not in self._scenes:
                return None
            self._scenes.move_to_end(key)
            return self._scenes[key]

    def forget(self) -> None:
        """Let go of all scenes, as after a jump of the clock that makes stamps come twice."""
        with self._lock:
            self._scenes.clear()

    def _scene(self, view: View, key: Hashable | None) -> tuple[Scene, bool]:
        """Return the scene of a view and whether it was kept from before."""
        key = _digest(view) if key is None else key
        with self._lock:
            known = self.kept(key)
            if known is not None:
                return known, True
            while self._scenes and len(self._scenes) >= self._scene_cache:
                self._scenes.popitem(last=False)
            scene = self.method.prepare(_copied(view))
            if self._scene_cache > 0:
                self._scenes[key] = scene
            return scene, False

    def ground(self, scene: Scene, text: str, max_candidates: int | None = None) -> Segmentation:
        """Answer one sentence about a prepared scene.

        max_candidates: in place of the constructor's.  Raises BadInputError where the method
        cannot take the sentence.
        """
        start = time.perf_counter()
        analysis = self._analyse(text)
        parsed = time.perf_counter() - start
        if analysis.command.target is None:
            return _invalid(scene.view.size, analysis.command, {'parse': parsed})
        result = self._ground(scene, analysis, parsed, max_candidates)
        return _with_timings(result, {'total': time.perf_counter() - start})

    def _ground(self, scene: Scene, analysis: Analysis, parsed: float,
                max_candidates: int | None) -> Segmentation:
        """Answer all that a command names: its objects, and where they are to go."""
        command = analysis.command
        first = command if len(command.targets) < 2 else dataclasses.replace(
            command, targets=command.targets[:1])
        result = self._ground_one(scene, dataclasses.replace(analysis, command=first),
                                  max_candidates)
        if len(command.targets) > 1:
            parts = [self._part(scene, t.expression, t, max_candidates)
                     for t in command.targets[1:]]
            result = together([result, *parts], command)
        goal = command.destination
        if goal is not None and goal.expression:
            found = self._part(scene, goal.expression, None, max_candidates)
            refuse = self.settings.ignored == 'refuse'
            result = with_destination(result, found, refuse)
        return dataclasses.replace(result, timings={'parse': parsed, **result.timings})

    def _part(self, scene: Scene, expression: str, target: Target | None,
              max_candidates: int | None) -> Segmentation:
        """Answer one more expression of a command; target: as the command has it, if it does."""
        analysis = self._analyse(expression)
        if analysis.command.target is None:
            return _invalid(scene.view.size, analysis.command, {})
        said = target or analysis.command.target
        whole = Command(expression, target=said, targets=(said,))
        return self._ground_one(scene, dataclasses.replace(analysis, command=whole),
                                max_candidates)

    def _ground_one(self, scene: Scene, analysis: Analysis, max_candidates: int | None
                    ) -> Segmentation:
        from ris_ros.models.device import threads
        with self._lock, threads(self._sentence_threads):
            grounding = self.method.ground(scene, analysis)
        check_numbers(grounding)
        settings = fitting(self.settings, scene.proposed_by)
        result = decide(scene, grounding, analysis.command, settings,
                        self.max_candidates if max_candidates is None else max_candidates)
        return dataclasses.replace(result, question=question_of(scene, grounding, result))


def checked_view(view: View) -> View:
    """Return the view, depth as float32.

    Raises BadInputError unless the image is a non-empty (H, W, 3) uint8 array, the depth
    (H, W) floating point metres or None, and the camera of the image's size or None.
    """
    check_image(view.rgb)
    height, width = view.size
    depth = view.depth
    if depth is not None:
        if not isinstance(depth, np.ndarray) or not np.issubdtype(depth.dtype, np.floating):
            kind = depth.dtype if isinstance(depth, np.ndarray) else type(depth).__name__
            raise BadInputError('depth must be an array of floating point metres, NaN where '
                                f'nothing was measured, not {kind}')
        if depth.shape != view.size:
            raise BadInputError(f'the depth is {depth.shape}, the image {view.size}; register '
                                'depth to colour first')
    camera = view.camera
    if camera is not None and (camera.height, camera.width) != view.size:
        raise BadInputError(f'the camera is for {camera.width}x{camera.height}, the image is '
                            f'{width}x{height}')
    return View(view.rgb, None if depth is None else depth.astype(np.float32, copy=False), camera)


def check_image(rgb: np.ndarray) -> None:
    """Raise BadInputError unless `rgb` is a non-empty (H, W, 3) uint8 array."""
    if not isinstance(rgb, np.ndarray):
        raise BadInputError(f'an image must be a numpy array, not {type(rgb).__name__}')
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise BadInputError('an image must be (H, W, 3) uint8 in RGB order, not '
                            f'{rgb.shape} {rgb.dtype}')
    if rgb.size == 0:
        raise BadInputError(f'the image is empty ({rgb.shape[1]}x{rgb.shape[0]})')


def _invalid(size: tuple[int, int], command: Command, timings: Mapping[str, float]
             ) -> Segmentation:
    message = command.problem or 'the command names no object; say which one'
    return Segmentation(mask=np.zeros(size, dtype=bool), score=0.0, margin=0.0,
                        outcome=Outcome.INVALID_COMMAND, message=message, command=command,
                        timings=dict(timings))


def _with_timings(result: Segmentation, more: Mapping[str, float]) -> Segmentation:
    return dataclasses.replace(result, timings={**result.timings, **more})


def _copied(view: View) -> View:
    """Return a copy: the caller's buffers may be the camera's, soon to hold another frame."""
    return View(np.array(view.rgb), None if view.depth is None else np.array(view.depth),
                view.camera)


def _digest(view: View) -> bytes:
    """Return 16 bytes that stand for all pixels, the depth and the camera."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (view.rgb, view.depth):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    digest.update(repr((view.size, view.depth is None, view.camera)).encode())
    return digest.digest()
