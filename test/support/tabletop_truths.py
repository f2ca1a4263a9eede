"""Truths of scenes made by hand: nothing is rendered."""
import dataclasses

import numpy as np

from ris_ros.simulation.truth import TABLE, SceneTruth
from ris_ros.types import Camera

CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)


def made(*objects, **changes):
    """A truth of (kind, x px, y px, depth m) or longer rows with scale and support."""
    count = len(objects)
    xs, ys, zs = (np.array([o[k] for o in objects], float) for k in (1, 2, 3))
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 1], poses[:, 2] = (xs - 319.5) / 600 * zs, (ys - 239.5) / 600 * zs, zs
    poses[:, 3] = 1
    scales = np.array([o[4] if len(o) > 4 else 1.0 for o in objects])
    support = np.array([o[5] if len(o) > 5 else TABLE for o in objects])
    none = np.zeros(count, bool)
    truth = SceneTruth(7, CAMERA, tuple(o[0].split()[-1] for o in objects),
                       tuple(o[0].split()[0] for o in objects),
                       tuple('large' if s > 1 else 'small' for s in scales), scales, poses,
                       support, none, none, np.full(count, 2000.0), np.stack([xs, ys], 1),
                       np.stack([xs - 20, ys - 20, xs + 20, ys + 20], 1), np.zeros(count))
    return dataclasses.replace(truth, **changes)
