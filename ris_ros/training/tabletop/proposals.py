"""
What the small SAM really proposes on training scenes, so that the small CLIP meets its faults.

A proposal is a part of an object, two objects in one, or a piece of the table far more often
than a mask of the simulator with its border moved a little.  Proposals are made once for a
number of scenes and kept in one file, named after the SAM and the settings that made them.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ris_ros.files import atomic_path, sha256_of
from ris_ros.models.options import ProposalSettings
from ris_ros.models.proposals import SamProposer
from ris_ros.profiles import Networks, get_profile
from ris_ros.training.engine.arrays import Mapped, made_once
from ris_ros.training.tabletop.shards import SceneStore
from ris_ros.types import View, WeightsError

GOOD, BAD = 0.75, 0.60    # IoU with the best object: from here on, below
FREE = 0.05               # part of the mask on one object, at most


@dataclass(frozen=True, eq=False)
class KnownProposals:
    """
    Proposals of several scenes with what the simulator knows of each.

    made_by: names the SAM, the settings and the scenes.  packed (N, S * S / 8) uint8, bits of
    the masks, on disk and shared by the processes that draw; scene (N,) int; instance (N,)
    int, the object with the largest IoU; iou (N,) float, that IoU; of (N,) float, the largest
    part of the mask that lies on one object.
    """

    size: int
    made_by: str
    packed: Mapped
    scene: np.ndarray
    instance: np.ndarray
    iou: np.ndarray
    of: np.ndarray

    def mask(self, index: int) -> np.ndarray:
        """Return one mask, (S, S) bool."""
        flat = np.unpackbits(self.packed[index], count=self.size * self.size)
        return flat.reshape(self.size, self.size).astype(bool)

    @cached_property
    def good(self) -> np.ndarray:
        """Indices of masks that show one object, nearly all of it."""
        return np.flatnonzero(self.iou >= GOOD)

    @cached_property
    def bad(self) -> np.ndarray:
        """Indices of masks that show objects, but none as a whole and alone."""
        return np.flatnonzero((self.iou < BAD) & (self.of > FREE))

    @cached_property
    def free(self) -> np.ndarray:
        """Indices of masks of the table."""
        return np.flatnonzero(self.of <= FREE)


def known_proposals(store: SceneStore, scenes: int, size: int, weights: Path | None, cache: Path,
                    device: str) -> KnownProposals:
    """
    Return the proposals of the first `scenes` scenes at size x size, made once.

    weights: folder with tabletop_sam, None for the shipped one.  cache: folder for the file.
    """
    networks = Networks(get_profile('tabletop'), device, 'fp32', weights)
    known = {f.name for f in fields(ProposalSettings)}
    # Spoiled masks are wanted here, so that none goes for a better one it shares much with.
    settings = ProposalSettings(**{**networks.profile.overrides('', known),
                                   'overlap_nms_thresh': 1.0, 'proposals': 'sam'})
    seeds = [truth.seed for truth in store.truths[:scenes]]
    sources = f'{sha256_of(networks.store.verify("tabletop_sam"))} {settings} {seeds}'
    made_by = hashlib.sha256(sources.encode()).hexdigest()[:12]
    name = f'proposals_{made_by}_{seeds[0]}_{scenes}_{size}'
    path = cache / f'{name}.npz'
    if not path.exists():
        found = _propose(networks.proposer(settings), store, min(scenes, len(store)), size)
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **found)
    with np.load(path) as data:
        packed = made_once(cache / name, {'made_by': made_by},
                           lambda create: _unpack(data, create), ('packed',))['packed']
        return KnownProposals(size, made_by, packed, *(data[k] for k in
                                                       ('scene', 'instance', 'iou', 'of')))


def _unpack(data: Mapping[str, np.ndarray], create: dict[str, Callable[..., np.ndarray]]) -> None:
    packed = data['packed']
    create['packed'](packed.shape, packed.dtype)[:] = packed


def _propose(proposer: SamProposer, store: SceneStore, scenes: int, size: int
             ) -> dict[str, np.ndarray]:
    from tqdm import tqdm
    packed, scene, instance, iou, of = [], [], [], [], []
    for s in tqdm(range(scenes), desc='proposing', unit='scene'):
        masks = proposer.propose(View(np.ascontiguousarray(store.color(s)))).masks.cpu().numpy()
        truth = np.asarray(store.instances(s))
        visible = [t.instance for t in store.by_scene[s]]
        if not visible or not len(masks):
            continue
        objects = np.stack([(truth == i).ravel() for i in visible], 1).astype(np.float32)
        flat = masks.reshape(len(masks), -1).astype(np.float32)
        both, area = flat @ objects, flat.sum(1, keepdims=True)
        overlap = both / (area + objects.sum(0) - both)
        for row, mask in enumerate(masks):
            small = cv2.resize(mask.astype(np.uint8), (size, size),
                               interpolation=cv2.INTER_NEAREST)
            if small.any():
                packed.append(np.packbits(small.ravel()))
                scene.append(s)
                instance.append(visible[int(overlap[row].argmax())])
                iou.append(overlap[row].max())
                of.append(both[row].max() / area[row, 0])
    if not packed:
        raise WeightsError('the small SAM proposes nothing on these scenes; train it longer, or '
                           'leave it out of --out so that the shipped one is used')
    return {'packed': np.stack(packed), 'scene': np.array(scene), 'instance': np.array(instance),
            'iou': np.array(iou, np.float32), 'of': np.array(of, np.float32)}
