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
from ris_ros.pictures import open_picture
from ris_ros.types import BadInputError

CONVENTIONS = ('union', 'hole', 'cris')


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

    Raises BadInputError when the run lengths do not add up to the size.
    """
    try:
        height, width = (int(v) for v in rle['size'])
        counts = rle['counts']
        if isinstance(counts, (str, bytes)):
            coco = require('pycocotools.mask', 'evaluation')
            data = counts.encode() if isinstance(counts, str) else counts
            return coco.decode({'size': [height, width], 'counts': data}).astype(bool)
        counts = np.asarray(counts, np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f'run lengths need "size" and "counts" ({error})') from error
    if (counts < 0).any() or counts.sum() != height * width:
        raise BadInputError(
            f'run lengths add up to {counts.sum()}, the size {width}x{height} needs '
            f'{height * width}')
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order='F')


def polygon_faults(polygons: Sequence[Any]) -> list[str]:
    """Say what is wrong with each unusable polygon of [x1, y1, x2, y2, ...] pixel lists."""
    faults = []
    for number, polygon in enumerate(polygons):
        if not isinstance(polygon, (list, tuple, np.ndarray)) or len(polygon) % 2:
            faults.append(f'polygon {number} is no list of x, y pairs')
        elif len(polygon) < 6:
            faults.append(f'polygon {number} has {len(polygon) // 2} points, 3 are needed')
    return faults


def usable_polygons(polygons: Sequence[Any]) -> list[Any]:
    """Return the polygons with at least three points.

    pycocotools would read four numbers as a box, so shorter ones must never reach it.
    """
    return [p for p in polygons
            if isinstance(p, (list, tuple, np.ndarray)) and len(p) >= 6 and len(p) % 2 == 0]


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
    """A mask kept as a picture, any non-zero level being foreground.

    place: file and entry that name it, for messages.
    """

    path: Path
    place: tuple[str, str]

    def load(self) -> np.ndarray:
        """Return the (H, W) bool mask.  Raises EntryError for a missing or broken file."""
        try:
            array = np.asarray(open_picture(self.path, 'the mask', 'evaluation'))
        except BadInputError as error:
            raise EntryError(Problem(*self.place, str(error))) from error
        return np.asarray(array.any(axis=2) if array.ndim == 3 else array != 0)


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
                if len(polygon) >= 2:
                    points = [(int(x), int(y)) for x, y in polygon]
                    draw.polygon(points, outline=1, fill=1)
        return np.asarray(canvas).astype(bool)
