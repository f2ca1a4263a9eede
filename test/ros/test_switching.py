"""Another method at run time, over real DDS: the old one answers until the new one is there."""
from __future__ import annotations

import ros_support as ros
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters

from ris_ros.nodes.messages import status_values


def set_method(client, name):
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=name)
    request = SetParameters.Request(parameters=[Parameter(name='method', value=value)])
    (result,) = ros.call(client, SetParameters, 'ris_node/set_parameters', request).results
    assert result.successful, result.reason


def newest(client):
    return client.received['status'][-1].status[0]


def test_methods_are_changed_in_the_background(tmp_path):
    process = ros.fixture_node(tmp_path, 'max_image_age_s:=0.2', 'status_period_s:=0.2',
                               script='switching_node.py')
    client = ros.Client()
    try:
        client.wait_until_ready()
        set_method(client, 'slow')
        assert client.wait(lambda: 'method slow' in status_values(newest(client))['loading'])
        values, _ = client.ask('the red box')
        assert (values['outcome'], values['method']) == ('SUCCEEDED', 'hybridgl')
        assert client.wait(lambda: status_values(newest(client))['method'] == 'slow')
        client.let_frames_age()
        values, _ = client.ask('the red box')
        assert (values['outcome'], values['method']) == ('SUCCEEDED', 'slow')
        set_method(client, 'broken')
        assert client.wait(lambda: 'weights of broken are missing' in newest(client).message)
        client.let_frames_age()
        values, _ = client.ask('the red box')
        assert (values['outcome'], values['method']) == ('SUCCEEDED', 'slow')
        request = GetParameters.Request(names=['method'])
        (value,) = ros.call(client, GetParameters, 'ris_node/get_parameters', request).values
        assert value.string_value == 'slow'
    finally:
        client.close()
        assert process.stop() == 0, process.output()
