"""Where masked things are in the room."""
import numpy as np
import pytest

from ris_ros.geometry.places import percentile, places_of
from ris_ros.geometry.planes import SupportPlane
from ris_ros.types import Camera

CAMERA = Camera(600, 600, 319.5, 239.5, 640, 480)


def looking_down(height=1.0):
    return SupportPlane(np.array([0, 0, -1.0]), height, np.zeros(6, np.float32),
                        np.zeros((0, 3)), 1.0, 1.0)


def scene(*things, height=1.0):
    """Boxes seen from straight above: (left, top, width, height) pixels, tall metres."""
    depth = np.full((480, 640), height, np.float32)
    masks = np.zeros((len(things), 480, 640), bool)
    for mask, (x, y, w, h, tall) in zip(masks, things, strict=True):
        mask[y:y + h, x:x + w] = True
        depth[mask] = height - tall
    return masks, depth


def test_metres_of_a_box_seen_from_above():
    masks, depth = scene((320, 180, 120, 60, 0.1))
    found = places_of(masks, depth, CAMERA, looking_down())
    assert found.known.all()
    assert found.top[0] == pytest.approx(0.1, abs=0.002)
    assert found.bottom[0] == pytest.approx(0.1, abs=0.002), 'its sides are not seen'
    # 0.9 m away one pixel covers 1.5 mm; the outermost hundredths are left out
    assert found.extent[0] == pytest.approx([0.18 * 0.92, 0.09 * 0.92], abs=0.004)
    assert found.middle[0] == pytest.approx([0.09, 0.045], abs=0.004), 'right, and up: away'
    assert found.size[0] == pytest.approx(0.18 * 0.09, rel=0.02)
    assert np.abs(found.axes[0] @ [1, 0]) == pytest.approx([1, 0], abs=0.01)


def test_a_turned_book_has_turned_axes():
    import cv2
    mask = np.zeros((480, 640), np.uint8)
    cv2.fillConvexPoly(mask, cv2.boxPoints(((320, 240), (200, 80), 30)).astype(np.int32), 1)
    depth = np.where(mask > 0, 0.95, 1.0).astype(np.float32)
    found = places_of(mask[None] > 0, depth, CAMERA, looking_down())
    right, ahead = found.axes[0, 0]
    # turned by 30 degrees in the picture, whose y points towards the viewer on the ground
    assert np.degrees(np.arctan2(ahead, right)) == pytest.approx(-30, abs=2)
    assert found.extent[0, 0] / found.extent[0, 1] == pytest.approx(2.5, rel=0.06)


def test_what_lies_over_what():
    masks, depth = scene((200, 200, 200, 120, 0.03), (260, 230, 50, 50, 0.10),
                         (440, 230, 50, 50, 0.10))
    masks[0] &= ~masks[1]
    found = places_of(masks, depth, CAMERA, looking_down())
    assert found.over[1, 0] == pytest.approx(1) and found.over[2, 0] == 0
    assert found.over[0, 1] < 0.2
    assert found.apart[1, 2] == pytest.approx(0.27, abs=0.01)


def test_without_depth_under_a_mask_nothing_is_known_of_it():
    masks, depth = scene((200, 200, 60, 60, 0.05), (400, 200, 60, 60, 0.05))
    depth[masks[0]] = np.nan
    found = places_of(masks, depth, CAMERA, looking_down())
    assert found.known.tolist() == [False, True]
    assert np.isnan(found.top[0]) and np.isfinite(found.top[1])
    assert not found.over[0].any() and not found.over[:, 0].any()
    nothing = places_of(masks[:0], depth, CAMERA, looking_down())
    assert nothing.known.shape == (0,) and nothing.over.shape == (0, 0)
    blind = places_of(masks, depth * np.nan, CAMERA, looking_down())
    assert not blind.known.any()


def test_percentiles_by_owner_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    owner = np.sort(rng.integers(0, 7, 500))
    owner[owner == 3] = 4
    values = rng.normal(size=500)
    for at in (0, 3, 50, 98, 100):
        got = percentile(values, owner, 7, at)
        for i in range(7):
            mine = values[owner == i]
            if not len(mine):
                assert np.isnan(got[i])
            else:
                assert got[i] == np.sort(mine)[round((len(mine) - 1) * at / 100)]
