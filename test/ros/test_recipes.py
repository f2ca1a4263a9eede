"""The recipes of docs/integration.md do what they say, against the node."""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rclpy
import ros_support as ros
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = dict(re.findall(r'```python\n# recipe: (\w+)\n(.*?)```',
                         (ROOT / 'docs' / 'integration.md').read_text(), re.S))


def recipe(name):
    names: dict = {}
    exec(compile(BLOCKS[name], f'docs/integration.md: {name}', 'exec'), names)
    return names


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    process = ros.fixture_node(tmp_path_factory.mktemp('ros'), 'max_image_age_s:=30.0')
    yield process
    assert process.stop() == 0, process.output()


@pytest.fixture
def mine(client):
    node = rclpy.create_node('mine')
    yield node
    node.destroy_node()


def spin(node, condition, seconds=ros.START_TIMEOUT):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end = node.get_clock().now().nanoseconds + int(1e9 * seconds)
    while not condition() and node.get_clock().now().nanoseconds < end:
        executor.spin_once(timeout_sec=0.05)
    executor.remove_node(node)
    return condition()


def test_every_block_is_tried():
    assert sorted(BLOCKS) == ['cloud', 'follow', 'moveit', 'voice']


def test_moveit(client, camera, mine):
    grasp, (shape, pose) = recipe('moveit')['grasp_and_box'](mine, 'the red box')
    assert grasp.header.frame_id == 'camera_color_optical_frame' and grasp.header.stamp.sec > 0
    assert abs(grasp.pose.position.z - 0.8) < 0.002
    assert sorted(shape.dimensions) == pytest.approx(
        [100 / 600 * 0.8, 120 / 600 * 0.8, 0.2], abs=0.02)
    assert pose.position.z == pytest.approx(0.9, abs=0.02)   # in the middle of the box


def test_cloud(client, camera, mine):
    points, header = recipe('cloud')['points_of'](mine, 'the green box')
    assert len(points) > 5000 and header.frame_id == 'camera_color_optical_frame'
    np.testing.assert_allclose(points[:, 2], 0.6, atol=0.002)


def test_voice_and_follow(client, camera, mine):
    hear = recipe('voice')['listen'](mine, 'heard')
    speaker = mine.create_publisher(String, 'heard', 10)
    assert client.wait(lambda: mine.count_subscribers('heard'))
    client.spin(1.0)
    before = len(client.received['result'])
    hear('Robot, the red box.', sure=0.5)    # not sure enough
    hear('the red box', sure=0.9)            # nobody was spoken to
    speaker.publish(String(data='Hey Robot, the red box.'))
    assert spin(mine, lambda: len(client.received['result']) > before)
    timer = recipe('follow')['keep_looking'](mine, 0.2)
    assert spin(mine, lambda: len(client.received['result']) >= before + 4)
    mine.destroy_timer(timer)
    texts = {s.value for m in client.received['result'][before:] for s in m.status[0].values
             if s.key == 'command'}
    assert texts == {'the red box'}
