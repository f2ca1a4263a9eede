"""What is about an object that a hand comes for: its height, its neighbours, the way down to it.

Source: ours.  Only what the camera sees is known: behind tall things there may be more.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.boxes import OrientedBox
from ris_ros.geometry.camera import check_camera, strided
from ris_ros.geometry.orientation import rotate
from ris_ros.geometry.planes import SupportPlane, along, heights
from ris_ros.lazy import require
from ris_ros.types import BadInputError, Camera

STRIDE = 2          # pixels between the readings that are looked at
EDGE_PX = 4         # about the mask, where readings mix the object with what is behind
STANDS_M = 0.012    # above the plane: something stands there
REACH_M = 0.30      # as far as neighbours are looked for
HAND_M = 0.03       # about the footprint that a hand needs free above
OVER_M = 0.01       # higher than the object's top: it is in the way from above
FEWEST = 6          # readings that are something; fewer are noise


@dataclass(frozen=True)
class Surroundings:
    """What is about an object, metres.

    height: of its top above what the plane is.  lifted: of the bottom of its box above the plane,
    0 where it stands on it.  clearance: on the ground from its box to the nearest other thing that
    is seen, REACH_M where there is none so near.  finger_room: (2,) the same beside each of the
    box's two longer faces (towards -y and +y of the box), where the fingers of a hand go that
    closes across its shorter side.  free_above: whether nothing that is seen stands higher than it
    within HAND_M of its box, so that a hand can come straight down.
    """

    height: float
    lifted: float
    clearance: float
    finger_room: tuple[float, float]
    free_above: bool


def surroundings(mask: np.ndarray, depth_m: np.ndarray, camera: Camera, plane: SupportPlane,
                 box: OrientedBox) -> Surroundings:
    """Return what is about the object under a mask.

    mask: (H, W) bool.  depth_m: (H, W) float metres, NaN where nothing was measured.  plane: what
    it stands on.  box: around the object, see `oriented_box`.  Raises BadInputError for an
    unusable camera or sizes that differ.

    >>> plane = SupportPlane(np.array([0, 0, -1.0]), 1.0, np.zeros(6, np.float32),
    ...                      np.zeros((0, 3)), 1.0, 1.0)
    >>> depth, mask = np.full((480, 640), 1.0), np.zeros((480, 640), bool)
    >>> mask[200:280, 280:360], depth[200:280, 280:360] = True, 0.9
    >>> box = OrientedBox(np.array([0, 0, 0.95]), np.array([1.0, 0, 0, 0]),
    ...                   np.array([0.12, 0.12, 0.1]))
    >>> found = surroundings(mask, depth, Camera(600, 600, 319.5, 239.5, 640, 480), plane, box)
    >>> round(found.height, 2), found.clearance, found.free_above
    (0.1, 0.3, True)
    """
    check_camera(camera, mask.shape)
    if depth_m.shape != mask.shape:
        raise BadInputError(f'the depth image is {depth_m.shape}, the mask {mask.shape}; publish '
                            'depth registered to colour')
    cv2 = require('cv2', 'models')
    around = cv2.dilate(mask.view(np.uint8), np.ones((2 * EDGE_PX + 1,) * 2, np.uint8))
    depth, small = strided(depth_m, camera, STRIDE)
    with np.errstate(invalid='ignore'):
        height = heights(plane, depth, small)
        other = (around[::STRIDE, ::STRIDE] == 0) & np.isfinite(height) & (height > STANDS_M)
    up = plane.normal
    axes = [rotate(box.orientation, axis) for axis in np.eye(3)[:2]]
    at = np.stack([along(axis, depth, small)[other] for axis in axes], axis=1) - np.array(
        [axis @ box.centre for axis in axes])
    lifted = float(up @ box.centre + plane.offset - box.size[2] / 2)
    top = lifted + float(box.size[2])
    gaps = np.maximum(np.abs(at) - box.size[:2] / 2, 0)
    near = np.hypot(gaps[:, 0], gaps[:, 1])
    beside = gaps[:, 0] <= 0   # within the length of the box
    high = height[other] > top + OVER_M
    return Surroundings(
        height=top, lifted=max(lifted, 0.0), clearance=_nearest(near),
        finger_room=(_nearest(gaps[beside & (at[:, 1] < 0), 1]),
                     _nearest(gaps[beside & (at[:, 1] > 0), 1])),
        free_above=int((high & (near < HAND_M)).sum()) < FEWEST)


def _nearest(distances: np.ndarray) -> float:
    """Return the distance within which there is something, REACH_M where there is nothing."""
    if len(distances) < FEWEST:
        return REACH_M
    return float(min(np.partition(distances, FEWEST - 1)[FEWEST - 1], REACH_M))
