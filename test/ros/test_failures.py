"""The real node when it cannot work: clear words, a result for every command, no crash."""
from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
import ros_support as ros
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from std_srvs.srv import Trigger

REAL = [sys.executable, '-m', 'ris_ros.nodes.ris_node', '--ros-args']


DAMAGED = 'a folder of damaged weights'
WEIGHTS = Path(__file__).resolve().parents[2] / 'ris_ros' / 'data' / 'weights'


def folder_with_damaged_weights(tmp_path):
    folder = Path(shutil.copytree(WEIGHTS, tmp_path / 'weights'))
    for file in folder.rglob('*.safetensors'):
        content = file.read_bytes()
        file.write_bytes(content[:len(content) // 2])
    return folder


def parameters(**values):
    return [part for name, value in values.items() for part in ('-p', f'{name}:={value}')]


@pytest.mark.parametrize(('values', 'said'), [
    ({'method': 'crystal_ball'}, 'crystal_ball'),
    ({'profile': 'moon'}, 'moon'),
    ({'device': 'cuda:99'}, 'GPU'),
    ({'model_dir': '/nowhere'}, '/nowhere'),
    ({'model_dir': DAMAGED}, 'damaged'),
], ids=['method', 'profile', 'device', 'weights', 'damaged weights'])
def test_configure_fails_clearly(tmp_path, values, said):
    if values.get('model_dir') == DAMAGED:
        values = {'model_dir': folder_with_damaged_weights(tmp_path)}
    if importlib.util.find_spec('torch') is None:
        pytest.skip('torch is not installed (pip install "ris_ros[models]")')
    process = ros.Process([*REAL, *parameters(**values)], ros.environment(tmp_path),
                          tmp_path / 'node.log')
    try:
        client = ros.Client()
        try:
            assert client.wait(lambda: said in process.output()
                               and 'cannot configure' in process.output(),
                               ros.START_TIMEOUT), process.output()
            assert client.wait(client.command.get_subscription_count)
            client.spin(0.3)
            values = client.result(client.say('the red mug'))
            assert values['outcome'] == 'NOT_ACTIVE' and values['code'] == '21'
            status = client.received['result'][0].status[0]
            assert status.level == b'\x02' and said in status.message
            state = ros.call(client, GetState, 'ris_node/get_state', GetState.Request())
            assert state.current_state.label == 'unconfigured'
        finally:
            client.close()
    finally:
        code = process.stop()
    assert code == 0 and 'Traceback' not in process.output()


def test_bad_parameter_at_start(tmp_path):
    process = ros.Process([*REAL, *parameters(busy_policy='panic')], ros.environment(tmp_path),
                          tmp_path / 'node.log')
    process.popen.wait(ros.TIMEOUT)
    assert process.stop() == 2
    assert 'busy_policy' in process.output() and 'Traceback' not in process.output()


def test_lifecycle_parameters_and_cancel(tmp_path):
    process = ros.fixture_node(tmp_path, 'autostart:=false')
    client = None
    try:
        client = ros.Client()
        change = 'ris_node/change_state'

        def transition(number):
            return ros.call(client, ChangeState, change,
                        ChangeState.Request(transition=Transition(id=number))).success

        assert client.wait(client.command.get_subscription_count)
        client.spin(0.3)
        assert client.result(client.say('the red box'))['outcome'] == 'NOT_ACTIVE'
        assert transition(Transition.TRANSITION_CONFIGURE)
        assert client.result(client.say('the red box'))['outcome'] == 'NOT_ACTIVE'
        assert transition(Transition.TRANSITION_ACTIVATE)
        client.wait_until_ready()
        # No CameraInfo has ever come: the mask is there, the target is not.
        assert client.ask('the red box', info=None)[0]['outcome'] == 'UNCALIBRATED'
        assert client.wait(lambda: client.received['mask'])
        assert client.received['target_point'] == []
        client.spin(0.6)
        assert client.ask('the red box')[0]['outcome'] == 'SUCCEEDED'

        # A running command ends at once when it is canceled; its outputs are dropped.
        client.received['mask'].clear()
        identity = client.say('slowly the red box')
        client.send_frame()
        client.spin(0.3)
        cancel = ros.call(client, Trigger, 'ris_node/cancel', Trigger.Request())
        assert cancel.success and client.result(identity)['outcome'] == 'CANCELED'
        assert not ros.call(client, Trigger, 'ris_node/cancel', Trigger.Request()).success
        client.spin(1.2)
        assert client.received['mask'] == [] and len(client.results(identity)) == 1

        def put(name, **value):
            request = SetParameters.Request(parameters=[Parameter(
                name=name, value=ParameterValue(**value))])
            return ros.call(client, SetParameters, 'ris_node/set_parameters', request).results[0]

        assert put('busy_policy', type=ParameterType.PARAMETER_STRING,
                   string_value='reject').successful
        refused = put('busy_policy', type=ParameterType.PARAMETER_STRING, string_value='panic')
        assert not refused.successful and 'replace' in refused.reason
        assert not put('depth.min_m', type=ParameterType.PARAMETER_DOUBLE,
                       double_value=-1.0).successful
        assert not put('device', type=ParameterType.PARAMETER_STRING,
                       string_value='cpu').successful
        described = ros.call(client, DescribeParameters, 'ris_node/describe_parameters',
                         DescribeParameters.Request(names=['mask.erode_px'])).descriptors[0]
        assert described.description and described.integer_range[0].to_value == 50

        slow = client.say('slowly the red box')
        client.spin(0.1)
        client.send_frame()
        client.spin(0.2)
        assert client.result(client.say('the green box'))['outcome'] == 'REJECTED_BUSY'
        assert client.result(slow)['outcome'] == 'SUCCEEDED'

        # Deactivating ends what is open; after a cleanup the node starts again as new.
        waiting = client.say('the red box')
        client.spin(0.1)
        assert transition(Transition.TRANSITION_DEACTIVATE)
        assert client.result(waiting)['outcome'] in ('CANCELED', 'SUCCEEDED')
        assert transition(Transition.TRANSITION_CLEANUP)
        assert transition(Transition.TRANSITION_CONFIGURE)
        assert transition(Transition.TRANSITION_ACTIVATE)
        client.received['status'].clear()
        client.wait_until_ready()
        assert client.ask('the green box')[0]['outcome'] == 'SUCCEEDED'
    finally:
        if client:
            client.close()
        code = process.stop()
    assert code == 0, process.output()
    assert 'Traceback' not in process.output()


def test_without_depth_the_answer_is_two_dimensional(tmp_path):
    process = ros.fixture_node(tmp_path, 'use_depth:=false')
    client = None
    try:
        client = ros.Client()
        assert client.wait(lambda: client.state() == 'IDLE'
                           and client.image.get_subscription_count(), ros.START_TIMEOUT)
        client.spin(0.3)
        values, header = client.ask('the red box')
        assert values['outcome'] == 'SUCCEEDED_2D' and values['code'] == '1'
        client.wait(lambda: client.received['mask'])
        assert client.received['mask'][0].header == header
        assert client.received['target_point'] == []
    finally:
        if client:
            client.close()
        assert process.stop() == 0, process.output()
