"""The box around an object that stands on a plane.  Source: ours."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.orientation import quaternion_of
from ris_ros.geometry.planes import SupportPlane, ground_axes
from ris_ros.types import BadInputError

ANGLES = 90        # footprints that are tried, a degree apart
MOST_POINTS = 2000  # of the cloud that take part
TRIM = 0.01        # share of the readings at each end that is noise
STANDS_M = 0.06    # an object whose lowest reading is no higher stands on the plane
SIDES_M = 0.03     # one that is seen over less height shows its top alone, and is taken to stand


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box with its z axis up from what the object stands on and its longer side along x.

    centre: (3,) float64, metres.  orientation: (4,) quaternion x, y, z, w.  size: (3,) metres
    along the box's own axes, each above 0.
    """

    centre: np.ndarray
    orientation: np.ndarray
    size: np.ndarray


def oriented_box(cloud: np.ndarray, plane: SupportPlane) -> OrientedBox:
    """Return the smallest upright box around what is seen of an object.

    cloud: (M, 3) points of the object in metres, M from 1; plane: what it stands on, in the
    same frame.  The sides that face away from the camera are not seen, so the box may end
    before they do.  It reaches down to the plane unless so much of the object's sides is seen
    that it does not stand there: then it lies on something else or is held.  Raises
    BadInputError for a cloud without points.

    >>> plane = SupportPlane(np.array([0, 0, -1.0]), 1.0, np.zeros(6, np.float32),
    ...                      np.zeros((0, 3)), 1.0, 1.0)
    >>> x, y = np.meshgrid(np.linspace(-0.1, 0.1, 50), np.linspace(-0.02, 0.02, 20))
    >>> box = oriented_box(np.stack([x, y, np.full_like(x, 0.9)], axis=-1).reshape(-1, 3), plane)
    >>> box.size.round(2).tolist(), box.centre.round(2).tolist()
    ([0.2, 0.04, 0.1], [0.0, 0.0, 0.95])
    """
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise BadInputError(f'a box is made around (M, 3) points, not {cloud.shape}')
    points = cloud[::max(len(cloud) // MOST_POINTS, 1)].astype(np.float64)
    right, ahead = ground_axes(plane)
    flat = points @ np.stack([right, ahead], axis=1)
    low, high, turn = _footprint(flat)
    along, across = turn @ np.stack([right, ahead])
    bottom, top = np.quantile(points @ plane.normal + plane.offset, (TRIM, 1 - TRIM))
    if bottom < STANDS_M or top - bottom < SIDES_M:
        bottom = 0.0
    top = max(top, bottom)
    middle, size = (low + high) / 2, high - low
    if size[0] < size[1]:
        along, across, size = across, -along, size[::-1]
        middle = np.array([middle[1], -middle[0]])
    centre = (middle[0] * along + middle[1] * across
              + ((bottom + top) / 2 - plane.offset) * plane.normal)
    return OrientedBox(
        centre, quaternion_of(np.stack([along, across, plane.normal], axis=1)),
        np.maximum([*size, top - bottom], 1e-3))


def _footprint(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return least and greatest (2,) coordinates in the turned axes of the least area, those axes.

    flat: (M, 2).  The axes are the rows of a (2, 2) rotation.
    """
    angles = np.deg2rad(np.arange(ANGLES))
    turns = np.stack([np.stack([np.cos(angles), np.sin(angles)], axis=1),
                      np.stack([-np.sin(angles), np.cos(angles)], axis=1)], axis=1)
    turned = flat @ turns.transpose(0, 2, 1)                # (A, M, 2)
    low, high = np.quantile(turned, (TRIM, 1 - TRIM), axis=1)   # (A, 2) each
    best = int(np.prod(high - low, axis=1).argmin())
    return low[best], high[best], turns[best]
