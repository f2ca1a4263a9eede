"""The node's result message as typed values; knows the messages by their fields alone."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ris_ros.types import Level, Outcome, RisError

T = TypeVar('T')


@dataclass(frozen=True)
class AnsweredCandidate:
    """One of the objects that may be meant.

    rank: from 1, the best.  score: [0, 1].  roi: x, y, width, height in pixels.  phrase: what
    was looked for.  point: x, y, z in metres in the answer's `frame_id`, None where not known.
    """

    rank: int
    score: float
    roi: tuple[float, float, float, float]
    phrase: str = ''
    point: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class AnsweredBox:
    """The upright box around the target, in the answer's frame.

    centre: metres.  orientation: a quaternion x, y, z, w.  size: metres along its own axes.
    """

    centre: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    size: tuple[float, float, float]


@dataclass(frozen=True)
class Answer:
    """How a command ended, as its one result message says.

    message: one sentence, empty where all went well.  header: std_msgs/Header of the image it
    was answered on; of the answer's own time where there was none.  point: x, y, z of the
    target in metres in the frame `frame_id`; None where there is no target.  orientation: of
    the target's pose there, a quaternion x, y, z, w, or None.  box: around the target, known
    where somebody listens to the node's markers or detections.  score, margin: [0, 1], None
    where no method was asked.  total_ms: from the command's arrival to its end.  values: all
    that the message says, by its keys, as text.
    """

    command_id: str
    command: str
    outcome: Outcome
    message: str
    header: Any
    frame_id: str = ''
    point: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float] | None = None
    box: AnsweredBox | None = None
    score: float | None = None
    margin: float | None = None
    total_ms: float | None = None
    candidates: tuple[AnsweredCandidate, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the object was found, in 3D or, without depth, in the image."""
        return self.outcome.level is Level.OK

    @property
    def code(self) -> int:
        """Numeric outcome code."""
        return self.outcome.code

    def target(self) -> tuple[float, float, float]:
        """Return the target point; raises RisError with the reason where there is none.

        A point that is the guess of an ambiguous command (`ambiguity_policy: best`) is no
        target; it stands in `point`.
        """
        if self.outcome is not Outcome.SUCCEEDED or self.point is None:
            raise RisError(f'{self.command!r} has no target: {self.outcome.name}'
                           + (f', {self.message}' if self.message else ''))
        return self.point


def answer_of(message: Any) -> Answer:
    """Return the answer in a DiagnosticArray of `~/result`.

    Raises RisError for a message that is none, as another node's may be.
    """
    try:
        first, *others = message.status
        values = {pair.key: pair.value for pair in first.values}
        return Answer(
            command_id=values['command_id'], command=values['command'],
            outcome=Outcome[values['outcome']], message=first.message, header=message.header,
            frame_id=values.get('frame_id', ''), point=_numbers(values, 'point_xyz', 3),
            orientation=_numbers(values, 'orientation_xyzw', 4),
            box=_box(values), score=_number(values, 'score'), margin=_number(values, 'margin'),
            total_ms=_number(values, 'total_ms'),
            candidates=tuple(filter(None, map(_candidate, others))), values=values)
    except (KeyError, ValueError, AttributeError) as error:
        raise RisError(f'this message is no result of ris_node ({type(error).__name__}: {error}); '
                       'client and node must be of the same version') from error


def _candidate(status: Any) -> AnsweredCandidate | None:
    values = {pair.key: pair.value for pair in status.values}
    if 'rank' not in values:   # of a later version: more than candidates
        return None
    roi = _numbers(values, 'roi', 4) or (0.0, 0.0, 0.0, 0.0)
    return AnsweredCandidate(int(values['rank']), float(values['score']), roi,
                             values.get('phrase', ''), _numbers(values, 'point_xyz', 3))


def _box(values: Mapping[str, str]) -> AnsweredBox | None:
    centre = _numbers(values, 'box_xyz', 3)
    return None if centre is None else AnsweredBox(
        centre, _numbers(values, 'box_xyzw', 4), _numbers(values, 'box_size', 3))


def _number(values: Mapping[str, str], key: str) -> float | None:
    return _read(values, key, float)


def _numbers(values: Mapping[str, str], key: str, count: int) -> Any:
    def read(text: str) -> tuple[float, ...]:
        numbers = tuple(map(float, text.split()))
        if len(numbers) != count:
            raise ValueError(f'{key} has {len(numbers)} numbers, not {count}')
        return numbers
    return _read(values, key, read)


def _read(values: Mapping[str, str], key: str, convert: Callable[[str], T]) -> T | None:
    """Return a value that may be absent, or empty where there is nothing to say."""
    text = values.get(key, '')
    return convert(text) if text else None
