"""Upright boxes on a plane, and rigid motions between frames."""
from __future__ import annotations

import numpy as np
import pytest

from ris_ros.geometry import (
    OrientedBox,
    RigidTransform,
    oriented_box,
    quaternion_of,
    rotate,
    support_planes,
)
from ris_ros.types import BadInputError, Camera

CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)

def seen(box_centre, size, angle, tilt):
    """Return the depth image of a box that stands on a table, and the box's mask, by ray casting.

    The camera is 0.8 m above the table's origin along its view and tilted by `tilt` from
    straight down; box_centre: (2,) on the table, size: (3,), angle: about the vertical.
    """
    v, u = np.mgrid[:480, :640]
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy,
                     np.ones_like(u, float)], axis=-1)
    c, s = np.cos(tilt), np.sin(tilt)
    down = np.array([0.0, s, c])            # in the optical frame
    right, ahead = np.array([1.0, 0, 0]), np.array([0, -c, s])
    height = 0.8 * c
    table = height / (rays @ down)
    axes = np.stack([np.cos(angle) * right + np.sin(angle) * ahead,
                     -np.sin(angle) * right + np.cos(angle) * ahead, -down])
    foot = height * down + box_centre[0] * right + box_centre[1] * ahead
    centre = foot - down * size[2] / 2
    with np.errstate(divide='ignore'):
        slopes = rays @ axes.T
        near = (centre @ axes.T - np.asarray(size) / 2 * np.sign(slopes)) / slopes
        far = (centre @ axes.T + np.asarray(size) / 2 * np.sign(slopes)) / slopes
    enter, leave = near.max(axis=-1), far.min(axis=-1)
    mask = (enter < leave) & (enter > 0) & (enter < table)
    return np.where(mask, enter, table).astype(np.float32), mask, centre, axes

@pytest.mark.parametrize('angle', [0.0, 0.4, 1.2])
@pytest.mark.parametrize('tilt', [0.0, 0.5])
def test_a_box_on_a_table(angle, tilt):
    """Seen from above and from the side, in any direction; sides are seen or end at the table."""
    size = (0.2, 0.08, 0.06)
    depth, mask, centre, axes = seen((0.05, 0.35 * np.tan(tilt)), size, angle, tilt)
    assert mask.sum() > 2000
    plane = support_planes(depth, CAMERA)[0]
    v, u = np.nonzero(mask)
    z = depth[v, u].astype(float)
    cloud = np.stack([(u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z, z], 1)
    box = oriented_box(cloud, plane)
    np.testing.assert_allclose(box.size, size, atol=0.008)
    np.testing.assert_allclose(box.centre, centre, atol=0.008)
    for unit, axis in zip(np.eye(3), axes, strict=True):   # either way along an axis is the same
        assert abs(rotate(box.orientation, unit) @ axis) > 0.999
    np.testing.assert_allclose(rotate(box.orientation, np.eye(3)[2]), plane.normal, atol=1e-6)

def test_an_object_on_another_does_not_reach_down():
    size = (0.2, 0.08, 0.2)
    depth, mask, centre, _ = seen((0.0, 0.3), size, 0.3, 0.6)
    plane = support_planes(depth, CAMERA)[0]
    v, u = np.nonzero(mask)
    z = depth[v, u].astype(float)
    cloud = np.stack([(u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z, z], 1)
    upper = cloud[cloud @ plane.normal + plane.offset > 0.1]
    whole, part = oriented_box(cloud, plane), oriented_box(upper, plane)
    assert whole.size[2] == pytest.approx(0.2, abs=0.008)
    assert part.size[2] == pytest.approx(0.1, abs=0.008)
    assert part.centre @ plane.normal - centre @ plane.normal == pytest.approx(0.05, abs=0.008)


def test_one_point_has_a_box():
    depth, *_ = seen((0, 0), (0.1, 0.1, 0.1), 0, 0)
    plane = support_planes(depth, CAMERA)[0]
    box = oriented_box(np.array([[0.0, 0.0, 0.5]]), plane)
    assert isinstance(box, OrientedBox) and (box.size > 0).all()
    with pytest.raises(BadInputError, match='points'):
        oriented_box(np.zeros((0, 3)), plane)

def test_quaternions_and_matrices():
    random = np.random.default_rng(5)
    for axes in [np.eye(3), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1]),
                 *(np.linalg.qr(random.normal(size=(3, 3)))[0] for _ in range(20))]:
        axes = axes * np.sign(np.linalg.det(axes))
        quaternion = quaternion_of(axes)
        assert np.linalg.norm(quaternion) == pytest.approx(1)
        for unit, column in zip(np.eye(3), axes.T, strict=True):
            np.testing.assert_allclose(rotate(quaternion, unit), column, atol=1e-9)

def test_transforms_turn_points_and_orientations_alike():
    random = np.random.default_rng(6)
    for _ in range(20):
        transform = RigidTransform.of(_unit(random), random.normal(size=3))
        pose, inside, point = _unit(random), random.normal(size=3), random.normal(size=3)
        expected = transform.points(point + rotate(pose, inside))
        turned = transform.points(point) + rotate(transform.orientation(pose), inside)
        np.testing.assert_allclose(turned, expected, atol=1e-9)
    many = random.normal(size=(4, 5, 3))
    assert transform.points(many).shape == many.shape
    np.testing.assert_allclose(transform.points(many)[1, 2], transform.points(many[1, 2]))

def _unit(random):
    q = random.normal(size=4)
    return q / np.linalg.norm(q)

@pytest.mark.parametrize(('rotation', 'translation'), [
    ((0, 0, 0, 0), (0, 0, 0)), ((0, 0, 0, np.nan), (0, 0, 0)), ((0, 0, 0, 1), (0, np.inf, 0)),
    ((0, 0, 1), (0, 0, 0)), ((0, 0, 0, 2), (0, 0, 0))])
def test_what_is_no_transform(rotation, translation):
    with pytest.raises(BadInputError, match='no rigid transform'):
        RigidTransform.of(np.array(rotation, float), np.array(translation, float))
