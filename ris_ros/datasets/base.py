"""What every dataset reader gives: samples grouped by image, and what was left out."""
from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ris_ros.pictures import read_picture, stored_orientation, turned
from ris_ros.types import BadInputError, Camera, View


@dataclass(frozen=True)
class Problem:
    """One entry that cannot be used: its file, its place in the file, and why."""

    file: str
    entry: str
    message: str

    def __str__(self) -> str:
        return f'{self.file}, {self.entry}: {self.message}'


class EntryError(BadInputError):
    """An entry cannot be used; carries the Problem that says which and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __reduce__(self) -> tuple[type[EntryError], tuple[Problem]]:
        return EntryError, (self.problem,)   # crosses process borders whole


class Problems:
    """Collector of unusable entries: stops at the first one if `strict`, else counts them."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.entries: list[Problem] = []

    def add(self, file: Path | str, entry: str, message: str) -> None:
        """Note one entry.  Raises EntryError when strict."""
        problem = Problem(str(file), entry, message)
        if self.strict:
            raise EntryError(problem)
        self.entries.append(problem)


    @contextlib.contextmanager
    def guard(self, file: Path | str, entry: str) -> Iterator[None]:
        """Note an entry whose fields have values of a kind that nobody foresaw, and go on.

        Only what odd values raise is caught.  Raises EntryError when strict.
        """
        try:
            yield
        except EntryError:
            raise
        except (BadInputError, TypeError, ValueError, LookupError, AttributeError,
                ArithmeticError) as error:
            reason = str(error) if isinstance(error, BadInputError) else \
                f'cannot be read ({type(error).__name__}: {error})'
            self.add(file, entry, reason)


class Keys:
    """Keys of one split's samples, so that no sample takes the place of another in silence."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        """Keep `reserved`, the keys that entries name themselves, from those that name none."""
        self._reserved = frozenset(reserved)
        self._taken: set[str] = set()

    def take(self, key: str) -> bool:
        """Take a key that an entry names; False where an earlier one has it."""
        if key in self._taken:
            return False
        self._taken.add(key)
        return True

    def free(self, wanted: str) -> str:
        """Return and take a key for an entry without one: `wanted`, marked where it is taken."""
        key = wanted
        while key in self._taken or key in self._reserved:
            key += '#'
        self._taken.add(key)
        return key


class MaskSource(Protocol):
    """Where a true mask comes from; small, picklable, decoded when it is needed."""

    def load(self) -> np.ndarray:
        """Return the (H, W) bool mask at the image's own resolution."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayMask:
    """A mask that is already there, (H, W) bool."""

    array: np.ndarray

    def load(self) -> np.ndarray:
        """Return the mask."""
        return self.array


@dataclass(frozen=True, eq=False)
class UnionMask:
    """The pixels of one or more masks together: what a sentence about several objects means."""

    parts: tuple[MaskSource, ...]

    def load(self) -> np.ndarray:
        """Return the union of the masks."""
        union = self.parts[0].load().copy()
        for part in self.parts[1:]:
            union |= part.load()
        return union


@dataclass(frozen=True, eq=False)
class Sample:
    """One sentence about one image: the unit that every metric counts.

    key: unique in its dataset and split, the same in every run.  image_id and object_id
    group samples for ImgAcc and InstAcc.  mask: source of the true mask, None where the
    sentence has no single answer.  masks: where several objects are meant ("both mugs") each
    one's own, `mask` being their union; else empty.  kind: 'answerable', 'ambiguous' or 'absent'.
    box: x, y, width, height in pixels, or None.  unseen: category held out of training, None
    where the split of categories does not cover it.  place: file and entry for messages.
    """

    key: str
    expression: str
    image_id: str
    object_id: str
    mask: MaskSource | None
    kind: str = 'answerable'
    tags: tuple[str, ...] = ()
    category: str | None = None
    box: tuple[float, float, float, float] | None = None
    unseen: bool | None = None
    place: tuple[str, str] = ('', '')
    masks: tuple[MaskSource, ...] = ()


@dataclass(frozen=True, eq=False)
class OpenGroup:
    """An image in memory with its samples: image (H, W, 3) uint8 RGB.

    depth: (H, W) float32 metres, NaN where nothing was measured, and the camera, where the data
    has them.
    """

    image: np.ndarray
    samples: Sequence[Sample]
    depth: np.ndarray | None = None
    camera: Camera | None = None

    @property
    def view(self) -> View:
        """All of it that a method may know."""
        return View(self.image, self.depth, self.camera)


class Group(Protocol):
    """All samples of one image; `open` is called in the process that evaluates them."""

    @property
    def key(self) -> str:
        """Name of the group, unique in its split."""
        ...

    @property
    def keys(self) -> tuple[str, ...] | None:
        """Keys of the samples, or None where they are known only after `open`."""
        ...

    @property
    def limit(self) -> int | None:
        """Take only this many of the group's samples; None for all."""
        ...

    def open(self) -> OpenGroup:
        """Load or render the image.  Raises EntryError."""
        ...

    def limited(self, limit: int) -> Group:
        """Return the same group cut to its first `limit` samples."""
        ...


@dataclass(frozen=True)
class ImageGroup:
    """Samples of one image file.

    size: (height, width) in pixels that the annotations were made for, None if not stated.
    exif: whether the annotations may be for the picture as its EXIF orientation turns it; the
    masks' size decides, and where it cannot, the picture is turned.  depth, camera: files of the
    depth registered to the picture and of its intrinsics, both or none; such a picture is taken as
    the sensor sees it.
    """

    key: str
    path: Path
    samples: tuple[Sample, ...]
    size: tuple[int, int] | None = None
    limit: int | None = None
    exif: bool = False
    depth: Path | None = None
    camera: Path | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the samples."""
        return tuple(s.key for s in self.samples)

    def limited(self, limit: int) -> ImageGroup:
        """Return the group cut to its first `limit` samples."""
        return replace(self, samples=self.samples[:limit], limit=limit)

    def open(self) -> OpenGroup:
        """Read the image.  Raises EntryError for a missing, broken or wrongly sized file."""
        file, entry = self.samples[0].place
        try:
            image = read_image(self.path)
            if self.exif and self.depth is None:
                image = self._as_annotated(image)
            depth, camera = self._depth_and_camera(image.shape[:2])
        except BadInputError as error:
            raise EntryError(Problem(file, entry, str(error))) from error
        if self.size is not None and image.shape[:2] != self.size:
            height, width = self.size
            raise EntryError(Problem(
                file, entry, f'the image {self.path} is {image.shape[1]}x{image.shape[0]}, '
                             f'its annotations are for {width}x{height}'))
        return OpenGroup(image, self.samples, depth, camera)

    def _depth_and_camera(self, size: tuple[int, ...]
                          ) -> tuple[np.ndarray, Camera] | tuple[None, None]:
        if self.depth is None or self.camera is None:
            return None, None
        from ris_ros.datasets.depth_files import read_camera, read_depth
        return read_depth(self.depth, size), read_camera(self.camera, size)

    def _as_annotated(self, image: np.ndarray) -> np.ndarray:
        """Return the stored picture, turned unless only the stored size fits a mask."""
        value = stored_orientation(self.path, extra='evaluation')
        if value == 1:
            return image
        seen = turned(image, value)
        if seen.shape == image.shape:
            return seen
        for sample in self.samples:
            try:
                shape = sample.mask.load().shape if sample.mask is not None else None
            except BadInputError:   # told when its turn comes
                continue
            if shape in (seen.shape[:2], image.shape[:2]):
                return seen if shape == seen.shape[:2] else image
        return seen


@dataclass(frozen=True)
class ColourGroup:
    """A group whose depth is withheld, so that methods see colour alone."""

    group: Group

    @property
    def key(self) -> str:
        """That of the group."""
        return self.group.key

    @property
    def keys(self) -> tuple[str, ...] | None:
        """Those of the group."""
        return self.group.keys

    @property
    def limit(self) -> int | None:
        """That of the group."""
        return self.group.limit

    def limited(self, limit: int) -> ColourGroup:
        """Return the group cut to its first `limit` samples."""
        return ColourGroup(self.group.limited(limit))

    def open(self) -> OpenGroup:
        """Open the group without its depth.  Raises EntryError."""
        return replace(self.group.open(), depth=None)


@dataclass
class Dataset:
    """Groups of one split, what was left out on reading, and remarks worth printing.

    facts: numbers about the split (references, overlapping masks, share of position words).
    """

    name: str
    split: str
    groups: Sequence[Group]
    problems: Problems = field(default_factory=Problems)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def samples(self) -> Iterator[Sample]:
        """Go through all samples whose group knows them without opening the image."""
        for group in self.groups:
            if isinstance(group, ImageGroup):
                yield from group.samples

    def without_depth(self) -> Dataset:
        """Return the same split with depth withheld."""
        return replace(self, groups=[ColourGroup(group) for group in self.groups])

    def limited(self, limit: int) -> list[Group]:
        """Return the groups that hold the first `limit` samples."""
        groups: list[Group] = []
        left = limit
        for group in self.groups:
            if left <= 0:
                break
            keys = group.keys
            size = len(keys) if keys is not None else len(group.open().samples)
            groups.append(group if size <= left else group.limited(left))
            left -= min(size, left)
        return groups


def read_image(path: Path | str) -> np.ndarray:
    """Read a data set's picture as (H, W, 3) uint8 RGB, as it is stored: masks fit that.

    Raises BadInputError naming the file.
    """
    return read_picture(path, exif=False, extra='evaluation')
