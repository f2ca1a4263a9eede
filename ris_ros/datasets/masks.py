"""Masks from polygons and run lengths, in the three conventions of the field.

Objects are annotated as lists of polygons.  Where two polygons of one object overlap, code
bases differ: `union` (IteRPrimE) keeps the overlap, `hole` (LAVT, GL-CLIP, TRIS, PCNet: the
sum over polygons compared with 1) turns it into background, `cris` (CRIS, ETRIS, CGFormer:
the sum times 255 as uint8) keeps it, with the grey level 254 where the others see 1.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.base import EntryError, Problem
from ris_ros.lazy import require
from ris_ros.pictures import MAX_PIXELS, MAX_SIDE, open_picture, orientation, turned
from ris_ros.types import BadInputError

CONVENTIONS = ('union', 'hole', 'cris')
MAX_COORDINATE = 1e6   # pixels


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths of an (H, W) bool mask as COCO writes them: column-major, zeros first."""
    flat = np.asarray(mask, bool).ravel(order='F')
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    counts = np.diff(bounds).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {'size': [int(mask.shape[0]), int(mask.shape[1])], 'counts': counts}


def decode_rle(rle: Mapping[str, Any]) -> np.ndarray:
    """Return the (H, W) bool mask of COCO run lengths, as a list or compressed as a string.

    Raises BadInputError for a size that no picture has (`pictures.MAX_SIDE`, `MAX_PIXELS`) and
    when the run lengths do not add up to the size.
    """
    height, width, counts = _checked_runs(rle)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order='F')


def rle_fault(rle: Mapping[str, Any]) -> str | None:
    """Say what is wrong with COCO run lengths, None where `decode_rle` takes them."""
    try:
        _checked_runs(rle)
    except BadInputError as error:
        return str(error)
    return None


def _checked_runs(rle: Mapping[str, Any]) -> tuple[int, int, np.ndarray]:
    """Return height, width and (R,) int64 run lengths that add up to them."""
    try:
        height, width = (int(v) for v in rle['size'])
        said = rle['counts']
        counts = _uncompressed(said) if isinstance(said, (str, bytes)) \
            else np.asarray(said, np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f'run lengths need "size" and "counts" ({error})') from error
    if fault := size_fault(height, width):
        raise BadInputError(f'run lengths: {fault}')
    if counts.ndim != 1 or (counts < 0).any() or (counts > height * width).any() \
            or counts.sum() != height * width:
        raise BadInputError(
            f'run lengths add up to {counts.sum()}, the size {width}x{height} needs '
            f'{height * width}')
    return height, width, counts


def _uncompressed(text: str | bytes) -> np.ndarray:
    """Return (R,) run lengths of COCO's compressed form.

    Groups of five bits above code 48, the least first, bit 5 saying that more follow; from the
    fourth number on, the difference to the one before the last.  Raises ValueError.
    """
    data = text.encode('ascii') if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for code in data:
        bits = code - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError('they are no compressed run lengths')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError('they are cut short')
    return np.asarray(counts, np.int64)


def size_fault(height: Any, width: Any) -> str | None:
    """Say why a picture cannot have this size in pixels, None where it can."""
    if not all(isinstance(v, (int, np.integer)) and v > 0 for v in (height, width)):
        return f'the size {width}x{height} is none of a picture'
    if max(height, width) > MAX_SIDE or int(height) * int(width) > MAX_PIXELS:
        return f'the size {width}x{height} is larger than pictures may be'
    return None


def polygon_faults(polygons: Sequence[Any]) -> list[str]:
    """Say what is wrong with each unusable polygon of [x1, y1, x2, y2, ...] pixel lists."""
    return [f'polygon {number} {fault}' for number, polygon in enumerate(polygons)
            if (fault := _polygon_fault(polygon)) is not None]


def _polygon_fault(polygon: Any) -> str | None:
    try:
        numbers = np.asarray(polygon, np.float64) \
            if isinstance(polygon, (list, tuple, np.ndarray)) else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or numbers.ndim != 1 or len(numbers) % 2:
        return 'is no list of x, y pairs'
    if len(numbers) < 6:
        return f'has {len(numbers) // 2} points, 3 are needed'
    # beyond this the rasteriser's whole numbers overflow
    if not (np.abs(numbers) <= MAX_COORDINATE).all():
        return 'has a coordinate that is no number or far outside'
    return None


def usable_polygons(polygons: Sequence[Any]) -> list[Any]:
    """Return the polygons without a fault.

    pycocotools would read four numbers as a box, so shorter ones must never reach it.
    """
    return [p for p in polygons if _polygon_fault(p) is None]


def _polygon_rles(polygons: Sequence[Any], height: int, width: int) -> list[Any]:
    coco = require('pycocotools.mask', 'evaluation')
    lists = [np.asarray(p, np.float64).tolist() for p in usable_polygons(polygons)]
    return coco.frPyObjects(lists, height, width) if lists else []


def decode_levels(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Sum over the polygons of one object, (H, W) uint8: refer's getMask, 2 in overlaps."""
    if isinstance(segmentation, Mapping):
        return decode_rle(segmentation).astype(np.uint8)
    rles = _polygon_rles(segmentation, height, width)
    if not rles:
        return np.zeros((height, width), np.uint8)
    coco = require('pycocotools.mask', 'evaluation')
    return coco.decode(rles).sum(axis=2, dtype=np.uint8)


def decode(segmentation: Any, height: int, width: int, convention: str = 'union') -> np.ndarray:
    """Return the (H, W) bool mask of a COCO segmentation in one of CONVENTIONS."""
    levels = decode_levels(segmentation, height, width)
    if convention == 'hole':
        return levels == 1
    if convention == 'cris':
        return cris_levels(levels) > 0
    if convention == 'union':
        return levels > 0
    raise BadInputError(f'{convention!r} is no mask convention; take one of '
                        f'{", ".join(CONVENTIONS)}')


def cris_levels(levels: np.ndarray) -> np.ndarray:
    """Grey levels of the CRIS family, (H, W) uint8: 255 for one polygon, 254 for two."""
    return (levels.astype(np.int64) * 255).astype(np.uint8)


def has_overlap(segmentation: Any, height: int, width: int) -> bool:
    """Whether polygons of one object overlap, so that the conventions differ."""
    if isinstance(segmentation, Mapping) or len(segmentation) < 2:
        return False
    boxes = np.array([[*np.min(xy, 0), *np.max(xy, 0)] for xy in (
        np.asarray(p, np.float64).reshape(-1, 2) for p in usable_polygons(segmentation))])
    if len(boxes) < 2 or not _any_boxes_meet(boxes):   # spares most objects the rasteriser
        return False
    coco = require('pycocotools.mask', 'evaluation')
    rles = _polygon_rles(segmentation, height, width)
    return int(coco.area(rles).sum()) != int(coco.area(coco.merge(rles)))


def _any_boxes_meet(boxes: np.ndarray) -> bool:
    first, second = np.triu_indices(len(boxes), 1)
    a, b = boxes[first], boxes[second]
    meet = ((a[:, :2] <= b[:, 2:] + 1) & (b[:, :2] <= a[:, 2:] + 1)).all(axis=1)
    return bool(meet.any())


@dataclass(frozen=True, eq=False)
class CocoMask:
    """A mask kept as COCO polygons or run lengths until it is needed."""

    segmentation: Any
    height: int
    width: int
    convention: str = 'union'

    def load(self) -> np.ndarray:
        """Return the (H, W) bool mask."""
        return decode(self.segmentation, self.height, self.width, self.convention)


@dataclass(frozen=True)
class FileMask:
    """A mask kept as a picture; foreground is what shows in any colour but black.

    A palette stands for its colours, and what is wholly transparent or no number is background.
    place: file and entry that name it, for messages.  exif: turn it as its own EXIF orientation
    says.
    """

    path: Path
    place: tuple[str, str]
    exif: bool = False

    def load(self) -> np.ndarray:
        """Return the (H, W) bool mask.

        Raises EntryError for a missing or broken file, and for one whose alpha alone draws the
        object: whether it is what is opaque or what is not, nobody can tell.
        """
        try:
            picture = open_picture(self.path, 'the mask', 'evaluation')
            mask = _foreground(picture)
        except (BadInputError, ValueError, OSError, MemoryError) as error:
            raise EntryError(Problem(*self.place, str(error))) from error
        return turned(mask, orientation(picture)) if self.exif else mask


def _foreground(picture: Any) -> np.ndarray:
    """Return the (H, W) bool foreground of a decoded mask picture.  Raises BadInputError."""
    has_alpha = picture.mode[-1] in 'Aa' or 'transparency' in picture.info
    if has_alpha:
        picture = picture.convert('RGBA')
    elif picture.mode == 'P':
        picture = picture.convert('RGB')
    elif picture.mode not in ('1', 'L', 'RGB') and picture.mode[0] not in 'IF':
        picture = picture.convert('RGB')   # CMYK and such: zero is no black there
    array = np.nan_to_num(np.asarray(picture))
    if not has_alpha:
        return np.asarray(array.any(axis=2) if array.ndim == 3 else array != 0)
    opaque = array[:, :, 3] > 0
    colour = array[:, :, :3].any(axis=2)
    if opaque.any() and not opaque.all() and not (colour & opaque).any():
        raise BadInputError('the mask draws its object by transparency alone; save it in '
                            'black and white')
    return np.asarray(colour & opaque)


@dataclass(frozen=True, eq=False)
class FilledPolygons:
    """PhraseCut's true mask: every polygon of every instance filled, vertices truncated.

    instances: per instance its polygons, each a list of [x, y].  The fill and the outline
    are drawn with Pillow as the data set's own tool does (sheet, section 1.5).
    """

    instances: Sequence[Sequence[Any]]
    height: int
    width: int

    def load(self) -> np.ndarray:
        """Return the (H, W) bool union over all instances."""
        pil = require('PIL.Image', 'evaluation')
        draw_module = require('PIL.ImageDraw', 'evaluation')
        canvas = pil.new('L', (self.width, self.height), 0)
        draw = draw_module.Draw(canvas)
        for polygons in self.instances:
            for polygon in polygons:
                if drawable(polygon):
                    points = [(int(x), int(y)) for x, y in polygon]
                    draw.polygon(points, outline=1, fill=1)
        return np.asarray(canvas).astype(bool)


def drawable(polygon: Any) -> bool:
    """Whether a PhraseCut polygon is two or more finite [x, y], which its tool would draw."""
    try:
        points = np.asarray(polygon, np.float64)
    except (TypeError, ValueError):
        return False
    return points.ndim == 2 and points.shape[1] == 2 and len(points) >= 2 and bool(
        (np.abs(points) <= MAX_COORDINATE).all())
