"""Planes that things stand on, from depth alone.  Source: ours.

Handled: flat tops and floors, one over another, that are level with each other.  Not handled:
shelves whose sides hide the board, bins, slopes among level tops.  No plane is a normal answer.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.geometry.noise import DepthNoise, depth_noise
from ris_ros.types import Camera

STEP = 6               # every so many pixels a reading takes part, at 640 columns
TRIPLES = 480          # planes through sampled triples of readings
REACH = (25.0, 110.0)  # pixels between the readings of a triple, at 640 columns
SLACK = 0.004          # of the range: bend and scale error of the sensor
BEND = 0.012           # of the range: the largest bend that is taken out
MIN_SHARE = 0.02       # of the image
LEVEL_COS = 0.985      # later planes are within 10 degrees of the first
LID_M2 = 0.12          # a plane near the first one's height is a support from this area on
TOP_M2 = 0.02          # one that lies clearly higher or lower, from this one


@dataclass(frozen=True, eq=False)
class SupportPlane:
    """A plane, normal @ point + offset = 0, in metres in the camera's optical frame.

    normal: (3,) float64 of length 1, towards the camera: up.  offset: the camera's height.
    bend: (6,) float32, the sensor's slow error of height over 1, u, v, uu, uv, vv of the ray
    (u, v, 1).  on: (M, 3) float64, readings that lie on it.  share: of the image that they
    stand for, [0, 1].  area: that they cover, square metres.
    """

    normal: np.ndarray
    offset: float
    bend: np.ndarray
    on: np.ndarray
    share: float
    area: float


def rays(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return x/z as (1, W) and y/z as (H, 1) float32 of the camera's pixels.

    >>> u, v = rays(Camera(2, 2, 1, 0, 3, 2))
    >>> u.tolist(), v.tolist()
    ([[-0.5, 0.0, 0.5]], [[0.0], [0.5]])
    """
    u = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) / camera.fx
    v = (np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy)) / camera.fy
    return u[None].astype(np.float32), v[:, None].astype(np.float32)


def along(direction: np.ndarray, depth_m: np.ndarray, camera: Camera) -> np.ndarray:
    """Return direction @ point for all pixels, (H, W) float32, without building the points.

    >>> camera = Camera(100, 100, 1, 0, 3, 2)
    >>> float(along(np.array([0, 0, 1.0]), np.full((2, 3), 0.5), camera).max())
    0.5
    """
    u, v = rays(camera)
    a, b, c = np.asarray(direction, dtype=np.float32)
    return depth_m * ((a * u + c) + b * v)


def heights(plane: SupportPlane, depth_m: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the heights above a plane, (H, W) float32 metres, the sensor's bend taken out.

    NaN where nothing was measured.

    >>> plane = SupportPlane(np.array([0, 0, -1.0]), 1.0, np.zeros(6, np.float32),
    ...                      np.zeros((0, 3)), 1.0, 1.0)
    >>> float(heights(plane, np.full((2, 3), 0.75), Camera(100, 100, 1, 0, 3, 2))[0, 0])
    0.25
    """
    u, v = rays(camera)
    c = plane.bend
    bend = (c[0] + c[1] * u + c[3] * u * u) + (c[2] * v + c[5] * v * v) + c[4] * u * v
    limit = np.float32(BEND) * np.abs(depth_m)
    return (along(plane.normal, depth_m, camera) + np.float32(plane.offset)
            - np.clip(bend, -limit, limit))


def ground_axes(plane: SupportPlane) -> tuple[np.ndarray, np.ndarray]:
    """Return two (3,) unit vectors in the plane: to the camera's right, and away from it.

    Where the camera looks straight down, away is the picture's up.

    >>> plane = SupportPlane(np.array([0, -1.0, 0]), 1.0, np.zeros(6, np.float32),
    ...                      np.zeros((0, 3)), 1.0, 1.0)
    >>> [(axis.round(3) + 0.0).tolist() for axis in ground_axes(plane)]
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    n = plane.normal
    ahead = np.array([0.0, 0.0, 1.0]) if abs(n[2]) < 0.99 else np.array([0.0, -1.0, 0.0])
    ahead = ahead - n * (n @ ahead)
    ahead /= np.linalg.norm(ahead)
    return np.cross(ahead, n), ahead


def support_planes(depth_m: np.ndarray, camera: Camera, noise: DepthNoise | None = None,
                   up: np.ndarray | None = None, limit: int = 3, seed: int = 0
                   ) -> tuple[SupportPlane, ...]:
    """Return the planes that things stand on, the dominant one first; there may be none.

    depth_m: (H, W) float metres, NaN where nothing was measured.  noise: of that depth, by
    default estimated.  up: (3,) unit vector against gravity in the optical frame, where it is
    known; else a plane that faces the picture's upper side or the camera is taken, and any
    other only where there is none.  limit: planes at most.  seed: of the sampling.

    Local triples of readings propose planes, the one with most readings within four standard
    deviations is refitted to them.  Later planes are level with the first and large, or clearly
    higher or lower: else the tops of books and boxes were tables.

    >>> support_planes(np.full((48, 64), np.nan), Camera(60, 60, 32, 24, 64, 48))
    ()
    >>> wide = np.full((480, 640), 0.8, np.float32)
    >>> plane, = support_planes(wide, Camera(600, 600, 320, 240, 640, 480))
    >>> (plane.normal.round(3) + 0.0).tolist(), round(plane.offset, 3)
    ([0.0, 0.0, -1.0], 0.8)
    """
    ok = np.isfinite(depth_m) & (depth_m > 0)
    z = np.where(ok, depth_m, 0).astype(np.float32)
    law = noise or depth_noise(depth_m)
    rng = np.random.default_rng(seed)
    free = ok.copy()
    planes: list[SupportPlane] = []
    for _ in range(limit):
        level = planes[0].normal if planes else up
        found = _dominant(z, free, camera, law, level, rng)
        if found is None or found.share < MIN_SHARE:
            break
        if planes:
            lift = float(np.median(found.on @ planes[0].normal + planes[0].offset))
            if found.area < (TOP_M2 if lift > 0.25 or lift < -0.02 else LID_M2):
                break
        planes.append(found)
        free &= np.abs(heights(found, z, camera)) >= 3 * _tolerance(z, law)
    return tuple(planes)


def _tolerance(z: np.ndarray, noise: DepthNoise) -> np.ndarray:
    return np.hypot(4 * noise.sigma(z), np.float32(SLACK) * z)


def _dominant(z: np.ndarray, free: np.ndarray, camera: Camera, noise: DepthNoise,
              level: np.ndarray | None, rng: np.random.Generator) -> SupportPlane | None:
    step = max(1, round(STEP * z.shape[1] / 640))
    rows, columns = np.nonzero(free[step // 2::step, step // 2::step])
    rows, columns = rows * step + step // 2, columns * step + step // 2
    if len(rows) < 150:
        return None
    points = _points(z, rows, columns, camera)
    normals, offsets = _triples(z, free, points, rows, columns, camera, rng)
    if level is not None:
        likely = normals @ level > LEVEL_COS
    else:
        likely = (normals[:, 1] < 0.15) & (np.abs(normals[:, 0]) < 0.7)
        likely = likely if likely.any() else np.ones(len(normals), bool)
    normals, offsets = normals[likely], offsets[likely]
    if not len(normals):
        return None
    tolerance = _tolerance(points[:, 2], noise)
    part = slice(None, None, max(len(points) // 2000, 1))
    hits = np.abs(points[part] @ normals.T + offsets) < tolerance[part, None] * np.abs(
        offsets) / points[part, 2:]
    # Of two planes alike in size the one that faces up in the picture is the table.
    weight = 1.0 if level is not None else 1 + np.clip(-normals[:, 1], 0, 1)
    best = int((hits.sum(axis=0) * weight).argmax())
    normal, offset = normals[best], float(offsets[best])
    for turn in range(4):
        wide = 1.5 if turn == 0 else 1.0
        on = points[np.abs(points @ normal + offset)
                    < wide * tolerance * abs(offset) / points[:, 2]]
        if len(on) < 50:
            return None
        middle = on.mean(axis=0)
        normal = np.linalg.eigh((on - middle).T @ (on - middle))[1][:, 0]
        normal = -normal * np.sign(normal @ middle)
        offset = float(-normal @ middle)
    return _described(normal, offset, on, step, z.shape, camera)


def _points(z: np.ndarray, rows: np.ndarray, columns: np.ndarray, camera: Camera) -> np.ndarray:
    depth = z[rows, columns].astype(np.float64)
    return np.stack([(columns - camera.cx) / camera.fx * depth,
                     (rows - camera.cy) / camera.fy * depth, depth], axis=1)


def _triples(z: np.ndarray, free: np.ndarray, points: np.ndarray, rows: np.ndarray,
             columns: np.ndarray, camera: Camera, rng: np.random.Generator
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return normals (K, 3) towards the camera and offsets (K,) of planes through triples."""
    height, width = z.shape
    first = rng.integers(len(points), size=TRIPLES)

    def partner() -> tuple[np.ndarray, np.ndarray]:
        angle = rng.uniform(0, 2 * np.pi, TRIPLES)
        reach = rng.uniform(*REACH, TRIPLES) * width / 640
        return (np.clip((rows[first] + reach * np.sin(angle)).astype(int), 0, height - 1),
                np.clip((columns[first] + reach * np.cos(angle)).astype(int), 0, width - 1))
    second, third = partner(), partner()
    both = free[second] & free[third]
    a = points[first][both]
    b, c = (_points(z, r[both], k[both], camera) for r, k in (second, third))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    real = length > 1e-5
    normals, a = normals[real] / length[real, None], a[real]
    normals *= -np.sign((normals * a).sum(axis=1))[:, None]
    return normals, -(normals * a).sum(axis=1)


def _described(normal: np.ndarray, offset: float, on: np.ndarray, step: int,
               shape: tuple[int, ...], camera: Camera) -> SupportPlane:
    u, v = on[:, 0] / on[:, 2], on[:, 1] / on[:, 2]
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    bend = np.linalg.lstsq(terms, on @ normal + offset, rcond=None)[0].astype(np.float32)
    slant = np.maximum(np.abs(on @ normal) / np.linalg.norm(on, axis=1), 0.25)
    area = float((on[:, 2] ** 2 / (camera.fx * camera.fy) / slant).sum()) * step ** 2
    share = len(on) * step ** 2 / (shape[0] * shape[1])
    return SupportPlane(normal, offset, bend, on, share, area)
