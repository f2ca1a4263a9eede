"""Mask proposals of all training pictures, made once by SAM and kept as bits.

SAM knows no sentence, and no true mask is read.  40 proposals of 32 x 32 take 5 KiB a picture
(160 KiB as bytes, 49 MB as the released code holds them).  A data set has a folder of its own with
one file per PART pictures, written whole or not at all: a run that was killed goes on with the
next part, and a folder of other pictures or of another SAM is refused.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_ros.files import atomic_path, remove_stale, write_json
from ris_ros.lazy import require
from ris_ros.methods.pcnet.settings import PCNetSettings
from ris_ros.models.proposals import Proposals, pixel_counts
from ris_ros.settings import to_mapping
from ris_ros.training.engine.mirror import flipped
from ris_ros.training.pcnet.losses import SIDE
from ris_ros.training.pcnet.pairs import Pictures
from ris_ros.types import BadInputError, View

PART = 50
BYTES = SIDE // 8
# What of the settings decides which proposals there are.
MADE_BY = ('points_per_side', 'pred_iou_thresh', 'stability_score_thresh', 'box_nms_thresh',
           'overlap_nms_thresh', 'min_mask_region_area', 'most_proposals')

Propose = Callable[[View], Proposals]


def stamp_of(keys: Sequence[str], sam_sha256: str, settings: PCNetSettings, shrink: int = 1
             ) -> dict[str, Any]:
    """Return what stored proposals follow from: the pictures in order, SAM and its settings.

    shrink: SAM is shown pictures that many times smaller each way.
    """
    values = to_mapping(settings)
    return {'pictures': len(keys), 'sam': sam_sha256, 'side': SIDE, 'part': PART,
            'shrink': shrink, 'keys': hashlib.sha256('\n'.join(keys).encode()).hexdigest(),
            **{name: values[name] for name in MADE_BY}}


def scaled(settings: PCNetSettings, shrink: int) -> PCNetSettings:
    """Return the settings for pictures that are `shrink` times smaller each way."""
    return replace(settings, min_mask_region_area=settings.min_mask_region_area // shrink ** 2)


def shrunk(rgb: np.ndarray, shrink: int) -> np.ndarray:
    """Return an (H, W, 3) uint8 picture `shrink` times smaller each way, of box means.

    Proposals are kept on a coarse grid, so that SAM's finest edges are made for nothing.
    """
    if shrink == 1:
        return rgb
    image = require('PIL.Image', 'models')
    return np.asarray(image.fromarray(rgb).reduce(shrink))


def stored_proposals(folder: Path, stamp: dict[str, Any], pictures: Pictures,
                     propose: Propose | None) -> np.ndarray:
    """Return the proposals of all pictures, (N, P, SIDE, SIDE / 8) uint8, making what is missing.

    propose: of a SAM; None where all must be there already.  P is `most_proposals`; pictures with
    fewer have empty masks behind.  Raises BadInputError for a folder of something else, for a
    damaged part, and for missing parts without `propose`.
    """
    from tqdm import tqdm
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    _check_stamp(folder, stamp)
    count, most = int(stamp['pictures']), int(stamp['most_proposals'])
    shrink = int(stamp['shrink'])
    least = int(stamp['min_mask_region_area']) // shrink ** 2
    starts = range(0, count, PART)
    missing = [s for s in starts if not _part(folder, s).is_file()]
    if missing and propose is None:
        raise BadInputError(f'{folder} lacks the proposals of pictures {missing[0]} to '
                            f'{min(missing[0] + PART, count) - 1}; make them with: ris train '
                            'pcnet --stage proposals')
    with tqdm(total=count, initial=count - sum(min(PART, count - s) for s in missing),
              desc='proposals', unit='picture', disable=not missing) as bar:
        for start in missing:
            rows = range(start, min(start + PART, count))
            found = np.zeros((len(rows), most, SIDE, BYTES), np.uint8)
            for place, row in enumerate(rows):
                assert propose is not None
                view = View(shrunk(pictures.read(row), shrink))
                found[place] = packed(propose(view), most, least)
                bar.update()
            with atomic_path(_part(folder, start)) as temporary:
                np.save(temporary, found, allow_pickle=False)
    parts = [_read(folder, s, min(PART, count - s), most) for s in starts]
    return np.concatenate(parts)


def packed(found: Proposals, most: int, least_area: int) -> np.ndarray:
    """Return proposals as bits, (most, SIDE, SIDE / 8) uint8: the largest, largest first.

    Masks below `least_area` pixels are dropped, the others brought to SIDE x SIDE by the nearest
    pixel (appendix D; released code).
    """
    areas = pixel_counts(found.masks)
    order = areas.argsort(descending=True, stable=True)
    order = order[areas[order] >= least_area][:most]
    out = np.zeros((most, SIDE, BYTES), np.uint8)
    if len(order):
        height, width = found.masks.shape[1:]
        rows = torch.arange(SIDE, device=order.device) * height // SIDE
        columns = torch.arange(SIDE, device=order.device) * width // SIDE
        small = found.masks[order][:, rows][:, :, columns]
        out[:len(order)] = np.packbits(small.cpu().numpy(), axis=2)
    return out


class Unpacker:
    """Turns bits into masks on the device, without a table or a loop."""

    def __init__(self, device: torch.device | str) -> None:
        self.shift = torch.arange(7, -1, -1, device=device, dtype=torch.uint8)

    def __call__(self, bits: Tensor, mirror: Tensor | None = None) -> Tensor:
        """Return (B, P, SIDE, SIDE) float32 of (B, P, SIDE, SIDE / 8) uint8.

        mirror: (B,) bool, those with left and right exchanged.
        """
        masks = ((bits[..., None] >> self.shift) & 1).flatten(-2).float()
        return masks if mirror is None else flipped(masks, mirror)


def without_empty(bits: Tensor) -> Tensor:
    """Return packed proposals (N, P, SIDE, SIDE / 8) without places that no picture fills."""
    filled = torch.nonzero(bits.flatten(2).any(dim=2).any(dim=0))
    return bits[:, :int(filled.max()) + 1 if len(filled) else 1]


def _part(folder: Path, start: int) -> Path:
    return folder / f'part_{start:07d}.npy'


def _check_stamp(folder: Path, stamp: dict[str, Any]) -> None:
    path = folder / 'stamp.json'
    if not path.exists():
        if any(folder.glob('part_*.npy')):
            raise BadInputError(f'{folder} holds proposals, but not what they were made from; '
                                'remove it')
        write_json(path, stamp)
        return
    try:
        there = json.loads(path.read_text(encoding='utf-8'))
        changed = [k for k in {*stamp, *there} if there.get(k) != stamp.get(k)]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadInputError(f'{path} cannot be read ({error}); remove {folder}') from error
    if changed:
        raise BadInputError(f'{folder} holds proposals of something else (other '
                            f'{", ".join(sorted(changed))}); remove it or give another --work '
                            'folder')


def _read(folder: Path, start: int, count: int, most: int) -> np.ndarray:
    path = _part(folder, start)
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
        if found.shape != (count, most, SIDE, BYTES) or found.dtype != np.uint8:
            raise ValueError(f'its shape is {found.shape}')
    except (OSError, ValueError, EOFError) as error:
        raise BadInputError(f'{path} is damaged ({error}); remove it, it is made again'
                            ) from error
    return found


def count_of(bits: np.ndarray) -> np.ndarray:
    """Return how many proposals each picture has, (N,)."""
    found: np.ndarray = bits.any(axis=(2, 3)).sum(axis=1)
    return found
