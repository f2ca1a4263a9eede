"""Measure the rows of ablation tables over scenes: what rows share is computed once.

A scene is rendered once and its proposals are made once for all methods; rows that differ in
what `ground` reads alone share the prepared scene, and the settings are changed on the method.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ris_ros.datasets.base import Group, Sample
from ris_ros.evaluation.metrics import best_overlap, intersection_union, peak, point_in_mask
from ris_ros.evaluation.tasks import end_quietly, end_workers, worker_failed
from ris_ros.methods.base import Method, ProposalMethod, Proposer
from ris_ros.methods.registry import find_method, settings_for
from ris_ros.models.options import Mask2FormerSettings, ProposalSettings
from ris_ros.settings import describe, to_mapping
from ris_ros.studies.ablation_effects import WITH_POSITION, WITHOUT_POSITION
from ris_ros.studies.ablation_rows import Row
from ris_ros.types import Grounding, RisError, Scene, View

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
    precision: str = 'fp32'
    model_dir: str | None = None
    pipeline: str = 'auto'

    def build(self) -> Lab:
        """Load the networks."""
        return Lab(self)


@dataclass(frozen=True, eq=False)
class _Known:
    """A proposer that knows its answer."""

    found: Any

    def propose(self, view: View) -> Any:
        return self.found


@dataclass(eq=False)
class _Setting:
    """One scene as it is worked on: view, truths, analysed sentences, shared proposals."""

    view: View
    truths: list[np.ndarray]
    analyses: list[Any]
    proposals: dict[Any, Any] = field(default_factory=dict)


class Lab:
    """The methods of all rows over shared networks; `left_out` says which rows cannot be."""

    def __init__(self, spec: LabSpec) -> None:
        from ris_ros.language import analyse_expression
        from ris_ros.segmenter import networks_of
        self._analyse = partial(analyse_expression, pipeline=spec.pipeline)
        self._networks = networks_of(spec.profile, spec.device, spec.precision,
                                     spec.model_dir, pipeline=spec.pipeline)
        self._profile = self._networks.profile
        self._methods: dict[str, Method] = {}
        self._failed: dict[str, RisError] = {}
        self.left_out: dict[str, str] = {}
        planned = [found for row in spec.rows if (found := self._plan(row)) is not None]
        # One instance and one prepared scene at a time: neighbours share them.
        self.planned = sorted(planned, key=lambda p: (p.instance, repr(p.prepare)))

    def _plan(self, row: Row) -> _Planned | None:
        """Return how a row is measured; None, with the reason kept, where a network lacks."""
        ground, shared, prepare = (settings_for(row.method, self._profile, changes)
                                   for changes in (row.settings, row.networks, row.prepared))
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
                self._methods[key] = find_method(method).load().from_networks(
                    self._networks, settings)
            except RisError as error:
                self._failed[key] = error
                raise
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
        # The papers' methods see colour alone; with depth the proposals would be other ones.
        work = _Setting(View(opened.image), [t for _, t, _ in asked], [a for _, _, a in asked])
        answers: dict[str, list[Answer]] = {}
        refused: dict[str, int] = {}
        best = _Best(work.truths)
        last: tuple[_Planned, Scene] | None = None
        for planned in self.planned:
            scene = self._scene(planned, work, last)
            last = planned, scene
            found = self._ground(planned, scene, work)
            best.see(scene, found)
            refused[planned.row.key] = sum(g is None for g in found)
            answers[planned.row.key] = [_answer(g, scene, truth) for g, truth in
                                        zip(found, work.truths, strict=True)]
        samples = tuple((s.key, s.image_id, s.object_id, s.expression, _tags(s), *b)
                        for (s, _, _), b in zip(asked, best.overlaps, strict=True))
        return SceneResult(group.key, samples, answers, refused)

    def _scene(self, planned: _Planned, work: _Setting,
               last: tuple[_Planned, Scene] | None) -> Scene:
        method = self._methods[planned.instance].with_settings(planned.prepare)
        same = last is not None and last[0].instance == planned.instance
        if same and last is not None and last[0].prepare == planned.prepare:
            return last[1]
        if not isinstance(method, ProposalMethod):
            return method.prepare(work.view)
        if same and last is not None:
            return method.look_again(last[1])
        return method.with_proposer(_Known(self._proposals(method, work))).prepare(work.view)

    def _proposals(self, method: ProposalMethod, work: _Setting) -> Any:
        """Return the proposals of a method, made once for all that propose in the same way."""
        proposer: Proposer | None = method.proposer
        assert proposer is not None, 'from_networks gives every such method its proposer'
        key = type(proposer).__name__, _proposal_settings(method.settings)
        if key not in work.proposals:
            work.proposals[key] = proposer.propose(work.view)
        return work.proposals[key]

    def _ground(self, planned: _Planned, scene: Scene, work: _Setting
                ) -> list[Grounding | None]:
        method = self._methods[planned.instance].with_settings(planned.ground)
        if not method.needs_truth:
            return method.ground_many(scene, work.analyses)
        return [grounding for analysis, truth in zip(work.analyses, work.truths, strict=True)
                for grounding in method.ground_many(scene.with_truth(truth), [analysis])]


def _proposal_settings(settings: Any) -> tuple[tuple[str, Any], ...]:
    """Return what proposals depend on; methods that have these alike share them."""
    proposing = {info.name for cls in (ProposalSettings, Mask2FormerSettings)
                 for info in describe(cls)}
    return tuple((name, value) for name, value in to_mapping(settings).items()
                 if name in proposing)


class _Best:
    """I and U of what a perfect choice would have got, per sentence.

    Among the proposals of the first row that has any; where none has, among the masks that the
    rows bring of their own.
    """

    def __init__(self, truths: Sequence[np.ndarray]) -> None:
        self._truths, self._proposed = truths, False
        self.overlaps = [(0, int(np.count_nonzero(truth))) for truth in truths]

    def see(self, scene: Scene, found: Sequence[Grounding | None]) -> None:
        """Take in a row's scene and its answers."""
        if self._proposed:
            return
        if len(scene.masks):
            self._proposed = True
            self.overlaps = [best_overlap(scene.masks, scene.areas, t) for t in self._truths]
            return
        for k, (grounding, truth) in enumerate(zip(found, self._truths, strict=True)):
            if grounding is not None and grounding.own is not None:
                new = best_overlap(grounding.own.masks, grounding.own.areas, truth)
                self.overlaps[k] = max(self.overlaps[k], new, key=_ratio)


def _ratio(overlap: tuple[int, int]) -> float:
    return overlap[0] / max(overlap[1], 1)


def _answer(grounding: Grounding | None, scene: Scene, truth: np.ndarray) -> Answer:
    if grounding is None:
        return 0, int(np.count_nonzero(truth)), None
    heat, point = grounding.heatmap, None
    # A map that is the same everywhere and not dark is none: nothing guided the choice.
    if heat is not None and not (heat.min() == heat.max() > 0):
        point = point_in_mask(peak(heat, *truth.shape), truth)
    if not len(grounding.order):
        return 0, int(np.count_nonzero(truth)), point
    return *intersection_union(grounding.regions(scene).masks[grounding.order[0]], truth), point


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
        except KeyboardInterrupt:
            end_workers()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(spec: LabSpec, threads: int) -> None:
    global _lab
    import sys
    end_quietly()
    os.environ['OMP_NUM_THREADS'] = str(threads)
    _lab = spec.build()
    if 'torch' in sys.modules:
        sys.modules['torch'].set_num_threads(threads)


def _work(group: Group) -> SceneResult:
    return _lab.evaluate(group)
