"""Cluttered tables: how many objects, how alike, and that they stand still where they were put."""
import collections
import importlib.util
import itertools
import time

import numpy as np
import pytest

if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from ris_ros.simulation import SPLITS, TabletopWorld, sample_scene
from ris_ros.simulation.catalogue import HELD_OUT_KINDS, shape_of
from ris_ros.simulation.clutter import CLUTTER_WORKSPACE, FEWEST, LOOK_ALIKES, MOST
from ris_ros.simulation.truth import TABLE

FIRST = SPLITS['clutter_val'].start


@pytest.fixture(scope='module')
def specs():
    return [sample_scene(seed) for seed in range(FIRST, FIRST + 200)]


def test_ten_to_twenty_objects_stand_apart_on_the_table(specs):
    counts = collections.Counter(len(s.objects) for s in specs)
    assert min(counts) == FEWEST == 10 and max(counts) == MOST == 20
    for spec in specs:
        standing = [o for o in spec.objects if o.support is None]
        for a, b in itertools.combinations(standing, 2):
            gap = np.hypot(*np.subtract(a.position, b.position)[:2])
            assert gap > sum(shape_of(o.kind, o.scale).radius for o in (a, b)) + 0.004
        assert all(abs(o.position[k]) <= CLUTTER_WORKSPACE[k] for o in standing for k in (0, 1))
        loads = [o.support for o in spec.objects if o.support is not None]
        assert len(set(loads)) == len(loads) and all(
            shape_of(spec.objects[k].kind, 1.0).support for k in loads)


def test_scenes_are_full_of_things_that_are_alike(specs):
    told = collections.Counter()
    for spec in specs:
        names = collections.Counter((o.kind, o.colour) for o in spec.objects)
        sizes = {n: {o.size for o in spec.objects if (o.kind, o.colour) == n} for n in names}
        told['size'] += any(len(s) == 2 for s in sizes.values())
        told['row'] += any(n >= 3 for n in names.values())
        told['support'] += any(
            len({o.support is None for o in spec.objects if (o.kind, o.colour) == n}) == 2
            for n in names)
        kinds = {(o.kind, o.colour) for o in spec.objects}
        told['looks'] += any({(k, c) for k in family} <= kinds for family in LOOK_ALIKES
                             for _, c in kinds)
        told['kinds'] += len({o.kind for o in spec.objects}) < len(spec.objects)
    assert told['kinds'] == 200 and min(told.values()) > 40


def test_a_cluttered_scene_is_a_function_of_its_seed(specs):
    assert sample_scene(FIRST) == specs[0] != sample_scene(FIRST + 1)
    train = sample_scene(SPLITS['clutter_train'].start)
    assert not {o.kind for s in (*specs, train) for o in s.objects} & set(HELD_OUT_KINDS)
    for seed in range(SPLITS['clutter_unseen'].start, SPLITS['clutter_unseen'].start + 10):
        kinds = [o.kind for o in sample_scene(seed).objects]
        assert set(kinds) & set(HELD_OUT_KINDS) and len(kinds) >= FEWEST


def test_everything_settles_where_it_was_put_and_can_be_seen():
    """Physics of 30 scenes: nothing sinks in, jumps or rolls away, and most is in view."""
    visible, covered, seconds = [], [], []
    for seed in range(FIRST + 500, FIRST + 530):
        start = time.process_time()
        with TabletopWorld(seed) as world:
            truth = world.truth
            seconds.append(time.process_time() - start)
            bodies = [world.model.body(f'object{i + 1}').id for i in range(len(truth))]
            places = world.data.xpos[bodies]
            assert np.isfinite(places).all() and places[:, 2].min() > -0.002
            put = np.array([o.position for o in world.spec.objects])
            assert np.linalg.norm(places - put, axis=1).max() < 0.03
            assert min(c.dist for c in world.data.contact[:world.data.ncon]) > -0.002
            support = [TABLE if o.support is None else o.support for o in world.spec.objects]
            assert truth.support.tolist() == support and not truth.leaning.any()
            assert truth.contained.tolist() == [o.contained for o in world.spec.objects]
            visible.append(truth.visible.mean())
            covered.append((truth.covered > 0.25).mean())
            before = places.copy()
            for _ in range(125):      # half a second more
                world._mj.mj_step(world.model, world.data)
            moved = np.linalg.norm(world.data.xpos[bodies] - before, axis=1)
            assert (moved > 0.02).mean() <= 0.1, 'but for a ball that rolls, it is at rest'
    assert np.mean(visible) > 0.95 and min(visible) > 0.7
    assert np.mean(covered) > 0.1, 'some hide parts of others'
    assert np.median(seconds) < 2.0


def test_what_is_covered_is_cut_off_by_something_nearer():
    with TabletopWorld(FIRST) as world:
        frame, truth = world.frame, world.truth
    depth, instances = frame.true_depth, frame.instances
    for i in range(len(truth)):
        mine = instances == i + 1
        outline = cut = 0
        for axis, step in itertools.product((0, 1), (1, -1)):
            beside, there = np.roll(instances, step, axis), np.roll(depth, step, axis)
            edge = mine & (beside != i + 1)
            border = np.zeros_like(mine)
            border[(slice(None),) * axis + ([0 if step == 1 else -1],)] = True
            edge &= ~border
            outline += edge.sum()
            cut += (edge & (beside > 0) & (there < depth)).sum()
        assert truth.covered[i] == pytest.approx(cut / max(outline, 1))
    assert truth.covered.min() >= 0 and truth.covered.max() <= 1
