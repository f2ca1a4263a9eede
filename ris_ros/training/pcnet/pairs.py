"""What PCNet learns from: pictures, and what is said about them.  No mask and no box is in here.

A `Pairs` holds texts only; a `Pictures` gives the picture of a row and nothing besides.  Both go
to the processes that draw, so whatever they hold is all that training can reach; a test takes
them apart and finds no mask, no box and no way to a file that has any.
"""
from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ris_ros.files import write_bytes
from ris_ros.types import BadInputError

FORMAT = 1
MOST_BYTES = 1 << 31          # of an unpacked file of pairs


@dataclass(frozen=True)
class Said:
    """One sentence about an object of a picture.

    reference: what groups the sentences about one object; it tells objects apart and says
    nothing of where they are.  text: as said.  cues: K short phrases from coarse to fine.
    opposite: the text with a word turned into its contrary, empty where it has none.
    """

    reference: str
    text: str
    cues: tuple[str, ...]
    opposite: str = ''


@dataclass(frozen=True)
class Picture:
    """All that is said of one picture.

    key: its name in the data set.  row: of it in `Pictures`.  mirrored: it is looked at with
    left and right exchanged, and the sentences are true of that.
    """

    key: str
    row: int
    said: tuple[Said, ...]
    mirrored: bool = False

    def references(self) -> list[list[Said]]:
        """Return the sentences grouped by the object they mean, in their order."""
        found: dict[str, list[Said]] = {}
        for said in self.said:
            found.setdefault(said.reference, []).append(said)
        return list(found.values())


class Pictures(Protocol):
    """Gives pictures; picklable.  keys: their names, in the order of the rows."""

    keys: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def read(self, row: int) -> np.ndarray:
        """Return one picture, (H, W, 3) uint8 RGB.  Raises BadInputError."""
        ...


@dataclass
class Pairs:
    """Pictures with sentences of one data set.

    name: of the data set and split.  notes: what was left out, worth printing.
    """

    name: str
    pictures: list[Picture]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raise BadInputError where nothing is there to learn from."""
        if not any(p.said for p in self.pictures):
            raise BadInputError(f'{self.name} has no sentence to train on')

    @property
    def digest(self) -> str:
        """A short hash of all texts and rows, for stamps of what is made from them."""
        total = hashlib.sha256(self.name.encode())
        for p in self.pictures:
            total.update(f'{p.key}\0{p.row}\0{p.mirrored}\0'.encode())
            for s in p.said:
                total.update('\0'.join((s.reference, s.text, *s.cues, s.opposite)).encode())
        return total.hexdigest()[:16]

    def texts(self) -> list[str]:
        """Return every different sentence, cue and contrary, in order of appearance."""
        return list(dict.fromkeys(
            text for p in self.pictures for s in p.said
            for text in (s.text, *s.cues, s.opposite) if text))


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write pairs as gzipped JSON, each text once; a run elsewhere then needs no parser."""
    texts = pairs.texts()
    number = {text: i for i, text in enumerate(texts)}
    number[''] = -1
    record = {'format': FORMAT, 'name': pairs.name, 'notes': pairs.notes, 'texts': texts,
              'pictures': [[p.key, p.row, int(p.mirrored),
                            [[s.reference, number[s.text], [number[c] for c in s.cues],
                              number[s.opposite]] for s in p.said]] for p in pairs.pictures]}
    data = json.dumps(record, separators=(',', ':')).encode()
    # Without a time in the header the same pairs are the same file.
    write_bytes(path, gzip.compress(data, compresslevel=6, mtime=0))


def read_pairs(path: Path) -> Pairs:
    """Return pairs that `write_pairs` wrote.  Raises BadInputError for any other file."""
    try:
        with gzip.open(path) as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f'it holds more than {MOST_BYTES >> 20} MiB')
        return _pairs_of(json.loads(data))
    except FileNotFoundError:
        raise BadInputError(f'{path} is missing; make it with: ris train pcnet --stage sentences'
                            ) from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f'{path} is no whole file of sentences ({error}); make it again with: '
                            'ris train pcnet --stage sentences') from error


def _pairs_of(record: Any) -> Pairs:
    if record['format'] != FORMAT:
        raise ValueError(f'it has the format {record["format"]}, not {FORMAT}')
    texts = [str(t) for t in record['texts']]

    def said(row: Sequence[Any]) -> Said:
        reference, text, cues, opposite = row
        if min(text, *cues) < 0:
            raise ValueError('a sentence without text')
        return Said(str(reference), texts[text], tuple(texts[c] for c in cues),
                    texts[opposite] if opposite >= 0 else '')

    return Pairs(str(record['name']),
                 [Picture(str(key), int(row), tuple(said(s) for s in sentences), bool(mirrored))
                  for key, row, mirrored, sentences in record['pictures']],
                 [str(note) for note in record['notes']])


def check_cues(pairs: Pairs, stages: int) -> None:
    """Raise BadInputError where a sentence has fewer cues than N - 1 stages read."""
    for p in pairs.pictures:
        for s in p.said:
            if len(s.cues) < stages - 1 or not all(c.strip() for c in s.cues):
                raise BadInputError(
                    f'{pairs.name}, picture {p.key}: the sentence {s.text!r} has {len(s.cues)} '
                    f'usable cues, {stages} stages need {stages - 1}; make the cues again with: '
                    'ris train pcnet --stage sentences')


def summary(pairs: Pairs) -> str:
    """Return one line that says how much there is."""
    said = sum(len(p.said) for p in pairs.pictures)
    objects = sum(len(p.references()) for p in pairs.pictures)
    alone = sum(len(p.references()) == 1 for p in pairs.pictures)
    line = (f'{pairs.name}: {len(pairs.pictures)} pictures, {objects} objects, {said} sentences, '
            f'{len(pairs.texts())} different texts')
    if alone:
        line += (f'; {alone} pictures have one object that is spoken of: they count nothing in '
                 'the disambiguation loss')
    return line


def known_rows(pictures: Iterable[Picture]) -> list[int]:
    """Return the rows of pictures that have something said about them, each once, sorted."""
    return sorted({p.row for p in pictures if p.said})
