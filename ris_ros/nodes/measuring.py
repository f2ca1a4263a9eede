"""From a segmentation and the stored messages to the final outcome with its 3D target.

Runs on the worker's thread: converting a depth image is work that callbacks must not do.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry import (
    NoDepthError,
    TargetGeometry,
    check_camera,
    depth_to_metres,
    target_geometry,
)
from ris_ros.nodes.messages import camera_from_info, image_to_array
from ris_ros.nodes.parameters import NodeParameters
from ris_ros.service.frames import Frame
from ris_ros.types import BadInputError, Outcome, Segmentation


@dataclass(frozen=True)
class Measurement:
    """The final outcome of a command with its sentence; geometry where there is a target."""

    outcome: Outcome
    message: str
    geometry: TargetGeometry | None = None
    depth_valid_ratio: float | None = None


def measure(segmentation: Segmentation, frame: Frame, want_depth: bool,
            parameters: NodeParameters) -> Measurement:
    """Return the outcome of a segmented frame; never raises for bad depth or intrinsics.

    A mask whose 3D target cannot be measured keeps its 2D outputs; the outcome says why
    there is no point: NO_DEPTH, UNCALIBRATED or DEPTH_MISMATCH.
    """
    found = segmentation.outcome is Outcome.SUCCEEDED_2D
    guess = (segmentation.outcome is Outcome.AMBIGUOUS
             and parameters.ambiguity_policy == 'best')
    plain = Measurement(segmentation.outcome, segmentation.message)
    if not want_depth or not (found or guess):
        return plain
    measured = _measure_depth(segmentation.mask, frame, parameters)
    if guess:  # stays ambiguous, with or without the point of the best guess
        return Measurement(plain.outcome, plain.message, measured.geometry,
                           measured.depth_valid_ratio)
    if measured.outcome is Outcome.SUCCEEDED:
        return Measurement(measured.outcome, segmentation.message, measured.geometry,
                           measured.depth_valid_ratio)
    return measured


def _measure_depth(mask: np.ndarray, frame: Frame, parameters: NodeParameters) -> Measurement:
    if frame.depth is None:
        return Measurement(Outcome.NO_DEPTH, 'no depth image within '
                           f'{parameters.sync_slop_s:g} s of the colour image; '
                           'check the depth topic and sync_slop_s')
    if frame.info is None:
        return Measurement(Outcome.UNCALIBRATED, 'no CameraInfo has arrived; '
                           'remap camera_info to the topic of the colour camera')
    try:
        camera = camera_from_info(frame.info.message)
        check_camera(camera, mask.shape)
    except BadInputError as error:
        return Measurement(Outcome.UNCALIBRATED, str(error))
    try:
        depth_m = depth_to_metres(image_to_array(frame.depth.message),
                                  frame.depth.message.encoding, parameters.depth.unit)
        geometry = target_geometry(mask, depth_m, camera, parameters.geometry())
    except BadInputError as error:
        return Measurement(Outcome.DEPTH_MISMATCH, str(error))
    except NoDepthError as error:
        return Measurement(Outcome.NO_DEPTH, str(error), None, error.valid_ratio)
    return Measurement(Outcome.SUCCEEDED, '', geometry, geometry.valid_ratio)
