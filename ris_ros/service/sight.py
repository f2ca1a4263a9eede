"""What one command is answered on: a frame set, and how its messages are read; no ROS here.

All of it runs on the worker's thread: converting images is work that callbacks must not do.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np

from ris_ros.geometry import (
    Calibration,
    Judgement,
    check_camera,
    judge_calibration,
    unit_hint,
)
from ris_ros.service.detail import Detail, detail_of
from ris_ros.service.frames import FrameSet, Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.target import Measurement, Missing, measure_target
from ris_ros.types import BadInputError, Camera, Outcome, Segmentation, View


class Converter(Protocol):
    """From camera messages to arrays, on the worker's thread.

    Each raises BadInputError for a message that cannot be used, with the reason.
    """

    def rgb(self, image: Any) -> np.ndarray:
        """Return a colour message as (H, W, 3) uint8 RGB."""
        ...

    def depth(self, depth: Any, unit: str) -> np.ndarray:
        """Return a depth message as (H, W) float32 metres, NaN where nothing was measured.

        unit: auto or one of `ris_ros.geometry.UNITS`, as the parameter `depth.unit`.
        """
        ...

    def depth_unit(self, depth: Any, unit: str) -> str:
        """Return the unit that a depth message is read in under the parameter `depth.unit`."""
        ...

    def camera(self, info: Any) -> Camera:
        """Return the pinhole camera of a CameraInfo message, of the picture that comes with it."""
        ...

    def calibration(self, info: Any) -> Calibration:
        """Return all that a CameraInfo message says, of the full image."""
        ...


@dataclass(frozen=True, eq=False)
class Sight:
    """The frame set of one command under the parameters of that moment.

    want_depth: whether a target is asked for; without it depth and intrinsics are not read.
    want_detail: whether somebody looks at boxes and the places of candidates.
    image_topic: the name of the colour topic, which may say whether images are rectified.
    """

    frames: FrameSet
    want_depth: bool
    parameters: NodeParameters
    converter: Converter
    image_topic: str = ''
    want_detail: bool = False

    @property
    def key(self) -> Hashable:
        """What tells this sight's View from others: equal keys, equal views.

        Pictures and depth are compared by what they hold, of the intrinsics the numbers and not
        the message, which comes anew with every image; of depth also the unit it is read in.
        """
        depth = self._depth
        return (self.frames.image.identity,
                None if depth is None else (depth.identity, self.parameters.depth.unit),
                self._camera)

    def view(self) -> View:
        """Convert the messages; raises BadInputError for a colour image that cannot be used.

        Depth and camera are handed on only where they fit the colour image; why they do not
        is told by `measure`, to whom it matters.
        """
        rgb = self.converter.rgb(self.frames.image.message)
        depth, camera = None, None
        with suppress(BadInputError):
            if self._depth is not None:
                metres = self._metres()
                depth = metres if metres.shape == rgb.shape[:2] else None
        with suppress(BadInputError):
            if self._camera is not None:
                check_camera(self._camera, rgb.shape)
                camera = self._camera
        return View(rgb, depth, camera)

    def measure(self, segmentation: Segmentation, view: View) -> Measurement:
        """Return the final outcome; view: this sight's own, or one of an equal key."""
        measured = measure_target(segmentation, self._depth_for(view), self._camera_for(view),
                                  self.parameters.geometry(), self.parameters.ambiguity_policy)
        if measured.outcome is not Outcome.NO_DEPTH or view.depth is None:
            return measured
        assert self.frames.depth is not None
        read_in = self.converter.depth_unit(self.frames.depth.message, self.parameters.depth.unit)
        hint = unit_hint(view.depth, segmentation.mask, read_in, self.parameters.depth.min_m,
                         self.parameters.depth.max_m)
        return replace(measured, message=f'{measured.message}; {hint}') if hint else measured

    def detail(self, segmentation: Segmentation, measured: Measurement, view: View) -> Detail:
        """Return what is told beyond the target; view: as for `measure`."""
        return detail_of(segmentation, measured, view, self.parameters.geometry(),
                         self.want_detail)

    @property
    def notes(self) -> tuple[str, ...]:
        """What makes a target doubtful, one sentence each."""
        if not self.want_depth or self.frames.info is None:
            return ()
        notes = self._judgement.doubts
        if not self.frames.image.frame_id:
            notes += ('the images name no frame (header.frame_id is empty), so that the target '
                      'cannot be transformed',)
        if self._camera is None or self.parameters.check_calibration:
            return notes
        return (self._judgement.fault, *notes) if self._judgement.fault else notes

    # ---- depth ---------------------------------------------------------------------------

    @property
    def _depth(self) -> Stamped | None:
        """The depth message where it may be used with the colour image."""
        depth = self.frames.depth if self.want_depth else None
        return None if depth is None or self._stranger(depth, 'depth image') else depth

    def _depth_for(self, view: View
                   ) -> np.ndarray | Callable[[], np.ndarray] | Missing | None:
        if not self.want_depth:
            return None
        if self.frames.depth is None:
            return Missing(f'no depth image within {self.parameters.sync_slop_s:g} s of the '
                           'colour image; check the depth topic and sync_slop_s')
        # What did not fit is converted again, for the reason.
        return self._metres if view.depth is None else view.depth

    def _metres(self) -> np.ndarray:
        assert self.frames.depth is not None
        stranger = self._stranger(self.frames.depth, 'depth image')
        if stranger:
            raise BadInputError(f'{stranger}; use depth registered to the colour image '
                                '(aligned_depth_to_color), or set match_frame_ids to false if '
                                'it is and the driver names another frame')
        return self.converter.depth(self.frames.depth.message, self.parameters.depth.unit)

    def _stranger(self, other: Stamped, name: str) -> str | None:
        """Say that a message is not of the colour camera's frame, None where it is."""
        theirs, ours = other.frame_id.lstrip('/'), self.frames.image.frame_id.lstrip('/')
        if not self.parameters.match_frame_ids or theirs == ours:
            return None
        return (f'the {name} is in the frame {other.frame_id!r}, the colour image in '
                f'{self.frames.image.frame_id!r}')

    # ---- intrinsics ----------------------------------------------------------------------

    def _camera_for(self, view: View) -> Camera | Callable[[], Camera] | Missing:
        if self.frames.info is None:
            return Missing('no CameraInfo has arrived; remap camera_info to the topic of the '
                           'colour camera')
        if self._camera_fault:
            return Missing(self._camera_fault)
        if view.camera is None:
            return partial(self.converter.camera, self.frames.info.message)
        return view.camera

    @cached_property
    def _camera(self) -> Camera | None:
        if not self.want_depth or self.frames.info is None or self._camera_fault:
            return None
        with suppress(BadInputError):
            return self.converter.camera(self.frames.info.message)
        return None

    @cached_property
    def _camera_fault(self) -> str | None:
        """Why a camera that could be computed with may not be used."""
        assert self.frames.info is not None
        stranger = self._stranger(self.frames.info, 'CameraInfo')
        if stranger:
            return (f'{stranger}; remap camera_info to the topic of the colour camera, or set '
                    'match_frame_ids to false if the driver names another frame')
        return self._judgement.fault if self.parameters.check_calibration else None

    @cached_property
    def _judgement(self) -> Judgement:
        assert self.frames.info is not None
        try:
            calibration = self.converter.calibration(self.frames.info.message)
        except BadInputError:  # told where the camera is asked for
            return Judgement()
        return judge_calibration(calibration, says_raw(self.image_topic))


def says_raw(topic: str) -> bool | None:
    """Say whether a topic's name means a raw image, None where it says nothing.

    >>> says_raw('/camera/color/image_raw'), says_raw('/camera/image_rect_color')
    (True, False)
    """
    name = topic.rsplit('/', 1)[-1]
    if 'rect' in name:
        return False
    return True if 'raw' in name else None
