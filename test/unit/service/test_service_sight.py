"""What a command is answered on: the View that a method gets and the target measured from it."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from service_fakes import CAMERA, MASK, SHAPE, ArrayConverter

from ris_ros.geometry import Calibration
from ris_ros.service.frames import FrameSet, Stamped
from ris_ros.service.parameters import DepthParameters, NodeParameters
from ris_ros.service.sight import Sight
from ris_ros.types import BadInputError, Camera, Outcome, Segmentation

RGB = np.full((*SHAPE, 3), 7, np.uint8)
DEPTH = np.full(SHAPE, 0.5, np.float32)
FOUND = Segmentation(MASK, 0.9, 0.4, Outcome.SUCCEEDED_2D, 'found')
ABSENT = object()


def sight(rgb=RGB, depth=DEPTH, camera=CAMERA, want_depth=True, parameters=None, stamp=1.0,
          converter=None, frame_ids=('camera',) * 3, topic='/camera/image'):
    def message(name, value, frame_id):
        return None if value is ABSENT else Stamped(stamp, value, (name, stamp), frame_id)
    frames = FrameSet(message('image', rgb, frame_ids[0]), message('depth', depth, frame_ids[1]),
                      message('info', camera, frame_ids[2]))
    return Sight(frames, want_depth, parameters or NodeParameters(),
                 converter or ArrayConverter(), topic)


def test_the_method_gets_depth_and_camera_in_the_view():
    view = sight().view()
    assert view.rgb is RGB and view.camera == CAMERA
    np.testing.assert_array_equal(view.depth, DEPTH)


def test_depth_is_converted_once_and_serves_method_and_target():
    converter = ArrayConverter()
    look = sight(converter=converter)
    view = look.view()
    measured = look.measure(FOUND, view)
    assert measured.outcome is Outcome.SUCCEEDED
    assert measured.geometry.point[2] == pytest.approx(0.5)
    assert sorted(converter.calls) == ['camera', 'depth', 'rgb']
    # A second command about the same images has a sight of its own and converts nothing but
    # the few numbers of the camera, for the key.
    again = ArrayConverter()
    second = sight(converter=again)
    assert second.key == look.key
    assert second.measure(FOUND, view).outcome is Outcome.SUCCEEDED
    assert again.calls == ['camera']


def test_without_a_wish_for_depth_nothing_of_it_is_read():
    converter = ArrayConverter()
    look = sight(depth=BadInputError('bad'), camera=BadInputError('bad'), want_depth=False,
                 converter=converter)
    view = look.view()
    assert view.depth is None and view.camera is None and converter.calls == ['rgb']
    assert look.measure(FOUND, view).outcome is Outcome.SUCCEEDED_2D
    assert converter.calls == ['rgb']


OTHER_SIZE = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)


@pytest.mark.parametrize(('changes', 'outcome', 'said', 'has_depth', 'has_camera'), [
    ({'depth': ABSENT}, Outcome.NO_DEPTH, 'no depth image within 0.02 s', False, True),
    ({'depth': ABSENT, 'camera': ABSENT}, Outcome.NO_DEPTH, 'no depth image', False, False),
    ({'camera': ABSENT}, Outcome.UNCALIBRATED, 'no CameraInfo has arrived', True, False),
    ({'camera': BadInputError('zeros in K')}, Outcome.UNCALIBRATED, 'zeros in K', True, False),
    ({'camera': OTHER_SIZE}, Outcome.UNCALIBRATED, '640x480', True, False),
    ({'depth': BadInputError('a strange encoding')}, Outcome.DEPTH_MISMATCH,
     'a strange encoding', False, True),
    ({'depth': DEPTH[:24, :32]}, Outcome.DEPTH_MISMATCH, 'registered to colour', False, True),
    ({'depth': BadInputError('bad depth'), 'camera': BadInputError('bad camera')},
     Outcome.UNCALIBRATED, 'bad camera', False, False),
    ({'depth': np.full(SHAPE, np.nan, np.float32)}, Outcome.NO_DEPTH, 'only 0 pixels', True, True),
])
def test_what_does_not_fit_is_kept_from_the_method_and_told(
        changes, outcome, said, has_depth, has_camera):
    look = sight(**changes)
    view = look.view()
    assert (view.depth is not None, view.camera is not None) == (has_depth, has_camera)
    for told in (look, sight(**changes)):   # the second as when the scene was prepared before
        measured = told.measure(FOUND, view)
        assert measured.outcome is outcome and said in measured.message


def test_a_colour_image_that_cannot_be_used_is_an_error():
    with pytest.raises(BadInputError, match='no pixels'):
        sight(rgb=BadInputError('no pixels')).view()


def test_equal_keys_mean_equal_views():
    key = sight().key
    assert sight().key == key and hash(sight().key) == hash(key)
    # The intrinsics come anew with every image; only their numbers count.
    again = sight(camera=replace(CAMERA))
    assert replace(again, frames=replace(again.frames, info=Stamped(
        9.0, CAMERA, 'another message', 'camera'))).key == key
    in_mm = NodeParameters(depth=DepthParameters(unit='mm'))
    others = [sight(stamp=2.0), sight(depth=ABSENT), sight(camera=ABSENT), sight(want_depth=False),
              sight(camera=OTHER_SIZE), sight(parameters=in_mm)]
    keys = [other.key for other in others]
    assert key not in keys and len(set(keys)) == len(keys)
    # What the view does not depend on does not matter.
    assert sight(parameters=NodeParameters(max_candidates=3)).key == key


def test_parameters_reach_the_target():
    far = NodeParameters(depth=DepthParameters(unit='mm', min_m=0.0001))
    look = sight(parameters=far)
    assert look.measure(FOUND, look.view()).geometry.point[2] == pytest.approx(0.0005)
    guess = replace(FOUND, outcome=Outcome.AMBIGUOUS)
    look = sight(parameters=NodeParameters(ambiguity_policy='best'))
    assert look.measure(guess, look.view()).geometry is not None
    assert sight().measure(guess, look.view()).geometry is None


# ---- frames that do not belong together --------------------------------------------------

COLOUR, DEPTHS = 'camera_color_optical_frame', 'camera_depth_optical_frame'


@pytest.mark.parametrize(('frame_ids', 'outcome'), [
    ((COLOUR, DEPTHS, COLOUR), Outcome.DEPTH_MISMATCH),
    ((COLOUR, COLOUR, DEPTHS), Outcome.UNCALIBRATED),
    ((COLOUR, DEPTHS, DEPTHS), Outcome.UNCALIBRATED),
    ((COLOUR, '', COLOUR), Outcome.DEPTH_MISMATCH),
    ((COLOUR, COLOUR, ''), Outcome.UNCALIBRATED),
    (('', COLOUR, ''), Outcome.DEPTH_MISMATCH),
    (('', '', ''), Outcome.SUCCEEDED),
    (('/' + COLOUR, COLOUR, COLOUR), Outcome.SUCCEEDED),
])
def test_messages_of_different_frames_give_no_target(frame_ids, outcome):
    look = sight(frame_ids=frame_ids)
    view = look.view()
    for told in (look, sight(frame_ids=frame_ids)):
        measured = told.measure(FOUND, view)
        assert measured.outcome is outcome, measured.message
        assert (measured.geometry is not None) is (outcome is Outcome.SUCCEEDED)
        if outcome is not Outcome.SUCCEEDED:
            named = [repr(name) for name in set(frame_ids)]
            assert all(name in measured.message for name in named)
            assert 'match_frame_ids' in measured.message
    # The method is not led astray either.
    assert (view.depth is not None) is (frame_ids[1].lstrip('/') == frame_ids[0].lstrip('/'))
    assert (view.camera is not None) is (frame_ids[2].lstrip('/') == frame_ids[0].lstrip('/'))


def test_a_driver_that_is_known_to_lie():
    lying = NodeParameters(match_frame_ids=False)
    look = sight(frame_ids=(COLOUR, DEPTHS, 'other'), parameters=lying)
    assert look.measure(FOUND, look.view()).outcome is Outcome.SUCCEEDED
    assert look.key != sight(frame_ids=(COLOUR, DEPTHS, 'other')).key


def test_images_without_a_frame_are_told():
    look = sight(frame_ids=('', '', ''))
    assert any('no frame' in note for note in look.notes) and sight().notes == ()


# ---- calibrations that cannot be ---------------------------------------------------------

@pytest.mark.parametrize(('camera', 'said'), [
    (replace(CAMERA, fx=1.0, fy=1.0), 'field of view of 176 by 175 degrees'),
    (replace(CAMERA, fx=6000.0, fy=6000.0), 'field of view'),
    (replace(CAMERA, cx=0.0, cy=0.0), 'principal point'),
])
def test_an_implausible_calibration_gives_no_target(camera, said):
    look = sight(camera=camera)
    view = look.view()
    measured = look.measure(FOUND, view)
    assert measured.outcome is Outcome.UNCALIBRATED and said in measured.message
    assert view.camera is None and view.depth is not None
    trusting = sight(camera=camera, parameters=NodeParameters(check_calibration=False))
    assert trusting.measure(FOUND, trusting.view()).outcome is Outcome.SUCCEEDED
    assert said in trusting.notes[0]   # taken at its word, but not in silence
    assert trusting.key != look.key


@pytest.mark.parametrize(('topic', 'coefficient', 'outcome', 'noted'), [
    ('/camera/image_rect', -0.4, Outcome.SUCCEEDED, False),
    ('/camera/image_raw', -0.4, Outcome.UNCALIBRATED, True),
    ('/camera/image_raw', -0.3, Outcome.SUCCEEDED, True),
    ('/camera/image', -0.4, Outcome.SUCCEEDED, True),
    ('/camera/image_raw', -0.0001, Outcome.SUCCEEDED, False),
])
def test_distortion_of_an_image_that_should_be_rectified(topic, coefficient, outcome, noted):
    bent = replace(Calibration.of(CAMERA), distortion=(coefficient, 0.0, 0.0, 0.0, 0.0),
                   model='plumb_bob')
    look = sight(camera=bent, topic=topic)
    measured = look.measure(FOUND, look.view())
    assert measured.outcome is outcome, measured.message
    if outcome is Outcome.SUCCEEDED:
        assert bool(look.notes) is noted
        assert not noted or 'pixels' in look.notes[0]
    else:
        assert 'feed the rectified image' in measured.message


# ---- units -------------------------------------------------------------------------------

@pytest.mark.parametrize(('metres', 'unit', 'said'), [
    (812.0, 'auto', '0.812 m if it were in mm (it is read in m); set depth.unit to mm'),
    (8120.0, 'auto', '0.812 m if it were in 0.1mm'),
    (0.812, 'mm', '0.812 m if it were in m (it is read in mm)'),
    (0.02, 'auto', None),    # too near in every unit
])
def test_depth_that_makes_sense_in_another_unit_is_told(metres, unit, said):
    parameters = NodeParameters(depth=DepthParameters(unit=unit, max_m=5.0))
    look = sight(depth=np.full(SHAPE, metres, np.float32), parameters=parameters)
    measured = look.measure(FOUND, look.view())
    assert measured.outcome is Outcome.NO_DEPTH
    assert (said or 'set depth.unit') in measured.message or said is None
    assert ('set depth.unit' in measured.message) is (said is not None)
