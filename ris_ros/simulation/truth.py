"""
What is true of a settled scene: the one place that knows, in 3D and in the picture.

`SceneTruth` holds every object's names, settled pose, support and what the rendered picture
shows of it.  The predicates are arrays over all objects or all pairs of objects, in units of
the distance that makes them clear: above `HOLDS` they clearly hold, below `FAILS` they
clearly do not, and in between nobody should be asked (`verdict` says 1, -1, 0).  Left, right,
above, below and the thirteen positions are decided in the picture, as people use the words
in front of a screen; front and behind along the optical axis; on and inside by what an
object rests on; next to and nearest by metres; bigger and smaller by true sizes.  The rules
and their margins are ours.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ris_ros.simulation.catalogue import shape_of
from ris_ros.simulation.scene import SceneSpec
from ris_ros.types import POSITIONS, BadInputError, Camera

MIN_PIXELS = 500         # less of an object than this in view: nobody would refer to it
CLEAR_PX = 40.0          # horizontal or vertical margin that makes a position clear, pixels
CLEAR_M = 0.05           # margin along the viewing direction for behind and in front of
NEAR_M = 0.16            # next to: feet closer than this
SIZE_STEP = 1.3          # ratio of sizes that makes a comparison clear
HOLDS, FAILS = 1.0, -1.0
TABLE = -1               # index of what carries an object that rests on the table
# The relation that says the same with its two objects exchanged.
OPPOSITES = {'left': 'right', 'right': 'left', 'above': 'below', 'below': 'above',
             'front': 'behind', 'behind': 'front', 'bigger': 'smaller', 'smaller': 'bigger'}


def verdict(margins: np.ndarray) -> np.ndarray:
    """Return int8 of the same shape: 1 clearly holds, -1 clearly does not, 0 undecided."""
    with np.errstate(invalid='ignore'):
        return (margins > HOLDS).astype(np.int8) - (margins < FAILS).astype(np.int8)


def holders(margins: np.ndarray, among: Sequence[int]) -> tuple[int, ...] | None:
    """
    Return those of `among` for which the predicate clearly holds, None if one is undecided.

    margins: (K,) in units of the clear distance; among: indices of objects.
    """
    decided = verdict(margins[list(among)])
    if (decided == 0).any():
        return None
    return tuple(i for i, d in zip(among, decided, strict=True) if d > 0)


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """
    The K objects of a scene at rest, in the order of its specification.

    kinds, colours, sizes: names; scales (K,) the true size within a kind.  poses (K, 7)
    float64: metres and quaternion (w, x, y, z) of the feet in the camera's optical frame.
    support (K,) int64: index of what an object rests on, TABLE for the table; contained,
    leaning (K,) bool: rests inside a container; rests on several things, so that neither
    "on" nor "inside" is decided.  pixels (K,) float64: visible area; centres (K, 2) float64
    and boxes (K, 4) float64 x0, y0, x1, y1 (exclusive): centroid and extent of what is
    visible, NaN where nothing is.  covered (K,) float64: part of the visible outline, [0, 1],
    where something nearer cuts the object off.  All pixel measures are of a picture of
    `camera`'s size.
    """

    seed: int
    camera: Camera
    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    sizes: tuple[str, ...]
    scales: np.ndarray
    poses: np.ndarray
    support: np.ndarray
    contained: np.ndarray
    leaning: np.ndarray
    pixels: np.ndarray
    centres: np.ndarray
    boxes: np.ndarray
    covered: np.ndarray

    @classmethod
    def observe(cls, spec: SceneSpec, instances: np.ndarray, poses: np.ndarray,
                support: np.ndarray | None = None, contained: np.ndarray | None = None,
                leaning: np.ndarray | None = None, depth: np.ndarray | None = None
                ) -> SceneTruth:
        """
        Put together what is known of a scene.

        instances: (H, W) uint8, i where object i - 1 is visible, of any size with the
        camera's aspect.  poses: (K, 7) or (K, 3).  support, contained, leaning: as settled;
        None takes the way the objects were put.  depth: (H, W) metres; without it nothing
        counts as covered.
        """
        count = len(spec.objects)
        if support is None:
            support = np.array([TABLE if o.support is None else o.support for o in spec.objects])
            contained = np.array([o.contained for o in spec.objects], bool)
        none = np.zeros(count, bool)
        places = np.zeros((count, 7))
        places[:, 3] = 1
        places[:, :poses.shape[1]] = poses
        pixels, centres, boxes = _seen(instances, count, instances.shape[1] / spec.camera.width)
        return cls(spec.seed, spec.camera, tuple(o.kind for o in spec.objects),
                   tuple(o.colour for o in spec.objects), tuple(o.size for o in spec.objects),
                   np.array([o.scale for o in spec.objects]), places,
                   np.asarray(support, np.int64), none if contained is None else contained,
                   none if leaning is None else leaning, pixels, centres, boxes,
                   np.zeros(count) if depth is None else _covered(instances, depth, count))

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.kinds)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it JSON-ready; `from_dict` reads it back exactly."""
        out = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()
               if k in self.__dataclass_fields__}
        return {**out, 'camera': asdict(self.camera)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> SceneTruth:
        """Return what `to_dict` wrote.  Raises BadInputError for any other record."""
        whole, yes = np.int64, np.bool_
        types = {'scales': float, 'poses': float, 'support': whole, 'contained': yes,
                 'leaning': yes, 'pixels': float, 'centres': float, 'boxes': float,
                 'covered': float}
        widths = {'poses': 7, 'centres': 2, 'boxes': 4}
        try:
            names: dict[str, Any] = {k: tuple(record[k]) for k in ('kinds', 'colours', 'sizes')}
            shape = len(names['kinds'])
            arrays: dict[str, Any] = {k: np.array(record[k], dtype).reshape(
                (shape, widths[k]) if k in widths else shape) for k, dtype in types.items()}
            return cls(seed=int(record['seed']), camera=Camera(**record['camera']),
                       **names, **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f'this is no truth of a scene ({error}); render it again') \
                from error

    def mirrored(self) -> SceneTruth:
        """Return the truth of the scene as in a mirror: left is right (turns are kept)."""
        width = self.camera.width
        centres, boxes, poses = self.centres.copy(), self.boxes.copy(), self.poses.copy()
        centres[:, 0] = width - 1 - centres[:, 0]
        boxes[:, 0], boxes[:, 2] = width - self.boxes[:, 2], width - self.boxes[:, 0]
        poses[:, 0] *= -1
        return replace(self, centres=centres, boxes=boxes, poses=poses)

    @property
    def xyz(self) -> np.ndarray:
        """(K, 3) float64: where the objects stand, metres in the optical frame."""
        return self.poses[:, :3]

    @cached_property
    def visible(self) -> np.ndarray:
        """(K,) bool: enough of it in view to be referred to."""
        return self.pixels >= MIN_PIXELS

    @cached_property
    def named(self) -> dict[str, tuple[int, ...]]:
        """Indices by phrase: the bare noun, and the noun with its colour."""
        named: dict[str, list[int]] = {}
        for i, (kind, colour) in enumerate(zip(self.kinds, self.colours, strict=True)):
            for phrase in (kind, f'{colour} {kind}'):
                named.setdefault(phrase, []).append(i)
        return {phrase: tuple(found) for phrase, found in named.items()}

    @cached_property
    def extents(self) -> np.ndarray:
        """(K, 2) float64: radius of the footprint and height as built, metres."""
        shapes = [shape_of(k, float(s)) for k, s in zip(self.kinds, self.scales, strict=True)]
        return np.array([(s.radius, s.height) for s in shapes]).reshape(-1, 2)

    @cached_property
    def carries(self) -> np.ndarray:
        """(K, K) bool: [a, b] where b rests on or in a, perhaps through others."""
        direct = self.support[None, :] == np.arange(len(self))[:, None]
        carried = direct
        for _ in range(len(self)):
            further = carried | (carried.astype(int) @ direct.astype(int) > 0)
            if (further == carried).all():
                break
            carried = further
        return carried

    @cached_property
    def distances(self) -> np.ndarray:
        """(K, K) float64: metres between the feet."""
        return np.linalg.norm(self.xyz[:, None] - self.xyz[None], axis=2)

    @cached_property
    def pixel_distances(self) -> np.ndarray:
        """(K, K) float64: pixels between the centroids."""
        return np.linalg.norm(self.centres[:, None] - self.centres[None], axis=2)

    @cached_property
    def relations(self) -> dict[str, np.ndarray]:
        """
        Margins (K, K) by relation type: [a, b] for "a is <type> b"; all types but 'between'.

        left, right: centroids, CLEAR_PX.  above, below: the same where the offset is mainly
        vertical; who carries is below.  front, behind: depth, CLEAR_M.  on, inside: 2 or -2,
        0 where undecided (leaning, or through another).  next_to: 1 at 3/4 of NEAR_M,
        -1 at 5/4.  bigger, smaller: SIZE_STEP; between kinds both width and height count.
        """
        x, y, z = self.centres[:, 0], self.centres[:, 1], self.xyz[:, 2]
        left = (x[None] - x[:, None]) / CLEAR_PX
        behind = (z[:, None] - z[None]) / CLEAR_M
        bigger, above = self._bigger(), self._above((y[None] - y[:, None]) / CLEAR_PX, left)
        return {'left': left, 'right': -left, 'above': above, 'below': above.T,
                'behind': behind, 'front': -behind, 'on': self._rests(~self.contained),
                'inside': self._rests(self.contained),
                'next_to': (NEAR_M - self.distances) / (NEAR_M / 4),
                'bigger': bigger, 'smaller': -bigger}

    def _above(self, up: np.ndarray, left: np.ndarray) -> np.ndarray:
        """People say above of what is higher rather than aside; see `relations`."""
        aside = np.abs(left) > 1.5 * np.abs(up)
        above = np.where(aside & (up > 0), np.minimum(up, HOLDS), up)
        above = np.where(self.carries, np.minimum(above, -2.0), above)
        above = np.where(self.carries.T, np.maximum(above, 2.0), above)
        inside = self.carries.T & self.contained[:, None]
        return np.where(inside | inside.T, 0.0, above)

    def _rests(self, chosen: np.ndarray) -> np.ndarray:
        """Margins of on or inside: `chosen` (K,) are those that rest in the way asked."""
        direct = self.support[:, None] == np.arange(len(self))[None]
        margins = np.where(direct & chosen[:, None], 2.0, -2.0)
        undecided = self.leaning[:, None] | (self.carries.T & ~direct)
        np.fill_diagonal(undecided, False)
        return np.where(undecided, 0.0, margins)

    def _bigger(self) -> np.ndarray:
        step = np.log(SIZE_STEP)
        size = np.log(self.scales)
        within = (size[:, None] - size[None]) / step
        wide, high = (np.log(self.extents[:, k]) for k in (0, 1))
        w, h = ((v[:, None] - v[None]) / step for v in (wide, high))
        across = np.where((w > 0) & (h > 0), np.minimum(w, h),
                          np.where((w < 0) & (h < 0), np.maximum(w, h), 0.0))
        kinds = np.array(self.kinds)
        return np.where(kinds[:, None] == kinds[None], within, across)

    @cached_property
    def columns_between(self) -> np.ndarray:
        """(K, K, K) float64 margins: [a, b, c] for "a is between b and c" by columns alone."""
        x = self.centres[:, 0]
        low, high = np.minimum(x[:, None], x[None]), np.maximum(x[:, None], x[None])
        a = x[:, None, None]
        return np.minimum(a - low[None], high[None] - a) / CLEAR_PX

    @cached_property
    def between(self) -> np.ndarray:
        """
        (K, K, K) float64 margins: [a, b, c] for "a is between b and c", picture and table.

        Between them by columns (CLEAR_PX), and in 3D within 5 cm of the way from one to the
        other (clearly off at 15 cm), 2 cm or more from its ends.
        """
        way = self.xyz[None] - self.xyz[:, None]           # [b, c]: from b to c
        length = np.maximum(self.distances, 1e-9)
        along = np.einsum('abk,bck->abc', way.swapaxes(0, 1), way) / length
        off = np.sqrt(np.maximum(self.distances[:, :, None]**2 - along**2, 0))
        inside = np.minimum(along, length[None] - along) / 0.02
        return np.minimum(np.minimum(self.columns_between, inside), (0.10 - off) / 0.05)

    @cached_property
    def ahead(self) -> dict[str, np.ndarray]:
        """
        Margins (K, K) by position: [a, b] for "a is further <position> than b", CLEAR_PX.

        A pair such as "top left" needs both.  What is nearer to the picture's middle is
        further "middle"; three in a row are better asked for with `middle_of`.
        """
        return {p: _margins(p, *self._sides(self.centres[:, None], self.centres[None]))
                for p in POSITIONS}

    def _sides(self, a: np.ndarray, b: np.ndarray) -> tuple[dict[str, np.ndarray], ...]:
        x, y = (a[..., k] - b[..., k] for k in (0, 1))
        near = (np.abs(b - self._middle) - np.abs(a - self._middle)) / CLEAR_PX
        return ({'left': -x / CLEAR_PX, 'right': x / CLEAR_PX, 'middle': near[..., 0]},
                {'top': -y / CLEAR_PX, 'bottom': y / CLEAR_PX, 'middle': near[..., 1]})

    @property
    def _middle(self) -> np.ndarray:
        return np.array([self.camera.width - 1, self.camera.height - 1]) / 2

    @cached_property
    def place(self) -> dict[str, np.ndarray]:
        """
        Margins (K,) by position: the centroid lies in that part of the picture, CLEAR_PX.

        Left to bottom are halves; middle is the middle third.
        """
        offset = self.centres - self._middle
        third = (np.array([self.camera.width, self.camera.height]) / 6 - np.abs(offset)) / CLEAR_PX
        x, y = offset[:, 0] / CLEAR_PX, offset[:, 1] / CLEAR_PX
        across = {'left': -x, 'right': x, 'middle': third[:, 0]}
        down = {'top': -y, 'bottom': y, 'middle': third[:, 1]}
        return {p: _margins(p, across, down) for p in POSITIONS}

    def leader(self, position: str, among: Sequence[int]) -> int | None:
        """Return the one of two or more objects that is furthest `position`, if clearly so."""
        rows = list(among)
        lead = self.ahead[position][np.ix_(rows, rows)].copy()
        np.fill_diagonal(lead, np.inf)
        first = np.flatnonzero((lead > HOLDS).all(1))
        return rows[int(first[0])] if len(first) else None

    def row(self, side: str, among: Sequence[int]) -> tuple[int, ...] | None:
        """Return objects in their order from `side` (left, right, top, bottom), if all clear."""
        axis, sign = {'left': (0, 1), 'right': (0, -1), 'top': (1, 1), 'bottom': (1, -1)}[side]
        values = sign * self.centres[list(among), axis]
        order = np.argsort(values, kind='stable')
        if not (np.diff(values[order]) > CLEAR_PX).all():
            return None
        return tuple(among[int(i)] for i in order)

    def middle_of(self, among: Sequence[int]) -> int | None:
        """Return the middle one of an odd number of objects, by columns, if their order is."""
        row = self.row('left', among) if len(among) % 2 and len(among) > 2 else None
        return None if row is None else row[len(row) // 2]

    def nearest(self, anchor: int, among: Sequence[int], far: bool = False) -> int | None:
        """
        Return the one of two or more objects nearest to (or farthest from) another.

        None where it is not clear: CLEAR_M in space, half of CLEAR_PX in the picture.
        """
        rows, sign = list(among), -1 if far else 1
        space = sign * self.distances[rows, anchor]
        picture = sign * self.pixel_distances[rows, anchor]
        best = int(np.argmin(space))
        others = [i for i in range(len(rows)) if i != best]
        clear = all(space[i] - space[best] > CLEAR_M
                    and picture[i] - picture[best] > CLEAR_PX / 2 for i in others)
        return rows[best] if others and clear else None


def _margins(position: str, across: Mapping[str, np.ndarray], down: Mapping[str, np.ndarray]
             ) -> np.ndarray:
    """Join the two sides that a position such as "top left" names."""
    words = position.split()
    if words == ['middle']:
        return np.minimum(across['middle'], down['middle'])
    if len(words) == 1:
        return across[words[0]] if words[0] in across else down[words[0]]
    # "middle left" is halfway down at the left, "top middle" at the top halfway across
    column = next((w for w in words if w in ('left', 'right')), 'middle')
    line = next((w for w in words if w in ('top', 'bottom')), 'middle')
    return np.minimum(across[column], down[line])


def _seen(instances: np.ndarray, count: int, scale: float
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels, centres and boxes as in SceneTruth; scale: picture's width by full."""
    flat = instances.ravel()
    rows, columns = np.divmod(np.flatnonzero(flat), instances.shape[1])
    labels = flat[flat > 0].astype(np.int64)
    areas, sums_x, sums_y = (np.bincount(labels, w, count + 1)[1:count + 1].astype(float)
                             for w in (None, columns, rows))
    boxes = np.full((count, 4), np.nan)
    for low, high, values in ((0, 2, columns), (1, 3, rows)):
        first, last = np.full(count + 1, np.inf), np.full(count + 1, -np.inf)
        np.minimum.at(first, labels, values)
        np.maximum.at(last, labels, values)
        boxes[:, low], boxes[:, high] = first[1:], last[1:] + 1
    boxes[areas == 0] = np.nan
    with np.errstate(invalid='ignore'):
        centres = np.stack([sums_x / areas / scale, sums_y / areas / scale], 1)
    return areas / scale**2, centres, boxes / scale


def _covered(instances: np.ndarray, depth: np.ndarray, count: int) -> np.ndarray:
    """Return the part of each object's outline beside which a nearer object is seen."""
    outline, cut = np.zeros((2, count + 1))
    for near, far in (((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
                      ((slice(None), slice(1, None)), (slice(None), slice(None, -1)))):
        for one, other in ((near, far), (far, near)):
            mine, theirs = instances[one], instances[other]
            edge = (mine != theirs) & (mine > 0)
            before = edge & (theirs > 0) & (depth[other] < depth[one])
            outline += np.bincount(mine[edge], minlength=count + 1)
            cut += np.bincount(mine[before], minlength=count + 1)
    return cut[1:] / np.maximum(outline[1:], 1)
