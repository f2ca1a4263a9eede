"""The commander judges by the simulation's truth, not by what the node says of itself."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

from geometry_msgs.msg import PointStamped
from std_msgs.msg import Header

from ris_ros.demo.commander import judge
from ris_ros.demo.plan import PlannedCommand
from ris_ros.nodes.messages import array_to_image, diagnostic_array, diagnostic_status

INSTANCES = np.zeros((10, 10), np.int32)
INSTANCES[2:6, 2:6], INSTANCES[7:9, 7:9] = 1, 2


class World:
    """Two objects; the gripper lifts what is within 1 cm of the point."""

    frame = SimpleNamespace(instances=INSTANCES)
    places = ((1, np.array([0.1, 0.0, 0.5])), (2, np.array([-0.1, 0.0, 0.5])))

    def surface_distance(self, point, instance):
        return float(np.linalg.norm(dict(self.places)[instance] - point))

    def suck(self, point):
        return next((instance for instance, place in self.places
                     if np.linalg.norm(place - point) < 0.01), None)


def header():
    result = Header(frame_id='camera')
    result.stamp.sec = 10
    return result


def row(outcome='SUCCEEDED', code=0, mask_of=1, point_of=1, answerable=True, with_image=True):
    planned = PlannedCommand(7, 'take the mug', 'attribute' if answerable else 'absent',
                             (1,) if answerable else (), answerable)
    outputs = {}
    if mask_of is not None:
        mask = np.where(mask_of == INSTANCES, np.uint8(255), np.uint8(0))
        outputs['mask'] = array_to_image(mask, 'mono8', header())
    if point_of is not None:
        message = PointStamped(header=header())
        message.point.x, message.point.y, message.point.z = (
            float(v) for v in dict(World.places)[point_of])
        outputs['target_point'] = message
    result = diagnostic_array(header() if with_image else Header(), [
        diagnostic_status(0, 'ris_node: command', 'said', {'outcome': outcome, 'code': code})])
    return judge(planned, World(), result, 10.25, outputs, '001.png')


def test_the_right_object():
    answer = row()
    assert answer.iou == 1.0 and answer.target_error_mm == 0.0 and answer.lifted_right
    assert answer.right and answer.stamp_to_result_ms == pytest.approx(250.0)


def test_success_on_the_wrong_object_is_wrong():
    answer = row(mask_of=2, point_of=2)
    assert answer.outcome == 'SUCCEEDED' and answer.iou == 0.0
    assert answer.target_error_mm == pytest.approx(200.0)
    assert answer.lifted_right is False and not answer.right


def test_no_mask_and_no_point():
    answer = row('NO_IMAGE', 31, mask_of=None, point_of=None, with_image=False)
    assert (answer.iou, answer.target_error_mm, answer.lifted_right) == (0.0, None, False)
    assert answer.stamp_to_result_ms is None


def test_what_is_not_there_must_be_refused():
    refused = row('NO_MATCH', 10, mask_of=None, point_of=None, answerable=False)
    assert refused.right and (refused.iou, refused.lifted_right) == (None, None)
    assert not row(answerable=False).right
