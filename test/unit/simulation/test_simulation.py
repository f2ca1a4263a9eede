import importlib.util
import itertools

import numpy as np
import pytest

from ris_ros.simulation import SPLITS, TabletopWorld, sample_scene, split_of
from ris_ros.simulation.catalogue import ALL_KINDS, COLOURS, HELD_OUT_KINDS, KINDS
from ris_ros.simulation.expressions import sample_expressions
from ris_ros.simulation.sensor import sense_depth
from ris_ros.types import BadInputError

# Only looked up, not imported: the way to render must be chosen before MuJoCo is loaded.
if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)


@pytest.fixture(scope='module')
def world():
    with TabletopWorld(80007) as made:
        yield made


def test_the_catalogue_is_as_wide_as_promised():
    assert len(KINDS) >= 12
    assert len(COLOURS) >= 10
    assert not set(KINDS) & set(HELD_OUT_KINDS)


@pytest.mark.parametrize('kind', sorted(ALL_KINDS))
def test_meshes_are_closed_and_point_outward(kind):
    for part in ALL_KINDS[kind](1.0).visual:
        if part.mesh is None:
            continue
        vertices, faces = part.mesh
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        forward = {tuple(e) for e in edges}
        assert all((b, a) in forward for a, b in forward), 'an edge has one face only'
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        assert np.einsum('ij,ij->i', a, np.cross(b, c)).sum() > 0


def test_a_scene_is_a_function_of_its_seed(world):
    with TabletopWorld(80007) as again:
        assert again.spec == world.spec
        np.testing.assert_array_equal(again.frame.color, world.frame.color)
        np.testing.assert_array_equal(again.frame.depth, world.frame.depth)
        np.testing.assert_array_equal(again.frame.instances, world.frame.instances)
        np.testing.assert_array_equal(again.frame.poses, world.frame.poses)
        assert again.expressions == world.expressions


def test_seeds_differ_and_splits_hold_out_kinds():
    assert sample_scene(1) != sample_scene(2)
    assert [split_of(s) for s in (100000, 79999, 990001)] == ['test', 'train', 'other']
    for split in ('train', 'val', 'test'):
        kinds = {o.kind for s in itertools.islice(SPLITS[split], 40)
                 for o in sample_scene(s).objects}
        assert not kinds & set(HELD_OUT_KINDS)
    for seed in itertools.islice(SPLITS['unseen'], 10):
        assert {o.kind for o in sample_scene(seed).objects} & set(HELD_OUT_KINDS)


def test_scenes_have_three_to_nine_objects_and_some_carry_others():
    scenes = [sample_scene(s) for s in range(80000, 80150)]
    counts = [len(s.objects) for s in scenes]
    assert min(counts) >= 3 and max(counts) <= 9
    assert any(o.contained for s in scenes for o in s.objects)
    assert any(o.support is not None and not o.contained for s in scenes for o in s.objects)


def test_a_negative_seed_is_refused():
    with pytest.raises(BadInputError, match='negative'):
        sample_scene(-1)


def test_frame_types_and_units(world):
    frame = world.frame
    assert frame.color.shape == (480, 640, 3) and frame.color.dtype == np.uint8
    assert frame.depth.shape == (480, 640) and frame.depth.dtype == np.uint16
    assert frame.instances.max() <= len(world.spec.objects)
    measured = frame.depth > 0
    assert measured.mean() > 0.85
    error = np.abs(frame.depth[measured] / 1000 - frame.true_depth[measured])
    assert np.median(error) < 0.004


def test_pixels_deproject_onto_the_objects(world):
    """Mask pixels, deprojected with the true depth, surround the object's pose."""
    frame, camera = world.frame, world.frame.camera
    for i, item in enumerate(world.spec.objects):
        rows, columns = np.nonzero(frame.instances == i + 1)
        if len(rows) < 500:
            continue
        z = frame.true_depth[rows, columns]
        points = np.stack([(columns - camera.cx) / camera.fx * z,
                           (rows - camera.cy) / camera.fy * z, z], 1)
        shape = ALL_KINDS[item.kind](item.scale)
        reach = np.hypot(shape.radius, shape.height) + 0.01
        assert np.linalg.norm(points - frame.poses[i, :3], axis=1).max() < reach
        np.testing.assert_allclose(world.to_camera(world.to_world(points)), points, atol=1e-9)


def test_the_sensor_reports_millimetres_with_holes():
    rng = np.random.default_rng(0)
    depth = np.full((120, 160), 0.7)
    depth[:, 80:] = 0.9
    depth[:10] = 0.1
    seen = sense_depth(depth, rng)
    assert seen.dtype == np.uint16
    assert (seen[:8] == 0).all(), 'nearer than the camera can measure'
    flat = seen[20:, :70]
    assert abs(float(np.median(flat[flat > 0])) - 700) <= 1
    assert 1.0 < flat[flat > 0].std() < 3.0
    assert (seen[20:, 79:81] == 0).mean() > 0.5, 'a depth step leaves a hole'


def test_expressions_fit_what_they_name():
    tags = set()
    for seed in range(80000, 80008):
        with TabletopWorld(seed) as world:
            objects = world.spec.objects
            for e in world.expressions:
                tags.add(e.tag)
                assert e.answerable == (len(e.targets) == 1 and e.tag != 'ambiguous')
                names = [f'{o.colour} {o.kind}' for o in objects]
                for target in e.targets:
                    assert objects[target - 1].kind in e.text
                if e.tag == 'attribute':
                    phrase = e.text.removeprefix('the ')
                    assert sum(n == phrase or n.endswith(f' {phrase}') for n in names) == 1
                if e.tag == 'absent':
                    assert not any(n.endswith(e.text.split()[-1]) for n in names)
                if e.tag == 'size' and 'bigger' in e.text:
                    same = [o.scale for o in objects if o.kind == objects[e.targets[0] - 1].kind]
                    assert objects[e.targets[0] - 1].scale == max(same) or len(e.text.split()) > 3
    assert tags >= {'attribute', 'position', 'relation', 'size', 'ambiguous', 'absent'}


def test_left_means_left_in_the_picture():
    for seed in range(80020, 80026):
        with TabletopWorld(seed) as world:
            for e in world.expressions:
                if e.tag == 'position' and ('left' in e.text or 'right' in e.text):
                    phrase = [w for w in e.text.split() if w in KINDS or w in COLOURS]
                    rivals = [i + 1 for i, o in enumerate(world.spec.objects)
                              if all(w in (o.kind, o.colour) for w in phrase)]
                    x = {i: np.nonzero(world.frame.instances == i)[1].mean() for i in rivals}
                    best = min(x, key=x.get) if 'left' in e.text else max(x, key=x.get)
                    assert e.targets == (best,)


def test_suction_lifts_what_it_touches_and_the_scene_returns(world):
    frame, camera = world.frame, world.frame.camera
    lifted = []
    for instance in np.unique(frame.instances)[1:]:
        rows, columns = np.nonzero(frame.instances == instance)
        middle = len(rows) // 2
        z = frame.true_depth[rows[middle], columns[middle]]
        point = np.array([(columns[middle] - camera.cx) / camera.fx * z,
                          (rows[middle] - camera.cy) / camera.fy * z, z])
        assert world.surface_distance(point, int(instance)) < 1e-6
        lifted.append(world.suck(point) == instance)
        # In front of everything there is nothing to touch.
        assert world.suck(point * 0.5) is None
    assert np.mean(lifted) >= 0.8
    np.testing.assert_array_equal(world.render().instances, frame.instances)


def test_the_table_cannot_be_lifted(world):
    frame, camera = world.frame, world.frame.camera
    rows, columns = np.nonzero(frame.instances[300:470] == 0)
    row, column = rows[len(rows) // 2] + 300, columns[len(rows) // 2]
    z = frame.true_depth[row, column]
    point = np.array([(column - camera.cx) / camera.fx * z, (row - camera.cy) / camera.fy * z, z])
    assert world.suck(point) is None


def test_expressions_do_not_depend_on_call_order(world):
    again = sample_expressions(world.truth)
    assert again == world.expressions
