"""
The objects of the simulated tabletop: kinds, colours, sizes.

A kind is a function from a scale to a `Shape`: what is drawn (primitives and meshes), what
collides (primitives only, since MuJoCo collides the convex hull of a mesh, which would
close every bowl), the radius of its footprint and its height.  All lengths in metres, the
object standing on z = 0 at scale 1.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ris_ros.simulation import meshes
from ris_ros.simulation.meshes import Mesh

COLOURS: dict[str, tuple[float, float, float]] = {
    'red': (0.80, 0.07, 0.07), 'green': (0.08, 0.55, 0.12), 'blue': (0.08, 0.20, 0.78),
    'yellow': (0.92, 0.82, 0.08), 'orange': (0.95, 0.45, 0.04), 'purple': (0.45, 0.10, 0.62),
    'pink': (0.97, 0.52, 0.70), 'brown': (0.36, 0.20, 0.09), 'white': (0.93, 0.93, 0.93),
    'black': (0.06, 0.06, 0.06), 'gray': (0.45, 0.45, 0.46), 'cyan': (0.10, 0.75, 0.80),
}
SIZES: dict[str, float] = {'small': 0.80, 'large': 1.25}
PAPER = (0.95, 0.94, 0.88)
METAL = (0.72, 0.73, 0.75)


@dataclass(frozen=True)
class Part:
    """
    One geom: MuJoCo type, its size, place and turn in the object's frame.

    colour None takes the object's own.  mesh is set for type 'mesh' alone.
    """

    type: str
    size: tuple[float, ...] = ()
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)
    colour: tuple[float, float, float] | None = None
    mesh: Mesh | None = None


@dataclass(frozen=True)
class Shape:
    """Drawn parts, colliding parts, footprint radius, height, and what may be put on it."""

    visual: tuple[Part, ...]
    collision: tuple[Part, ...]
    radius: float
    height: float
    # Height of the surface that carries another object, and the radius free for it;
    # None where nothing is put on (or into) this kind.
    support: tuple[float, float] | None = None
    container: bool = False


def _solid(*parts: Part) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    return parts, parts


def _wall(radius: float, half_height: float, z: float, count: int = 12, tilt: float = 0.0,
          thickness: float = 0.004) -> tuple[Part, ...]:
    """Approximate a hollow wall by boxes, so that things can lie inside."""
    width = radius * np.tan(np.pi / count)
    return tuple(
        Part('box', (thickness, width, half_height),
             (radius * np.cos(a), radius * np.sin(a), z), (0.0, tilt, a))
        for a in np.arange(count) * 2 * np.pi / count)


def _mug(s: float) -> Shape:
    r, h, t = 0.040 * s, 0.092 * s, 0.004
    body = meshes.lathe([(0, 0), (r, 0), (r, h), (r - t, h), (r - t, t), (0, t)])
    a = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 12)
    path = np.stack([r - 0.003 + 0.030 * s * np.cos(a), np.zeros(12),
                     h / 2 + 0.030 * s * np.sin(a)], 1)
    handle = meshes.tube(path, np.full(12, 0.0060 * s))
    return Shape((Part('mesh', mesh=meshes.join(body, handle)),),
                 (*_wall(r - t / 2, h / 2, h / 2),
                  Part('cylinder', (r, t), (0, 0, t)),
                  Part('box', (0.013 * s, 0.006 * s, 0.032 * s), (r + 0.017 * s, 0, h / 2))),
                 r + 0.032 * s, h)


def _bowl(s: float) -> Shape:
    t = 0.005
    outer = [(0.030, 0.0), (0.050, 0.010), (0.066, 0.026), (0.075, 0.048)]
    profile = [(0.0, 0.0)] + [(r * s, z * s) for r, z in outer]
    profile += [(r * s - t, z * s + (0.0 if z > 0.04 else t)) for r, z in reversed(outer)]
    profile += [(0.0, t)]
    return Shape((Part('mesh', mesh=meshes.lathe(profile, 36)),),
                 (Part('cylinder', (0.042 * s, 0.004), (0, 0, 0.004)),
                  *_wall(0.060 * s, 0.022 * s, 0.028 * s, tilt=0.5)),
                 0.078 * s, 0.048 * s, support=(0.009, 0.040 * s), container=True)


def _plate(s: float) -> Shape:
    r, t = 0.085 * s, 0.006
    profile = [(0, 0), (0.6 * r, 0), (r, 0.014), (r, 0.014 + t / 2), (0.62 * r, t), (0, t)]
    return Shape((Part('mesh', mesh=meshes.lathe(profile, 36)),),
                 (Part('cylinder', (0.62 * r, t / 2), (0, 0, t / 2)),
                  *_wall(0.82 * r, 0.18 * r, 0.009, tilt=1.2)),
                 r, 0.016, support=(t, 0.6 * r))


def _bottle(s: float) -> Shape:
    outline = [(0, 0), (0.030, 0), (0.032, 0.01), (0.032, 0.105), (0.012, 0.140), (0.012, 0.168),
               (0, 0.168)]
    cap = Part('cylinder', (0.0145 * s, 0.008 * s), (0, 0, 0.166 * s), colour=(0.9, 0.9, 0.9))
    body = Part('mesh', mesh=meshes.lathe([(r * s, z * s) for r, z in outline]))
    return Shape((body, cap),
                 (Part('cylinder', (0.032 * s, 0.060 * s), (0, 0, 0.060 * s)),
                  Part('cylinder', (0.0145 * s, 0.027 * s), (0, 0, 0.147 * s))),
                 0.033 * s, 0.174 * s)


def _can(s: float) -> Shape:
    r, h = 0.034 * s, 0.105 * s
    rim = 0.004 * s
    return Shape((Part('cylinder', (r, h / 2 - rim), (0, 0, h / 2)),
                  Part('cylinder', (0.94 * r, h / 2), (0, 0, h / 2), colour=METAL),
                  Part('cylinder', (1.01 * r, 0.010 * s), (0, 0, h / 2), colour=METAL)),
                 (Part('cylinder', (r, h / 2), (0, 0, h / 2)),), r, h)


def _box(s: float) -> Shape:
    x, y, z = 0.055 * s, 0.028 * s, 0.050 * s
    tape = Part('box', (0.010 * s, y + 0.0004, z + 0.0004), (0, 0, z), colour=(0.80, 0.68, 0.45))
    solid = Part('box', (x, y, z), (0, 0, z))
    return Shape((solid, tape), (solid,), float(np.hypot(x, y)), 2 * z)


def _cube(s: float) -> Shape:
    a = 0.031 * s
    visual, collision = _solid(Part('box', (a, a, a), (0, 0, a)))
    return Shape(visual, collision, 1.42 * a, 2 * a)


def _ball(s: float) -> Shape:
    r = 0.036 * s
    visual, collision = _solid(Part('sphere', (r,), (0, 0, r)))
    return Shape(visual, collision, r, 2 * r)


def _cylinder(s: float) -> Shape:
    r, h = 0.020 * s, 0.130 * s
    visual, collision = _solid(Part('cylinder', (r, h / 2), (0, 0, h / 2)))
    return Shape(visual, collision, r, h)


def _cone(s: float) -> Shape:
    part = Part('mesh', mesh=meshes.lathe([(0, 0), (0.042 * s, 0), (0, 0.110 * s)]))
    return Shape((part,), (part,), 0.042 * s, 0.110 * s)


def _book(s: float) -> Shape:
    x, y, z = 0.075 * s, 0.052 * s, 0.013 * s
    pages = Part('box', (x - 0.002, y - 0.001, z - 0.003), (0.003, 0, z), colour=PAPER)
    cover = 0.0018
    covers = [Part('box', (x, y, cover), (0, 0, c)) for c in (cover, 2 * z - cover)]
    spine = Part('box', (cover, y, z), (-x, 0, z))
    return Shape((pages, *covers, spine), (Part('box', (x, y, z), (0, 0, z)),),
                 float(np.hypot(x, y)), 2 * z, support=(2 * z, 0.045 * s))


def _banana(s: float) -> Shape:
    a = np.linspace(-1.05, 1.05, 16)
    curve = 0.085 * s
    path = np.stack([curve * np.sin(a), curve * (np.cos(a) - 0.75), np.full(16, 0.017 * s)], 1)
    radii = 0.017 * s * np.clip(1.25 - np.abs(np.linspace(-1.2, 1.2, 16)) ** 3, 0.22, 1.0)
    capsules = []
    for i in (1, 5, 9):
        j = i + 5
        middle, d = (path[i] + path[j]) / 2, path[j] - path[i]
        capsules.append(Part('box', (float(np.linalg.norm(d)) / 2, 0.013 * s, 0.015 * s),
                             (float(middle[0]), float(middle[1]), 0.015 * s),
                             (0, 0, float(np.arctan2(d[1], d[0])))))
    return Shape((Part('mesh', mesh=meshes.tube(path, radii)),), tuple(capsules),
                 0.078 * s, 0.034 * s)


def _vase(s: float) -> Shape:
    outline = [(0, 0), (0.024, 0), (0.040, 0.045), (0.034, 0.080), (0.016, 0.108), (0.028, 0.135),
               (0.024, 0.135), (0.012, 0.108), (0, 0.100)]
    return Shape((Part('mesh', mesh=meshes.lathe([(r * s, z * s) for r, z in outline])),),
                 (Part('cylinder', (0.030 * s, 0.050 * s), (0, 0, 0.050 * s)),
                  Part('cylinder', (0.022 * s, 0.018 * s), (0, 0, 0.117 * s))),
                 0.041 * s, 0.135 * s)


def _pyramid(s: float) -> Shape:
    part = Part('mesh', mesh=meshes.pyramid(0.040 * s, 0.075 * s))
    return Shape((part,), (part,), 0.057 * s, 0.075 * s)


def _ring(s: float) -> Shape:
    a = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    r, t = 0.045 * s, 0.014 * s
    path = np.stack([r * np.cos(a), r * np.sin(a), np.full(24, t)], 1)
    return Shape((Part('mesh', mesh=meshes.tube(path, np.full(24, t), 14, closed=True)),),
                 _wall(r, t, t, thickness=t), r + t, 2 * t)


KINDS: dict[str, Callable[[float], Shape]] = {
    'mug': _mug, 'bowl': _bowl, 'plate': _plate, 'bottle': _bottle, 'can': _can, 'box': _box,
    'cube': _cube, 'ball': _ball, 'cylinder': _cylinder, 'cone': _cone, 'book': _book,
    'banana': _banana,
}
# Never seen in training: only the seeds of the unseen split place them.
HELD_OUT_KINDS: dict[str, Callable[[float], Shape]] = {
    'vase': _vase, 'pyramid': _pyramid, 'ring': _ring,
}
ALL_KINDS = {**KINDS, **HELD_OUT_KINDS}


@lru_cache(maxsize=256)
def shape_of(kind: str, scale: float) -> Shape:
    """Return the shape of a kind at a scale; the latest are kept, their meshes take time."""
    return ALL_KINDS[kind](scale)
