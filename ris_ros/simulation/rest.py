"""What rests on what once a scene has settled, read from the contacts of its bodies."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ris_ros.simulation.catalogue import shape_of
from ris_ros.simulation.scene import SceneSpec
from ris_ros.simulation.truth import TABLE

CARRIES = 0.3            # vertical part of a contact's normal from which the lower one carries


def settled_support(model: Any, data: Any, bodies: Sequence[int], spec: SceneSpec
                    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return support (K,) int64, contained and leaning (K,) bool, as in SceneTruth.

    bodies: MuJoCo's body of each object.  An object whose feet are within a container that it
    touches is contained; one that rests on more than one thing, or on nothing, is leaning.
    """
    index = {body: i for i, body in enumerate(bodies)}
    below: list[set[int]] = [set() for _ in bodies]
    for contact in data.contact[:data.ncon]:
        up = float(contact.frame[2])      # the normal points from the first geom to the second
        if abs(up) < CARRIES:
            continue
        first, second = (index.get(int(model.geom_bodyid[g]), TABLE)
                         for g in (contact.geom1, contact.geom2))
        lower, upper = (first, second) if up > 0 else (second, first)
        if upper != TABLE:
            below[upper].add(lower)
    places = data.xpos[list(bodies)]
    support = np.full(len(bodies), TABLE, np.int64)
    contained, leaning = np.zeros((2, len(bodies)), bool)
    for i, found in enumerate(below):
        # A thing may touch the table through the thin bottom of the bowl that it lies in.
        holds = [j for j in found if j != TABLE and _within(spec, places, i, j)]
        if len(holds) == 1:
            support[i], contained[i] = holds[0], True
        elif len(found) == 1:
            support[i] = found.pop()
            carrier = support[i]
            # Over the rim of a bowl is neither in it nor on it.
            leaning[i] = carrier != TABLE and _is_container(spec, carrier)
        else:
            leaning[i] = True
    return support, contained, leaning


def _is_container(spec: SceneSpec, index: int) -> bool:
    item = spec.objects[index]
    return shape_of(item.kind, item.scale).container


def _within(spec: SceneSpec, places: np.ndarray, i: int, container: int) -> bool:
    """Tell whether the feet of one object are inside of a container, below its rim."""
    item = spec.objects[container]
    shape = shape_of(item.kind, item.scale)
    if not shape.container or shape.support is None:
        return False
    offset = places[i] - places[container]
    return bool(np.hypot(*offset[:2]) < shape.support[1] and abs(offset[2]) < shape.height)
