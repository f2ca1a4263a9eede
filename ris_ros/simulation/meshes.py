"""Triangle meshes built from a few numbers: surfaces of revolution, tubes, prisms."""
from __future__ import annotations

import itertools

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]


def lathe(profile: list[tuple[float, float]], segments: int = 28) -> Mesh:
    """
    Revolve a closed outline around the z axis.

    profile: (radius, z) points in metres, from the axis and back to it, so that the
    surface is closed; hollow objects go up outside and down inside.
    Returns vertices (V, 3) float64 and faces (F, 3) int64, normals outward.
    """
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rings: list[np.ndarray] = []
    vertices: list[np.ndarray] = []
    count = 0
    for radius, z in profile:
        if radius < 1e-9:
            vertices.append(np.array([[0.0, 0.0, z]]))
            rings.append(np.full(segments, count))
            count += 1
        else:
            vertices.append(np.stack([radius * np.cos(angles), radius * np.sin(angles),
                                      np.full(segments, z)], axis=1))
            rings.append(np.arange(count, count + segments))
            count += segments
    faces = []
    for lower, upper in itertools.pairwise(rings):
        a, b = lower, np.roll(lower, -1)
        c, d = upper, np.roll(upper, -1)
        faces += [np.stack([a, b, d], 1), np.stack([a, d, c], 1)]
    stacked = np.concatenate(faces)
    sound = ((stacked[:, 0] != stacked[:, 1]) & (stacked[:, 1] != stacked[:, 2])
             & (stacked[:, 0] != stacked[:, 2]))
    return np.concatenate(vertices), stacked[sound]


def tube(path: np.ndarray, radii: np.ndarray, segments: int = 12, closed: bool = False) -> Mesh:
    """
    Sweep a circle along a curve that lies in a plane.

    path: (P, 3) metres.  radii: (P,) metres.  closed: join the last ring to the first,
    else cap both ends.
    """
    tangents = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        tangents[0], tangents[-1] = path[1] - path[0], path[-1] - path[-2]
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normal = np.cross(tangents[0], tangents[len(path) // 3])
    normal /= np.linalg.norm(normal)
    side = np.cross(tangents, normal)
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = (np.cos(angles)[None, :, None] * side[:, None]
              + np.sin(angles)[None, :, None] * normal[None, None])
    vertices = (path[:, None] + radii[:, None, None] * circle).reshape(-1, 3)
    rings = np.arange(len(vertices)).reshape(len(path), segments)
    pairs = list(itertools.pairwise(rings))
    if closed:
        pairs.append((rings[-1], rings[0]))
    faces = []
    for lower, upper in pairs:
        a, b, c, d = lower, np.roll(lower, -1), upper, np.roll(upper, -1)
        faces += [np.stack([a, b, d], 1), np.stack([a, d, c], 1)]
    if not closed:
        vertices = np.concatenate([vertices, path[[0, -1]]])
        start, end = len(vertices) - 2, len(vertices) - 1
        faces.append(np.stack([np.roll(rings[0], -1), rings[0], np.full(segments, start)], 1))
        faces.append(np.stack([rings[-1], np.roll(rings[-1], -1), np.full(segments, end)], 1))
    return vertices, outward(vertices, np.concatenate(faces))


def pyramid(half: float, height: float) -> Mesh:
    """Return a square pyramid standing on z = 0; half side and height in metres."""
    vertices = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0],
                         [0, 0, height]], dtype=float)
    faces = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [0, 2, 1], [0, 3, 2]])
    return vertices, faces


def join(*meshes: Mesh) -> Mesh:
    """Put several meshes into one."""
    vertices, faces, offset = [], [], 0
    for v, f in meshes:
        vertices.append(v)
        faces.append(f + offset)
        offset += len(v)
    return np.concatenate(vertices), np.concatenate(faces)


def outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Flip all faces of a closed mesh when its signed volume is negative."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = np.einsum('ij,ij->i', a, np.cross(b, c)).sum()
    return faces if volume > 0 else faces[:, ::-1]
