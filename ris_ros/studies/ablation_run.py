"""Measure the rows of ablation tables over scenes: what rows share is computed once.

A scene is rendered once and its proposals are made once for all methods; rows that differ in
what `ground` reads alone share the prepared scene, and the settings are changed on the method.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ris_ros.datasets.base import Group, Sample
from ris_ros.evaluation.metrics import peak, point_in_mask
from ris_ros.evaluation.tasks import worker_failed
from ris_ros.methods.registry import find_method
from ris_ros.settings import describe, from_mapping
from ris_ros.studies.ablation_effects import WITH_POSITION, WITHOUT_POSITION
from ris_ros.studies.ablation_rows import Row
from ris_ros.types import BadInputError, Grounding, RisError, Scene

# One answer: intersection and union in pixels, and whether the heat map's peak is inside.
Answer = tuple[int, int, bool | None]


@dataclass(frozen=True)
class SceneResult:
    """Answers about one scene.

    samples: (key, image, object, expression, tags, I and U of the best proposal).
    answers: per row, one per sample.  refused: per row, sentences that the method refused.
    """

    key: str
    samples: tuple[tuple[Any, ...], ...]
    answers: dict[str, list[Answer]]
    refused: dict[str, int]


@dataclass(eq=False)
class _Planned:
    """A row with its instance of the method and the settings it prepares and grounds under."""

    row: Row
    instance: str
    prepare: Any
    ground: Any


@dataclass(frozen=True)
class LabSpec:
    """What a worker builds its lab from; picklable."""

    profile: str
    device: str
    rows: tuple[Row, ...]

    def build(self) -> Lab:
        """Load the networks."""
        return Lab(self)


class _Known:
    """A proposer that knows its answer."""

    def __init__(self, found: Any, device: str) -> None:
        self.found, self.device = found, device

    def propose(self, image: np.ndarray) -> Any:
        return self.found


@dataclass(eq=False)
class _Setting:
    """One scene as it is worked on: picture, truths, analysed sentences, shared proposals."""

    image: np.ndarray
    truths: list[np.ndarray]
    analyses: list[Any]
    proposals: dict[Any, Any] = field(default_factory=dict)


class Lab:
    """The methods of all rows over shared networks; `left_out` says which rows cannot be."""

    def __init__(self, spec: LabSpec) -> None:
        from ris_ros.language import analyse
        from ris_ros.segmenter import networks_of
        self._analyse = analyse
        self._networks = networks_of(spec.profile, spec.device)
        self._profile = self._networks.profile
        self._methods: dict[str, Any] = {}
        self._proposers: dict[str, Any] = {}
        self._failed: dict[str, RisError] = {}
        self.left_out: dict[str, str] = {}
        planned = [found for row in spec.rows if (found := self._plan(row)) is not None]
        # One instance and one prepared scene at a time: neighbours share them.
        self.planned = sorted(planned, key=lambda p: (p.instance, repr(p.prepare)))

    def _plan(self, row: Row) -> _Planned | None:
        """Return how a row is measured; None, with the reason kept, where a network lacks."""
        settings_cls = find_method(row.method).settings_class()
        known = {info.name for info in describe(settings_cls)}
        base: Any = from_mapping(settings_cls, self._profile.overrides(row.method, known))
        ground = from_mapping(settings_cls, row.settings, base)
        shared = from_mapping(settings_cls, row.networks, base)
        prepare = from_mapping(settings_cls, row.prepared, base)
        try:
            return _Planned(row, self._instance(row.method, shared), prepare, ground)
        except RisError:
            pass  # the row may do without the network that the full method wants
        try:
            return _Planned(row, self._instance(row.method, ground), ground, ground)
        except RisError as error:
            self.left_out[row.key] = str(error)
            return None

    def _instance(self, method: str, settings: Any) -> str:
        key = f'{method} {settings!r}'
        if key in self._failed:
            raise self._failed[key]
        if key not in self._methods:
            try:
                made = find_method(method).load().from_networks(self._networks, settings)
            except RisError as error:
                self._failed[key] = error
                raise
            self._methods[key], self._proposers[key] = made, made.proposer
        return key

    def evaluate(self, group: Group) -> SceneResult:
        """Return every row's answers about one scene's answerable sentences."""
        opened = group.open()
        asked: list[tuple[Sample, np.ndarray, Any]] = []
        for sample in opened.samples:
            if sample.mask is not None:
                analysis = self._analyse(sample.expression)
                if analysis.command.target is not None:
                    asked.append((sample, sample.mask.load(), analysis))
        work = _Setting(opened.image, [t for _, t, _ in asked], [a for _, _, a in asked])
        answers: dict[str, list[Answer]] = {}
        refused: dict[str, int] = {}
        best: np.ndarray | None = None
        last: tuple[_Planned, Scene] | None = None
        for planned in self.planned:
            scene = self._scene(planned, work, last)
            last = planned, scene
            overlaps = _overlaps(scene, work)
            if best is None:
                best = _best(overlaps)
            found = self._ground(planned, scene, work)
            refused[planned.row.key] = sum(g is None for g in found)
            answers[planned.row.key] = [
                _answer(g, overlaps, k, truth)
                for k, (g, truth) in enumerate(zip(found, work.truths, strict=True))]
        samples = tuple((s.key, s.image_id, s.object_id, s.expression, _tags(s), *map(int, b))
                        for (s, _, _), b in zip(asked, best if best is not None else [],
                                                strict=True))
        return SceneResult(group.key, samples, answers, refused)

    def _scene(self, planned: _Planned, work: _Setting,
               last: tuple[_Planned, Scene] | None) -> Scene:
        method = self._methods[planned.instance]
        same = last is not None and last[0].instance == planned.instance
        if same and last is not None and last[0].prepare == planned.prepare:
            return last[1]
        proposer = self._proposers[planned.instance]
        key = type(proposer).__name__, _proposal_settings(planned.prepare)
        method.settings = planned.prepare
        if same and last is not None and key in work.proposals and hasattr(
                method, 'look_again'):
            return method.look_again(last[1])
        if key not in work.proposals:
            work.proposals[key] = proposer.propose(work.image)
        method.proposer = _Known(work.proposals[key], method.device)
        return method.prepare(work.image)

    def _ground(self, planned: _Planned, scene: Scene, work: _Setting
                ) -> list[Grounding | None]:
        method = self._methods[planned.instance]
        method.settings = planned.ground
        if hasattr(method, 'ground_many'):
            try:
                return list(method.ground_many(scene, work.analyses))
            except BadInputError:
                pass  # one of them is refused: ask one by one
        found: list[Grounding | None] = []
        for analysis, truth in zip(work.analyses, work.truths, strict=True):
            asked = scene
            if getattr(method, 'needs_truth', False):
                asked = replace(scene, cache={**scene.cache, 'truth': truth})
            try:
                found.append(method.ground(asked, analysis))
            except BadInputError:
                found.append(None)
        return found


def _proposal_settings(settings: Any) -> tuple[Any, ...]:
    names = ('points_per_side', 'pred_iou_thresh', 'stability_score_thresh', 'box_nms_thresh',
             'overlap_nms_thresh', 'min_mask_region_area', 'points_per_batch', 'mask_threshold',
             'shortest_side', 'longest_side')
    return tuple(getattr(settings, name, None) for name in names)


def _overlaps(scene: Scene, work: _Setting) -> np.ndarray:
    """Return I and U of every proposal with every truth, (S, N, 2) int64; kept per scene."""
    if 'overlaps' not in scene.cache:
        out = np.zeros((len(work.truths), len(scene.masks), 2), np.int64)
        for row, truth in zip(out, work.truths, strict=True):
            row[:, 0] = np.count_nonzero(scene.masks & truth, axis=(1, 2))
            row[:, 1] = scene.areas + np.count_nonzero(truth) - row[:, 0]
        scene.cache['overlaps'] = out  # type: ignore[index]
    return scene.cache['overlaps']


def _best(overlaps: np.ndarray) -> np.ndarray:
    """Return I and U of the best proposal for each truth, (S, 2)."""
    if not overlaps.shape[1]:
        return np.zeros((len(overlaps), 2), np.int64)
    iou = overlaps[..., 0] / np.maximum(overlaps[..., 1], 1)
    return np.take_along_axis(overlaps, iou.argmax(1)[:, None, None], axis=1)[:, 0]


def _answer(grounding: Grounding | None, overlaps: np.ndarray, k: int, truth: np.ndarray
            ) -> Answer:
    if grounding is None:
        return 0, int(np.count_nonzero(truth)), None
    heat, point = grounding.heatmap, None
    # A map that is the same everywhere and not dark is none: nothing guided the choice.
    if heat is not None and not (heat.min() == heat.max() > 0):
        point = point_in_mask(peak(heat, *truth.shape), truth)
    if not len(grounding.order):
        return 0, int(np.count_nonzero(truth)), point
    i, u = overlaps[k, grounding.order[0]]
    return int(i), int(u), point


def _tags(sample: Sample) -> tuple[str, ...]:
    from ris_ros.datasets.expressions import is_position_word
    place = WITH_POSITION if is_position_word(sample.expression) else WITHOUT_POSITION
    return (*sample.tags, place)


# ---- over processes ---------------------------------------------------------------------------

_lab: Any = None   # one per worker process


def measure(spec: LabSpec, groups: Sequence[Group], workers: int) -> Iterator[SceneResult]:
    """Yield the result of every scene, in this process or over `workers` fresh ones."""
    if workers < 2:
        lab = spec.build()
        for group in groups:
            yield lab.evaluate(group)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    count = min(workers, len(groups))
    threads = max(1, (os.cpu_count() or 1) // count)
    with ProcessPoolExecutor(count, multiprocessing.get_context('spawn'), _start,
                             (spec, threads)) as pool:
        try:
            for future in as_completed([pool.submit(_work, group) for group in groups]):
                yield future.result()
        except BrokenProcessPool as error:
            raise worker_failed(error) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(spec: LabSpec, threads: int) -> None:
    global _lab
    import sys
    os.environ['OMP_NUM_THREADS'] = str(threads)
    _lab = spec.build()
    if 'torch' in sys.modules:
        sys.modules['torch'].set_num_threads(threads)


def _work(group: Group) -> SceneResult:
    return _lab.evaluate(group)
