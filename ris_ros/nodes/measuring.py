"""From a segmentation and the stored messages to the final outcome with its 3D target.

Runs on the worker's thread: converting a depth image is work that callbacks must not do.
"""
from __future__ import annotations

from functools import partial

import numpy as np

from ris_ros.geometry import depth_to_metres
from ris_ros.nodes.messages import camera_from_info, image_to_array
from ris_ros.nodes.parameters import NodeParameters
from ris_ros.service.frames import Frame
from ris_ros.target import Measurement, Missing, measure_target
from ris_ros.types import Segmentation


def measure(segmentation: Segmentation, frame: Frame, want_depth: bool,
            parameters: NodeParameters) -> Measurement:
    """Return the outcome of a segmented frame; never raises for bad depth or intrinsics."""
    depth = (Missing(f'no depth image within {parameters.sync_slop_s:g} s of the colour image; '
                     'check the depth topic and sync_slop_s') if frame.depth is None
             else partial(_metres, frame.depth.message, parameters.depth.unit))
    camera = (Missing('no CameraInfo has arrived; remap camera_info to the topic of the colour '
                      'camera') if frame.info is None
              else partial(camera_from_info, frame.info.message))
    return measure_target(segmentation, depth if want_depth else None, camera,
                          parameters.geometry(), parameters.ambiguity_policy)


def _metres(message: object, unit: str) -> np.ndarray:
    image = image_to_array(message)  # type: ignore[arg-type]
    return depth_to_metres(image, message.encoding, unit)  # type: ignore[attr-defined]
