"""What users of such nodes report, over real DDS: the node stays, answers, and is not misled."""
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import ros_support as ros
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_msgs.msg import String

from ris_ros.nodes.messages import array_to_image


def test_half_a_pair_of_surrogates(client):
    """As an emoji that was cut in two; the escape is six ASCII characters."""
    client.command.publish(String(data=r'{"text": "the red box \ud83d", "id": "s1"}'))
    client.spin(0.05)
    client.send_frame()
    values = client.result('s1')
    assert values['outcome'] == 'SUCCEEDED' and values['command'] == 'the red box �'
    assert 'cannot carry' in values['notes']
    client.command.publish(String(data=r'{"text": "the red box", "id": "s\udc00"}'))
    assert client.result('s�')['outcome'] == 'INVALID_COMMAND'


def test_twenty_commands_at_once(client):
    identities = [f'burst-{number}' for number in range(20)]
    for identity in identities:
        client.command.publish(String(data=json.dumps({'id': identity, 'text': 'the red box'})))
    client.spin(0.2)
    client.send_frame()
    for identity in identities:
        assert client.result(identity)['outcome'] in ('SUPERSEDED', 'SUCCEEDED')
    client.spin(0.5)
    assert [len(client.results(identity)) for identity in identities] == [1] * 20


@pytest.mark.parametrize(('stream', 'outcome'), [
    ('depth', 'DEPTH_MISMATCH'), ('info', 'UNCALIBRATED')])
def test_messages_of_another_frame(client, stream, outcome):
    client.let_frames_age()
    header = client.header()
    other = client.header()
    other.stamp, other.frame_id = header.stamp, 'camera_depth_optical_frame'
    message = (array_to_image(ros.depth_mm(), '16UC1', other) if stream == 'depth'
               else ros.camera_to_info(ros.CAMERA, other))
    values, _ = client.ask('the red box', header=header, **{stream: message})
    assert values['outcome'] == outcome and client.received['target_point'] == []
    said = client.received['result'][0].status[0].message
    assert 'camera_depth_optical_frame' in said and header.frame_id in said


def test_an_image_stamped_years_ahead(client):
    client.let_frames_age()
    client.send_frame(header=client.header(age=-3e8))
    client.spin(0.1)
    values = client.result(client.say('the red box'))
    assert values['outcome'] == 'STALE_IMAGE'
    assert 'ahead of' in client.received['result'][0].status[0].message


def test_focal_lengths_of_one_pixel(client):
    client.let_frames_age()
    header = client.header()
    info = ros.camera_to_info(replace(ros.CAMERA, fx=1.0, fy=1.0), header)
    values, _ = client.ask('the red box', header=header, info=info)
    assert values['outcome'] == 'UNCALIBRATED' and client.received['target_point'] == []


def test_depth_in_millimetres_that_says_metres(client):
    client.let_frames_age()
    header = client.header()
    depth = array_to_image(ros.depth_mm().astype(np.float32), '32FC1', header)
    values, _ = client.ask('the red box', header=header, depth=depth)
    assert values['outcome'] == 'NO_DEPTH'
    assert 'set depth.unit to mm' in client.received['result'][0].status[0].message


def test_a_transition_that_is_not_possible_is_refused(client, node):
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert not ros.call(client, ChangeState, 'ris_node/change_state', request).success
    assert node.popen.poll() is None
    client.let_frames_age()
    assert client.ask('the red box')[0]['outcome'] == 'SUCCEEDED'


def test_garbage_on_the_wire(client, node):
    """Messages that are no messages of their type, as another version's may be."""
    for publisher in (client.image, client.depth, client.info, client.command):
        for raw in (b'\x00\x01\x00\x00', b'\x00\x01\x00\x00' + b'\xff' * 40):
            publisher.publish(raw)
    client.spin(0.3)
    client.let_frames_age()
    assert client.ask('the red box')[0]['outcome'] == 'SUCCEEDED'
    assert node.popen.poll() is None
