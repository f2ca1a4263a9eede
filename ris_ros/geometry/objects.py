"""Objects at once, from depth and colour, without any network.  Source: ours.

What stands on a supporting plane is parted into atoms; objects are proposed as unions of them.
Handled: things on flat tops and floors, from above or from low.  Not handled: shelves and bins
(their walls stand on the plane as things do), what is flatter than 4 mm, glass, things that touch
so that neither a step of depth nor a crease runs all along between them.  Where no plane
is found there are no masks, and `problem` says so.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.camera import check_camera
from ris_ros.geometry.foreground import SMOOTH, filled, standing
from ris_ros.geometry.noise import DepthNoise, depth_noise
from ris_ros.geometry.partition import LEAST_PIXELS, partition
from ris_ros.geometry.planes import SupportPlane, along, ground_axes, support_planes
from ris_ros.geometry.uncovered import uncovered
from ris_ros.geometry.unions import distinct, unions
from ris_ros.lazy import require
from ris_ros.types import BadInputError, Camera, View

NEAR_M, FAR_M = 0.15, 2.5   # depth beyond is not looked at
WORKING_WIDTH = 640         # pixels; wider pictures are made smaller
LEAST_READINGS = 1000
CLOSE = 7                   # pixels by which a nearly closed ring is closed
HOLLOW_M = 0.005            # cells of the look from above into a hollow thing
LEAST_HOLLOW = 0.06         # of a mask's area
PATCH_SHARE = 0.06          # of the picture, the largest unmeasured patch that is a thing
PATCH_SCORE = 0.4


@dataclass(frozen=True, eq=False)
class DepthObjects:
    """What depth tells of the things in a view.

    masks: (N, H, W) bool, best first, N may be 0.  scores: (N,) float32 in [0, 1], how surely
    each border is a thing's.  planes: what they stand on, the dominant one first.  noise: of
    the depth.  problem: why there is no mask, in a sentence, empty where there are some.
    uncovered: (H, W) bool, where there may be things that depth cannot tell of, see
    `ris_ros.geometry.uncovered`; all True where no plane was found.
    """

    masks: np.ndarray
    scores: np.ndarray
    planes: tuple[SupportPlane, ...]
    noise: DepthNoise | None
    uncovered: np.ndarray
    problem: str = ''


def objects_from_depth(view: View, limit: int = 40, up: np.ndarray | None = None
                       ) -> DepthObjects:
    """Return masks of the things that stand on the supporting planes of a view.

    view: with depth and camera.  limit: masks at most, the likeliest are kept.  up: (3,) unit
    vector against gravity in the optical frame, where it is known.
    Raises BadInputError for a view without depth or camera, or whose sizes do not fit.

    >>> depth = np.full((480, 640), 0.8, np.float32)
    >>> depth[200:260, 300:380] = 0.72
    >>> rgb = np.zeros((480, 640, 3), np.uint8)
    >>> rgb[200:260, 300:380] = 200
    >>> found = objects_from_depth(View(rgb, depth, Camera(600, 600, 320, 240, 640, 480)))
    >>> len(found.masks), int(found.masks[0].sum())
    (1, 4800)
    >>> objects_from_depth(View(rgb, depth * np.nan, Camera(600, 600, 320, 240, 640, 480))).problem
    'there is hardly any depth between 0.15 and 2.5 m'
    """
    if view.depth is None or view.camera is None:
        raise BadInputError('objects from depth need a depth image and its camera; hand both on, '
                            'or propose masks with SAM')
    check_camera(view.camera, view.size)
    if view.depth.shape != view.size:
        raise BadInputError(f'the depth is {view.depth.shape}, the image {view.size}; register '
                            'depth to colour first')
    rgb, depth, camera = _working(view)
    with np.errstate(invalid='ignore'):
        beyond = (depth >= FAR_M) & np.isfinite(depth)
        depth = np.where((depth > NEAR_M) & (depth < FAR_M), depth, np.nan)
    if np.isfinite(depth).sum() < LEAST_READINGS:
        return _nothing(view, f'there is hardly any depth between {NEAR_M:g} and {FAR_M:g} m')
    raw, smooth = depth_noise(depth), depth_noise(depth, SMOOTH)
    planes = support_planes(depth, camera, raw, up)
    if not planes:
        return _nothing(view, 'no plane is found that things could stand on', noise=raw)
    masks, scores, doubtful = _masks(rgb, depth, beyond, camera, planes, (raw, smooth),
                                     limit)
    doubtful = _enlarged(doubtful[None], view.size)[0]
    if not len(masks):
        return _nothing(view, 'nothing stands on the plane that was found', planes, raw, doubtful)
    return DepthObjects(_enlarged(masks, view.size), scores, planes, raw, doubtful)


def _nothing(view: View, problem: str, planes: tuple[SupportPlane, ...] = (),
             noise: DepthNoise | None = None, doubtful: np.ndarray | None = None
             ) -> DepthObjects:
    return DepthObjects(np.zeros((0, *view.size), bool), np.zeros(0, np.float32), planes, noise,
                        np.ones(view.size, bool) if doubtful is None else doubtful, problem)


def _working(view: View) -> tuple[np.ndarray, np.ndarray, Camera]:
    """Return colour, depth and camera at the working resolution."""
    assert view.depth is not None and view.camera is not None
    height, width = view.size
    if width <= WORKING_WIDTH:
        return view.rgb, view.depth, view.camera
    cv2 = require('cv2', 'models')
    scale = WORKING_WIDTH / width
    size = WORKING_WIDTH, max(1, round(height * scale))
    sx, sy = size[0] / width, size[1] / height
    c = view.camera
    # Pixel centres are at integers.
    camera = Camera(c.fx * sx, c.fy * sy, (c.cx + 0.5) * sx - 0.5, (c.cy + 0.5) * sy - 0.5,
                    *size)
    return (cv2.resize(view.rgb, size, interpolation=cv2.INTER_AREA),
            cv2.resize(view.depth.astype(np.float32), size, interpolation=cv2.INTER_NEAREST),
            camera)


def _enlarged(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if masks.shape[1:] == size:
        return masks
    cv2 = require('cv2', 'models')
    return np.stack([cv2.resize(mask.view(np.uint8), size[::-1],
                                interpolation=cv2.INTER_LINEAR_EXACT
                                if size[1] < masks.shape[2] else cv2.INTER_NEAREST)
                     for mask in masks]) > 0


def _masks(rgb: np.ndarray, depth: np.ndarray, beyond: np.ndarray, camera: Camera,
           planes: tuple[SupportPlane, ...], noise: tuple[DepthNoise, DepthNoise], limit: int
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return masks (N, H, W), scores (N,) and what may be uncovered (H, W).

    beyond: (H, W) bool, what was measured behind FAR_M: the room, and no thing without depth.
    """
    gaps_filled = filled(depth)
    z, ok = gaps_filled[:2]
    known = ok | beyond
    inside, flat = standing(gaps_filled, planes, camera, *noise)
    masks, scores = np.zeros((0, *z.shape), bool), np.zeros(0)
    parts = partition(z, ok, inside, planes[0], camera, *noise, rgb)
    if parts is not None:
        rows, scores = unions(parts)
        rows, scores = rows[:limit], scores[:limit]
        masks = rows[:, parts.atoms]
        hollow, of = _hollows(masks, ok, z, planes[0], camera)
        masks, scores = np.concatenate([masks, hollow]), np.concatenate([scores, scores[of]])
    patches = _patches(known, flat, inside)
    masks = np.concatenate([masks, patches])
    scores = np.concatenate([scores, np.full(len(patches), PATCH_SCORE)])
    if not len(masks):
        return masks, scores.astype(np.float32), uncovered(rgb, known, flat, inside, masks)
    order = np.argsort(-scores, kind='stable')
    masks, scores = masks[order], scores[order]
    coarse = masks[:, ::2, ::2].reshape(len(masks), -1).astype(np.float32)
    shared, size = coarse @ coarse.T, coarse.sum(axis=1)
    keep = distinct(shared / np.maximum(size[:, None] + size - shared, 1))[:limit]
    masks = masks[keep]
    return masks, scores[keep].astype(np.float32), uncovered(rgb, known, flat, inside, masks)


def _hollows(masks: np.ndarray, ok: np.ndarray, z: np.ndarray, plane: SupportPlane,
             camera: Camera) -> tuple[np.ndarray, list[int]]:
    """Return masks with rings closed and hollows filled, and which ones they come from."""
    cv2 = require('cv2', 'models')
    ground = [along(axis, z, camera) for axis in ground_axes(plane)]
    found, of = [], []
    for i, mask in enumerate(masks):
        x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
        box = slice(y, y + h), slice(x, x + w)
        part = np.ascontiguousarray(mask[box])
        contours = cv2.findContours(part.view(np.uint8), cv2.RETR_EXTERNAL,
                                    cv2.CHAIN_APPROX_SIMPLE)[0]
        hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
        if hull < 1.12 * part.sum():
            continue  # nothing to fill
        for more in (_closed(part), _footprint(part, ok[box], [axis[box] for axis in ground])):
            if more.sum() >= LEAST_HOLLOW * part.sum():
                whole = mask.copy()
                whole[box] |= more
                found.append(whole)
                of.append(i)
    return np.stack(found) if found else np.zeros((0, *z.shape), bool), of


def _closed(part: np.ndarray) -> np.ndarray:
    """Return what a mask nearly encloses."""
    cv2 = require('cv2', 'models')
    pad = CLOSE + 1
    framed = np.pad(part, pad).view(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * CLOSE + 1,) * 2)
    closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, disc)
    _, label = cv2.connectedComponents(1 - closed, connectivity=4)
    more = ((label != label[0, 0]) & (framed == 0)).astype(np.uint8)
    more = cv2.morphologyEx(more, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0
    return more[pad:-pad, pad:-pad]


def _footprint(part: np.ndarray, ok: np.ndarray, ground: list[np.ndarray]) -> np.ndarray:
    """Return what lies within the outline of a mask on the ground: the bottom of a container."""
    cv2 = require('cv2', 'models')
    none, own = np.zeros(part.shape, bool), part & ok
    if own.sum() < 50:
        return none
    middle = [float(np.median(axis[own])) for axis in ground]
    for axis, centre in zip(ground, middle, strict=True):
        own = own & (np.abs(axis - centre) < 0.25)
    if own.sum() < 50:
        return none
    cells = [np.clip((axis - axis[own].min()) / HOLLOW_M, -1e4, 1e4).astype(np.int32)
             for axis in ground]
    sizes = [int(cell[own].max()) + 1 for cell in cells]
    points = np.stack([cell[own] for cell in cells], axis=1).reshape(-1, 1, 2)
    picture = np.zeros((sizes[1] + 4, sizes[0] + 4), np.uint8)
    cv2.fillConvexPoly(picture, cv2.convexHull(points) + 2, 1)
    inner = cv2.erode(picture, np.ones((5, 5), np.uint8)) > 0
    near = ok & ~part
    for cell, size in zip(cells, sizes, strict=True):
        near &= (cell >= 0) & (cell < size)
    more = none.copy()
    more[near] = inner[cells[1][near] + 2, cells[0][near] + 2]
    for operation, size in ((cv2.MORPH_CLOSE, 7), (cv2.MORPH_OPEN, 5)):
        more = cv2.morphologyEx(more.view(np.uint8), operation,
                                np.ones((size, size), np.uint8)) > 0
    return more & ~part


def _patches(ok: np.ndarray, flat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return unmeasured patches ringed by a plane: dark, shiny or glassy things, (N, H, W).

    ok: (H, W) bool, where anything was measured, however far.
    """
    cv2 = require('cv2', 'models')
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    holes = cv2.morphologyEx((~ok).view(np.uint8), cv2.MORPH_OPEN, disc)
    count, label, stats, _ = cv2.connectedComponentsWithStats(holes, connectivity=4)
    found = []
    for i in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[i])
        if not LEAST_PIXELS <= area <= PATCH_SHARE * ok.size:
            continue
        box = slice(max(y - 6, 0), y + h + 6), slice(max(x - 6, 0), x + w + 6)
        own = label[box] == i
        ring = (cv2.dilate(own.view(np.uint8), np.ones((9, 9), np.uint8)) > 0) & ~own
        on = float((ring & flat[box]).sum())
        if on >= 0.25 * ring.sum() and on + (ring & inside[box]).sum() >= 0.6 * ring.sum():
            whole = np.zeros(ok.shape, bool)
            whole[box] = own
            found.append(whole)
    return np.stack(found) if found else np.zeros((0, *ok.shape), bool)
