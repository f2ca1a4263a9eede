"""Geometry against hand-computed truth and against real RGB-D frames."""
from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ris_ros.geometry import (
    GeometrySettings,
    NoDepthError,
    camera_from_matrix,
    check_camera,
    deproject,
    depth_to_metres,
    erode,
    erode_safely,
    nearest_depth_mode,
    orientation_quaternion,
    project,
    rotate,
    target_geometry,
)
from ris_ros.types import BadInputError, Camera

CAMERA = Camera(fx=500.0, fy=400.0, cx=320.0, cy=240.0, width=640, height=480)
SHARED = Path(os.environ.get('RIS_SHARED_DIR',
                             Path(__file__).resolve().parents[4] / 'shared'))
FRAMES = SHARED / 'data' / 'rgbd_tabletop'


# ---- camera ------------------------------------------------------------------------------

def test_deprojection_by_hand():
    # (420 - 320) / 500 * 2 = 0.4; (140 - 240) / 400 * 2 = -0.5
    assert deproject(np.array([420]), np.array([140]), np.array([2.0]), CAMERA).tolist() == [
        [0.4, -0.5, 2.0]]


def test_projection_undoes_deprojection():
    rng = np.random.default_rng(1)
    u, v, z = rng.uniform(0, 640, 50), rng.uniform(0, 480, 50), rng.uniform(0.2, 3, 50)
    assert np.allclose(project(deproject(u, v, z, CAMERA), CAMERA), np.stack([u, v], axis=1))


def test_camera_from_matrix():
    k = [500.0, 0, 320.0, 0, 400.0, 240.0, 0, 0, 1]
    assert camera_from_matrix(k, 640, 480) == CAMERA
    p = [500.0, 0, 320.0, 7.0, 0, 400.0, 240.0, 0, 0, 0, 1, 0]
    assert camera_from_matrix(p, 640, 480) == CAMERA
    assert camera_from_matrix(np.reshape(k, (3, 3)), 640, 480) == CAMERA


@pytest.mark.parametrize('change', [
    {'fx': 0.0}, {'fy': -1.0}, {'fx': float('nan')}, {'cx': float('inf')}, {'width': 0},
    {'cx': 9000.0}, {'cy': -9000.0},
])
def test_unusable_cameras_are_refused(change):
    with pytest.raises(BadInputError):
        check_camera(Camera(**{**vars(CAMERA), **change}))


def test_camera_of_another_image_is_refused():
    check_camera(CAMERA, (480, 640))
    with pytest.raises(BadInputError, match='640x480'):
        check_camera(CAMERA, (240, 320))
    with pytest.raises(BadInputError, match='5 numbers'):
        camera_from_matrix([1.0] * 5, 640, 480)


# ---- depth -------------------------------------------------------------------------------

def test_millimetres_to_metres():
    depth = depth_to_metres(np.array([[0, 1, 1500, 65535]], np.uint16), '16UC1')
    assert np.isnan(depth[0, 0]) and np.allclose(depth[0, 1:], [0.001, 1.5, 65.535])
    assert depth.dtype == np.float32


def test_invalid_floats_become_nan():
    values = np.array([[1.5, 0.0, -1.0, np.nan, np.inf, -np.inf]], np.float32)
    assert np.array_equal(depth_to_metres(values, '32FC1')[0],
                          np.array([1.5] + [np.nan] * 5, np.float32), equal_nan=True)


def test_unit_overrules_the_encoding():
    metres = depth_to_metres(np.array([[1500.0]], np.float32), '32FC1', 'mm')
    assert metres[0, 0] == pytest.approx(1.5)
    assert depth_to_metres(np.array([[2]], np.uint16), '16UC1', 'm')[0, 0] == 2.0


@pytest.mark.parametrize(('depth', 'encoding', 'unit'), [
    (np.ones((2, 2), np.uint8), 'mono8', 'auto'), (np.ones((2, 2), np.float32), '16UC1', 'auto'),
    (np.ones((2, 2), np.uint16), '32FC1', 'auto'),
    (np.ones((2, 2, 3), np.uint16), '16UC1', 'auto'),
    (np.ones((0, 2), np.uint16), '16UC1', 'auto'), (np.ones((2, 2), np.uint16), '16UC1', 'inch'),
])
def test_unusable_depth_is_refused(depth, encoding, unit):
    with pytest.raises(BadInputError):
        depth_to_metres(depth, encoding, unit)


# ---- masks -------------------------------------------------------------------------------

def test_erosion_by_hand():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 1:8] = True
    expected = np.zeros((9, 9), bool)
    expected[3:6, 2:7] = True
    assert np.array_equal(erode(mask, 1), expected)
    assert erode(mask, 2).sum() == 3 and not erode(mask, 3).any()
    assert np.array_equal(erode(mask, 0), mask)


def test_erosion_leaves_the_image_border_alone():
    mask = np.zeros((10, 10), bool)
    mask[:4, :4] = True
    assert erode(mask, 1).sum() == 9 and erode(mask, 1)[0, 0]


def test_thin_masks_are_not_eroded_away():
    pen = np.zeros((50, 50), bool)
    pen[20:23, 5:45] = True
    worn, taken = erode_safely(pen, 3)
    assert taken == 1 and worn.sum() == 38
    line = np.zeros((50, 50), bool)
    line[20, 5:45] = True
    worn, taken = erode_safely(line, 3)
    assert taken == 0 and np.array_equal(worn, line)
    empty, taken = erode_safely(np.zeros((5, 5), bool), 3)
    assert taken == 0 and not empty.any()


def test_safe_erosion_equals_plain_erosion_of_a_big_mask():
    rng = np.random.default_rng(2)
    mask = np.zeros((120, 160), bool)
    mask[30:90, 100:160] = True  # touches the right border
    mask &= rng.random((120, 160)) > 0.001
    worn, taken = erode_safely(mask, 2)
    assert taken == 2 and np.array_equal(worn, erode(mask, 2))


# ---- orientation -------------------------------------------------------------------------

@pytest.mark.parametrize('point', [[0.0, 0.0, 1.0], [0.4, -0.2, 0.9], [1.0, 0.0, 0.0],
                                   [0.0, 0.0, -2.0], [-0.3, 0.8, 0.0]])
def test_camera_ray_turns_z_onto_the_ray(point):
    quaternion = orientation_quaternion('camera_ray', np.array(point))
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)
    assert np.allclose(rotate(quaternion, [0, 0, 1]), np.array(point) / np.linalg.norm(point))


def test_other_orientations():
    point = np.array([0.3, 0.1, 0.8])
    assert orientation_quaternion('identity', point).tolist() == [0, 0, 0, 1]
    down = orientation_quaternion('top_down', point)
    assert np.allclose(rotate(down, [0, 0, 1]), [0, 1, 0])
    tilted = orientation_quaternion('top_down', point, down=(0.0, 0.6, 0.8))
    assert np.allclose(rotate(tilted, [0, 0, 1]), [0, 0.6, 0.8])
    with pytest.raises(BadInputError):
        orientation_quaternion('sideways', point)
    with pytest.raises(BadInputError):
        orientation_quaternion('camera_ray', np.zeros(3))


# ---- the target --------------------------------------------------------------------------

def scene(objects, background=1.0):
    """Return depth (480, 640) with boxes (rows, columns, depth) in front of a wall."""
    depth = np.full((480, 640), background, np.float32)
    for rows, columns, z in objects:
        depth[rows, columns] = z
    return depth


def test_flat_box():
    box = (slice(200, 281), slice(360, 441))
    mask = np.zeros((480, 640), bool)
    mask[box] = True
    found = target_geometry(mask, scene([(*box, 0.5)]), CAMERA, GeometrySettings(erode_px=0))
    # The middle pixel is (400, 240): x = 80 / 500 * 0.5, y = 0.
    assert np.allclose(found.point, [0.08, 0.0, 0.5]) and found.pixel == (400, 240)
    assert np.allclose(found.extent, [80 / 500 * 0.5, 80 / 400 * 0.5, 0.0])
    assert found.valid_ratio == 1.0 and found.n_valid == len(found.cloud) == 81 * 81
    assert np.allclose(rotate(found.orientation, [0, 0, 1]),
                       found.point / np.linalg.norm(found.point))


def test_mask_that_spills_over_the_edge():
    box = (slice(200, 280), slice(360, 440))
    mask = np.zeros((480, 640), bool)
    mask[190:290, 350:450] = True  # 36 % of the mask lie on the wall behind
    found = target_geometry(mask, scene([(*box, 0.5)]), CAMERA)
    assert np.allclose(found.cloud[:, 2], 0.5) and found.point[2] == 0.5
    assert 360 <= found.pixel[0] < 440 and 200 <= found.pixel[1] < 280


def test_point_of_a_ring_is_on_the_ring():
    v, u = np.mgrid[:480, :640]
    radius = np.hypot(u - 320, v - 240)
    mask = (radius > 40) & (radius < 60)
    found = target_geometry(mask, scene([]), CAMERA)
    assert mask[found.pixel[1], found.pixel[0]]
    assert np.allclose(project(found.point, CAMERA), found.pixel, atol=1e-6)
    assert np.linalg.norm(found.centre[:2]) < 0.005  # the centre itself is in the hole


def test_point_of_a_hollow_is_on_its_surface():
    # A bowl seen from above: a paraboloid 6 cm deep; the centre of its points is in mid-air.
    v, u = np.mgrid[:480, :640]
    radius = np.hypot((u - 320) / 100, (v - 240) / 100)
    mask = radius < 1
    depth = np.where(mask, 0.8 - 0.06 * radius ** 2, 0.8).astype(np.float32)
    found = target_geometry(mask, depth, CAMERA)
    assert found.point[2] == pytest.approx(depth[found.pixel[1], found.pixel[0]])
    centre = target_geometry(mask, depth, CAMERA, GeometrySettings(point='centre'))
    assert np.allclose(centre.point, found.centre) and centre.pixel == found.pixel


def test_noise_and_flying_pixels_do_not_move_the_point():
    rng = np.random.default_rng(3)
    mask = np.zeros((480, 640), bool)
    mask[200:281, 360:441] = True
    depth = scene([(slice(200, 281), slice(360, 441), 0.5)])
    depth += rng.normal(0, 0.002, depth.shape).astype(np.float32)
    holes = mask & (rng.random(mask.shape) < 0.3)
    flying = mask & (rng.random(mask.shape) < 0.05)
    depth[flying] = rng.uniform(0.3, 1.5, int(flying.sum()))
    depth[holes] = np.nan
    found = target_geometry(mask, depth, CAMERA)
    assert np.linalg.norm(found.point - [0.08, 0.0, 0.5]) < 0.005
    assert 0.6 < found.valid_ratio < 0.8
    assert np.abs(found.cloud[:, 2] - 0.5).max() < 0.03


def test_too_little_depth():
    mask = np.zeros((480, 640), bool)
    mask[100:150, 100:150] = True
    for depth in (np.full((480, 640), np.nan, np.float32), scene([], background=20.0)):
        with pytest.raises(NoDepthError) as caught:
            target_geometry(mask, depth, CAMERA)
        assert caught.value.n_valid == 0 and caught.value.valid_ratio == 0.0
    few = np.full((480, 640), np.nan, np.float32)
    few[100:150, 100:104] = 0.5
    with pytest.raises(NoDepthError):
        target_geometry(mask, few, CAMERA, GeometrySettings(erode_px=0))
    with pytest.raises(NoDepthError):
        target_geometry(np.zeros((480, 640), bool), scene([]), CAMERA)


def test_sizes_that_differ_are_refused():
    with pytest.raises(BadInputError, match='registered'):
        target_geometry(np.ones((480, 640), bool), np.ones((240, 320), np.float32), CAMERA)
    with pytest.raises(BadInputError, match='calibration'):
        target_geometry(np.ones((240, 320), bool), np.ones((240, 320), np.float32), CAMERA)
    with pytest.raises(BadInputError, match='centre'):
        target_geometry(np.ones((480, 640), bool), scene([]), CAMERA,
                        GeometrySettings(point='middle'))


def test_nearest_depth_mode():
    near, far = np.full(60, 0.5), np.full(40, 0.9)
    both = np.concatenate([far, near])
    assert nearest_depth_mode(both, 0.05, 0.5).tolist() == [False] * 40 + [True] * 60
    # A finger of 10 % in front of the object is not the object.
    finger = np.concatenate([np.full(10, 0.3), np.full(90, 0.6)])
    assert nearest_depth_mode(finger, 0.05, 0.5).sum() == 90
    # A slanted face has no gap and stays whole.
    assert nearest_depth_mode(np.linspace(0.5, 0.9, 500), 0.05, 0.5).all()


# ---- real frames -------------------------------------------------------------------------

def _references(name):
    path = FRAMES / name
    return json.loads(path.read_text()) if path.is_file() else []


def _read(reference):
    image = pytest.importorskip('PIL.Image')
    depth = np.array(image.open(FRAMES / reference['depth'])).astype(np.uint16)
    camera = json.loads((FRAMES / reference['camera']).read_text())
    assert camera['depth_scale_m'] == 0.001
    return (depth_to_metres(depth, '16UC1'),
            camera_from_matrix(camera['K'], camera['width'], camera['height']))


needs_frames = pytest.mark.skipif(
    not FRAMES.is_dir(), reason=f'no real RGB-D frames at {FRAMES} (set RIS_SHARED_DIR)')


@needs_frames
def test_real_frames_with_true_masks():
    """The stored points are medians of the object's points, as `centre` is."""
    image = pytest.importorskip('PIL.Image')
    references = _references('refs.json')
    assert len(references) >= 19
    for reference in references:
        depth, camera = _read(reference)
        mask = np.array(image.open(FRAMES / reference['mask'])) > 0
        stored = np.array(reference['target_point_cam_m'])
        centre = target_geometry(mask, depth, camera, GeometrySettings(point='centre'))
        name = f"{reference['frame']}: {reference['expression']}"
        assert np.linalg.norm(centre.point - stored) < 0.015, name
        # The default point is on the surface: no further from the stored one than 15 mm,
        # save where that is in the hollow of a mug or a bowl and no surface is so near.
        surface = target_geometry(mask, depth, camera)
        v, u = np.nonzero(mask & np.isfinite(depth))
        points = deproject(u, v, depth[v, u], camera)
        nearest = np.linalg.norm(points - stored, axis=1).min()
        assert np.linalg.norm(surface.point - stored) < max(0.015, nearest + 0.005), name
        assert mask[surface.pixel[1], surface.pixel[0]], name
        assert surface.point[2] == pytest.approx(depth[surface.pixel[1], surface.pixel[0]])


@needs_frames
def test_real_frames_with_picked_points():
    """No masks here: a patch around the picked pixel stands for the object."""
    references = _references('refs_points.json')
    assert len({reference['frame'] for reference in references}) == 5
    for reference in references:
        depth, camera = _read(reference)
        x, y = reference['target_pixel_xy']
        mask = np.zeros(depth.shape, bool)
        mask[max(y - 4, 0):y + 5, max(x - 4, 0):x + 5] = True
        if reference['target_point_cam_m'] is None:  # metal: nothing was measured there
            with pytest.raises(NoDepthError):
                target_geometry(mask, depth, camera)
            continue
        found = target_geometry(mask, depth, camera)
        stored = np.array(reference['target_point_cam_m'])
        assert np.linalg.norm(found.point - stored) < 0.015, reference['expression']
