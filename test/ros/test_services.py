"""~/segment, ~/clear, ~/self_test, /diagnostics and ~/markers over real DDS."""
from __future__ import annotations

import pytest
import ros_support as ros
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.srv import SelfTest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from ris_ros.nodes.messages import status_values


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    process = ros.fixture_node(tmp_path_factory.mktemp('ros'), 'image_timeout_s:=2.0',
                               'diagnostics_period_s:=0.5', 'max_image_age_s:=5.0')
    yield process
    assert process.stop() == 0, process.output()


@pytest.fixture(scope='module')
def client(connection):
    received = connection.received
    received['markers'], received['diagnostics'] = [], []
    for kind, topic, name in ((MarkerArray, 'ris_node/markers', 'markers'),
                              (DiagnosticArray, '/diagnostics', 'diagnostics')):
        connection.node.create_subscription(kind, topic, received[name].append, 5)
    return connection


def test_segment_answers_when_the_command_has_ended(client):
    response = ros.call(client, Trigger, 'ris_node/segment', Trigger.Request())
    assert not response.success and 'default_command' in response.message
    assert client.received['result'] == []
    values, _ = client.ask('the red box')
    assert values['outcome'] == 'SUCCEEDED'
    service = client.node.create_client(Trigger, 'ris_node/segment')
    assert client.wait(service.service_is_ready)
    client.send_frame()
    client.spin(0.1)
    future = service.call_async(Trigger.Request())
    assert client.wait(future.done)
    assert future.result().success and future.result().message == 'SUCCEEDED'
    assert len(client.received['result']) == 2
    # Slow ones hold up nothing else: it can be canceled by a service of the same node.
    client.ask('slowly the red box')
    client.send_frame()
    client.spin(0.1)
    future = service.call_async(Trigger.Request())
    client.spin(0.2)
    canceled = ros.call(client, Trigger, 'ris_node/cancel', Trigger.Request())
    assert canceled.success and client.wait(future.done)
    assert not future.result().success and future.result().message.startswith('CANCELED')


def test_markers_and_clear(client):
    client.received['markers'].clear()
    values, header = client.ask('the red box')
    assert client.wait(lambda: client.received['markers'])
    markers = client.received['markers'][-1].markers
    assert markers[0].action == Marker.DELETEALL
    assert {m.ns for m in markers[1:]} >= {'target', 'command', 'box'}
    assert all(m.header == header for m in markers[1:])
    (box,) = [m for m in markers if m.ns == 'box']
    sizes = [float(v) for v in values['box_size'].split()]
    assert [box.scale.x, box.scale.y, box.scale.z] == pytest.approx(sizes, rel=1e-4)
    # The red box of the picture: 120 by 100 pixels at 0.8 m, 0.2 m above the table.
    assert sorted(sizes) == pytest.approx([100 / 600 * 0.8, 120 / 600 * 0.8, 0.2], abs=0.02)
    client.received['markers'].clear()
    assert ros.call(client, Trigger, 'ris_node/clear', Trigger.Request()).success
    assert client.wait(lambda: client.received['markers'])
    assert [m.action for m in client.received['markers'][-1].markers] == [Marker.DELETEALL]


def test_several_that_fit_have_numbers(client):
    client.received['markers'].clear()
    values, _ = client.ask('a box')
    assert values['outcome'] == 'AMBIGUOUS' and values['point_xyz'] == ''
    assert client.wait(lambda: client.received['markers'])
    numbers = [m.text for m in client.received['markers'][-1].markers if m.ns == 'numbers']
    assert numbers == ['1', '2']
    first = status_values(client.received['result'][-1].status[1])
    assert float(first['point_xyz'].split()[2]) == pytest.approx(0.8, abs=0.002)


def test_self_test(client):
    response = ros.call(client, SelfTest, 'ris_node/self_test', SelfTest.Request())
    levels = {s.name: s.level for s in response.status}
    assert response.passed == bytes([1]) and response.id == 'ris_node', response
    for name in ('prepare', 'ground', 'target', 'conversion', 'clock', 'models'):
        assert levels[f'ris_node: {name}'] == bytes([0]), levels


def test_diagnostics(client):
    client.received['diagnostics'].clear()
    client.send_frame()
    assert client.wait(lambda: len(client.received['diagnostics']) >= 2)
    statuses = {s.name: s for s in client.received['diagnostics'][-1].status}
    assert {f'ris_node: {name}' for name in ('models', 'camera', 'clock', 'commands')} == set(
        statuses)
    assert int(status_values(statuses['ris_node: commands'])['ended']) >= 1
    assert all(s.hardware_id == 'ris_node' for s in statuses.values())


def test_a_target_frame_without_tf2_is_refused(client):
    try:
        import tf2_ros  # noqa: F401
        pytest.skip('tf2_ros is installed')
    except ImportError:
        pass
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value='base_link')
    request = SetParameters.Request(parameters=[Parameter(name='target_frame', value=value)])
    (result,) = ros.call(client, SetParameters, 'ris_node/set_parameters', request).results
    assert not result.successful and 'tf2_ros' in result.reason
    assert client.ask('the red box')[0]['frame_id'] == 'camera_color_optical_frame'
