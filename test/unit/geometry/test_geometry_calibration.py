"""Calibrations that no camera has are told from those that some camera has."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ris_ros.geometry import Calibration, judge_calibration
from ris_ros.geometry.calibration import edge_displacement
from ris_ros.types import Camera

GOOD = Calibration.of(Camera(600.0, 600.0, 319.5, 239.5, 640, 480))


def k_and_p(fx=600.0, fy=600.0, cx=319.5, cy=239.5, tx=0.0):
    return {'k': (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0),
            'p': (fx, 0.0, cx, tx, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)}


# Of real cameras' drivers: RealSense, Azure Kinect, ZED, a fisheye rectified, a phone, a lens of
# 12 degrees, a half cropped away.
@pytest.mark.parametrize('calibration', [
    GOOD,
    replace(GOOD, **k_and_p(615.96, 616.23, 327.2, 240.6)),
    replace(GOOD, **k_and_p(605.8, 605.6, 637.7, 367.9), width=1280, height=720),
    replace(GOOD, **k_and_p(1066.8, 1066.8, 960.1, 552.2), width=1920, height=1080),
    replace(GOOD, **k_and_p(220.0, 220.0), width=640, height=480),
    replace(GOOD, **k_and_p(3000.0, 3000.0)),
    replace(GOOD, **k_and_p(cx=420.0)),
    replace(GOOD, p=(0.0,) * 12), replace(GOOD, k=(0.0,) * 9),
    replace(GOOD, rotation=(0.0,) * 9),
    # Not calibrated at all: refused elsewhere, not judged here.
    replace(GOOD, k=(0.0,) * 9, p=(0.0,) * 12),
    replace(GOOD, **k_and_p(fx=float('nan'))),
])
def test_what_some_camera_has(calibration):
    judgement = judge_calibration(calibration)
    assert judgement.fault is None and judgement.doubts == ()


@pytest.mark.parametrize(('calibration', 'said'), [
    (replace(GOOD, **k_and_p(1.0, 1.0)), 'field of view'),
    (replace(GOOD, **k_and_p(20.0, 20.0)), 'field of view'),
    (replace(GOOD, **k_and_p(8000.0, 8000.0)), 'field of view'),
    (replace(GOOD, **k_and_p(600.0, 1.0)), 'field of view'),
    (replace(GOOD, **k_and_p(600.0, 150.0)), 'too different'),
    (replace(GOOD, **k_and_p(cx=0.0, cy=0.0)), 'principal point'),
    (replace(GOOD, **k_and_p(cx=700.0)), 'principal point'),
    # Of twice and of half the resolution.
    (replace(GOOD, **k_and_p(1200.0, 1200.0, 639.5, 479.5)), 'principal point'),
    (replace(GOOD, **k_and_p(300.0, 300.0, 159.5, 119.5)), 'another resolution'),
    (replace(GOOD, k=k_and_p(300.0, 300.0)['k']), 'K and P disagree'),
    (replace(GOOD, k=k_and_p(cx=280.0)['k']), 'K and P disagree'),
    (replace(GOOD, k=k_and_p(2500.0, 2500.0)['k'], distortion=(0.1,) * 5), 'K and P disagree'),
    (replace(GOOD, width=0), '0x480'),
    # Column by column.
    (replace(GOOD, p=(0.0,) * 12, k=(600.0, 0.0, 0.0, 0.0, 600.0, 0.0, 319.5, 239.5, 1.0)),
     'transposed'),
    (replace(GOOD, p=(0.0,) * 12, k=(600.0, 80.0, 319.5, 0.0, 600.0, 239.5, 0.0, 0.0, 1.0)),
     'skew'),
    (replace(GOOD, distortion=(float('nan'),) * 5, model='plumb_bob'), 'NaN'),
])
def test_what_no_camera_has(calibration, said):
    judgement = judge_calibration(calibration)
    assert judgement.fault is not None and said in judgement.fault
    assert 'alibrat' in judgement.fault


@pytest.mark.parametrize(('calibration', 'said'), [
    (replace(GOOD, **k_and_p(fy=380.0)), 'square pixels'),
    (replace(GOOD, **k_and_p(cx=480.0)), 'principal point'),
    (replace(GOOD, **k_and_p(tx=-70.0)), 'stereo'),
    (replace(GOOD, k=k_and_p(1500.0, 1500.0)['k'], distortion=(0.001,) * 4, model='plumb_bob'),
     'K and P disagree'),
    (replace(GOOD, distortion=(0.1, 0.0, 0.0, 0.0, 0.0), model='plumb_bob'), 'D is not zero'),
    (replace(GOOD, distortion=(0.1,) * 12, model='of_my_own'), 'of_my_own'),
])
def test_what_is_in_doubt(calibration, said):
    judgement = judge_calibration(calibration)
    assert judgement.fault is None
    assert any(said in doubt for doubt in judgement.doubts), judgement
    assert judge_calibration(calibration, raw=False).fault is None


def test_a_rectified_stereo_pair_may_turn_and_scale():
    turned = replace(GOOD, k=k_and_p(500.0, 500.0)['k'], distortion=(-0.3, 0.1, 0.0, 0.0, 0.0),
                     model='plumb_bob',
                     rotation=(0.999, 0.0, 0.04, 0.0, 1.0, 0.0, -0.04, 0.0, 0.999))
    assert turned.rotated and turned.distorted
    assert judge_calibration(turned, raw=False).fault is None


def test_displacement_by_distortion_is_that_of_opencv():
    cv2 = pytest.importorskip('cv2', reason='OpenCV is not installed')
    k = np.array(GOOD.k).reshape(3, 3)
    edges = np.array([[0, 239.5], [639, 239.5], [319.5, 0], [319.5, 479]])
    rays = np.column_stack([(edges - k[:2, 2]) / k[0, 0], np.ones(4)])
    brown = (-0.28, 0.07, 0.001, -0.002, 0.01)
    moved, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), k, np.array(brown))
    expected = np.linalg.norm(moved.reshape(4, 2) - edges, axis=1).max()
    assert edge_displacement(replace(GOOD, distortion=brown, model='plumb_bob')) \
        == pytest.approx(expected)
    fisheye = (0.02, -0.01, 0.003, 0.0)
    moved, _ = cv2.fisheye.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), k,
                                         np.array(fisheye))
    expected = np.linalg.norm(moved.reshape(4, 2) - edges, axis=1).max()
    assert edge_displacement(replace(GOOD, distortion=fisheye, model='equidistant')) \
        == pytest.approx(expected)


def test_a_bent_raw_image_is_refused_by_how_much_it_is_bent():
    def judged(k1, raw):
        bent = replace(GOOD, distortion=(k1, 0.0, 0.0, 0.0), model='plumb_bob')
        return judge_calibration(bent, raw)
    assert 'raw' in judged(-0.5, True).fault
    assert judged(-0.5, None).fault is None and judged(-0.5, None).doubts
    assert judged(-0.1, True).fault is None and judged(-0.1, True).doubts
    assert judged(-0.001, True) == judged(-0.5, False)   # nothing to say of either
