"""
The table seen from far and low: in a room, beside a robot's arm.

The camera stands 0.8 to 1.6 m away and looks 16 to 38 degrees down, so that the far end of the
table, the wall, furniture and the arm are in the picture.  None of these is an object.
"""
from __future__ import annotations

from itertools import pairwise

import numpy as np

from ris_ros.simulation.spec import Furnishing

FAR_VIEW = ((0.8, 1.6), (16, 38), (-40, 40))   # as scene.VIEW
TABLE_HALF = (0.75, 0.6)                       # of the table top, metres
ARM_RADIUS = 0.045


def furnish(rng: np.random.Generator) -> tuple[Furnishing, ...]:
    """Return a wall, one to four pieces of furniture behind the table, and perhaps an arm."""
    def colour() -> tuple[float, float, float]:
        r, g, b = np.clip(rng.uniform(0.1, 0.85) + rng.normal(0, 0.08, 3), 0.03, 0.97)
        return float(r), float(g), float(b)

    away = float(rng.uniform(1.3, 2.4))
    things = [Furnishing('box', (3.0, 0.02, 1.6), (0.0, away, 0.7), (0.0, 0.0, 0.0), colour())]
    for _ in range(int(rng.integers(1, 5))):
        size = tuple(float(v) for v in rng.uniform((0.1, 0.08, 0.15), (0.4, 0.25, 0.7)))
        x, y = float(rng.uniform(-1.4, 1.4)), float(rng.uniform(0.95, away - 0.3))
        things.append(Furnishing('box', size, (x, y, size[2] - 0.7),
                                 (0.0, 0.0, float(rng.uniform(-0.6, 0.6))), colour()))
    if rng.random() < 0.7:
        things += _arm(rng, colour())
    return tuple(things)


def _arm(rng: np.random.Generator, rgb: tuple[float, float, float]) -> list[Furnishing]:
    """Return a robot's arm from the edge of the table, its hand above the things."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    joints = np.array([(side * (TABLE_HALF[0] - 0.08), rng.uniform(0.0, 0.4), 0.0),
                       (side * (TABLE_HALF[0] - 0.08), rng.uniform(0.0, 0.4), 0.45),
                       (side * rng.uniform(0.25, 0.45), rng.uniform(0.05, 0.4), 0.5),
                       (side * rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.35), 0.28)])
    joints[1, :2] = joints[0, :2]
    return [_link(a, b, rgb) for a, b in pairwise(joints)]


def _link(start: np.ndarray, end: np.ndarray, rgb: tuple[float, float, float]) -> Furnishing:
    way = end - start
    length = float(np.linalg.norm(way))
    x, y, z = way / length
    middle = (start + end) / 2
    # MuJoCo turns about x, then y, each about the turned axes; a capsule lies along its z.
    pitch = float(np.arcsin(np.clip(x, -1, 1)))
    roll = float(np.arctan2(-y, z))
    return Furnishing('capsule', (ARM_RADIUS, length / 2), (
        float(middle[0]), float(middle[1]), float(middle[2])), (roll, pitch, 0.0), rgb)
