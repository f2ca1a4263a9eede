"""What is about an object: its height, its neighbours, the way down to it."""
import numpy as np
import pytest

pytest.importorskip('cv2')

from ris_ros.geometry import (
    SupportPlane,
    oriented_box,
    surroundings,
    target_geometry,
)
from ris_ros.geometry.surroundings import REACH_M
from ris_ros.target import place_of_target
from ris_ros.types import BadInputError, Camera

CAMERA = Camera(600, 600, 319.5, 239.5, 640, 480)
PLANE = SupportPlane(np.array([0, 0, -1.0]), 1.0, np.zeros(6, np.float32), np.zeros((0, 3)),
                     1.0, 1.0)


def from_above(*boxes):
    """Boxes on a table a metre below: (x, y, width, depth, height) in metres; masks, depth."""
    depth = np.full((480, 640), 1.0, np.float32)
    masks = np.zeros((len(boxes), 480, 640), bool)
    for mask, (x, y, w, d, tall) in zip(masks, boxes, strict=True):
        z = 1 - tall
        columns = [round(320 + 600 * (x + s * w / 2) / z) for s in (-1, 1)]
        rows = [round(240 + 600 * (y + s * d / 2) / z) for s in (-1, 1)]
        mask[rows[0]:rows[1], columns[0]:columns[1]] = True
        depth[mask] = z
    return masks, depth


def about(masks, depth):
    cloud = target_geometry(masks[0], depth, CAMERA).cloud
    return surroundings(masks[0], depth, CAMERA, PLANE, oriented_box(cloud, PLANE))


def test_alone_it_has_all_the_room_that_is_looked_at():
    found = about(*from_above((0, 0, 0.12, 0.06, 0.08)))
    assert found.height == pytest.approx(0.08, abs=0.003) and found.lifted == 0
    assert found.clearance == REACH_M and found.finger_room == (REACH_M, REACH_M)
    assert found.free_above is True


def test_neighbours_are_told_by_the_side_they_stand_on():
    # beside the longer face (5 cm) and beyond the shorter one (3 cm)
    masks, depth = from_above((0, 0, 0.12, 0.06, 0.05), (0, 0.11, 0.10, 0.06, 0.05),
                              (0.12, 0, 0.06, 0.05, 0.05))
    found = about(masks, depth)
    assert found.clearance == pytest.approx(0.03, abs=0.012)
    room = sorted(found.finger_room)
    assert room[0] == pytest.approx(0.05, abs=0.012) and room[1] == REACH_M
    turned = about(masks[[0]], np.where(masks[1], 1.0, depth))
    assert turned.finger_room == (REACH_M, REACH_M), 'beyond the short face no finger goes'
    assert turned.clearance == pytest.approx(0.03, abs=0.012)


def test_what_stands_higher_and_close_bars_the_way_down():
    low = about(*from_above((0, 0, 0.08, 0.08, 0.05), (0.10, 0, 0.08, 0.08, 0.05)))
    high = about(*from_above((0, 0, 0.08, 0.08, 0.05), (0.10, 0, 0.08, 0.08, 0.15)))
    far = about(*from_above((0, 0, 0.08, 0.08, 0.05), (0.20, 0, 0.08, 0.08, 0.15)))
    assert low.free_above and far.free_above and not high.free_above


def test_noise_and_holes_are_no_neighbours():
    masks, depth = from_above((0, 0, 0.12, 0.06, 0.08))
    rng = np.random.default_rng(0)
    depth += rng.normal(scale=0.002, size=depth.shape).astype(np.float32)
    depth[300:330, 100:200] = np.nan
    depth[100, 100:108:2] = 0.8
    found = about(masks, depth)
    assert found.clearance == REACH_M and found.free_above


def test_sizes_that_differ_are_refused():
    masks, depth = from_above((0, 0, 0.1, 0.1, 0.05))
    box = oriented_box(target_geometry(masks[0], depth, CAMERA).cloud, PLANE)
    with pytest.raises(BadInputError, match='registered'):
        surroundings(masks[0], depth[:100], CAMERA, PLANE, box)
    with pytest.raises(BadInputError):
        surroundings(masks[0], depth, Camera(600, 600, 1, 1, 10, 10), PLANE, box)


def test_the_place_of_a_target_needs_a_plane():
    masks, depth = from_above((0, 0, 0.12, 0.06, 0.08), (0, 0.13, 0.10, 0.06, 0.05))
    geometry = target_geometry(masks[0], depth, CAMERA)
    place = place_of_target(masks[0], geometry, depth, CAMERA)
    assert place is not None
    assert place.box.size == pytest.approx([0.12, 0.06, 0.08], abs=0.012)
    assert place.about.height == pytest.approx(0.08, abs=0.005)
    bare = np.where(masks[0], depth, np.nan)
    bare[:, ::2] = np.nan
    assert place_of_target(masks[0], geometry, bare, CAMERA) is None
