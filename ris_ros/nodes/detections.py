"""Candidates and target as vision_msgs (4.1 and later), where that package is installed."""
from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import Header

from ris_ros.service.commands import CommandRecord
from ris_ros.service.text import carriable
from ris_ros.service.worker import Reply

vision_msgs: ModuleType | None
try:
    vision_msgs = importlib.import_module('vision_msgs.msg')
except ImportError:
    vision_msgs = None


def detections_2d(reply: Reply, header: Header, record: CommandRecord) -> Any:
    """Return a Detection2DArray of all candidates, the best first, in pixels of the image.

    `id` is the command's with the rank, `class_id` the command's text.
    """
    msgs, segmentation = vision_msgs, reply.segmentation
    assert msgs is not None and segmentation is not None
    array = msgs.Detection2DArray(header=header)
    for candidate in segmentation.candidates:
        x, y, width, height = candidate.box
        box = msgs.BoundingBox2D(size_x=float(width), size_y=float(height))
        box.center.position.x, box.center.position.y = x + width / 2, y + height / 2
        array.detections.append(msgs.Detection2D(
            header=header, bbox=box, id=f'{record.id}/{candidate.rank}',
            results=[_hypothesis(record.text, candidate.score)]))
    return array


def detections_3d(reply: Reply, header: Header, record: CommandRecord) -> Any:
    """Return a Detection3DArray of the target with its box; empty where there is no target.

    header: with the frame of points.  Without a known box the size is zero.
    """
    msgs, segmentation, measured = vision_msgs, reply.segmentation, reply.measured
    assert msgs is not None and segmentation is not None and measured is not None
    array = msgs.Detection3DArray(header=header)
    if measured.geometry is None:
        return array
    hypothesis = _hypothesis(record.text, segmentation.score)
    hypothesis.pose.pose = _pose(measured.geometry.point, measured.geometry.orientation)
    box = msgs.BoundingBox3D(center=hypothesis.pose.pose, size=Vector3())
    if reply.detail.box is not None:
        known = reply.detail.box
        box.center = _pose(known.centre, known.orientation)
        box.size = Vector3(**dict(zip('xyz', map(float, known.size), strict=True)))
    array.detections.append(msgs.Detection3D(header=header, bbox=box, results=[hypothesis],
                                             id=f'{record.id}/1'))
    return array


def _hypothesis(text: str, score: float) -> Any:
    assert vision_msgs is not None
    result = vision_msgs.ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = carriable(text), float(score)
    return result


def _pose(point: Any, orientation: Any) -> Pose:
    x, y, z, w = map(float, orientation)
    return Pose(position=Point(**dict(zip('xyz', map(float, point), strict=True))),
                orientation=Quaternion(x=x, y=y, z=z, w=w))
