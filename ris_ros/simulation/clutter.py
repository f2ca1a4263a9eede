"""
Cluttered tables: 10 to 20 objects close together, many of them alike.

A scene is made of stories, each a few objects that a sentence has to tell apart: twins of one
colour and two sizes, of one size and several colours, a row of equal things, different kinds
that look alike in one colour, or equal things of which one stands on or in something.  The
rest is drawn at random.  Objects stand close and the camera looks flatter than on the plain
table, so that some hide parts of others.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.simulation.catalogue import COLOURS, HELD_OUT_KINDS, KINDS, SIZES, shape_of
from ris_ros.simulation.spec import ObjectSpec

FEWEST, MOST = 10, 20
CLUTTER_VIEW = ((0.76, 0.90), (30, 54), (-20, 20))   # as scene.VIEW
CLUTTER_WORKSPACE = (0.30, 0.23)                     # half extents at most, metres
FILLED = 0.42                                        # part of the workspace under footprints
GAP = 0.005                                          # between footprints, metres
TRIES = 160                                          # places looked at for one object
LOOK_ALIKES = (('can', 'cylinder', 'bottle'), ('cube', 'box', 'book'), ('bowl', 'plate'),
               ('mug', 'can'), ('cone', 'cylinder'), ('ball', 'cube'), ('bottle', 'cone'))
CARRIERS = ('plate', 'bowl', 'book')
# What may be put on or in a carrier: no wide or long kinds, and no cones, whose mesh sinks
# through the thin bottom of a bowl.
CARRIED = ('cube', 'can', 'ball', 'mug', 'cylinder')
SMALL = ('cube', 'ball', 'can', 'cylinder', 'cone')  # find room where nothing else does


@dataclass(frozen=True)
class Wish:
    """One object that a scene should have; carried: put it on or into a carrier if one fits."""

    kind: str
    colour: str
    size: str
    carried: bool = False


def sample_clutter(rng: np.random.Generator, unseen: bool = False) -> list[ObjectSpec]:
    """
    Return the objects of a cluttered table, FEWEST to MOST of them, carriers first.

    unseen: two to four are of kinds that are held out of training.
    """
    count = int(rng.integers(FEWEST, MOST + 1))
    wishes = _wishes(rng, count, unseen)
    # Wide things find room only on an empty table, and carriers have to be there first.
    wishes.sort(key=lambda w: (w.kind not in CARRIERS, w.carried, -_radius(w)))
    reach = _reach(wishes)
    placed: list[ObjectSpec] = []
    for wish in wishes:
        spec = _carried(rng, placed, wish) if wish.carried else None
        spec = spec or _on_table(rng, placed, wish, reach)
        if spec is not None:
            placed.append(spec)
    while len(placed) < FEWEST:
        spec = _on_table(rng, placed, Wish(_pick(rng, SMALL), _colour(rng), 'small'),
                         np.array(CLUTTER_WORKSPACE))
        placed += [spec] if spec else []
    return placed


def _reach(wishes: Sequence[Wish]) -> np.ndarray:
    """Return half extents (2,) of the part of the table that the objects fill closely."""
    area = sum(np.pi * _radius(w)**2 for w in wishes if not w.carried)
    most = np.array(CLUTTER_WORKSPACE)
    return most * min(1.0, float(np.sqrt(area / FILLED / (4 * most.prod()))))


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _colour(rng: np.random.Generator) -> str:
    return _pick(rng, list(COLOURS))


def _size(rng: np.random.Generator) -> str:
    return _pick(rng, list(SIZES))


def _radius(wish: Wish) -> float:
    return shape_of(wish.kind, SIZES[wish.size]).radius


def _wishes(rng: np.random.Generator, count: int, unseen: bool) -> list[Wish]:
    stories = [_size_twins, _colour_twins, _row, _look_alikes, _support_twins]
    wishes: list[Wish] = []
    for k in rng.permutation(len(stories))[:int(rng.integers(2, 5))]:
        wishes += stories[int(k)](rng)
    carriers = sum(w.kind in CARRIERS for w in wishes)
    while len(wishes) < count:
        # A table holds only so many plates; small things come more often.
        kind = _pick(rng, list(KINDS)) if rng.random() < 0.6 else _pick(rng, SMALL)
        if kind in CARRIERS and (carriers := carriers + 1) > 4:
            kind = _pick(rng, SMALL)
        wishes.append(Wish(kind, _colour(rng), _size(rng),
                           kind in CARRIED and rng.random() < 0.3))
    wishes = wishes[:count]
    if unseen:
        # In the place of random ones and of a whole story's, so that some have twins.
        for k in rng.permutation(count)[:int(rng.integers(2, 5))]:
            old = wishes[int(k)]
            wishes[int(k)] = Wish(_pick(rng, list(HELD_OUT_KINDS)), old.colour, old.size)
    return wishes


def _size_twins(rng: np.random.Generator) -> list[Wish]:
    """One kind and colour, small and large, and one more that is not alike."""
    kind, colour = _pick(rng, list(KINDS)), _colour(rng)
    return [Wish(kind, colour, 'small'), Wish(kind, colour, 'large'),
            *([Wish(kind, _colour(rng), _size(rng))] if rng.random() < 0.6 else [])]


def _colour_twins(rng: np.random.Generator) -> list[Wish]:
    """Two to four of one kind and size, each of its own colour."""
    kind, size = _pick(rng, list(KINDS)), _size(rng)
    colours = rng.permutation(list(COLOURS))[:int(rng.integers(2, 5))]
    return [Wish(kind, str(c), size) for c in colours]


def _row(rng: np.random.Generator) -> list[Wish]:
    """Three or four equal things: only place and order tell them apart."""
    kind, colour, size = _pick(rng, (*SMALL, 'mug', 'bottle')), _colour(rng), _size(rng)
    return [Wish(kind, colour, size)] * int(rng.integers(3, 5))


def _look_alikes(rng: np.random.Generator) -> list[Wish]:
    """Kinds of one look in one colour."""
    family = LOOK_ALIKES[int(rng.integers(len(LOOK_ALIKES)))]
    colour, size = _colour(rng), _size(rng)
    wishes = [Wish(kind, colour, size) for kind in family]
    return [*wishes, *([wishes[0]] if rng.random() < 0.4 else [])]


def _support_twins(rng: np.random.Generator) -> list[Wish]:
    """Two or three equal things and a carrier for one of them, which may have a twin too."""
    kind, colour, carrier = _pick(rng, CARRIED[:4]), _colour(rng), _pick(rng, CARRIERS)
    wishes = [Wish(carrier, _colour(rng), 'large'), Wish(kind, colour, 'small', True)]
    wishes += [Wish(kind, colour, 'small')] * int(rng.integers(1, 3))
    return [*wishes, *([Wish(carrier, _colour(rng), 'large')] if rng.random() < 0.5 else [])]


def _drawn(rng: np.random.Generator, wish: Wish) -> tuple[float, tuple[float, float, float],
                                                          float]:
    """Return scale, colour and turn of an object, a little off what its names say."""
    rgb = np.clip(np.array(COLOURS[wish.colour]) * rng.uniform(0.88, 1.1)
                  + rng.normal(0, 0.015, 3), 0.02, 1.0)
    return (SIZES[wish.size] * float(rng.uniform(0.95, 1.05)),
            (float(rgb[0]), float(rgb[1]), float(rgb[2])), float(rng.uniform(-np.pi, np.pi)))


def _carried(rng: np.random.Generator, placed: list[ObjectSpec], wish: Wish) -> ObjectSpec | None:
    """Put an object on or into a carrier that has room for it and nothing on it yet."""
    scale, rgb, yaw = _drawn(rng, wish)
    radius = shape_of(wish.kind, scale).radius
    taken = {o.support for o in placed}
    for index in rng.permutation(len(placed)):
        carrier = placed[int(index)]
        shape = shape_of(carrier.kind, carrier.scale)
        if shape.support is None or int(index) in taken or carrier.support is not None:
            continue
        surface, free = shape.support
        if radius > free * (1.25 if shape.container else 1.0):
            continue
        x, y, z = carrier.position
        return ObjectSpec(wish.kind, wish.colour, wish.size, scale, rgb,
                          (x, y, z + surface + 0.004), yaw, int(index), shape.container)
    return None


def _on_table(rng: np.random.Generator, placed: list[ObjectSpec], wish: Wish,
              reach: np.ndarray) -> ObjectSpec | None:
    """Find a free spot on the table, as often beside something as anywhere; None without one."""
    scale, rgb, yaw = _drawn(rng, wish)
    radius = shape_of(wish.kind, scale).radius
    spots = rng.uniform(-reach, reach, (TRIES, 2))
    standing = [o for o in placed if o.support is None]
    if standing:
        centres = np.array([o.position[:2] for o in standing])
        radii = np.array([shape_of(o.kind, o.scale).radius for o in standing])
        beside = rng.integers(len(standing), size=TRIES)
        angle = rng.uniform(-np.pi, np.pi, TRIES)
        away = radii[beside] + radius + GAP + rng.uniform(0, 0.03, TRIES)
        close = centres[beside] + away[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        spots = np.where((rng.random(TRIES) < 0.5)[:, None], close, spots)
        gaps = np.linalg.norm(spots[:, None] - centres[None], axis=2) - radii - radius
        free = (gaps > GAP * 0.999).all(1) & (np.abs(spots) <= reach).all(1)
        if not free.any():
            return None
        spots = spots[free]
    x, y = (float(v) for v in spots[0])
    return ObjectSpec(wish.kind, wish.colour, wish.size, scale, rgb, (x, y, 0.001), yaw)
