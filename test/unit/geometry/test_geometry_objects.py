"""Objects from depth: small scenes whose truth is known, and real frames where they are."""
import json
import os
from pathlib import Path

import numpy as np
import pytest

from ris_ros.geometry.depth import depth_to_metres
from ris_ros.geometry.objects import objects_from_depth
from ris_ros.types import BadInputError, Camera, View

cv2 = pytest.importorskip('cv2')
CAMERA = Camera(600, 600, 319.5, 239.5, 640, 480)
REAL = Path(os.environ.get('RIS_RGBD_DIR')
            or Path(__file__).parents[4] / 'shared/data/rgbd_tabletop')
TILT = np.radians(45)
UP = np.array([0, -np.cos(TILT), -np.sin(TILT)])
AHEAD = np.array([0, -np.sin(TILT), np.cos(TILT)])


def scene(boxes, rate=0.002, height=0.7, missing=0.02, camera=CAMERA, seed=0):
    """Return view and true masks of boxes (x, y, width, length, height in metres) on a table.

    x: to the right of, y: beyond the point that the camera looks at.  Noise grows with z**2.
    """
    rng = np.random.default_rng(seed)
    u = (np.arange(camera.width) - camera.cx) / camera.fx
    v = (np.arange(camera.height) - camera.cy) / camera.fy
    ray = np.stack(np.broadcast_arrays(u[None], v[:, None], 1.0), axis=-1)
    ground = np.stack([ray[..., 0], ray @ AHEAD, ray @ UP], axis=-1)
    look = height / np.tan(TILT)
    depth, which = -height / ground[..., 2], np.zeros(ray.shape[:2], int)
    for i, (x, y, width, length, tall) in enumerate(boxes, 1):
        low = np.array([x - width / 2, look + y - length / 2, -height])
        high = low + np.array([width, length, tall])
        with np.errstate(divide='ignore'):
            ends = np.sort(np.stack([low / ground, high / ground]), axis=0)
        enter, leave = ends[0].max(axis=-1), ends[1].min(axis=-1)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        depth, which = np.where(hit, enter, depth), np.where(hit, i, which)
    colours = rng.integers(0, 255, size=(len(boxes) + 1, 3)).astype(np.uint8)
    depth = depth + rng.normal(size=depth.shape) * rate * depth ** 2
    depth[rng.random(depth.shape) < missing] = np.nan
    view = View(colours[which], depth.astype(np.float32), camera)
    return view, [which == i for i in range(1, len(boxes) + 1)]


def best(masks, truth):
    return max(((m & truth).sum() / (m | truth).sum() for m in masks), default=0.0)


APART = [(-0.15, 0.0, 0.08, 0.06, 0.10), (0.1, 0.05, 0.06, 0.06, 0.05),
         (0.0, -0.12, 0.10, 0.04, 0.03)]


@pytest.mark.parametrize('rate', [0.0005, 0.002, 0.006])
@pytest.mark.parametrize('height', [0.5, 0.9])
def test_things_apart_are_found_whatever_noise_and_range(rate, height):
    view, truths = scene(APART, rate, height)
    found = objects_from_depth(view)
    assert found.problem == ''
    assert [best(found.masks, truth) for truth in truths] == pytest.approx([1, 1, 1], abs=0.15)
    assert len(found.masks) <= 6


def test_an_empty_noisy_table_gives_no_masks_and_says_so():
    found = objects_from_depth(scene([], rate=0.006, height=1.2)[0])
    assert len(found.masks) == 0 and len(found.planes) == 1
    assert found.problem == 'nothing stands on the plane that was found'


def test_things_that_nearly_touch_are_proposed_apart_and_together():
    view, truths = scene([(-0.05, 0, 0.10, 0.08, 0.12), (0.045, -0.03, 0.08, 0.08, 0.05)])
    found = objects_from_depth(view)
    assert min(best(found.masks, truth) for truth in truths) > 0.85
    assert best(found.masks, truths[0] | truths[1]) > 0.85


def test_a_dark_thing_without_depth_is_proposed():
    view, truths = scene([(0.0, 0.0, 0.08, 0.08, 0.08)])
    view.depth[truths[0]] = np.nan
    assert best(objects_from_depth(view).masks, truths[0]) > 0.8


def test_a_wall_far_behind_the_table_is_no_thing_without_depth():
    view, _ = scene([(0.0, 0.0, 0.08, 0.08, 0.08)])
    corner = np.zeros(view.size, bool)
    corner[:60, :90] = True
    view.depth[corner] = 3.0
    found = objects_from_depth(view)
    assert best(found.masks, corner) < 0.1 and not found.uncovered[corner].any()


def test_a_hole_of_missing_depth_within_a_thing_is_filled():
    view, truths = scene([(0.0, 0.0, 0.12, 0.12, 0.08)])
    rows, columns = np.nonzero(truths[0])
    row, column = int(np.median(rows)), int(np.median(columns))
    view.depth[row - 12:row + 12, column - 15:column + 15] = np.nan
    assert best(objects_from_depth(view).masks, truths[0]) > 0.9


def test_a_larger_picture_is_parted_as_a_small_one():
    large = Camera(1200, 1200, 639.5, 359.5, 1280, 720)
    view, truths = scene(APART, camera=large)
    found = objects_from_depth(view)
    assert found.masks.shape[1:] == (720, 1280)
    assert min(best(found.masks, truth) for truth in truths) > 0.85


def test_masks_are_bounded_and_best_first():
    view, _ = scene([(0.09 * x, 0.09 * y, 0.05, 0.05, 0.04)
                     for x in range(-3, 4) for y in range(-2, 3)])
    found = objects_from_depth(view)
    assert 25 <= len(found.masks) <= 40
    assert (np.diff(found.scores) <= 0).all() and found.scores.dtype == np.float32
    assert len(objects_from_depth(view, limit=5).masks) == 5


@pytest.mark.parametrize(('depth', 'text'), [
    (np.full((480, 640), np.nan), 'hardly any depth'), (np.full((480, 640), 9.0), 'hardly any')])
def test_no_masks_are_explained(depth, text):
    found = objects_from_depth(View(np.zeros((480, 640, 3), np.uint8), depth, CAMERA))
    assert not len(found.masks) and text in found.problem


def test_a_view_without_depth_or_of_other_size_is_refused():
    rgb = np.zeros((480, 640, 3), np.uint8)
    with pytest.raises(BadInputError, match='need a depth image'):
        objects_from_depth(View(rgb))
    with pytest.raises(BadInputError, match='register depth'):
        objects_from_depth(View(rgb, np.ones((240, 320), np.float32), CAMERA))


def real_frames():
    index = REAL / 'frames.json'
    return json.loads(index.read_text(encoding='utf-8')) if index.is_file() else []


@pytest.mark.skipif(not real_frames(), reason='no real frames; set RIS_RGBD_DIR')
def test_real_things_are_found(record_property):
    ious = []
    for frame in real_frames():
        info = json.loads((REAL / frame['camera']).read_text(encoding='utf-8'))
        rgb = cv2.imread(str(REAL / frame['color']))[..., ::-1].copy()
        depth = depth_to_metres(cv2.imread(str(REAL / frame['depth']), -1), '16UC1')
        (fx, _, cx), (_, fy, cy), _ = info['K']
        found = objects_from_depth(View(rgb, depth, Camera(fx, fy, cx, cy, info['width'],
                                                           info['height'])))
        assert 1 <= len(found.masks) <= 40, frame['frame']
        ious += [best(found.masks, cv2.imread(str(path), 0) > 0)
                 for path in sorted((REAL / frame['frame'] / 'masks').glob('*.png'))]
    record_property('mean best IoU', float(np.mean(ious)))
    print(f'mean best IoU of {len(ious)} labelled things: {np.mean(ious):.3f}')
    assert np.mean(ious) >= 0.85 and min(ious) >= 0.7
