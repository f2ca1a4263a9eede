"""The node in one process, a client in another, real DDS between them."""
from __future__ import annotations

import json

import numpy as np
import pytest
import ros_support as ros
from std_msgs.msg import String

from ris_ros.nodes.messages import array_to_image, cloud_to_array, image_to_array, status_values


def assert_works(client):
    """A good command after whatever happened."""
    client.let_frames_age()
    values, _ = client.ask('the red box')
    assert values['outcome'] == 'SUCCEEDED', values


def test_command_before_the_first_image(client):
    values = client.result(client.say('the red box'))
    assert values['outcome'] == 'NO_IMAGE' and values['code'] == '31'
    assert_works(client)


def test_mask_point_headers_and_the_single_result(client):
    client.let_frames_age()
    identity = client.say('the red box')
    header = client.send_frame()
    values = client.result(identity)
    client.spin(0.5)
    assert len(client.results(identity)) == 1
    assert values['outcome'] == 'SUCCEEDED' and values['code'] == '0'
    for topic in ('mask', 'labels', 'overlay', 'heatmap', 'target_point', 'target_pose',
                  'target_cloud'):
        assert len(client.received[topic]) == 1, topic
        assert client.received[topic][0].header == header, topic
    result = client.results(identity)[0]
    assert result.header == header and result.status[0].hardware_id == header.frame_id

    mask = client.received['mask'][0]
    assert mask.encoding == 'mono8' and mask.step == 640
    assert np.array_equal(image_to_array(mask), np.where(ros.true_mask('red'), 255, 0))
    assert image_to_array(client.received['labels'][0]).max() == 1

    point = client.received['target_point'][0].point
    u = 600 * point.x / point.z + 319.5
    v = 600 * point.y / point.z + 239.5
    assert point.z == pytest.approx(0.8) and (u, v) == pytest.approx((139.5, 149.5), abs=1.0)
    assert client.received['target_pose'][0].pose.position == point
    assert [float(n) for n in values['point_xyz'].split()] == pytest.approx(
        [point.x, point.y, point.z], rel=1e-4)
    cloud = cloud_to_array(client.received['target_cloud'][0])
    assert len(cloud) > 10000 and np.allclose(cloud[:, 2], 0.8)


def test_heat_map(client):
    client.let_frames_age()
    _, header = client.ask('the green box')
    assert client.wait(lambda: client.received['heatmap'])
    message = client.received['heatmap'][0]
    assert message.header == header
    assert (message.encoding, message.height, message.width) == ('32FC1', 480, 640)
    assert np.array_equal(image_to_array(message), ros.picture()[:, :, 1].astype('f4') / 255)

    # What there is of it is shown for other outcomes too; without one nothing comes.
    client.received['heatmap'].clear()
    assert client.ask('the blue box')[0]['outcome'] == 'NO_MATCH'
    assert client.wait(lambda: client.received['heatmap'])
    client.received['heatmap'].clear()
    client.let_frames_age()
    assert client.ask('coldly the green box')[0]['outcome'] == 'SUCCEEDED'
    client.spin(0.3)
    assert client.received['heatmap'] == [] and client.received['mask']

    ros.set_parameter(client, 'publish.heatmap', False)
    try:
        client.let_frames_age()
        assert client.ask('the green box')[0]['outcome'] == 'SUCCEEDED'
        client.spin(0.3)
        assert client.received['heatmap'] == []
    finally:
        ros.set_parameter(client, 'publish.heatmap', True)


def test_second_sentence_on_the_same_image_reuses_the_scene(client):
    client.let_frames_age()
    ros.set_parameter(client, 'max_image_age_s', 60.0)
    try:
        other = ros.picture()
        other[0, 0] = 99
        header = client.header()
        client.send_frame(header, image=array_to_image(other, 'rgb8', header))
        client.spin(0.1)
        client.say('the red box', id='s1')
        assert client.result('s1')['reused_scene'] == 'false'
        client.say('the green box', id='s2')
        values = client.result('s2')
    finally:
        ros.set_parameter(client, 'max_image_age_s', 0.2)
    assert values['reused_scene'] == 'true' and values['outcome'] == 'SUCCEEDED'
    assert client.results('s2')[0].header == header
    # So does one about the same picture under another stamp.
    client.let_frames_age()
    header = client.header()
    values, _ = client.ask('the red box', header=header,
                           image=array_to_image(other, 'rgb8', header))
    assert values['reused_scene'] == 'true' and values['outcome'] == 'SUCCEEDED'


def test_nothing_found_and_several_found(client):
    values, _ = client.ask('the blue box')
    assert values['outcome'] == 'NO_MATCH'
    client.wait(lambda: client.received['mask'])
    assert not image_to_array(client.received['mask'][0]).any()
    values, _ = client.ask('the box')
    assert values['outcome'] == 'AMBIGUOUS' and values['candidates'] == '2'
    assert sorted(np.unique(image_to_array(client.received['labels'][-1]))) == [0, 1, 2]
    assert client.received['target_point'] == []


def bad_image(**changes):
    def make(client):
        header = client.header()
        message = array_to_image(ros.picture(), 'rgb8', header)
        for name, value in changes.items():
            setattr(message, name, value)
        return {'header': header, 'image': message}
    return make


@pytest.mark.parametrize('make', [
    bad_image(encoding='yuv444'), bad_image(encoding=''), bad_image(step=100),
    bad_image(step=4000), bad_image(width=0, height=0), bad_image(height=479),
    bad_image(encoding='32FC1'),
], ids=['unknown', 'no encoding', 'small step', 'large step', 'zero size', 'too much data',
        'float'])
def test_bad_images(client, make):
    client.let_frames_age()
    values, _ = client.ask('the red box', **make(client))
    assert values['outcome'] == 'INVALID_IMAGE' and values['code'] == '36', values
    assert_works(client)


def depth_of(array, encoding):
    return lambda client, header: array_to_image(array, encoding, header)


@pytest.mark.parametrize(('depth', 'outcome'), [
    (depth_of(np.full((480, 640), np.nan, np.float32), '32FC1'), 'NO_DEPTH'),
    (depth_of(np.zeros((480, 640), np.uint16), '16UC1'), 'NO_DEPTH'),
    (depth_of(np.ones((240, 320), np.uint16), '16UC1'), 'DEPTH_MISMATCH'),
    (depth_of(np.ones((480, 640, 3), np.uint8), 'rgb8'), 'DEPTH_MISMATCH'),
    (lambda client, header: None, 'NO_DEPTH'),
], ids=['NaN', 'zeros', 'half size', 'colour', 'missing'])
def test_bad_depth_keeps_the_mask(client, depth, outcome):
    client.let_frames_age()
    header = client.header()
    values, _ = client.ask('the red box', header=header, depth=depth(client, header))
    assert values['outcome'] == outcome, values
    assert image_to_array(client.received['mask'][-1]).any()
    assert client.received['target_point'] == []
    assert_works(client)


def test_uncalibrated_camera(client):
    client.let_frames_age()
    header = client.header()
    info = ros.camera_to_info(ros.CAMERA, header)
    info.k, info.p = [0.0] * 9, [0.0] * 12
    values, _ = client.ask('the red box', header=header, info=info)
    assert values['outcome'] == 'UNCALIBRATED' and client.received['target_point'] == []
    assert_works(client)


@pytest.mark.parametrize('raw', [
    '', '   \n ', 'x' * 5000, '{"id": "j", "text": ', '{"id": "j"}', '{"text": ""}',
    '{"id": "j", "text": "the red box", "speed": 3}', '{"text": "the red box", "mode": "fly"}',
    json.dumps({'text': 'the red box ' * 500}), '{"text": 3}', '{"text": "a", "timeout_s": -1}',
], ids=['empty', 'blank', '5000 characters', 'cut off', 'no text', 'empty text', 'unknown key',
        'unknown mode', 'long JSON', 'number', 'negative timeout'])
def test_bad_commands(client, raw):
    client.command.publish(String(data=raw))
    assert client.wait(lambda: client.received['result'])
    values = status_values(client.received['result'][0].status[0])
    assert values['outcome'] == 'INVALID_COMMAND' and values['code'] == '20'
    assert len(client.received['result'][0].status[0].message) < 300
    if raw == '{"id": "j"}':
        assert values['command_id'] == 'j'


def test_good_command_after_bad_ones(client):
    assert_works(client)


def test_duplicate_id(client):
    client.say('the red box', id='twice')
    client.send_frame()
    client.result('twice')
    client.say('the green box', id='twice')
    assert client.wait(lambda: len(client.results('twice')) == 2)
    outcomes = [status_values(message.status[0])['outcome']
                for message in client.results('twice')]
    assert outcomes == ['SUCCEEDED', 'INVALID_COMMAND']


def test_plain_text_gets_an_id_of_its_own(client):
    client.command.publish(String(data='the green box'))
    client.spin(0.05)
    client.send_frame()
    assert client.wait(lambda: client.received['result'])
    values = status_values(client.received['result'][0].status[0])
    assert values['outcome'] == 'SUCCEEDED' and values['command_id'].isdigit()


def test_model_that_raises(client):
    values, _ = client.ask('explode the red box')
    assert values['outcome'] == 'MODEL_ERROR' and values['code'] == '40'
    assert_works(client)


def test_a_new_command_replaces_the_old_one(client):
    slow = client.say('slowly the red box')
    client.spin(0.1)
    client.send_frame()
    client.spin(0.2)
    new = client.say('the green box')
    assert client.result(slow)['outcome'] == 'SUPERSEDED'
    client.send_frame()
    assert client.result(new)['outcome'] == 'SUCCEEDED'
    client.spin(0.3)
    assert len(client.results(slow)) == len(client.results(new)) == 1
    # The superseded command's mask was dropped: only the new one's came out.
    assert len(client.received['mask']) == 1


def test_stale_image(client):
    client.let_frames_age()
    client.send_frame(header=client.header(age=30.0))
    client.spin(0.2)
    identity = client.say('the red box')
    assert client.result(identity)['outcome'] == 'STALE_IMAGE'
    assert_works(client)


def test_timeout(client):
    identity = client.say('slowly the red box', timeout_s=0.5)
    client.spin(0.05)
    client.send_frame()
    assert client.result(identity)['outcome'] == 'TIMEOUT'
    client.spin(1.2)
    assert len(client.results(identity)) == 1
    assert_works(client)
