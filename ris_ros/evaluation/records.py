"""The per-sample record: JSON lines on disk from which every figure can be recomputed.

First line: the header, what was evaluated.  Then, per image, one line for each sample, one for
each entry that could not be used, and a line that says the image is finished.  Last line: the
end mark.  A line torn by a kill is dropped on reading.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from ris_ros.datasets.base import Problem
from ris_ros.files import writing_error
from ris_ros.types import BadInputError

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """What is known of one sample after its evaluation.

    i, u: intersection and union in pixels of the best candidate with the truth.  oracle_i,
    oracle_u: the same for the best proposal.  candidates, proposals: how many there were.
    outcome: name of the outcome.  score, margin, confidence: as in Segmentation; confidence is
    None in records that are older than it.  point: PointM hit, None
    without a heat map.  point_box: the same for the object's box.  prepare_s, ground_s: seconds;
    first: whether the image was new to the method.  stages: seconds by the method's own names.
    mask: run lengths of the prediction (COCO), None if it is empty.  has_box: whether the
    object's box is known.  refused: why the sentence was not taken, None where it was.
    """

    key: str
    image_id: str
    object_id: str
    expression: str
    kind: str
    tags: tuple[str, ...]
    unseen: bool | None
    category: str | None
    outcome: str
    score: float
    margin: float
    i: int | None
    u: int | None
    oracle_i: int | None
    oracle_u: int | None
    candidates: int
    proposals: int
    point: bool | None
    point_box: bool | None
    prepare_s: float
    ground_s: float
    first: bool
    stages: Mapping[str, float] = field(default_factory=dict)
    mask: Mapping[str, Any] | None = None
    has_box: bool = False
    refused: str | None = None
    confidence: float | None = None

    @property
    def iou(self) -> float:
        """I/U in [0, 1], 0 if U is 0; 0 for samples without an answer."""
        return self.i / self.u if self.i and self.u else 0.0


_FIELDS = frozenset(f.name for f in fields(Record))


@dataclass(frozen=True)
class GroupResult:
    """All records of one image, its unusable entries, and where the time went (seconds).

    complete: no sample was left for later by a limit.  data_s: opening or rendering the image
    and decoding the truth.  method_s: the method itself.  total_s: everything.
    """

    key: str
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]
    complete: bool
    data_s: float
    method_s: float
    total_s: float


@dataclass
class RecordFile:
    """A record as read back."""

    header: dict[str, Any]
    records: dict[str, Record] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    finished_groups: set[str] = field(default_factory=set)
    times: dict[str, float] = field(default_factory=lambda: {
        'data_s': 0.0, 'method_s': 0.0, 'total_s': 0.0})
    ended: bool = False
    valid_bytes: int = 0


class RecordWriter:
    """Appends to a record; each image is one write, flushed at once: a kill loses one image.

    Every method raises BadInputError for a path that cannot be written, RisError where writing
    fails (no space left).
    """

    def __init__(self, path: Path, header: Mapping[str, Any], keep_bytes: int | None) -> None:
        """Open `path`; keep_bytes: continue after so many bytes, None starts a new record."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if keep_bytes is not None:
                os.truncate(path, keep_bytes)   # drops a torn last line
            mode = 'w' if keep_bytes is None else 'a'
            self._file: IO[str] = open(path, mode, encoding='utf-8')   # noqa: SIM115
        except OSError as error:
            raise writing_error(path, error) from error
        if keep_bytes is None:
            self._write([{'record': FORMAT, **header}])

    def add(self, result: GroupResult) -> None:
        """Append the result of one image."""
        lines: list[dict[str, Any]] = [{'sample': asdict(r)} for r in result.records]
        lines += [{'problem': asdict(p)} for p in result.problems]
        lines.append({'group': result.key, 'complete': result.complete,
                      'data_s': round(result.data_s, 6), 'method_s': round(result.method_s, 6),
                      'total_s': round(result.total_s, 6)})
        self._write(lines)

    def end(self) -> None:
        """Append the end mark and close."""
        self._write([{'end': True}])
        self.close()

    def close(self) -> None:
        """Close the file; the record can be continued."""
        self._file.close()

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        try:
            self._file.write(''.join(json.dumps(line) + '\n' for line in lines))
            self._file.flush()
        except OSError as error:
            raise writing_error(self.path, error) from error


def read_record(path: Path) -> RecordFile:
    """Read a record; a torn last line and the image it belongs to are left out.

    Raises BadInputError for a missing file, no record, or a broken line before the last.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInputError(f'{path} is missing') from None
    except OSError as error:
        raise BadInputError(f'{path} cannot be read ({error.strerror})') from error
    lines = data.split(b'\n')
    result: RecordFile | None = None
    pending: list[dict[str, Any]] = []
    position = 0
    for number, line in enumerate(lines):
        position += len(line) + 1
        if number == len(lines) - 1:   # after the last newline: empty, or torn by a kill
            break
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number == len(lines) - 2:
                break
            raise BadInputError(f'{path}, line {number + 1}: no JSON ({error}); '
                                '--fresh starts over') from error
        if result is None:
            if not isinstance(entry, dict) or entry.get('record') != FORMAT:
                raise BadInputError(f'{path} is no evaluation record of this version; '
                                    '--fresh starts over')
            result = RecordFile({k: v for k, v in entry.items() if k != 'record'},
                                valid_bytes=position)
        elif 'group' in entry or 'end' in entry:
            _commit(result, pending, entry)
            pending, result.valid_bytes = [], position
        else:
            pending.append(entry)
    if result is None:
        raise BadInputError(f'{path} is no evaluation record; --fresh starts over')
    return result


def _commit(result: RecordFile, pending: list[dict[str, Any]], mark: dict[str, Any]) -> None:
    """Take over the lines of an image once its closing line was seen."""
    if 'end' in mark:
        result.ended = True
        return
    result.ended = False
    for line in pending:
        if 'sample' in line:
            record = _record(line['sample'])
            result.records[record.key] = record
        elif 'problem' in line:
            result.problems.append(Problem(**line['problem']))
    if mark.get('complete'):
        result.finished_groups.add(str(mark['group']))
    for name in result.times:
        result.times[name] += float(mark.get(name, 0.0))


def _record(entry: Mapping[str, Any]) -> Record:
    known = {k: v for k, v in entry.items() if k in _FIELDS}
    known['tags'] = tuple(known.get('tags', ()))
    return Record(**known)
