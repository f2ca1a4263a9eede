"""Commands from arrival to their one result; no ROS here.

A command is plain text or a JSON object with the keys `id`, `text`, `mode`, `timeout_s`,
`in_reply_to`.  The
board owns every command that has arrived and sees to it that each ends exactly once.
"""
from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ris_ros.service.frames import FrameSet
from ris_ros.service.text import BYTE_ORDER_MARK, carriable, shortened
from ris_ros.types import BadInputError, Candidate, Outcome

MAX_TEXT = 1000        # characters of a sentence; nobody says more to a robot
MAX_ID = 128           # characters of an id
REMEMBERED_IDS = 1000  # ids looked at for duplicates
KEYS = ('id', 'text', 'mode', 'timeout_s', 'in_reply_to')
BUSY_POLICIES = ('replace', 'reject', 'queue')


class State(Enum):
    """Where a command stands."""

    QUEUED = 'QUEUED'    # behind another one (busy policy `queue`)
    WAITING = 'WAITING'  # for a fresh image, or for the worker to be free
    RUNNING = 'RUNNING'  # in the models
    DONE = 'DONE'        # its result is out


@dataclass(frozen=True)
class Request:
    """What one message asked for; `timeout_s` is None where the default holds.

    note: one sentence where the text was changed to be understood, empty else.  in_reply_to: id
    of the command whose question this answers, None where that is not said.
    """

    text: str
    id: str | None = None
    timeout_s: float | None = None
    note: str = ''
    in_reply_to: str | None = None


@dataclass(eq=False)
class CommandRecord:
    """One command on its way.  Times are seconds of the steady clock but for `received_stamp`.

    received_stamp: when it arrived by the clock that stamps are of.  waiting_since: when its
    turn came.  colour_since: when a colour image for it was first there without its depth or
    intrinsics, None where none was.  frames, started, image_age_s: what it is answered on,
    when the models began and how old the image was then; None before they have.  note: what
    was changed in its text.  method: that answers it, empty before.
    """

    id: str
    text: str
    received: float
    timeout_s: float
    received_stamp: float = 0.0
    state: State = State.WAITING
    waiting_since: float = 0.0
    colour_since: float | None = None
    frames: FrameSet | None = None
    started: float | None = None
    image_age_s: float | None = None
    note: str = ''
    in_reply_to: str | None = None
    method: str = ''


@dataclass(frozen=True)
class Ending:
    """How a command ended: the outcome, one sentence, key-value details, ranked candidates.

    points: (3,) metres by a candidate's rank, in the frame that `details` name, where known.
    """

    outcome: Outcome
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    points: Mapping[int, Any] = field(default_factory=dict)


def parse_request(raw: str) -> Request:
    """Return the request in a command message.

    Characters that ROS cannot carry are replaced in the text, with a note.  Raises
    BadInputError for blank or over-long text, JSON that cannot be read, unknown or repeated
    keys, values of a wrong type, ids that could not be given back, and modes that are not
    offered.  `request_id(raw)` finds the id of such a message, so that its sender still gets
    an answer it can recognise.
    """
    if len(raw) > 4 * MAX_TEXT:
        raise BadInputError(f'the command has {len(raw)} characters; {MAX_TEXT} are allowed')
    if not carriable(raw).lstrip().startswith('{'):
        return _request({'text': raw})
    try:
        data = json.loads(raw.lstrip(BYTE_ORDER_MARK), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f'the command is no valid JSON ({shortened(str(error))}); '
                            'send {"id": ..., "text": ...} or a plain sentence') from error
    unknown = [key for key in data if key not in KEYS]
    if unknown:
        raise BadInputError(f'the command has the unknown key {_shown(unknown[0])}; '
                            f'use {", ".join(KEYS)}')
    if not isinstance(data.get('text'), str):
        raise BadInputError('the command has no "text"; send {"id": ..., "text": "..."}')
    mode = data.get('mode', 'once')
    if mode != 'once':
        raise BadInputError(f'mode {_shown(mode)} is not offered; use "once"')
    return _request(data)


def request_id(raw: str) -> str | None:
    """Return the id of a message that may be wrong in every other way, or None.

    An id that ROS cannot carry comes back as near as it can be.
    """
    try:
        value = json.loads(raw[:8 * MAX_TEXT].lstrip(BYTE_ORDER_MARK)).get('id')
        return _checked_id(carriable(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError, AttributeError):
        return None


def _request(data: Mapping[str, Any]) -> Request:
    text = data['text']
    cleaned = _checked_text(text)
    note = '' if carriable(text) == text.replace(BYTE_ORDER_MARK, '') else (
        'characters of the command that ROS cannot carry were replaced')
    return Request(cleaned, _checked_id(data.get('id')), _checked_timeout(data.get('timeout_s')),
                   note, _checked_id(data.get('in_reply_to'), 'in_reply_to'))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError('a key stands twice')  # which of the two is meant nobody knows
    return data


def _shown(value: Any) -> str:
    return shortened(repr(value), 40)


def _checked_text(text: str) -> str:
    cleaned = ' '.join(carriable(text).split())
    if not cleaned:
        raise BadInputError('the command is empty; say which object you mean')
    if len(cleaned) > MAX_TEXT:
        raise BadInputError(
            f'the command has {len(cleaned)} characters; {MAX_TEXT} are allowed')
    return cleaned


def _checked_id(value: Any, key: str = 'id') -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadInputError(f'the command\'s "{key}" must be a text or a whole number')
    text = str(value)
    if not text or len(text) > MAX_ID:
        raise BadInputError(f'the command\'s "{key}" must have 1 to {MAX_ID} characters')
    if carriable(text) != text:
        raise BadInputError(f'the command\'s "{key}" holds characters that ROS cannot carry; use '
                            'printable ones')
    return text


def _checked_timeout(value: Any) -> float | None:
    if value is None:
        return None
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not 0 < value <= 3600:  # not so of NaN, nor of numbers beyond all floats
        raise BadInputError('"timeout_s" must be a number above 0 and at most 3600')
    return float(value)


class CommandBoard:
    """Every command that has arrived and not ended, in order.

    on_end(record, ending) is called exactly once per arrived message, whatever happens to
    it.  All calls come from one thread (the ROS executor's).  Times are handed in: `now` is of
    the steady clock, `stamp` of the clock that stamps are of.
    """

    def __init__(self, on_end: Callable[[CommandRecord, Ending], None]) -> None:
        self._on_end = on_end
        self._queue: deque[CommandRecord] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._next_number = 1
        self.current: CommandRecord | None = None

    @property
    def open(self) -> tuple[CommandRecord, ...]:
        """The commands that have not ended, the current one first."""
        return ((self.current,) if self.current else ()) + tuple(self._queue)

    def submit(self, raw: str, now: float, timeout_s: float, policy: str = 'replace',
               queue_size: int = 8, stamp: float = 0.0) -> CommandRecord:
        """Take in one message and return its record, which may have ended already."""
        try:
            request = parse_request(raw)
        except BadInputError as error:
            return self.refuse(raw, now, Ending(Outcome.INVALID_COMMAND, str(error)))
        duplicate = request.id is not None and request.id in self._seen
        record = self._record(request.id, request.text, now, request.timeout_s or timeout_s)
        record.received_stamp, record.note = stamp, request.note
        record.in_reply_to = request.in_reply_to
        if duplicate:
            self._end(record, Ending(
                Outcome.INVALID_COMMAND,
                f'the id {request.id!r} was used before; give every command its own'))
        else:
            self._place(record, now, policy, queue_size)
        return record

    def refuse(self, raw: str, now: float, ending: Ending) -> CommandRecord:
        """End a message at once, as an inactive node does."""
        record = self._record(request_id(raw), carriable(raw[:200]), now, 0.0)
        self._end(record, ending)
        return record

    def start(self, record: CommandRecord, frames: FrameSet | None = None, now: float = 0.0,
              image_age_s: float | None = None) -> None:
        """Note that the models work on `record` from `now` on, on frames that are so old."""
        record.state = State.RUNNING
        record.frames, record.started, record.image_age_s = frames, now, image_age_s

    def end(self, record: CommandRecord, ending: Ending, now: float) -> bool:
        """End `record` unless it has ended; say whether this call ended it."""
        if record.state is State.DONE:
            return False
        if record in self._queue:
            self._queue.remove(record)
        if record is self.current:
            self.current = None
            self._promote(now)
        self._end(record, ending)
        return True

    def end_all(self, ending: Ending, now: float) -> int:
        """End every open command the same way; return how many there were."""
        records = self.open
        self._queue.clear()
        self.current = None
        for record in records:
            self._end(record, ending)
        return len(records)

    def expired(self, now: float) -> tuple[CommandRecord, ...]:
        """Return the open commands whose time is up."""
        return tuple(record for record in self.open if now - record.received > record.timeout_s)

    def _place(self, record: CommandRecord, now: float, policy: str, queue_size: int) -> None:
        if self.current is None:
            self.current = record
        elif policy == 'reject':
            self._end(record, Ending(Outcome.REJECTED_BUSY, 'another command is being worked '
                                     "on; send it again after that one's result"))
        elif policy == 'queue':
            if len(self._queue) >= queue_size:
                self._end(record, Ending(Outcome.REJECTED_BUSY,
                                         f'{queue_size} commands are waiting already'))
                return
            record.state = State.QUEUED
            self._queue.append(record)
        else:  # replace: a new sentence corrects the old one
            old, self.current = self.current, record
            self._end(old, Ending(Outcome.SUPERSEDED,
                                  f'command {record.id} took the place of this one'))

    def _promote(self, now: float) -> None:
        if self._queue:
            self.current = self._queue.popleft()
            self.current.state = State.WAITING
            self.current.waiting_since = now

    def _record(self, wanted: str | None, text: str, now: float, timeout_s: float
                ) -> CommandRecord:
        identity = wanted
        while identity is None or (wanted is None and identity in self._seen):
            identity = str(self._next_number)
            self._next_number += 1
        self._seen[identity] = None
        self._seen.move_to_end(identity)
        while len(self._seen) > REMEMBERED_IDS:
            self._seen.popitem(last=False)
        return CommandRecord(id=identity, text=text, received=now, timeout_s=timeout_s,
                             waiting_since=now)

    def _end(self, record: CommandRecord, ending: Ending) -> None:
        record.state = State.DONE
        self._on_end(record, ending)
