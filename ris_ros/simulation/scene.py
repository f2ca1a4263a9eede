"""What stands on the table, where the camera is and how the light falls: functions of a seed."""
from __future__ import annotations

import numpy as np

from ris_ros.simulation.catalogue import COLOURS, HELD_OUT_KINDS, KINDS, SIZES, shape_of
from ris_ros.simulation.clutter import CLUTTER_VIEW, sample_clutter
from ris_ros.simulation.room import FAR_VIEW, furnish
from ris_ros.simulation.spec import (
    HEIGHT,
    SPLITS,
    WIDTH,
    ObjectSpec,
    SceneSpec,
    is_clutter,
    is_far,
    purpose_of,
    split_of,
)
from ris_ros.types import BadInputError, Camera

__all__ = ['HEIGHT', 'SPLITS', 'WIDTH', 'ObjectSpec', 'SceneSpec', 'is_clutter', 'sample_scene',
           'split_of']

WORKSPACE = (0.27, 0.20)   # half extents of the region objects stand in, metres
TEXTURES = ('flat', 'gradient', 'checker', 'speckle')
# Distance in metres, degrees down and degrees aside between which the camera is drawn.
VIEW = ((0.70, 0.85), (38, 62), (-25, 25))


def sample_scene(seed: int) -> SceneSpec:
    """
    Return the scene of a non-negative integer seed; the same seed gives the same scene.

    Raises BadInputError for a negative seed.
    """
    if seed < 0:
        raise BadInputError(f'scene seed {seed} is negative; use an integer from 0 up')
    rng = np.random.Generator(np.random.PCG64([seed, 20260101]))
    unseen, clutter, far = purpose_of(seed) == 'unseen', is_clutter(seed), is_far(seed)
    objects = sample_clutter(rng, unseen) if clutter else _sample_objects(rng, list(KINDS), unseen)
    view = CLUTTER_VIEW if clutter else FAR_VIEW if far else VIEW
    eye, look_at, roll = _sample_view(rng, *view)
    focal = float(rng.uniform(590, 630))
    camera = Camera(focal, focal, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5, WIDTH, HEIGHT)
    base = rng.uniform(0.18, 0.75)
    tint = np.clip(base + rng.normal(0, 0.07, 3), 0.05, 0.9)
    second = np.clip(tint + rng.choice([-1, 1]) * rng.uniform(0.04, 0.14), 0.03, 0.95)
    lights = tuple(((float(rng.uniform(-0.9, 0.9)), float(rng.uniform(-0.9, 0.6)),
                     float(rng.uniform(0.9, 1.8))), float(rng.uniform(0.25, 0.6)))
                   for _ in range(int(rng.integers(1, 3))))
    return SceneSpec(seed, tuple(objects), eye, look_at, roll, camera,
                     str(rng.choice(TEXTURES)), (_rgb(tint), _rgb(second)),
                     _rgb(np.clip(rng.uniform(0.1, 0.8) + rng.normal(0, 0.05, 3), 0, 1)),
                     lights, float(rng.uniform(0.25, 0.45)), float(rng.uniform(0.0, 0.6)),
                     *((furnish(rng), 'stereo') if far else ()))


def _rgb(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _sample_view(rng: np.random.Generator, away: tuple[float, float], down: tuple[float, float],
                 aside: tuple[float, float]) -> tuple[tuple[float, float, float],
                                                      tuple[float, float, float], float]:
    """Put the camera on the near side of the table; ranges as in VIEW.  Eye, target, roll."""
    distance = rng.uniform(*away)
    elevation, azimuth = np.radians(rng.uniform(*down)), np.radians(rng.uniform(*aside))
    look_at = np.array([rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.03), 0.02])
    eye = look_at + distance * np.array([
        np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth),
        np.sin(elevation)])
    return _rgb(eye), _rgb(look_at), float(np.radians(rng.uniform(-3, 3)))


def _sample_names(rng: np.random.Generator, kinds: list[str], count: int
                  ) -> list[tuple[str, str, str]]:
    """
    Draw (kind, colour, size) for each object.

    Most scenes repeat a kind, often two, since a position, a relation or a comparison is
    only needed where the noun alone does not decide.
    """
    names: list[tuple[str, str, str]] = []
    repeated = [str(k) for k in rng.permutation(kinds)[:2]]
    copies = [int(rng.integers(2, 4)), int(rng.choice([0, 2], p=[0.5, 0.5]))]
    same_colour = rng.random() < 0.35
    for kind, number in zip(repeated, copies, strict=True):
        colour = str(rng.choice(list(COLOURS)))
        for _ in range(number):
            shown = colour if same_colour else str(rng.choice(list(COLOURS)))
            names.append((kind, shown, str(rng.choice(list(SIZES)))))
    while len(names) < count:
        names.append((str(rng.choice(kinds)), str(rng.choice(list(COLOURS))),
                      str(rng.choice(list(SIZES)))))
    return names[:count]


def _sample_objects(rng: np.random.Generator, kinds: list[str], unseen: bool
                    ) -> list[ObjectSpec]:
    count = int(rng.integers(3, 10))
    names = _sample_names(rng, kinds, count)
    if unseen:
        held_out = list(HELD_OUT_KINDS)
        for i in range(min(2, count)):
            names[i] = (str(rng.choice(held_out)), *names[i][1:])
    placed: list[ObjectSpec] = []
    carried: set[int] = set()
    for kind, colour, size in names:
        scale = SIZES[size] * float(rng.uniform(0.95, 1.05))
        rgb = _rgb(np.clip(np.array(COLOURS[colour]) * rng.uniform(0.88, 1.1)
                           + rng.normal(0, 0.015, 3), 0.02, 1.0))
        yaw = float(rng.uniform(-np.pi, np.pi))
        spec = _place_on_another(rng, placed, carried, (kind, colour, size), scale, rgb, yaw)
        if spec is None:
            spec = _place_on_table(rng, placed, (kind, colour, size), scale, rgb, yaw)
        if spec is not None:
            placed.append(spec)
    return placed


def _place_on_another(rng: np.random.Generator, placed: list[ObjectSpec], carried: set[int],
                      names: tuple[str, str, str], scale: float,
                      rgb: tuple[float, float, float], yaw: float) -> ObjectSpec | None:
    """Put one object in three on or into something that fits, when there is such a thing."""
    if rng.random() > 0.34 or names[0] in ('plate', 'bowl', 'bottle', 'book', 'cylinder', 'vase'):
        return None
    shape = shape_of(names[0], scale)
    order = rng.permutation(len(placed))
    for index in order:
        carrier = placed[int(index)]
        carrier_shape = shape_of(carrier.kind, carrier.scale)
        if int(index) in carried or carrier_shape.support is None or carrier.support is not None:
            continue
        surface, free_radius = carrier_shape.support
        if shape.radius > free_radius * (1.25 if carrier_shape.container else 1.0):
            continue
        carried.add(int(index))
        x, y, z = carrier.position
        return ObjectSpec(*names, scale, rgb, (x, y, z + surface + 0.004), yaw, int(index),
                          carrier_shape.container)
    return None


def _place_on_table(rng: np.random.Generator, placed: list[ObjectSpec],
                    names: tuple[str, str, str], scale: float,
                    rgb: tuple[float, float, float], yaw: float) -> ObjectSpec | None:
    """Find a free spot on the table; None when sixty tries found none."""
    shape = shape_of(names[0], scale)
    standing = [(o, shape_of(o.kind, o.scale)) for o in placed if o.support is None]
    for _ in range(60):
        x = float(rng.uniform(-WORKSPACE[0], WORKSPACE[0]))
        y = float(rng.uniform(-WORKSPACE[1], WORKSPACE[1]))
        # A tall thing in front of a low one hides it, so depth needs more room than breadth.
        if all(np.hypot(x - o.position[0], (y - o.position[1]) / 1.15)
               > shape.radius + other.radius + 0.012 for o, other in standing):
            return ObjectSpec(*names, scale, rgb, (x, y, 0.001), yaw)
    return None
