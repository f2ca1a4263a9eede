"""From a segmentation with depth and a camera to the final outcome; the one place that decides.

The node and the command line both end here, so that the same mask over the same depth ends the
same way whoever asks.  No ROS, numpy only.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ris_ros.geometry import (
    GeometrySettings,
    NoDepthError,
    OrientedBox,
    Surroundings,
    TargetGeometry,
    check_camera,
    oriented_box,
    support_planes,
    surroundings,
    target_geometry,
)
from ris_ros.types import BadInputError, Camera, Outcome, Segmentation

AMBIGUITY_POLICIES = ('report', 'best')


@dataclass(frozen=True)
class Missing:
    """In place of depth or a camera that should be there: one sentence that says why not."""

    reason: str


@dataclass(frozen=True, eq=False)
class TargetPlace:
    """How the target stands in the room.

    box: upright around it; a hand that comes from above closes along the box's y axis, across its
    shorter side.  about: its height above the plane, and what is beside and above it.
    """

    box: OrientedBox
    about: Surroundings


def place_of_target(mask: np.ndarray, geometry: TargetGeometry, depth: np.ndarray, camera: Camera
                    ) -> TargetPlace | None:
    """Return how a measured target stands in the room, None where no plane is found below it.

    mask: (H, W) bool.  geometry: what was measured under it.  depth: (H, W) float metres, NaN
    where nothing was measured.  Raises BadInputError for a camera or sizes that do not fit.
    """
    plane = next(iter(support_planes(depth, camera, limit=1)), None)
    if plane is None:
        return None
    box = oriented_box(geometry.cloud, plane)
    return TargetPlace(box, surroundings(mask, depth, camera, plane, box))


@dataclass(frozen=True, eq=False)
class Measurement:
    """The final outcome of a command with its sentence.

    geometry: the 3D target, None where there is none.  depth_valid_ratio: share of the eroded
    mask with valid depth in [0, 1], None where no depth was looked at.
    """

    outcome: Outcome
    message: str
    geometry: TargetGeometry | None = None
    depth_valid_ratio: float | None = None


def measure_target(segmentation: Segmentation,
                   depth: np.ndarray | Callable[[], np.ndarray] | Missing | None,
                   camera: Camera | Callable[[], Camera] | Missing,
                   settings: GeometrySettings | None = None,
                   ambiguity_policy: str = 'report') -> Measurement:
    """Return the final outcome; never raises for depth or a camera that cannot be used.

    segmentation: its mask is (H, W) bool.  depth: (H, W) float metres registered to the colour
    image with NaN where nothing was measured; or what gives it when it is needed; or Missing;
    or None where nobody asked for a target.  camera: the pinhole camera of the colour image, or
    what gives it, or Missing.  ambiguity_policy: from AMBIGUITY_POLICIES; 'best' measures the
    first guess of an ambiguous sentence too, whose outcome stays AMBIGUOUS.

    What was found (SUCCEEDED_2D) becomes SUCCEEDED where the target could be measured.  Else
    the mask keeps its 2D outputs and the outcome says why there is no point: NO_DEPTH
    (missing, or too little of it under the mask), UNCALIBRATED (no usable camera) or
    DEPTH_MISMATCH (depth that cannot be read or does not lie on the image).  A callable tells
    so by raising BadInputError.  Other outcomes pass through; other errors are not caught.
    """
    if ambiguity_policy not in AMBIGUITY_POLICIES:
        raise BadInputError(f'ambiguity policy {ambiguity_policy!r} is unknown; choose '
                            f'{" or ".join(AMBIGUITY_POLICIES)}')
    found = segmentation.outcome is Outcome.SUCCEEDED_2D
    guess = segmentation.outcome is Outcome.AMBIGUOUS and ambiguity_policy == 'best'
    if depth is None or not (found or guess):
        return Measurement(segmentation.outcome, segmentation.message)
    measured = _measured(segmentation.mask, depth, camera, settings or GeometrySettings())
    if guess or measured.outcome is Outcome.SUCCEEDED:
        # A guess stays ambiguous, with or without the point.
        outcome = segmentation.outcome if guess else measured.outcome
        return Measurement(outcome, segmentation.message, measured.geometry,
                           measured.depth_valid_ratio)
    return measured


def _measured(mask: np.ndarray, depth: np.ndarray | Callable[[], np.ndarray] | Missing,
              camera: Camera | Callable[[], Camera] | Missing, settings: GeometrySettings
              ) -> Measurement:
    if isinstance(depth, Missing):
        return Measurement(Outcome.NO_DEPTH, depth.reason)
    if isinstance(camera, Missing):
        return Measurement(Outcome.UNCALIBRATED, camera.reason)
    try:
        pinhole = camera if isinstance(camera, Camera) else camera()
        check_camera(pinhole, mask.shape)
    except BadInputError as error:
        return Measurement(Outcome.UNCALIBRATED, str(error))
    try:
        metres = depth if isinstance(depth, np.ndarray) else depth()
        geometry = target_geometry(mask, metres, pinhole, settings)
    except BadInputError as error:
        return Measurement(Outcome.DEPTH_MISMATCH, str(error))
    except NoDepthError as error:
        return Measurement(Outcome.NO_DEPTH, str(error), None, error.valid_ratio)
    return Measurement(Outcome.SUCCEEDED, '', geometry, geometry.valid_ratio)
