"""The session's ports over rclpy: conversion of messages, and a node whose context has ended."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from ris_ros.geometry import judge_calibration
from ris_ros.nodes.messages import array_to_image, camera_to_info, status_values
from ris_ros.nodes.parameters import LiveParameters
from ris_ros.nodes.ports import (
    MessageConverter,
    RosClock,
    RosPublisher,
    RosSurroundings,
    stamped,
)
from ris_ros.nodes.transforms import TfFrames
from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.frames import FrameSet
from ris_ros.service.results import Result, Status
from ris_ros.types import BadInputError, Camera, Outcome

CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)


def header(sec=5, nanosec=250_000_000, frame_id='camera'):
    result = Header(frame_id=frame_id)
    result.stamp.sec, result.stamp.nanosec = sec, nanosec
    return result


def test_conversion():
    converter = MessageConverter()
    rgb = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    np.testing.assert_array_equal(converter.rgb(array_to_image(rgb, 'rgb8', header())), rgb)
    depth = array_to_image(np.full((48, 64), 500, np.uint16), '16UC1', header())
    assert converter.depth(depth, 'auto')[0, 0] == pytest.approx(0.5)
    assert converter.depth(depth, 'm')[0, 0] == pytest.approx(500.0)
    assert converter.camera(camera_to_info(CAMERA, header())) == CAMERA
    with pytest.raises(BadInputError, match='rgb8'):
        converter.depth(array_to_image(rgb, 'rgb8', header()), 'auto')
    with pytest.raises(BadInputError, match='holds no picture'):
        converter.rgb(depth)


def test_a_message_with_its_stamp():
    message = array_to_image(np.zeros((4, 4), np.uint8), 'mono8', header())
    item = stamped(message, waited_s=0.5)
    assert (item.stamp, item.frame_id, item.message) == (5.25, 'camera', message)
    assert item.waited_s == 0.5 and not item.lasting


def test_messages_are_told_apart_by_what_they_hold():
    picture = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    one = stamped(array_to_image(picture, 'mono8', header()))
    # Shown again under another stamp it is the same picture.
    for other in (header(sec=6), header(nanosec=1), header(frame_id='other')):
        again = stamped(array_to_image(picture, 'mono8', other))
        assert again.identity == one.identity and hash(again.identity) == hash(one.identity)
    # Another picture under the same stamp is another, were it by a single pixel.
    changed = picture.copy()
    changed[17, 23] += 1
    for other in (array_to_image(changed, 'mono8', header()),
                  array_to_image(picture.reshape(64, 48), 'mono8', header()),
                  array_to_image(picture, '8UC1', header()),
                  camera_to_info(CAMERA, header())):
        assert stamped(other).identity != one.identity
    assert stamped(camera_to_info(CAMERA, header())).identity == stamped(
        camera_to_info(CAMERA, header(sec=9))).identity
    assert stamped(camera_to_info(CAMERA, header())).identity != stamped(
        camera_to_info(replace(CAMERA, fx=61.0), header())).identity


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=97)
    node = rclpy.create_node('ports_test', context=context)
    yield node
    rclpy.try_shutdown(context=context)


class Keeper:
    def __init__(self):
        self.sent = []
        self.publish = self.sent.append


@pytest.fixture
def publisher(node, monkeypatch):
    keepers = {}

    def create(kind, topic, qos):
        return keepers.setdefault(topic, Keeper())
    monkeypatch.setattr(node, 'create_publisher', create)
    result = RosPublisher(node)
    result.keepers = keepers
    return result


def result_of(outcome, frames=None):
    record = CommandRecord('m', 'the mug', 1.0, 60.0, frames=frames)
    return Result(record, Ending(outcome, 'said'), {'method': 'tas'}, 10)


def test_a_result_has_the_header_of_its_image_or_the_time_of_now(publisher):
    image = stamped(array_to_image(np.zeros((4, 4), np.uint8), 'mono8', header()))
    publisher.result(result_of(Outcome.SUCCEEDED, FrameSet(image)))
    publisher.result(result_of(Outcome.NO_IMAGE))
    with_image, without = publisher.keepers['~/result'].sent
    assert with_image.header == header()
    assert without.header.frame_id == '' and without.header.stamp.sec > 1_000_000
    assert status_values(without.status[0])['outcome'] == 'NO_IMAGE'


def test_status(publisher):
    publisher.status(Status(True, 'idle', {'state': 'IDLE', 'open': 0}))
    publisher.status(Status(False, 'asleep', {'state': 'INACTIVE'}))
    awake, asleep = (message.status[0] for message in publisher.keepers['~/status'].sent)
    assert (awake.level, awake.message, awake.name) == (bytes([0]), 'idle', 'ports_test: status')
    assert (asleep.level, asleep.message) == (bytes([1]), 'asleep')
    assert status_values(awake) == {'state': 'IDLE', 'open': '0'}


def test_nothing_is_published_after_the_end(node, publisher):
    rclpy.shutdown(context=node.context)
    publisher.result(result_of(Outcome.CANCELED))
    publisher.status(Status(False, 'gone'))
    publisher.wait_until_delivered(1.0)
    assert all(keeper.sent == [] for keeper in publisher.keepers.values())


def test_clocks_parameters_and_topics(node):
    clock = RosClock(node)
    first, steady = clock.ros_s(), clock.steady_s()
    assert first > 1.6e9 and clock.ros_s() >= first and clock.steady_s() >= steady
    live = LiveParameters(node, with_method=False)
    publisher, frames = RosPublisher(node), TfFrames(node)
    surroundings = RosSurroundings(node, live, publisher, frames)
    assert not surroundings.wants_detail(live.current)   # there are no outputs yet
    assert surroundings.transform('base', None) == 'nobody listens to /tf yet'
    assert surroundings.image_topic() == '/image' and not surroundings.depth_is_offered()
    publisher = node.create_publisher(type(array_to_image(
        np.zeros((1, 1), np.uint8), 'mono8', header())), 'depth/image', 1)
    assert surroundings.depth_is_offered()
    node.destroy_publisher(publisher)


def test_parameters_are_read_again_after_a_change(node):
    live = LiveParameters(node, with_method=True)
    assert live.current is live.current and live.current.max_candidates == 10
    good = rclpy.Parameter('max_candidates', value=3)
    bad = rclpy.Parameter('max_candidates', value=0)
    assert node.set_parameters([good])[0].successful and live.current.max_candidates == 3
    assert not node.set_parameters([bad])[0].successful and live.current.max_candidates == 3
    assert live.choice().settings['rules'] in ('paper', 'released')


def set_to(node, **values):
    return node.set_parameters_atomically([
        rclpy.Parameter(name.replace('__', '.'), value=value) for name, value in values.items()])


def test_another_method_at_run_time_brings_its_own_settings(node):
    live = LiveParameters(node, with_method=True)
    first, changes = live.choice(), live.changes
    assert first.method == 'hybridgl'
    for bad in ({'method': 'crystal_ball'}, {'profile': 'nowhere'},
                {'method': 'tas', 'profile': 'nowhere'}):
        result = set_to(node, **bad)
        assert not result.successful and next(reversed(bad.values())) in result.reason
        assert live.choice() == first
    assert set_to(node, method='tas').successful and live.changes > changes
    second = live.choice()
    assert second.method == 'tas' and second.settings.keys() != first.settings.keys()
    assert node.has_parameter('tas.rules') and not node.has_parameter('hybridgl.rules')
    # A setting of it is another choice too, where it fits.
    assert not set_to(node, tas__rules='guessed').successful
    other = 'paper' if second.settings['rules'] == 'released' else 'released'
    assert set_to(node, tas__rules=other).successful
    assert live.choice().settings['rules'] == other and live.choice() != second
    live.restore(second)
    assert live.choice() == second
    live.restore(first)
    assert live.choice() == first and node.get_parameter('method').value == 'hybridgl'


def test_settings_given_at_start_hold_whenever_their_method_comes():
    node = made(tas__score_threshold=0.25)
    try:
        live = LiveParameters(node, with_method=True)
        assert set_to(node, method='tas').successful
        assert live.choice().settings['score_threshold'] == 0.25
    finally:
        rclpy.try_shutdown(context=node.context)


def test_a_method_that_is_not_there_is_told_at_configure():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=97)
    try:
        node = rclpy.create_node('ports_test', context=context, parameter_overrides=[
            rclpy.Parameter('method', value='crystal_ball')])
        live = LiveParameters(node, with_method=True)
        with pytest.raises(BadInputError, match='crystal_ball'):
            live.choice()
    finally:
        rclpy.try_shutdown(context=context)


def test_a_value_at_start_that_does_not_fit():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=97)
    try:
        node = rclpy.create_node('ports_test', context=context, parameter_overrides=[
            rclpy.Parameter('busy_policy', value='panic')])
        with pytest.raises(BadInputError, match='busy_policy'):
            LiveParameters(node, with_method=False)
    finally:
        rclpy.try_shutdown(context=context)


def made(domain=97, **overrides):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    return rclpy.create_node('ports_test', context=context, parameter_overrides=[
        rclpy.Parameter(name.replace('__', '.'), value=value)
        for name, value in overrides.items()])


def test_a_whole_number_will_do_for_a_floating_point_parameter():
    node = made(command_timeout_s=30, depth__max_m=3, hybridgl__score_threshold=0)
    try:
        live = LiveParameters(node, with_method=True)
        assert live.current.command_timeout_s == 30.0 and live.current.depth.max_m == 3.0
        assert live.choice().settings['score_threshold'] == 0.0
        assert node.get_parameter('command_timeout_s').type_ is rclpy.Parameter.Type.DOUBLE
        # While the node runs too, as `ros2 param set ... 20` sends it.
        assert node.set_parameters([rclpy.Parameter('command_timeout_s', value=20)])[0].successful
        assert live.current.command_timeout_s == 20.0
        assert not node.set_parameters([rclpy.Parameter('command_timeout_s', value=0)]
                                       )[0].successful
        assert not node.set_parameters([rclpy.Parameter('max_candidates', value=2.0)]
                                       )[0].successful
    finally:
        rclpy.try_shutdown(context=node.context)


def test_names_that_are_no_parameters_are_told():
    from ris_ros.nodes.parameters import given, unknown_names
    from ris_ros.service.parameters import parameter_table
    node = made(comand_timeout_s=3.0, use_depht='true', tas__alpha=1.0, use_sim_time=False,
                qos_overrides__x=1, method='hybridgl')
    try:
        told = unknown_names(given(node), parameter_table())
        assert len(told) == 3, told
        assert "'comand_timeout_s'" in told[0] and 'did you mean command_timeout_s?' in told[0]
        assert 'settings of tas count only' in told[1] and 'use_depth' in told[2]
    finally:
        rclpy.try_shutdown(context=node.context)


def test_what_ros_cannot_carry_is_replaced_wherever_it_comes_from(publisher):
    record = CommandRecord('m\ud83d', 'the \x00mug', 1.0, 60.0)
    publisher.result(Result(record, Ending(Outcome.NO_MATCH, 'broken \udc00 text'),
                            {'method\x00': 'ta\ud800s'}, 10))
    publisher.status(Status(True, 'id\x00le', {'state': '\ud83d'}))
    (message,), (status,) = (publisher.keepers[name].sent for name in ('~/result', '~/status'))
    for sent in (message, status):
        serialize_message(sent)   # as publishing does
        for part in sent.status:
            assert '\x00' not in part.message + ''.join(v.key + v.value for v in part.values)
    publisher.note('the \ud83d')
    publisher.warn('the \x00')


def test_regions_of_interest_that_cannot_be():
    info = camera_to_info(CAMERA, header())
    info.roi.x_offset, info.roi.width, info.roi.height = 32, 32, 24
    assert MessageConverter().camera(info).width == 32
    info.roi.width = 33
    with pytest.raises(BadInputError, match='region of interest'):
        MessageConverter().camera(info)


def test_a_small_region_far_from_the_axis_is_no_fault():
    info = camera_to_info(Camera(600.0, 600.0, 319.5, 239.5, 640, 480), header())
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 560, 400, 40, 40
    camera = MessageConverter().camera(info)
    assert (camera.cx, camera.cy, camera.width) == (-240.5, -160.5, 40)
    assert judge_calibration(MessageConverter().calibration(info)).fault is None
