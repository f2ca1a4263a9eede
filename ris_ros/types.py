"""Plain frozen dataclasses that travel between the parts of ris_ros.

Nothing here imports anything of the package, so every layer may import it.  Shapes use
H, W for the image size and N for the number of mask proposals.  Colour images are
(H, W, 3) uint8 in RGB order; metric quantities are in metres in the camera's optical
frame (x right, y down, z forward; REP-103).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

RELATION_TYPES = ('left', 'right', 'above', 'below', 'front', 'behind', 'inside', 'on',
                  'next_to', 'between', 'bigger', 'smaller')
POSITIONS = ('left', 'right', 'top', 'bottom', 'middle', 'top left', 'top right',
             'bottom left', 'bottom right', 'middle left', 'middle right', 'top middle',
             'bottom middle')


class RisError(Exception):
    """Base of all errors a caller is meant to see; the text says what to do about it."""


class BadInputError(RisError, ValueError):
    """What the caller handed in cannot be used (command line exit code 2)."""


class WeightsError(RisError):
    """Weights are missing, corrupted or do not fit (command line exit code 1)."""


class MissingDependencyError(RisError, ImportError):
    """An optional library is absent or broken; the text names the extra to install."""


class Level(Enum):
    """Severity of an outcome, numerically equal to diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class Outcome(Enum):
    """How one command ended: (code, level).  Codes are part of the ROS contract."""

    SUCCEEDED = (0, Level.OK)
    SUCCEEDED_2D = (1, Level.OK)
    NO_MATCH = (10, Level.WARN)
    AMBIGUOUS = (11, Level.WARN)
    NO_DEPTH = (12, Level.WARN)
    TARGET_LOST = (13, Level.WARN)
    INVALID_COMMAND = (20, Level.ERROR)
    NOT_ACTIVE = (21, Level.ERROR)
    REJECTED_BUSY = (22, Level.WARN)
    SUPERSEDED = (23, Level.WARN)
    CANCELED = (24, Level.WARN)
    TIMEOUT = (30, Level.ERROR)
    NO_IMAGE = (31, Level.ERROR)
    STALE_IMAGE = (32, Level.ERROR)
    TF_ERROR = (33, Level.ERROR)
    UNCALIBRATED = (34, Level.ERROR)
    DEPTH_MISMATCH = (35, Level.ERROR)
    INVALID_IMAGE = (36, Level.ERROR)
    MODEL_ERROR = (40, Level.ERROR)
    OUT_OF_MEMORY = (41, Level.ERROR)

    @property
    def code(self) -> int:
        """Numeric outcome code, unique per outcome."""
        return self.value[0]

    @property
    def level(self) -> Level:
        """Severity of the outcome."""
        return self.value[1]


@dataclass(frozen=True)
class Relation:
    """A relation to another object: `type` from RELATION_TYPES, `object` its head noun.

    expression: as said ("the big blue box").  name: what the object is called by itself ("blue
    box").
    """

    type: str
    object: str
    expression: str = ''
    name: str = ''


@dataclass(frozen=True)
class Ordinal:
    """"The second mug from the left": `n` from 1, -1 for the last; `side` it is counted from.

    side: 'left', 'right', 'top', 'bottom', 'front', 'back', or None where none is said.
    """

    n: int
    side: str | None = None


@dataclass(frozen=True)
class Target:
    """One object that is meant, as said: the referring expression and its analysis.

    expression: without what is negated; that stands in `negations`.  ordinal: which one in a
    row.  count: how many are meant where that is said, a number, 'all' or 'both'.  view:
    'nearest' or 'farthest', as seen by the camera or the speaker.  name: what it is called by
    itself, without place, order and comparison ("red mug").  further: words that choose among
    things of that name and stand in no other field ("bigger", "with", "crack").
    """

    expression: str
    head: str | None = None
    attributes: tuple[str, ...] = ()
    position: str | None = None
    relations: tuple[Relation, ...] = ()
    negations: tuple[Negation, ...] = ()
    ordinal: Ordinal | None = None
    count: int | str | None = None
    view: str | None = None
    name: str = ''
    further: tuple[str, ...] = ()

    @property
    def counts_off(self) -> bool:
        """Whether it means several objects, one in a row, or the nearest or farthest one."""
        return self.count is not None or self.ordinal is not None or self.view is not None

    @property
    def chooses(self) -> bool:
        """Whether more is said than what it is called, so that it chooses among its likes."""
        return bool(self.position or self.relations or self.further or self.counts_off)


@dataclass(frozen=True)
class Negation:
    """What the object must not be: `words` as said, `excluded` the things they rule out.

    kind: 'object' ("not the bowl"), 'attribute' ("that is not red"), 'position', 'relation',
    or 'other' where the words say more than one of these, or something else.
    """

    kind: str
    words: str
    excluded: Target


@dataclass(frozen=True)
class Ignored:
    """Words that the analysis makes no use of, and why, in one phrase.

    constraint: they narrow down what is meant or when, so that an answer without them may be
    wrong.
    """

    words: str
    reason: str
    constraint: bool = False


@dataclass(frozen=True)
class Command:
    """Analysis of what a person said.

    `target` is None where no object is named; then `problem` says in one sentence what is
    missing.  `targets` lists every object meant, the first being `target`.  `ignored`: content
    words that are in none of the other fields.  The actions 'stop' and 'cancel' have no target.
    """

    text: str
    action: str | None = None
    target: Target | None = None
    destination: Relation | None = None
    targets: tuple[Target, ...] = ()
    problem: str | None = None
    ignored: tuple[Ignored, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict in the form that `ris parse --json` prints."""
        return asdict(self)


@dataclass(frozen=True)
class Camera:
    """Pinhole camera: focal lengths and principal point in pixels, image size in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class View:
    """One look of the camera, all that a method may know of the world.

    rgb: (H, W, 3) uint8.  depth: (H, W) float32 metres registered to `rgb`, NaN where nothing
    was measured, or None.  camera: the pinhole camera of `rgb`, or None.  A method that has no
    use for depth ignores it.
    """

    rgb: np.ndarray
    depth: np.ndarray | None = None
    camera: Camera | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.rgb.shape[0]), int(self.rgb.shape[1])


@dataclass(frozen=True, eq=False)
class Regions:
    """Masks that an answer chooses among, with what is counted on them once.

    masks: (N, H, W) bool, N may be 0.  boxes: (N, 4) float32 x, y, width, height, the extent
    of each mask.  areas: (N,) int64 pixels.
    """

    masks: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray

    def __len__(self) -> int:
        """Return the number of masks."""
        return len(self.masks)

    def some(self, index: np.ndarray) -> Regions:
        """Return those that (K,) indices say, in their order."""
        return Regions(self.masks[index], self.boxes[index], self.areas[index])

    @classmethod
    def of(cls, masks: np.ndarray) -> Regions:
        """Return the regions of (N, H, W) bool masks; an empty mask has the box 0, 0, 0, 0."""
        rows: np.ndarray = np.any(masks, axis=2)
        columns: np.ndarray = np.any(masks, axis=1)
        top, left = rows.argmax(axis=1), columns.argmax(axis=1)
        bottom = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
        right = columns.shape[1] - columns[:, ::-1].argmax(axis=1)
        boxes = np.stack([left, top, right - left, bottom - top], axis=1).astype(np.float32)
        boxes[~rows.any(axis=1)] = 0
        return cls(masks, boxes, masks.sum(axis=(1, 2), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Scene:
    """All that depends on the view alone, made by `method.prepare`.

    view: what was looked at.  masks: (N, H, W) bool mask proposals, N may be 0 (a method that
    brings its own masks has none).  boxes: (N, 4) float32 x, y, width, height.  areas: (N,)
    int64 pixels.  proposal_scores: (N,) float32, the proposer's own quality estimate in [0, 1].
    cache: what the method keeps for its `ground` (tensors on its own device).
    timings: seconds per stage.  notes: what the user must be told of every answer about it.
    proposed_by: what made the masks, 'sam', 'mask2former', 'depth', 'depth+sam', or empty where
    they were handed in or there are none.
    """

    method: str
    view: View
    masks: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    proposal_scores: np.ndarray
    cache: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    proposed_by: str = ''

    @classmethod
    def without_proposals(cls, method: str, view: View, cache: Mapping[str, Any],
                          timings: Mapping[str, float]) -> Scene:
        """Return the scene of a method whose groundings bring their own masks."""
        none = Regions.of(np.zeros((0, *view.size), dtype=bool))
        return cls(method, view, none.masks, none.boxes, none.areas,
                   np.zeros(0, dtype=np.float32), cache, timings)

    @property
    def image(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB."""
        return self.view.rgb

    @property
    def regions(self) -> Regions:
        """The mask proposals."""
        return Regions(self.masks, self.boxes, self.areas)

    def with_truth(self, truth: np.ndarray | None) -> Scene:
        """Return the scene as a method with `needs_truth` wants it.

        truth: the (H, W) bool mask of what a sentence means, None where it means nothing.
        """
        return replace(self, cache={**self.cache, 'truth': truth})


@dataclass(frozen=True, eq=False)
class Grounding:
    """Answer of `method.ground` for one expression.

    It ranks N masks: the scene's proposals, or masks of its own (`own`), made for this sentence
    by a method that chooses among none.  Whoever reads masks reads them from `regions(scene)`.
    scores: (N,) float32, the method's final score per mask (-inf: not a candidate).
    order: (K,) int64, indices from best to worst, candidates only.
    probabilities: (N,) float32 in [0, 1], comparable between scenes: used for the score,
    the margin and the no-match decision.  heatmap: (H, W) float32 in [0, 1] or None.
    notes: what the user must be told of this answer, a sentence each (a text that was cut).
    fits: for every name that the sentence holds ("red mug"; `Target.name`), the probability that
    each mask shows what is called so, (N,) in [0, 1]; None where the method cannot say.
    at_least: probabilities that one, and that two or more objects are called as the target,
    from looking at the whole picture, in place of `fits`; None where it did not look.
    heeded: fields of the target that not every method heeds, and this answer does: 'view'.
    """

    scores: np.ndarray
    order: np.ndarray
    probabilities: np.ndarray
    heatmap: np.ndarray | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    own: Regions | None = None
    notes: tuple[str, ...] = ()
    fits: Mapping[str, np.ndarray] | None = None
    at_least: tuple[float, float] | None = None
    heeded: tuple[str, ...] = ()

    def regions(self, scene: Scene) -> Regions:
        """Return the masks that the numbers speak of."""
        return scene.regions if self.own is None else self.own


@dataclass(frozen=True, eq=False)
class Candidate:
    """One ranked answer: rank from 1, proposal index, score in [0, 1], mask (H, W) bool."""

    rank: int
    index: int
    score: float
    mask: np.ndarray
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Option:
    """One of the objects that a question names.

    words: as the question names it ("the yellow box", "the one on the left").  colour, place,
    size: what is known of it in words, empty where that does not tell it from the others.
    """

    candidate: Candidate
    words: str
    colour: str = ''
    place: str = ''
    size: str = ''


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked back where a sentence fits several objects, or only something like it.

    text: in plain words.  options: the objects it names, in its order.  name: what each of them
    is called ("box").
    """

    text: str
    options: tuple[Option, ...]
    name: str = ''


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result of `Segmenter.segment`.

    mask: (H, W) bool, all False unless the outcome is SUCCEEDED_2D or AMBIGUOUS; of several
    objects that are meant together it is the union.  selected: the objects that are meant, one
    mask each, in the order in which they were said or else from left to right; empty unless
    the outcome is SUCCEEDED_2D.
    score: [0, 1].  margin: score of the best minus that of the second candidate.
    confidence: [0, 1], how sure the decision is that the answer is right; the score where it
    goes by margins.
    heatmap: (H, W) float32 in [0, 1] or None.  timings: seconds per stage.
    notes: what the user must be told besides the message, a sentence each.
    regions: the masks that were chosen among, None where no method was asked.
    counts: probabilities that no object, one, and two or more fit; None where nothing was
    counted.
    question: what is asked back, None where nothing is.  in_reply_to: the question that this
    answers, None for a sentence of its own.  destination: what was found of where the object is
    to go ("in the bowl"), None where no thing is named for it.  parts: the results that this one
    was put together from, one per object that is named, where there is more than itself.
    """

    mask: np.ndarray
    score: float
    margin: float
    outcome: Outcome
    message: str
    candidates: tuple[Candidate, ...] = ()
    heatmap: np.ndarray | None = None
    command: Command | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    regions: Regions | None = None
    selected: tuple[Candidate, ...] = ()
    confidence: float = 0.0
    counts: tuple[float, float, float] | None = None
    question: Question | None = None
    in_reply_to: Question | None = None
    destination: Segmentation | None = None
    parts: tuple[Segmentation, ...] = ()
