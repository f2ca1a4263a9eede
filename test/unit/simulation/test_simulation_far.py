"""The table from far and low through a stereo camera: what it adds, and that all else stays."""
import importlib.util

import numpy as np
import pytest

pytest.importorskip('cv2')

from ris_ros.datasets.registry import open_dataset
from ris_ros.geometry import depth_noise, depth_to_metres
from ris_ros.simulation.room import FAR_VIEW
from ris_ros.simulation.scene import sample_scene
from ris_ros.simulation.sensor import sense_depth, sense_stereo
from ris_ros.simulation.spec import SPLITS, is_clutter, is_far, purpose_of
from ris_ros.types import BadInputError

FLAT = np.full((240, 320), 1.0)
FOCAL = 600.0
needs_mujoco = pytest.mark.skipif(importlib.util.find_spec('mujoco') is None,
                                  reason='needs MuJoCo')


def stereo(depth, seed=0, instances=None):
    return depth_to_metres(sense_stereo(depth, np.random.default_rng(seed), FOCAL, instances),
                           '16UC1')


def test_noise_of_stereo_grows_with_the_square_of_the_range():
    near, far = stereo(FLAT * 0.6), stereo(FLAT * 1.2)
    ratio = np.nanstd(far) / np.nanstd(near)
    assert 3 < ratio < 5.5
    assert np.nanmedian(near) == pytest.approx(0.6, abs=0.01)
    assert np.isfinite(near).mean() > 0.97


def test_its_noise_is_correlated_where_the_other_sensors_is_not():
    def neighbour(z):
        z = np.where(np.isfinite(z), z, np.nanmedian(z)) - np.nanmedian(z)
        return float((z[:, 1:] * z[:, :-1]).mean() / (z * z).mean())
    plain = depth_to_metres(sense_depth(FLAT, np.random.default_rng(0)), '16UC1')
    assert neighbour(stereo(FLAT)) > 0.5 > 0.2 > abs(neighbour(plain))
    # so that a mean over a few pixels takes little of it away
    raw, smooth = depth_noise(stereo(FLAT)), depth_noise(stereo(FLAT), 5)
    assert smooth.sigma(np.float32(1)) > 0.5 * raw.sigma(np.float32(1))


def test_the_second_cameras_shadow_lies_left_of_near_things():
    depth = FLAT.copy()
    depth[80:160, 160:220] = 0.7
    seen = stereo(depth)
    # 600 * 0.055 * (1 / 0.7 - 1) = 14 pixels
    assert np.isnan(seen[90:150, 148:156]).mean() > 0.9
    assert np.isnan(seen[90:150, 230:238]).mean() < 0.3
    assert np.nanmedian(seen[90:150, 170:210]) == pytest.approx(0.7, abs=0.01)


def test_some_objects_lose_blotches_and_the_same_seed_the_same_ones():
    depth, instances = FLAT * 0.8, np.zeros(FLAT.shape, np.uint8)
    instances[40:200, 60:260] = 1
    lost = [np.isnan(stereo(depth, seed, instances))[60:180, 80:240].mean() for seed in range(24)]
    assert max(lost) > 0.1 and np.median(lost) < 0.05
    assert np.array_equal(stereo(depth, 3, instances), stereo(depth, 3, instances),
                          equal_nan=True)


def test_nothing_is_measured_beyond_its_range():
    assert np.isnan(stereo(FLAT * 3.9)).mean() > 0.95


def test_far_scenes_stand_in_a_room_and_others_do_not():
    assert is_far(380000) and not is_far(80000) and not is_clutter(380000)
    assert purpose_of(920000) == 'test' and purpose_of(380000) == 'val'
    specs = [sample_scene(seed) for seed in SPLITS['far_val'][:40]]
    away = [np.linalg.norm(np.subtract(s.eye, s.look_at)) for s in specs]
    assert FAR_VIEW[0][0] <= min(away) < 1.0 and 1.4 < max(away) <= FAR_VIEW[0][1]
    assert all(s.sensor == 'stereo' and s.furnishings for s in specs)
    arms = [any(f.type == 'capsule' for f in s.furnishings) for s in specs]
    assert any(arms) and not all(arms)
    plain = sample_scene(80000)
    assert plain.sensor == 'structured' and plain.furnishings == ()
    assert sample_scene(380000) == sample_scene(380000)


@needs_mujoco
def test_the_room_is_seen_and_is_no_object():
    from ris_ros.simulation import TabletopWorld
    seed = next(s for s in SPLITS['far_val'] if any(
        f.type == 'capsule' for f in sample_scene(s).furnishings))
    with TabletopWorld(seed) as world:
        frame, spec = world.frame, world.spec
        assert world.sensor == 'stereo'
    assert frame.instances.max() <= len(spec.objects)
    beyond = frame.true_depth > 1.2
    assert beyond.mean() > 0.05 and not frame.instances[beyond & (frame.true_depth > 2.4)].any()
    assert 0.02 < (frame.depth == 0).mean() < 0.7


@needs_mujoco
def test_a_sensor_can_be_chosen_for_any_scene():
    from ris_ros.simulation import TabletopWorld
    with TabletopWorld(80000, sensor='stereo') as harsh, TabletopWorld(80000) as plain:
        assert (harsh.frame.color == plain.frame.color).all()
        assert (harsh.frame.instances == plain.frame.instances).all()
        assert (harsh.frame.depth != plain.frame.depth).mean() > 0.5
    with pytest.raises(BadInputError, match='structured, stereo'):
        TabletopWorld(80000, sensor='lidar')


@needs_mujoco
def test_far_scenes_are_splits_of_the_benchmark():
    for split in ('far_val', 'far_test'):
        (group,) = open_dataset('tabletop', split=split, scenes=1).groups
        assert int(group.key) in SPLITS[split]
    opened = open_dataset('tabletop', split='far_val', scenes=1).groups[0].open()
    assert opened.samples and opened.depth is not None and opened.camera is not None
