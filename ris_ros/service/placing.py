"""From the camera's frame to the frame that targets are wanted in; no ROS here.

The transform is that of the image's own time, never the newest one: a robot that has moved
since would reach beside the object.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ris_ros.geometry import RigidTransform, TargetGeometry, orientation_quaternion
from ris_ros.service.frames import Stamped
from ris_ros.service.worker import Reply
from ris_ros.target import Measurement
from ris_ros.types import Outcome

DOWN = (0.0, 0.0, -1.0)   # in frames whose z axis is up (REP-103), as those of robots and maps


class Frames(Protocol):
    """Where transforms come from; tf2 in the node."""

    def transform(self, target: str, image: Stamped) -> RigidTransform | str:
        """Return the transform from the image's frame at its stamp, or why there is none yet."""
        ...


@dataclass
class Placing:
    """The transform that one command's target needs, looked for from its start on.

    target: the frame that is wanted, empty for that of the image.
    """

    frames: Frames
    target: str
    image: Stamped
    found: RigidTransform | None = None
    reason: str = ''

    @property
    def needed(self) -> bool:
        """Whether the target is wanted in another frame than the image's."""
        return bool(self.target) and self.target.lstrip('/') != self.image.frame_id.lstrip('/')

    @staticmethod
    def concerns(reply: Reply) -> bool:
        """Say whether a reply holds anything that has a place."""
        measured = (reply.measured, reply.destination, *reply.others)
        return any(m is not None and m.geometry is not None for m in measured) or bool(
            reply.detail.points)

    def look(self) -> bool:
        """Look for the transform; say whether nothing is missing any more."""
        if self.needed and self.found is None:
            if not self.image.frame_id:
                self.reason = 'the images name no frame (header.frame_id is empty)'
                return False
            answer = self.frames.transform(self.target, self.image)
            if isinstance(answer, str):
                self.reason = answer
                return False
            self.found = answer
        return True

    def placed(self, reply: Reply, orientation: str) -> Reply:
        """Return the reply with its target in the wanted frame, or without a target.

        orientation: the pose's policy; what is said of axes is meant of the wanted frame.
        Where the transform is missing the outcome is TF_ERROR; that of a guess stays AMBIGUOUS.
        """
        if not self.needed or reply.measured is None:
            return reply
        if self.found is not None:
            transform = self.found

            def moved(measured: Measurement) -> Measurement:
                geometry = measured.geometry
                return measured if geometry is None else replace(
                    measured, geometry=turned(geometry, transform, orientation))

            goal = reply.destination
            return replace(reply, frame_id=self.target, measured=moved(reply.measured),
                           others=tuple(moved(m) for m in reply.others),
                           destination=None if goal is None else moved(goal),
                           detail=reply.detail.placed(transform))
        return self._without_target(reply, reply.measured)

    def _without_target(self, reply: Reply, measured: Measurement) -> Reply:
        if not self.concerns(reply):
            return reply
        why = f'no transform from {self.image.frame_id!r} to {self.target!r}: {self.reason}'
        outcome, message, notes = measured.outcome, measured.message, reply.notes
        if outcome is Outcome.SUCCEEDED:
            outcome, message = Outcome.TF_ERROR, f'{why}; the mask is right'
        else:
            notes = (*notes, why)
        goal = reply.destination
        return replace(reply, measured=replace(measured, outcome=outcome, message=message,
                                               geometry=None),
                       others=tuple(replace(m, geometry=None) for m in reply.others),
                       destination=None if goal is None else replace(goal, geometry=None),
                       detail=type(reply.detail)(), notes=notes)


def turned(geometry: TargetGeometry, transform: RigidTransform, orientation: str
           ) -> TargetGeometry:
    """Return a target in another frame; `pixel` stays that of the image."""
    point, cloud = transform.points(geometry.point), transform.points(geometry.cloud)
    pose = (transform.orientation(geometry.orientation) if orientation == 'camera_ray'
            else orientation_quaternion(orientation, point, DOWN))
    return replace(geometry, point=point, centre=transform.points(geometry.centre),
                   cloud=cloud.astype(np.float32), orientation=pose, extent=np.ptp(cloud, axis=0))
