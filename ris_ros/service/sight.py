"""What one command is answered on: a frame set, and how its messages are read; no ROS here.

All of it runs on the worker's thread: converting images is work that callbacks must not do.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np

from ris_ros.geometry import check_camera
from ris_ros.service.frames import FrameSet
from ris_ros.service.parameters import NodeParameters
from ris_ros.target import Measurement, Missing, measure_target
from ris_ros.types import BadInputError, Camera, Segmentation, View


class Converter(Protocol):
    """From camera messages to arrays, on the worker's thread.

    Each raises BadInputError for a message that cannot be used, with the reason.
    """

    def rgb(self, image: Any) -> np.ndarray:
        """Return a colour message as (H, W, 3) uint8 RGB."""
        ...

    def depth(self, depth: Any, unit: str) -> np.ndarray:
        """Return a depth message as (H, W) float32 metres, NaN where nothing was measured.

        unit: auto, mm or m, as the parameter `depth.unit`.
        """
        ...

    def camera(self, info: Any) -> Camera:
        """Return the pinhole camera of a CameraInfo message."""
        ...


@dataclass(frozen=True, eq=False)
class Sight:
    """The frame set of one command under the parameters of that moment.

    want_depth: whether a target is asked for; without it depth and intrinsics are not read.
    """

    frames: FrameSet
    want_depth: bool
    parameters: NodeParameters
    converter: Converter

    @property
    def key(self) -> Hashable:
        """What tells this sight's View from others: equal keys, equal views.

        Of the intrinsics it holds the numbers and not the message, which comes anew with every
        image; of depth also the unit that it is read in.
        """
        depth = self.frames.depth if self.want_depth else None
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
            if self.want_depth and self.frames.depth is not None:
                metres = self._metres()
                depth = metres if metres.shape == rgb.shape[:2] else None
        with suppress(BadInputError):
            if self._camera is not None:
                check_camera(self._camera, rgb.shape)
                camera = self._camera
        return View(rgb, depth, camera)

    def measure(self, segmentation: Segmentation, view: View) -> Measurement:
        """Return the final outcome; view: this sight's own, or one of an equal key."""
        return measure_target(segmentation, self._depth_for(view), self._camera_for(view),
                              self.parameters.geometry(), self.parameters.ambiguity_policy)

    def _depth_for(self, view: View
                   ) -> np.ndarray | Callable[[], np.ndarray] | Missing | None:
        if not self.want_depth:
            return None
        if self.frames.depth is None:
            return Missing(f'no depth image within {self.parameters.sync_slop_s:g} s of the '
                           'colour image; check the depth topic and sync_slop_s')
        # What did not fit is converted again, for the reason.
        return self._metres if view.depth is None else view.depth

    def _camera_for(self, view: View) -> Camera | Callable[[], Camera] | Missing:
        if self.frames.info is None:
            return Missing('no CameraInfo has arrived; remap camera_info to the topic of the '
                           'colour camera')
        if view.camera is None:
            return partial(self.converter.camera, self.frames.info.message)
        return view.camera

    def _metres(self) -> np.ndarray:
        assert self.frames.depth is not None
        return self.converter.depth(self.frames.depth.message, self.parameters.depth.unit)

    @cached_property
    def _camera(self) -> Camera | None:
        if not self.want_depth or self.frames.info is None:
            return None
        with suppress(BadInputError):
            return self.converter.camera(self.frames.info.message)
        return None
