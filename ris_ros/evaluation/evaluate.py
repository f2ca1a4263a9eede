"""Evaluate one image: the method's answer to every sentence, held against the truth."""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from ris_ros.datasets.base import EntryError, Group, OpenGroup, Problem, Sample
from ris_ros.datasets.masks import encode_rle
from ris_ros.evaluation.metrics import (
    best_overlap,
    intersection_union,
    peak,
    point_in_box,
    point_in_mask,
)
from ris_ros.evaluation.records import GroupResult, Record
from ris_ros.types import (
    BadInputError,
    Outcome,
    Regions,
    RisError,
    Scene,
    Segmentation,
    View,
)


class Predictor(Protocol):
    """What is evaluated: ris_ros.Segmenter, or anything with these."""

    @property
    def needs_truth(self) -> bool:
        """Whether `ground` wants scenes with the true mask (`Scene.with_truth`)."""
        ...

    def prepare(self, view: View, /) -> Scene:
        """Look at a view."""
        ...

    def ground(self, scene: Scene, text: str, /) -> Segmentation:
        """Answer one sentence."""
        ...


class PredictorSpec(Protocol):
    """How to build the predictor; picklable, so that each worker process builds its own."""

    @property
    def device(self) -> str:
        """Where its networks go, as `Segmenter.from_profile` takes it."""
        ...

    def build(self) -> Predictor:
        """Load the networks."""
        ...


@dataclass(frozen=True)
class SegmenterSpec:
    """A method under a profile: the arguments of Segmenter.from_profile.

    pipeline: of language.  reader: 'expression' takes every sentence as one referring
    expression and refuses none, as published code does; 'command' reads what people say to a
    robot.
    """

    profile: str
    method: str
    device: str = 'auto'
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str = 'fp32'
    model_dir: str | None = None
    pipeline: str = 'auto'
    reader: str = 'command'

    def build(self) -> Predictor:
        """Load the networks.  Raises WeightsError, MissingDependencyError, BadInputError."""
        from ris_ros.language import analyse, analyse_expression
        from ris_ros.segmenter import Segmenter
        read = {'expression': analyse_expression, 'command': analyse}[self.reader]
        # no scene cache: every image comes once, and a benchmark must not meet its own past
        return Segmenter.from_profile(self.profile, method=self.method, device=self.device,
                                      precision=self.precision, model_dir=self.model_dir,
                                      settings=dict(self.settings) or None, scene_cache=0,
                                      for_evaluation=True, pipeline=self.pipeline,
                                      analyse=partial(read, pipeline=self.pipeline))


def evaluate_group(predictor: Predictor, group: Group, done: Collection[str] = (),
                   strict: bool = False) -> GroupResult:
    """Return the records of one image; sentences whose key is in `done` are skipped.

    An image or mask that cannot be used is left out and listed, or raises EntryError when
    `strict`.  What the method refuses (BadInputError, or a ValueError over a picture or sentence
    it cannot take) counts as a wrong answer and is told in the record's `refused`, or raises
    BadInputError when `strict`.  Other errors of the method are raised as RisError with
    the sentence's place: they would come again.
    """
    start = perf_counter()
    clock = _Clock()
    problems: list[Problem] = []
    records: list[Record] = []
    try:
        opened = clock.data(group.open)
    except EntryError as error:
        if strict:
            raise
        opened = None
        problems.append(error.problem)
    if opened is not None:
        todo = [s for s in opened.samples if s.key not in done]
        scene: Any
        scene, refused = _ask(clock, todo[0].place, lambda: predictor.prepare(opened.view),
                              strict) if todo else (None, None)
        prepare_s = clock.last
        for sample in todo:
            try:
                true = _truth(clock, sample, opened)
            except EntryError as error:
                if strict:
                    raise
                problems.append(error.problem)
                continue
            record = _refusal(sample, true, refused, prepare_s, 0.0, first=not records) \
                if refused is not None else _evaluate(predictor, clock, scene, sample, true,
                                                      prepare_s, not records, strict)
            records.append(record)
    return GroupResult(group.key, tuple(records), tuple(problems), group.limit is None,
                       clock.data_s, clock.method_s, perf_counter() - start)


class _Clock:
    """Sums up where the time goes."""

    def __init__(self) -> None:
        self.data_s = self.method_s = self.last = 0.0

    def data(self, action: Callable[[], Any]) -> Any:
        start = perf_counter()
        try:
            return action()
        finally:
            self.last = perf_counter() - start
            self.data_s += self.last

    def method(self, action: Callable[[], Any]) -> Any:
        start = perf_counter()
        try:
            return action()
        finally:
            self.last = perf_counter() - start
            self.method_s += self.last


def _truth(clock: _Clock, sample: Sample, opened: OpenGroup) -> np.ndarray | None:
    source = sample.mask
    if source is None:
        return None
    try:
        true = clock.data(source.load)
    except EntryError:
        raise
    except BadInputError as error:
        raise EntryError(Problem(*sample.place, str(error))) from error
    height, width = opened.image.shape[:2]
    if true.shape != (height, width):
        raise EntryError(Problem(*sample.place, f'its mask is {true.shape[1]}x{true.shape[0]}, '
                                 f'its image {width}x{height}'))
    if not true.any():
        raise EntryError(Problem(*sample.place, 'its mask has no pixel, so no answer could be '
                                 'right (an object that is not there has no mask at all)'))
    return true


def _evaluate(predictor: Predictor, clock: _Clock, scene: Scene, sample: Sample,
              true: np.ndarray | None, prepare_s: float, first: bool, strict: bool) -> Record:
    asked = scene.with_truth(true) if predictor.needs_truth else scene
    answer, refused = _ask(clock, sample.place,
                           lambda: predictor.ground(asked, sample.expression), strict)
    ground_s = clock.last
    if refused is not None:
        return _refusal(sample, true, refused, prepare_s, ground_s, first, scene)
    # The best candidate counts even where the method would rather not act on it: the choice
    # and the decision are judged apart.
    predicted = answer.candidates[0].mask if answer.candidates else None
    if len(answer.selected) > 1:
        predicted = answer.mask  # several are meant: all of them
    among = choice(scene, answer)
    i, u, oracle_i, oracle_u = _overlaps(among, predicted, true)
    point, point_box = _point(answer.heatmap, sample, true)
    return Record(
        key=sample.key, image_id=sample.image_id, object_id=sample.object_id,
        expression=sample.expression, kind=sample.kind, tags=sample.tags, unseen=sample.unseen,
        category=sample.category, outcome=answer.outcome.name, score=_number(answer.score),
        margin=_number(answer.margin), i=i, u=u, oracle_i=oracle_i, oracle_u=oracle_u,
        candidates=len(answer.candidates), proposals=len(among), point=point,
        point_box=point_box, prepare_s=round(prepare_s, 6), ground_s=round(ground_s, 6),
        first=first, stages=_stages(scene, answer, first),
        mask=encode_rle(predicted) if predicted is not None else None,
        has_box=sample.box is not None, confidence=_number(answer.confidence),
        # the analysis refuses with an outcome, methods with an error: both are refusals
        refused=answer.message if answer.outcome is Outcome.INVALID_COMMAND else None)


def _refusal(sample: Sample, true: np.ndarray | None, reason: str, prepare_s: float,
             ground_s: float, first: bool, scene: Scene | None = None) -> Record:
    """Return the record of a sentence that the method refused: wrong wherever it counts."""
    among = scene.regions if scene is not None else Regions.of(np.zeros((0, 1, 1), bool))
    i, u, oracle_i, oracle_u = _overlaps(among, None, true)
    return Record(
        key=sample.key, image_id=sample.image_id, object_id=sample.object_id,
        expression=sample.expression, kind=sample.kind, tags=sample.tags, unseen=sample.unseen,
        category=sample.category, outcome=Outcome.INVALID_COMMAND.name, score=0.0, margin=0.0,
        i=i, u=u, oracle_i=oracle_i, oracle_u=oracle_u, candidates=0, proposals=len(among),
        point=None, point_box=None, prepare_s=round(prepare_s, 6), ground_s=round(ground_s, 6),
        first=first, has_box=sample.box is not None, refused=reason)


def _ask(clock: _Clock, place: tuple[str, str], action: Callable[[], Any], strict: bool
         ) -> tuple[Any, str | None]:
    """Run the method; return its answer, or None and why it refuses (raised when strict).

    Whatever else it raises comes back as a RisError that names the entry.
    """
    try:
        return clock.method(action), None
    except Exception as error:
        where = ', '.join(place)
        if isinstance(error, BadInputError) or type(error) is ValueError:
            if strict:
                raise BadInputError(f'{where}: {error}') from error
            return None, str(error)
        if isinstance(error, RisError):
            raise RisError(f'{where}: {error}') from error
        raise RisError(f'{where}: the method failed ({type(error).__name__}: {error}); the same '
                       'command continues from here') from error


def choice(scene: Scene, answer: Segmentation) -> Regions:
    """Return the masks among which a perfect choice would be made.

    The scene's proposals; of a method that proposes none, the masks that the answer brings.
    """
    if len(scene.masks) or answer.regions is None:
        return scene.regions
    return answer.regions


def _overlaps(among: Regions, predicted: np.ndarray | None, true: np.ndarray | None,
              ) -> tuple[int | None, int | None, int | None, int | None]:
    if true is None:
        return None, None, None, None
    i, u = (0, int(np.count_nonzero(true))) if predicted is None \
        else intersection_union(predicted, true)
    return i, u, *best_overlap(among.masks, among.areas, true)


def _point(heatmap: np.ndarray | None, sample: Sample, true: np.ndarray | None,
           ) -> tuple[bool | None, bool | None]:
    if heatmap is None or true is None:
        return None, None
    where = peak(heatmap, *true.shape)
    in_box = point_in_box(where, sample.box) if sample.box is not None else None
    return point_in_mask(where, true), in_box


def _stages(scene: Scene, answer: Segmentation, first: bool) -> dict[str, float]:
    stages = {**(scene.timings if first else {}), **answer.timings}
    return {name: round(float(seconds), 6) for name, seconds in stages.items()}


def _number(value: float) -> float:
    """Round to what a reader needs; an infinite margin (one candidate only) becomes 1."""
    return round(float(value), 6) if np.isfinite(value) else 1.0
