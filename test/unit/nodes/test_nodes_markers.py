"""What viewers and detection consumers get: markers, vision_msgs, and the frame they are in."""
from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

from geometry_msgs.msg import PoseWithCovariance, Vector3
from node_fakes import Node
from service_fakes import MASK, MEASURED, SHAPE
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ris_ros.geometry import OrientedBox
from ris_ros.nodes import detections, transforms
from ris_ros.nodes.markers import marker_array
from ris_ros.nodes.outputs import Outputs, result_message
from ris_ros.nodes.transforms import TfFrames
from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.detail import Detail
from ris_ros.service.frames import Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.results import Result
from ris_ros.service.worker import Reply
from ris_ros.target import Measurement
from ris_ros.types import Candidate, MissingDependencyError, Outcome, Segmentation

CANDIDATES = tuple(Candidate(rank, rank, 1 / rank, MASK, (20.0, 10.0, 24.0, 20.0))
                   for rank in (1, 2))
FOUND = Segmentation(MASK, 0.9, 0.4, Outcome.SUCCEEDED_2D, '', CANDIDATES)
BOX = OrientedBox(np.array([0.1, 0.2, 0.5]), np.array([0, 0, 0.6, 0.8]), np.array([0.3, 0.2, 0.1]))
POINTS = {1: np.array([0.0, 0.1, 0.5]), 2: np.array([0.2, 0.1, 0.5])}
REPLY = Reply(None, FOUND, MEASURED, np.zeros((*SHAPE, 3), np.uint8), detail=Detail(BOX, POINTS),
              frame_id='base_link')
SPACE = Header(frame_id='base_link')
RECORD = CommandRecord('m', 'the mug', 1.0, 60.0)


def kinds(markers):
    return [(m.ns, m.id, m.type) for m in markers[1:]]


def test_the_target_its_box_and_the_others():
    markers = marker_array(REPLY, SPACE, 'the mug').markers
    assert markers[0].action == Marker.DELETEALL
    assert kinds(markers) == [
        ('target', 0, Marker.SPHERE), ('command', 0, Marker.TEXT_VIEW_FACING),
        ('box', 0, Marker.CUBE), ('candidates', 2, Marker.SPHERE),
        ('numbers', 2, Marker.TEXT_VIEW_FACING)]
    sphere, words, box, other, number = markers[1:]
    assert all(m.header.frame_id == 'base_link' and m.action == Marker.ADD for m in markers[1:])
    assert (sphere.pose.position.x, sphere.pose.position.z) == (
        pytest.approx(MEASURED.geometry.point[0]), pytest.approx(0.5))
    assert (words.text, number.text) == ('the mug', '2')
    assert (box.scale.x, box.scale.y, box.scale.z) == (0.3, 0.2, 0.1)
    assert (box.pose.position.y, box.pose.orientation.z) == (0.2, 0.6)
    assert other.pose.position.x == 0.2 and sphere.color != other.color
    assert all(m.color.a > 0 and m.scale.z > 0 and m.pose.orientation.w for m in markers[1:])


def test_several_that_fit_are_numbered_and_none_is_shown_as_the_target():
    several = replace(REPLY, measured=Measurement(Outcome.AMBIGUOUS, 'two fit'),
                      detail=Detail(None, POINTS))
    assert kinds(marker_array(several, SPACE, 'a mug').markers) == [
        ('candidates', 1, Marker.SPHERE), ('numbers', 1, Marker.TEXT_VIEW_FACING),
        ('candidates', 2, Marker.SPHERE), ('numbers', 2, Marker.TEXT_VIEW_FACING)]
    guess = replace(several, measured=replace(MEASURED, outcome=Outcome.AMBIGUOUS))
    markers = marker_array(guess, SPACE, 'a mug').markers
    assert markers[1].ns == 'target' and markers[1].color == markers[3].color


def test_nothing_found_takes_the_old_ones_out():
    nothing = replace(REPLY, measured=Measurement(Outcome.NO_MATCH, ''), detail=Detail())
    assert [m.action for m in marker_array(nothing, SPACE, 'x').markers] == [Marker.DELETEALL]


# ---- frames of the outputs ---------------------------------------------------------------

def sent(reply):
    node = Node(subscribers=1)
    outputs = Outputs(node)
    outputs.publish(reply, Header(frame_id='camera'), NodeParameters(), RECORD)
    return outputs, {topic: publisher.sent[0] for topic, publisher in node.publishers.items()
                     if publisher.sent}


def test_what_has_a_place_is_in_the_frame_of_the_target_and_pictures_in_the_cameras():
    _, messages = sent(REPLY)
    for topic in ('~/target_point', '~/target_pose', '~/target_cloud'):
        assert messages[topic].header.frame_id == 'base_link', topic
    assert messages['~/markers'].markers[1].header.frame_id == 'base_link'
    for topic in ('~/mask', '~/labels', '~/overlay'):
        assert messages[topic].header.frame_id == 'camera', topic
    _, messages = sent(replace(REPLY, frame_id=''))
    assert messages['~/target_point'].header.frame_id == 'camera'


def test_boxes_are_wanted_while_somebody_looks():
    outputs, _ = sent(REPLY)
    p = NodeParameters()
    assert outputs.watched(p)
    assert not outputs.watched(replace(p, publish=replace(p.publish, markers=False)))
    outputs._markers.subscribers = 0
    assert not outputs.watched(p)


def test_places_of_candidates_stand_in_the_result():
    ending = Ending(Outcome.AMBIGUOUS, 'two fit', candidates=CANDIDATES, points={2: POINTS[2]})
    message = result_message('ris_node', Result(RECORD, ending, {}, 5), Header())
    first, second = ({pair.key: pair.value for pair in s.values} for s in message.status[1:])
    assert 'point_xyz' not in first and second['point_xyz'] == '0.2 0.1 0.5'


# ---- vision_msgs -------------------------------------------------------------------------

def vision_messages():
    """Return a module with the fields of vision_msgs 4.1, which is not on the package index."""
    def message(**fields):
        class Message(SimpleNamespace):
            def __init__(self, **given):
                unknown = given.keys() - fields.keys()
                assert not unknown, unknown
                super().__init__(**{**{k: make() for k, make in fields.items()}, **given})
        return Message
    m = SimpleNamespace()
    m.ObjectHypothesis = message(class_id=str, score=float)
    m.ObjectHypothesisWithPose = message(hypothesis=m.ObjectHypothesis, pose=PoseWithCovariance)
    point = message(x=float, y=float)
    m.BoundingBox2D = message(center=message(position=point, theta=float), size_x=float,
                              size_y=float)
    m.BoundingBox3D = message(center=object, size=Vector3)
    for kind in '23':
        detection = message(header=Header, results=list, id=str,
                            bbox=getattr(m, f'BoundingBox{kind}D'))
        setattr(m, f'Detection{kind}D', detection)
        setattr(m, f'Detection{kind}DArray', message(header=Header, detections=list))
    return m


def test_detections(monkeypatch):
    monkeypatch.setattr(detections, 'vision_msgs', vision_messages())
    monkeypatch.setattr('ris_ros.nodes.outputs.vision_msgs', detections.vision_msgs)
    outputs, messages = sent(REPLY)
    flat = messages['~/detections']
    assert flat.header.frame_id == 'camera' and [d.id for d in flat.detections] == ['m/1', 'm/2']
    box = flat.detections[0].bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (
        32.0, 20.0, 24.0, 20.0)
    assert flat.detections[1].results[0].hypothesis.score == 0.5
    assert flat.detections[1].results[0].hypothesis.class_id == 'the mug'
    (solid,) = messages['~/detections_3d'].detections
    assert solid.header.frame_id == 'base_link' and solid.id == 'm/1'
    assert (solid.bbox.size.x, solid.bbox.center.position.z) == (0.3, 0.5)
    assert solid.results[0].pose.pose.position.z == pytest.approx(0.5)
    _, messages = sent(replace(REPLY, measured=Measurement(Outcome.NO_MATCH, '')))
    assert messages['~/detections_3d'].detections == []
    outputs.destroy()


# ---- tf2 ---------------------------------------------------------------------------------

class NoTransformError(Exception):
    """As tf2_ros's own."""


class Buffer:
    """The part of tf2_ros.Buffer that is used; tf2_ros is not on the package index."""

    def __init__(self, cache_time):
        self.known, self.cleared = {}, 0

    def lookup_transform(self, target, source, time):
        if (target, source, time.nanoseconds) not in self.known:
            raise NoTransformError(f'"{target}" passed to lookupTransform does not exist')
        return self.known[target, source, time.nanoseconds]

    def clear(self):
        self.cleared += 1


@pytest.fixture
def tf2(monkeypatch):
    module = ModuleType('tf2_ros')
    module.Buffer, module.TransformException = Buffer, NoTransformError
    module.TransformListener = lambda buffer, node, spin_thread: SimpleNamespace(
        unregister=lambda: None)
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    return module


def image():
    header = Header(frame_id='/camera')
    header.stamp.sec, header.stamp.nanosec = 5, 7
    return Stamped(5.0, SimpleNamespace(header=header), 'x', '/camera')


def motion(w=1.0):
    return SimpleNamespace(transform=SimpleNamespace(
        rotation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=w),
        translation=SimpleNamespace(x=1.0, y=2.0, z=3.0)))


def test_the_transform_of_the_images_stamp(tf2):
    frames = TfFrames(None)
    assert frames.transform('base_link', image()) == 'nobody listens to /tf yet'
    frames.open()
    assert 'does not exist' in frames.transform('base_link', image())
    frames._buffer.known['base_link', 'camera', 5_000_000_007] = motion()
    found = frames.transform('/base_link', image())
    np.testing.assert_array_equal(found.points(np.zeros(3)), [1, 2, 3])
    frames._buffer.known['base_link', 'camera', 5_000_000_007] = motion(w=0.0)
    assert 'no rigid transform' in frames.transform('base_link', image())
    frames.forget()
    assert frames._buffer.cleared == 1
    frames.open()   # a second time changes nothing
    assert frames._buffer.cleared == 1
    frames.close()
    assert frames.transform('base_link', image()) == 'nobody listens to /tf yet'


def test_without_tf2(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    with pytest.raises(MissingDependencyError, match='leave target_frame empty'):
        transforms.require_tf2()


def test_the_real_tf2_has_what_is_used():
    tf2_ros = pytest.importorskip('tf2_ros', reason='tf2_ros is not on the package index')
    for name in ('Buffer', 'TransformListener', 'TransformException'):
        assert hasattr(tf2_ros, name)
