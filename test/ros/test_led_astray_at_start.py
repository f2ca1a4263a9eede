"""What is reported of the node's start: what came before it, clocks, loading."""
from __future__ import annotations

import sys

import ros_support as ros
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from ris_ros.nodes.messages import status_values


def with_node(tmp_path, *parameters, script='fixture_node.py'):
    process = ros.fixture_node(tmp_path, *parameters, script=script)
    return process, ros.Client()


def test_intrinsics_sent_once_before_the_node(tmp_path):
    environment = ros.environment(tmp_path)
    client = ros.Client()
    process = None
    try:
        latched = client.node.create_publisher(CameraInfo, 'camera_info', QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        latched.publish(ros.camera_to_info(ros.CAMERA, client.header(age=1000.0)))
        process = ros.Process([sys.executable, str(ros.HERE / 'fixture_node.py')],
                              environment, tmp_path / 'node.log')
        client.wait_until_ready()
        for _ in range(2):
            values, _ = client.ask('the red box', info=None)
            assert values['outcome'] == 'SUCCEEDED', client.received['result'][-1]
    finally:
        client.close()
        assert process is not None and process.stop() == 0, process.output()


def test_simulated_time_without_a_clock(tmp_path):
    process, client = with_node(tmp_path, 'use_sim_time:=true', 'image_timeout_s:=1.0')
    try:
        client.wait_until_ready()
        status = client.received['status'][-1].status[0]
        assert '/clock' in status.message and status_values(status)['clock'] == 'silent'
        identity = client.say('the red box')
        client.send_frame()
        assert client.result(identity)['outcome'] == 'STALE_IMAGE'
        assert '/clock' in client.results(identity)[0].status[0].message
        # With a clock everything goes its way.
        clock = client.node.create_publisher(Clock, '/clock', 10)
        assert client.wait(clock.get_subscription_count)
        for tick in range(40):
            message = Clock()
            message.clock.sec, message.clock.nanosec = 500 + tick // 20, tick % 20 * 50_000_000
            clock.publish(message)
            client.spin(0.05)
            if tick == 20:
                header = client.header()
                header.stamp = message.clock
                identity = client.say('the red box')
                client.spin(0.05)
                client.send_frame(header)
        assert client.result(identity)['outcome'] == 'SUCCEEDED'
        assert client.results(identity)[0].header == header
    finally:
        client.close()
        assert process.stop() == 0, process.output()


def test_the_node_answers_while_its_models_load(tmp_path):
    process, client = with_node(tmp_path, 'warmup:=false', script='slow_node.py')
    try:
        assert client.wait(lambda: 'loading method' in process.output(), ros.START_TIMEOUT)
        assert client.wait(client.command.get_subscription_count)
        client.spin(0.3)
        for number in range(15):
            identity = client.say('the red box', id=f'early-{number}')
        for number in range(15):
            assert client.result(f'early-{number}')['outcome'] == 'NOT_ACTIVE'
        assert 'loading' in client.results(identity)[0].status[0].message
        state = ros.call(client, GetState, 'ris_node/get_state', GetState.Request())
        assert state.current_state.label == 'configuring'
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
        assert not ros.call(client, ChangeState, 'ris_node/change_state', request).success
        assert not ros.call(client, Trigger, 'ris_node/cancel', Trigger.Request()).success
        client.received['status'].clear()
        client.spin(2.5)
        assert len(client.received['status']) >= 2   # the heartbeat goes on
    finally:
        client.close()
        assert process.stop() == 0, process.output()
