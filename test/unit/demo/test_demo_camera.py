"""Where the simulated camera stands over its table, as /tf_static tells it."""
from __future__ import annotations

import importlib.util

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')
if importlib.util.find_spec('mujoco') is None:   # importing it here would be too early
    pytest.skip('the simulation is not installed', allow_module_level=True)

from std_msgs.msg import Header

from ris_ros.demo.tabletop_camera import render_scene, transform_message
from ris_ros.geometry import RigidTransform
from ris_ros.simulation import TabletopWorld


def test_points_of_the_camera_lie_where_the_simulation_says():
    frame, pose = render_scene(100001)
    assert frame.color.shape[:2] == frame.depth.shape
    message = transform_message(Header(frame_id='tabletop'), 'camera', pose)
    turn, move = message.transform.rotation, message.transform.translation
    heard = RigidTransform.of(np.array([turn.x, turn.y, turn.z, turn.w]),
                              np.array([move.x, move.y, move.z]))
    assert (message.header.frame_id, message.child_frame_id) == ('tabletop', 'camera')
    with TabletopWorld(100001) as world:
        for point in (np.zeros(3), np.array([0.1, -0.2, 0.7]), frame.poses[0, :3]):
            np.testing.assert_allclose(heard.points(point), world.to_world(point), atol=1e-6)
    assert heard.points(np.zeros(3))[2] > 0.2   # above the table
