"""Parting what stands on a plane into atoms, and how strong the borders between them are.

An atom is a piece that no object border crosses: parted by steps of depth, by creases where two
things touch, and by gaps seen from above.  Colour moves borders where depth is unsure.
Source: ours.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.noise import DepthNoise
from ris_ros.geometry.planes import SupportPlane, along, ground_axes, rays
from ris_ros.lazy import require
from ris_ros.types import Camera

CREASES = (0.65, 0.4, 0.25)  # sine of half the bend, from sharp to blunt
STEP_SIGMAS = 7.0            # second difference of depth that is a step
STEP_M = 0.006               # and not less than this
CELL_M = 0.005               # of the look from above, and not less than a pixel covers
BLUNT = 1.0                  # standard deviations of a crease that noise makes
LEAST_PIXELS = 200           # of a mask, at the working resolution
MOST_ATOMS = 120
BAND = 3                     # pixels about a border in which colour decides
UNSURE = 8                   # the same in unmeasured pixels


@dataclass(frozen=True, eq=False)
class Partition:
    """Atoms and their borders.

    atoms: (H, W) int32, 1..n, 0 outside.  areas: (n + 1,) pixels, the first 0.  groups: (g,
    n + 1) int32, per level the number of the group that an atom is in, 0 for none; the first
    level is what hangs together at all, the last what does from above.  lengths, strengths:
    (n + 1, n + 1), pixels that two atoms share as border and the sum over them of how surely it
    is one, in [0, 1] each; row 0 is what is no atom.
    """

    atoms: np.ndarray
    areas: np.ndarray
    groups: np.ndarray
    lengths: np.ndarray
    strengths: np.ndarray


def partition(z: np.ndarray, ok: np.ndarray, inside: np.ndarray, plane: SupportPlane,
              camera: Camera, noise: DepthNoise, smooth: DepthNoise,
              rgb: np.ndarray | None = None) -> Partition | None:
    """Return the atoms of what stands, None where there is none.

    z: (H, W) float32 metres without gaps, ok: where it was measured, inside: what stands, bool.
    noise: of z.  smooth: of z through a small mean filter.  rgb: (H, W, 3) uint8.

    >>> z = np.full((60, 80), 0.8, np.float32)
    >>> z[20:40, 10:30], z[20:40, 40:70] = 0.7, 0.6
    >>> plane = SupportPlane(np.array([0, 0, -1.0]), 0.8, np.zeros(6, np.float32),
    ...                      np.zeros((0, 3)), 1, 1)
    >>> law = DepthNoise(0.0005, 0.0)
    >>> found = partition(z, z > 0, z < 0.8, plane, Camera(80, 80, 40, 30, 80, 60), law, law)
    >>> found.areas.astype(int).tolist()
    [0, 400, 600]
    """
    cv2 = require('cv2', 'models')
    sigma = noise.sigma(z)
    typical = float(np.median(sigma[inside])) if inside.any() else 0.001
    calm = cv2.bilateralFilter(z, 7, max(6 * typical, 0.004), 3.0)
    steps = _steps(calm, np.maximum(np.float32(STEP_M), STEP_SIGMAS * sigma))
    crease = _creases(calm, camera)
    levels = _levels(inside, steps, crease, _blunt(z[inside], camera, smooth))
    above = _from_above(z, inside & ok, plane, camera)
    atoms = _atoms(levels, above)
    count = int(atoms.max())
    if not count:
        return None
    groups = np.stack([_most(atoms, level, count) for level in (*levels, above)])
    if rgb is not None:
        atoms = _by_colour(atoms, ok, rgb)
    areas = np.bincount(atoms.ravel(), minlength=count + 1).astype(np.float64)
    areas[0] = 0
    lengths, strengths = _borders(atoms, crease, calm, 2 * STEP_M, count)
    return Partition(atoms, areas, groups, lengths, strengths)


def _steps(z: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    steps = np.zeros(z.shape, bool)
    steps[:, 1:-1] |= np.abs(z[:, 2:] - 2 * z[:, 1:-1] + z[:, :-2]) > tolerance[:, 1:-1]
    steps[1:-1] |= np.abs(z[2:] - 2 * z[1:-1] + z[:-2]) > tolerance[1:-1]
    return steps


def _blunt(z: np.ndarray, camera: Camera, smooth: DepthNoise) -> float:
    """Return the crease that noise alone does not make: thresholds below it are left out."""
    if not len(z):
        return 0.0
    middle = float(np.median(z))
    # Normals are read over eight pixels, from readings of that noise.
    return float(BLUNT * smooth.sigma(np.array(middle)) / (8 * middle / camera.fx))


def _creases(z: np.ndarray, camera: Camera) -> np.ndarray:
    """Return how concave the surface is, (H, W) float32: 0 flat or convex, towards 2 sharp.

    Read at half the resolution from normals two cells to either side.
    """
    cv2 = require('cv2', 'models')
    size = (max(z.shape[1] // 2, 1), max(z.shape[0] // 2, 1))
    u, v = rays(camera)
    half = cv2.resize(z, size, interpolation=cv2.INTER_AREA)
    u2 = cv2.resize(u, (size[0], 1), interpolation=cv2.INTER_AREA)
    v2 = cv2.resize(v, (1, size[1]), interpolation=cv2.INTER_AREA)
    points = np.stack([cv2.blur(part, (3, 3)) for part in (half * u2, half * v2, half)])
    along_u, along_v = _across(points, 0, 2), _across(points, 2, 0)
    normals = np.stack([along_v[1] * along_u[2] - along_v[2] * along_u[1],
                        along_v[2] * along_u[0] - along_v[0] * along_u[2],
                        along_v[0] * along_u[1] - along_v[1] * along_u[0]])
    normals /= np.sqrt((normals * normals).sum(axis=0)) + 1e-12
    found = np.zeros(half.shape, np.float32)
    for way, between in (((2, 0), along_v), ((0, 2), along_u)):
        turn = (_across(normals, *way) * between).sum(axis=0)
        np.maximum(found, -turn / (np.sqrt((between * between).sum(axis=0)) + 1e-9), out=found)
    return cv2.resize(found, z.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _across(values: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return (C, H, W) values ahead minus those behind, edges repeated."""
    height, width = values.shape[-2:]
    rows, columns = np.arange(height), np.arange(width)
    if down:
        return (values[:, np.minimum(rows + down, height - 1)]
                - values[:, np.maximum(rows - down, 0)])
    return (values[:, :, np.minimum(columns + right, width - 1)]
            - values[:, :, np.maximum(columns - right, 0)])


def _components(mask: np.ndarray, least: int) -> np.ndarray:
    cv2 = require('cv2', 'models')
    count, label = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    keep = np.bincount(label.ravel(), minlength=count) >= least
    keep[0] = False
    table = np.zeros(count, np.int32)
    table[keep] = np.arange(1, keep.sum() + 1)
    return table[label]


def _levels(inside: np.ndarray, steps: np.ndarray, crease: np.ndarray, blunt: float
            ) -> list[np.ndarray]:
    """Return labels from what hangs together at all to what no border of any kind crosses."""
    cv2 = require('cv2', 'models')
    levels = [_components(inside, LEAST_PIXELS),
              _components(inside & ~steps, LEAST_PIXELS // 2)]
    for threshold in CREASES:
        if threshold >= min(blunt, CREASES[0]):
            free = inside & ~steps & (crease < threshold)
            free = cv2.morphologyEx(free.view(np.uint8), cv2.MORPH_OPEN,
                                    np.ones((3, 3), np.uint8)) > 0
            levels.append(_components(free, LEAST_PIXELS // 3))
    return levels


def _from_above(z: np.ndarray, inside: np.ndarray, plane: SupportPlane, camera: Camera
                ) -> np.ndarray:
    """Return labels of what hangs together on the ground, (H, W) int32."""
    cv2 = require('cv2', 'models')
    label = np.zeros(z.shape, np.int32)
    if not inside.any():
        return label
    # Pixels that are beside each other must not be cells apart.
    cell = max(CELL_M, 1.5 * float(np.quantile(z[inside], 0.9)) / min(camera.fx, camera.fy))
    cells = []
    for axis in ground_axes(plane):
        place = along(axis, z, camera)[inside]
        cells.append(np.minimum((place - place.min()) / cell, 4000).astype(np.int32))
    column, row = cells
    picture = np.zeros((row.max() + 1, column.max() + 1), np.uint8)
    picture[row, column] = 1
    count, parts = cv2.connectedComponents(picture, connectivity=8)
    label[inside] = parts[row, column]
    size = np.bincount(label.ravel(), minlength=count)
    return np.where(size[label] >= LEAST_PIXELS // 2, label, 0)


def _atoms(levels: list[np.ndarray], above: np.ndarray) -> np.ndarray:
    """Return the finest cells, grown over all that stands."""
    cv2 = require('cv2', 'models')
    fine, ways = levels[-1], int(above.max()) + 1
    both = np.where((fine > 0) & (above > 0), fine * ways + above, 0)
    size = np.bincount(both.ravel())
    size[0] = 0
    keep = np.flatnonzero(size >= LEAST_PIXELS // 3)
    keep = keep[np.argsort(-size[keep], kind='stable')][:MOST_ATOMS]
    if not len(keep):
        return np.zeros(fine.shape, np.int32)
    table = np.zeros(len(size), np.int32)
    table[np.sort(keep)] = np.arange(1, len(keep) + 1)
    seeds = table[both]
    _, label = cv2.distanceTransformWithLabels((seeds == 0).astype(np.uint8), cv2.DIST_L2, 3,
                                               labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros(int(label.max()) + 1, np.int32)
    nearest[label[seeds > 0]] = seeds[seeds > 0]
    return np.where(levels[0] > 0, nearest[label], 0).astype(np.int32)


def _most(atoms: np.ndarray, level: np.ndarray, count: int) -> np.ndarray:
    """Return the group of a level that most of each atom is in, (count + 1,)."""
    ways = int(level.max()) + 1
    hits = np.bincount((atoms * ways + level).ravel(), minlength=(count + 1) * ways)
    hits = hits.reshape(count + 1, ways)
    hits[:, 0] = 0
    group = np.where(hits.max(axis=1) > 0, hits.argmax(axis=1), 0)
    group[0] = 0
    return group


def _by_colour(atoms: np.ndarray, ok: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Return atoms whose borders follow the cheapest paths in colour (image foresting)."""
    cv2 = require('cv2', 'models')
    width = atoms.shape[1]
    lab = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2LAB)
    colour = cv2.GaussianBlur(lab, (3, 3), 0).astype(np.float32).reshape(-1, 3)
    band, rim = (np.ones((2 * k + 1,) * 2, np.uint8) for k in (BAND, UNSURE))
    marks = atoms.astype(np.uint16)
    open_ = cv2.dilate(marks, band) != cv2.erode(marks, band)
    open_ |= ~ok & (cv2.dilate((atoms > 0).astype(np.uint8), rim) > 0)
    open_[[0, -1]] = False
    open_[:, [0, -1]] = False
    places = np.flatnonzero(open_)
    label = atoms.ravel().copy()
    if not len(places):
        return atoms
    cost = np.zeros(atoms.size, np.float32)
    cost[places] = np.inf
    beside = places[:, None] + np.array([1, -1, width, -width])
    away = np.abs(colour[beside] - colour[places][:, None]).max(axis=-1) + np.float32(0.5)
    every = np.arange(len(places))
    for _ in range(2 * max(BAND, UNSURE)):
        through = cost[beside] + away
        way = through.argmin(axis=1)
        best = through[every, way]
        better = best < cost[places] - 1e-6
        if not better.any():
            break
        cost[places[better]] = best[better]
        label[places[better]] = label[beside[better, way[better]]]
    return label.reshape(atoms.shape)


def _borders(atoms: np.ndarray, crease: np.ndarray, z: np.ndarray, step: float, count: int
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return lengths and summed strengths of all borders, (count + 1, count + 1) each."""
    size = count + 1
    lengths, strengths = np.zeros((size, size)), np.zeros((size, size))
    for one, other in (((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
                       ((slice(None, -1), slice(None)), (slice(1, None), slice(None)))):
        a, b = atoms[one], atoms[other]
        differ = a != b
        sure = np.maximum(crease[one], np.abs(z[one] - z[other]) / step)[differ]
        sure = np.where((a[differ] == 0) | (b[differ] == 0), 1.0, np.minimum(sure, 1.0))
        key = a[differ].astype(np.int64) * size + b[differ]
        lengths += np.bincount(key, minlength=size * size).reshape(size, size)
        strengths += np.bincount(key, weights=sure,
                                 minlength=size * size).reshape(size, size)
    return lengths + lengths.T, strengths + strengths.T
