"""The facade: a profile and a method in, a mask and one clear outcome out."""
from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.methods.registry import find_method
from ris_ros.settings import describe, from_mapping
from ris_ros.types import (
    BadInputError,
    Candidate,
    Command,
    Grounding,
    Outcome,
    Scene,
    Segmentation,
)

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.methods.base import Method
    from ris_ros.profiles import Networks

MAX_CANDIDATES = 5


def method_settings(method: str) -> type:
    """Return the settings dataclass of a method; raises BadInputError for an unknown one."""
    return find_method(method).settings_class()


def networks_of(profile: str, device: str = 'auto', precision: str = 'fp32',
                model_dir: str | Path | None = None) -> Networks:
    """Return a profile's networks, none of them loaded yet; see `Segmenter.from_profile`."""
    from ris_ros.models.device import check_precision, pick_device
    from ris_ros.profiles import Networks, get_profile
    chosen, device = get_profile(profile), pick_device(device)
    return Networks(chosen, device, check_precision(precision, device), model_dir)


class Segmenter:
    """Segments what a sentence refers to.

    method: any object with `prepare` and `ground` (`ris_ros.methods.base.Method`).
    analyse: from a sentence to its analysis; by default `ris_ros.language.analyse`.
    scene_cache: prepared images that are kept, so that a further sentence about one of them
    is quick.  Calls from several threads are worked off one after the other.
    sentence_threads: torch threads for a sentence, 0: all; see `ris_ros.profiles.Profile`.
    """

    def __init__(self, method: Method, analyse: Callable[[str], Analysis] | None = None,
                 scene_cache: int = 2, sentence_threads: int = 0) -> None:
        if analyse is None:
            from ris_ros.language import analyse as default
            analyse = default
        self.method, self._analyse = method, analyse
        self._scenes: OrderedDict[bytes, Scene] = OrderedDict()
        self._scene_cache, self._sentence_threads = scene_cache, sentence_threads
        self._lock = threading.RLock()

    @classmethod
    def from_profile(cls, profile: str = 'tabletop', method: str = 'hybridgl',
                     device: str = 'auto', precision: str = 'fp32',
                     model_dir: str | Path | None = None,
                     settings: Mapping[str, Any] | None = None, for_evaluation: bool = False,
                     **options: Any) -> Segmenter:
        """Return a segmenter with the networks of a profile behind a method.

        device: 'auto', 'cpu', 'cuda' or 'cuda:N'.  precision: 'fp32', 'bf16' or 'fp16'.
        model_dir: folder with weights, in place of the shipped and fetched ones.
        settings: method settings over those of the profile.  for_evaluation: allow a method
        that needs the true mask.  options: of the constructor.
        Raises BadInputError for an unknown profile, method, device or setting, WeightsError
        for missing or damaged weights, MissingDependencyError for an absent library.
        """
        from ris_ros.profiles import get_profile
        info, chosen = find_method(method), get_profile(profile)
        if info.evaluation_only and not for_evaluation:
            raise BadInputError(f'{method} chooses by the true mask and serves evaluation alone; '
                                f'run `ris eval --method {method}`, or take another method here')
        settings_cls = info.settings_class()
        known = {f.name for f in describe(settings_cls)}
        base: Any = from_mapping(settings_cls, chosen.overrides(method, known))
        final = from_mapping(settings_cls, settings or {}, base)
        networks = networks_of(profile, device, precision, model_dir)
        if networks.device == 'cpu':
            options.setdefault('sentence_threads', chosen.sentence_threads)
        return cls(info.load().from_networks(networks, final), **options)

    @property
    def settings(self) -> Any:
        """The method's settings, a frozen dataclass."""
        return self.method.settings

    @property
    def needs_truth(self) -> bool:
        """Whether scenes must hold the true mask in their cache, under 'truth'."""
        return bool(getattr(self.method, 'needs_truth', False))

    def segment(self, rgb: np.ndarray, text: str) -> Segmentation:
        """Return the mask of what `text` refers to in an (H, W, 3) uint8 RGB image.

        A sentence that cannot be understood gives the outcome INVALID_COMMAND without a look
        at the image.  Raises BadInputError for an image that cannot be used.
        """
        check_image(rgb)
        start = time.perf_counter()
        analysis = self._analyse(text)
        parsed = time.perf_counter() - start
        if analysis.command.target is None:
            return _invalid(rgb.shape[:2], analysis.command, {'parse': parsed})
        known = _digest(rgb) in self._scenes
        scene = self.prepare(rgb)
        result = self._ground(scene, analysis, parsed)
        prepared = {} if known else {f'prepare_{k}': v for k, v in scene.timings.items()}
        return _with_timings(result, {**prepared, 'total': time.perf_counter() - start})

    def prepare(self, rgb: np.ndarray) -> Scene:
        """Do what depends on the image alone; the same picture is not prepared twice.

        Raises BadInputError for an image that is not (H, W, 3) uint8 or is empty.
        """
        check_image(rgb)
        key = _digest(rgb)
        with self._lock:
            if key in self._scenes:
                self._scenes.move_to_end(key)
                return self._scenes[key]
            # A copy: the caller's buffer may be the camera's, soon to hold another frame.
            scene = self.method.prepare(np.array(rgb))
            self._scenes[key] = scene
            while len(self._scenes) > self._scene_cache:
                self._scenes.popitem(last=False)
            return scene

    def ground(self, scene: Scene, text: str) -> Segmentation:
        """Answer one sentence about a prepared scene."""
        start = time.perf_counter()
        analysis = self._analyse(text)
        parsed = time.perf_counter() - start
        if analysis.command.target is None:
            return _invalid(scene.image.shape[:2], analysis.command, {'parse': parsed})
        result = self._ground(scene, analysis, parsed)
        return _with_timings(result, {'total': time.perf_counter() - start})

    def _ground(self, scene: Scene, analysis: Analysis, parsed: float) -> Segmentation:
        from ris_ros.models.device import threads
        with self._lock, threads(self._sentence_threads):
            grounding = self.method.ground(scene, analysis)
        return decide(scene, grounding, analysis.command, self.method.settings,
                      {'parse': parsed, **grounding.timings})


def check_image(rgb: np.ndarray) -> None:
    """Raise BadInputError unless `rgb` is a non-empty (H, W, 3) uint8 array."""
    if not isinstance(rgb, np.ndarray):
        raise BadInputError(f'an image must be a numpy array, not {type(rgb).__name__}')
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise BadInputError('an image must be (H, W, 3) uint8 in RGB order, not '
                            f'{rgb.shape} {rgb.dtype}')
    if rgb.size == 0:
        raise BadInputError(f'the image is empty ({rgb.shape[1]}x{rgb.shape[0]})')


def decide(scene: Scene, grounding: Grounding, command: Command, settings: Any,
           timings: Mapping[str, float]) -> Segmentation:
    """Return the outcome of a grounding.

    NO_MATCH below `score_threshold`; AMBIGUOUS where another object comes closer than
    `ambiguity_margin`.  Masks that overlap the better one are the same object seen again.
    """
    threshold = getattr(settings, 'score_threshold', 0.2)
    least_margin = getattr(settings, 'ambiguity_margin', 0.1)
    ranked = _distinct(scene, grounding, getattr(settings, 'overlap_limit', 0.5))
    candidates = tuple(_candidate(scene, grounding, rank, index)
                       for rank, index in enumerate(ranked, start=1))
    score = candidates[0].score if candidates else 0.0
    margin = score - candidates[1].score if len(candidates) > 1 else score
    expression = command.target.expression if command.target else command.text
    nothing = np.zeros(scene.image.shape[:2], dtype=bool)
    if not candidates or score < threshold:
        mask, outcome = nothing, Outcome.NO_MATCH
        message = (f'nothing in the image matches "{expression}" '
                   f'(best score {score:.2f}, needed {threshold:.2f})' if candidates else
                   'no object was found in the image')
    elif len(candidates) > 1 and margin < least_margin:
        mask, outcome = candidates[0].mask, Outcome.AMBIGUOUS
        message = (f'"{expression}" fits several objects (scores {score:.2f} and '
                   f'{candidates[1].score:.2f}); say which one')
    else:
        mask, outcome = candidates[0].mask, Outcome.SUCCEEDED_2D
        message = f'found "{expression}" with score {score:.2f}'
    return Segmentation(mask=mask, score=score, margin=margin, outcome=outcome, message=message,
                        candidates=candidates, heatmap=grounding.heatmap, command=command,
                        timings=dict(timings))


def _candidate(scene: Scene, grounding: Grounding, rank: int, index: int) -> Candidate:
    x, y, width, height = (float(v) for v in scene.boxes[index])
    return Candidate(rank=rank, index=index, score=float(grounding.probabilities[index]),
                     mask=scene.masks[index], box=(x, y, width, height))


def _distinct(scene: Scene, grounding: Grounding, limit: float) -> list[int]:
    """Return the best proposals that are different objects, best first."""
    kept: list[int] = []
    for index in (int(i) for i in grounding.order):
        if len(kept) == MAX_CANDIDATES:
            break
        if not any(_overlap(scene, index, other) > limit for other in kept):
            kept.append(index)
    return kept


def _overlap(scene: Scene, a: int, b: int) -> float:
    """Return the intersection of two masks over the smaller one's area."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = scene.boxes[a], scene.boxes[b]
    x0, y0 = int(max(ax, bx)), int(max(ay, by))
    x1, y1 = int(min(ax + aw, bx + bw)), int(min(ay + ah, by + bh))
    if x0 >= x1 or y0 >= y1:
        return 0.0
    both = scene.masks[a][y0:y1, x0:x1] & scene.masks[b][y0:y1, x0:x1]
    return float(both.sum()) / max(int(min(scene.areas[a], scene.areas[b])), 1)


def _invalid(size: tuple[int, ...], command: Command, timings: Mapping[str, float]
             ) -> Segmentation:
    message = command.problem or 'the command names no object; say which one'
    return Segmentation(mask=np.zeros(size[:2], dtype=bool), score=0.0, margin=0.0,
                        outcome=Outcome.INVALID_COMMAND, message=message, command=command,
                        timings=dict(timings))


def _with_timings(result: Segmentation, more: Mapping[str, float]) -> Segmentation:
    import dataclasses
    return dataclasses.replace(result, timings={**result.timings, **more})


def _digest(rgb: np.ndarray) -> bytes:
    digest = hashlib.blake2b(np.ascontiguousarray(rgb).data, digest_size=16)
    digest.update(repr(rgb.shape).encode())
    return digest.digest()
