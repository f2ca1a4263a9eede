"""Noise of depth and supporting planes, on depth whose truth is known."""
import numpy as np
import pytest

from ris_ros.geometry.noise import depth_noise
from ris_ros.geometry.planes import ground_axes, heights, support_planes
from ris_ros.types import Camera

CAMERA = Camera(600, 600, 319.5, 239.5, 640, 480)


def table(tilt=40.0, height=0.6, camera=CAMERA):
    """Depth of an endless table seen from above; tilt: degrees of the look below level."""
    up = np.array([0, -np.cos(np.radians(tilt)), -np.sin(np.radians(tilt))])
    u = (np.arange(camera.width) - camera.cx) / camera.fx
    v = (np.arange(camera.height) - camera.cy) / camera.fy
    slope = up[0] * u[None] + up[1] * v[:, None] + up[2]
    with np.errstate(divide='ignore'):
        depth = -height / slope
    return np.where((slope < 0) & (depth < 4), depth, np.nan), up


@pytest.mark.parametrize('rate', [0.001, 0.003, 0.008])
@pytest.mark.parametrize('tilt', [30.0, 60.0])
def test_noise_that_grows_with_range_is_found_at_each_range(rate, tilt):
    clean, _ = table(tilt)
    rng = np.random.default_rng(1)
    depth = (clean + rng.normal(size=clean.shape) * rate * clean ** 2).astype(np.float32)
    noise = depth_noise(depth)
    for z in np.quantile(clean[np.isfinite(clean)], [0.1, 0.5, 0.9]):
        assert noise.sigma(z) == pytest.approx(rate * z * z, rel=0.25)


def test_smoothing_takes_white_noise_away_and_leaves_correlated_noise():
    import cv2
    clean, _ = table(60)
    rng = np.random.default_rng(2)
    white = rng.normal(size=clean.shape)
    wide = cv2.GaussianBlur(rng.normal(size=clean.shape), (0, 0), 3)
    wide /= wide.std()

    def ratio(error):
        depth = (clean + 0.003 * clean ** 2 * error).astype(np.float32)
        return depth_noise(depth, 5).sigma(0.8) / depth_noise(depth).sigma(0.8)
    assert ratio(white) < 0.4
    assert ratio(wide) > 0.8


def test_nothing_measured_is_a_coarse_sensor():
    assert depth_noise(np.full((48, 64), np.nan)).sigma(1.0) > 0.003


@pytest.mark.parametrize('tilt', [20.0, 45.0, 75.0, 90.0])
def test_a_table_is_found_from_low_and_from_above(tilt):
    clean, up = table(tilt)
    rng = np.random.default_rng(3)
    depth = (clean + rng.normal(size=clean.shape) * 0.003 * clean ** 2).astype(np.float32)
    depth[200:260, 300:380] -= 0.08  # a thing
    depth[rng.random(depth.shape) < 0.1] = np.nan
    planes = support_planes(depth, CAMERA)
    assert len(planes) == 1
    assert planes[0].normal @ up > np.cos(np.radians(1.0))
    assert planes[0].offset == pytest.approx(0.6, rel=0.02)
    height = heights(planes[0], depth, CAMERA)
    assert np.isnan(height[np.isnan(depth)]).all()
    assert abs(np.nanmedian(height[300:])) < 0.002
    right, ahead = ground_axes(planes[0])
    assert abs(right @ planes[0].normal) < 1e-9 and right[0] > 0.99
    assert abs(ahead @ right) < 1e-9


def test_of_table_and_wall_the_table_is_taken_and_the_known_up_overrules():
    clean, up = table(20)
    wall_up = np.array([0, up[2], up[1]]) * [0, -1, 1]
    v = (np.arange(480) - CAMERA.cy) / CAMERA.fy
    wall = np.broadcast_to((-1.2 / (wall_up[1] * v + wall_up[2]))[:, None], clean.shape)
    depth = np.fmin(clean, wall).astype(np.float32)
    assert (depth == wall.astype(np.float32)).mean() > 0.2  # there is a wall
    assert support_planes(depth, CAMERA)[0].normal @ up > 0.99
    assert support_planes(depth, CAMERA, up=wall_up)[0].normal @ wall_up > 0.99


def test_a_floor_under_a_table_is_a_second_plane_and_the_lid_of_a_box_is_none():
    clean, _ = table(50, 0.6)
    floor, _ = table(50, 1.3)
    box, _ = table(50, 0.5)
    depth = clean.copy()
    depth[:, 480:] = floor[:, 480:]
    depth[200:330, 180:330] = box[200:330, 180:330]
    offsets = [plane.offset for plane in support_planes(depth.astype(np.float32), CAMERA)]
    assert sorted(round(offset, 2) for offset in offsets) == [0.6, 1.3]


@pytest.mark.parametrize('depth', [np.full((480, 640), np.nan), np.zeros((480, 640))])
def test_no_plane_is_an_answer(depth):
    assert support_planes(depth.astype(np.float32), CAMERA) == ()


def test_a_heap_without_a_plane_has_none():
    rng = np.random.default_rng(4)
    depth = rng.uniform(0.5, 2.0, size=(480, 640)).astype(np.float32)
    assert all(plane.share < 0.2 for plane in support_planes(depth, CAMERA))
