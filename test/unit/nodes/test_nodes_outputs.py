"""What the node publishes, and that pictures for people are made only when somebody looks."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

from node_fakes import Node
from std_msgs.msg import Header

from ris_ros.nodes.messages import image_to_array, status_values
from ris_ros.nodes.outputs import Outputs, result_message
from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.parameters import NodeParameters, PublishParameters
from ris_ros.service.results import Result
from ris_ros.service.worker import Reply
from ris_ros.target import Measurement
from ris_ros.types import Candidate, Outcome, Segmentation

HEAT = np.linspace(0, 1, 12, dtype=np.float64).reshape(3, 4)


def publish(subscribers, heat=HEAT, **switches):
    node = Node(subscribers)
    outputs = Outputs(node)
    segmentation = Segmentation(np.ones((3, 4), bool), 1.0, 1.0, Outcome.SUCCEEDED_2D, '',
                                heatmap=heat)
    reply = Reply(None, segmentation, Measurement(Outcome.SUCCEEDED_2D, ''),
                  np.zeros((3, 4, 3), np.uint8))
    outputs.publish(reply, Header(frame_id='camera'), replace(
        NodeParameters(), publish=PublishParameters(**switches)),
        CommandRecord('m', 'the mug', 1.0, 60.0))
    sent = {topic: publisher.sent for topic, publisher in node.publishers.items()}
    outputs.destroy()
    assert not node.publishers   # all that is made is taken down
    return sent


def test_nobody_looks():
    sent = publish(subscribers=0)
    assert len(sent['~/mask']) == len(sent['~/labels']) == 1
    assert sent['~/heatmap'] == sent['~/overlay'] == sent['~/markers'] == []
    assert len(publish(subscribers=1)['~/markers']) == 1
    assert publish(subscribers=1, markers=False)['~/markers'] == []


def test_heat_map_as_float_image():
    (message,) = publish(subscribers=1)['~/heatmap']
    assert message.encoding == '32FC1' and message.header.frame_id == 'camera'
    np.testing.assert_array_equal(image_to_array(message), HEAT.astype(np.float32))


def test_no_heat_map():
    assert publish(subscribers=1, heat=None)['~/heatmap'] == []
    assert publish(subscribers=1, heatmap=False)['~/heatmap'] == []
    assert publish(subscribers=1, overlay=False)['~/overlay'] == []


def test_the_result_message():
    mask = np.ones((3, 4), bool)
    candidates = tuple(Candidate(rank, 7, 1 / rank, mask, (0.0, 1.0, 2.0, 3.0))
                       for rank in (1, 2, 3))
    record = CommandRecord('m', 'the mug', 1.0, 60.0)
    result = Result(record, Ending(Outcome.NO_MATCH, 'nothing fits', candidates=candidates),
                    {'method': 'tas', 'point_xyz': None, 'score': np.float32(0.25)}, 2)
    message = result_message('ris_node', result, Header(frame_id='camera'))
    assert message.header.frame_id == 'camera'
    first, *others = message.status
    assert (first.name, first.message, first.hardware_id) == (
        'ris_node: command', 'nothing fits', 'camera')
    assert first.level == bytes([1])
    assert list(status_values(first).items()) == [
        ('command_id', 'm'), ('command', 'the mug'), ('outcome', 'NO_MATCH'), ('code', '10'),
        ('method', 'tas'), ('point_xyz', ''), ('score', '0.25')]
    assert [status.name for status in others] == ['ris_node: candidate 1', 'ris_node: candidate 2']
    assert status_values(others[1]) == {'id': 'm/2', 'rank': '2', 'phrase': 'the mug',
                                        'score': '0.5', 'roi': '0 1 2 3'}
