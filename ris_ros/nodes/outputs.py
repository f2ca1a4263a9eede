"""What the node publishes for a command; every message carries the header of the image."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ris_ros.nodes.detections import detections_2d, detections_3d, vision_msgs
from ris_ros.nodes.markers import delete_all, marker_array
from ris_ros.nodes.messages import (
    array_to_image,
    cloud_message,
    diagnostic_array,
    diagnostic_status,
    point_message,
    pose_message,
)
from ris_ros.overlay import draw_overlay
from ris_ros.service.commands import CommandRecord
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.results import Result
from ris_ros.service.worker import Reply
from ris_ros.types import Candidate, Outcome, Segmentation

MASK_OUTCOMES = (Outcome.SUCCEEDED_2D, Outcome.AMBIGUOUS)


class Outputs:
    """The publishers of masks and targets; made when the node is configured."""

    def __init__(self, node: Node) -> None:
        self._node = node
        # A group of their own, for the node's would remember every publisher it ever held.
        make = partial(node.create_publisher, callback_group=ReentrantCallbackGroup())
        self._mask = make(Image, '~/mask', QoSProfile(depth=1))
        self._labels = make(Image, '~/labels', QoSProfile(depth=1))
        self._overlay = make(Image, '~/overlay', QoSProfile(depth=1))
        self._heatmap = make(Image, '~/heatmap', QoSProfile(depth=1))
        self._cloud = make(PointCloud2, '~/target_cloud', QoSProfile(depth=1))
        self._point = make(PointStamped, '~/target_point', QoSProfile(depth=10))
        self._pose = make(PoseStamped, '~/target_pose', QoSProfile(depth=10))
        self._markers = make(MarkerArray, '~/markers', QoSProfile(depth=1))
        self._detections: Publisher | None = None
        self._detections_3d: Publisher | None = None
        if vision_msgs is not None:
            self._detections = make(vision_msgs.Detection2DArray, '~/detections',
                                    QoSProfile(depth=10))
            self._detections_3d = make(vision_msgs.Detection3DArray, '~/detections_3d',
                                       QoSProfile(depth=10))

    def destroy(self) -> None:
        """Take the publishers down."""
        for publisher in (self._mask, self._labels, self._overlay, self._heatmap, self._cloud,
                          self._point, self._pose, self._markers, self._detections,
                          self._detections_3d):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def watched(self, parameters: NodeParameters) -> bool:
        """Say whether somebody looks at boxes and the places of candidates."""
        switches = parameters.publish
        return any(switch and publisher is not None and publisher.get_subscription_count() > 0
                   for switch, publisher in ((switches.markers, self._markers),
                                             (switches.detections, self._detections_3d)))

    def clear(self, header: Header) -> None:
        """Take all markers out of the viewers."""
        self._markers.publish(MarkerArray(markers=[delete_all(header)]))

    def publish(self, reply: Reply, header: Header, parameters: NodeParameters,
                record: CommandRecord) -> None:
        """Publish everything but the result of an answered command.

        header: of its image; what has a place in space is in the reply's own frame.
        All messages are made before the first goes out: where one cannot be made, none is seen.
        """
        segmentation, measured = reply.segmentation, reply.measured
        assert segmentation is not None and measured is not None
        space = Header(stamp=header.stamp, frame_id=reply.frame_id or header.frame_id)
        out: list[tuple[Publisher, Any]] = []
        has_mask = segmentation.outcome in MASK_OUTCOMES
        if has_mask or parameters.publish.empty_mask:
            out.append((self._mask, array_to_image(mask_image(segmentation.mask), 'mono8',
                                                   header)))
        if parameters.publish.labels:
            labels = label_image(segmentation, parameters.max_candidates)
            out.append((self._labels, array_to_image(labels, 'mono8', header)))
        if (parameters.publish.heatmap and segmentation.heatmap is not None
                and self._heatmap.get_subscription_count()):
            heat = segmentation.heatmap.astype(np.float32, copy=False)
            out.append((self._heatmap, array_to_image(heat, '32FC1', header)))
        geometry = measured.geometry
        if geometry is not None:
            out += [(self._point, point_message(geometry.point, space)),
                    (self._pose, pose_message(geometry.point, geometry.orientation, space))]
            if parameters.publish.cloud and self._cloud.get_subscription_count():
                out.append((self._cloud, cloud_message(geometry.cloud, space)))
        if parameters.publish.markers and self._markers.get_subscription_count():
            out.append((self._markers, marker_array(reply, space, record.text)))
        if parameters.publish.detections and self._detections and self._detections_3d:
            out += [(self._detections, detections_2d(reply, header, record)),
                    (self._detections_3d, detections_3d(reply, space, record))]
        if parameters.publish.overlay and self._overlay.get_subscription_count():
            assert reply.image is not None
            picture = draw_overlay(reply.image, segmentation,
                                   pixel=geometry.pixel if geometry else None)
            out.append((self._overlay, array_to_image(picture, 'rgb8', header)))
        for publisher, message in out:
            publisher.publish(message)


def mask_image(mask: np.ndarray) -> np.ndarray:
    """Return an (H, W) bool mask as uint8 0 and 255."""
    return np.where(mask, np.uint8(255), np.uint8(0))


def label_image(segmentation: Segmentation, max_candidates: int) -> np.ndarray:
    """Return (H, W) uint8: 0 background, i the candidate of rank i; the better rank wins."""
    labels = np.zeros(segmentation.mask.shape, dtype=np.uint8)
    for candidate in reversed(segmentation.candidates[:max_candidates]):
        labels[candidate.mask] = candidate.rank
    return labels


def result_message(node_name: str, result: Result, header: Header) -> DiagnosticArray:
    """Return the one terminal message of a command: itself first, then its candidates."""
    record, ending = result.record, result.ending
    values = {'command_id': record.id, 'command': record.text, 'outcome': ending.outcome.name,
              'code': ending.outcome.code, **result.details}
    statuses = [diagnostic_status(ending.outcome.level.value, f'{node_name}: command',
                                  ending.message, values, header.frame_id)]
    statuses += [_candidate_status(node_name, record, candidate, header,
                                   ending.points.get(candidate.rank))
                 for candidate in ending.candidates[:result.max_candidates]]
    return diagnostic_array(header, statuses)


def _candidate_status(node_name: str, record: CommandRecord, candidate: Candidate,
                      header: Header, point: np.ndarray | None) -> DiagnosticStatus:
    return diagnostic_status(
        0, f'{node_name}: candidate {candidate.rank}', record.text,
        {'id': f'{record.id}/{candidate.rank}', 'rank': candidate.rank, 'phrase': record.text,
         'score': candidate.score, 'roi': candidate.box,
         **({} if point is None else {'point_xyz': point})}, header.frame_id)
