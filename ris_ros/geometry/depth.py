"""Depth images to metres (REP-118 units, REP-117 invalid values)."""
from __future__ import annotations

import numpy as np

from ris_ros.types import BadInputError

# encoding -> (numpy kind the array must have, metres per unit)
DEPTH_ENCODINGS = {'16UC1': ('u', 0.001), 'mono16': ('u', 0.001), '32FC1': ('f', 1.0)}


def depth_to_metres(depth: np.ndarray, encoding: str, unit: str = 'auto') -> np.ndarray:
    """Return (H, W) float32 metres with NaN wherever the sensor measured nothing.

    depth: (H, W) uint16 millimetres for '16UC1' and 'mono16', float metres for '32FC1'.
    unit: 'auto' goes by the encoding as REP-118 says; 'mm' or 'm' overrules it for drivers
    that do not keep to it.  Zero, negative, NaN and infinite readings are invalid.
    Raises BadInputError for another encoding, unit, shape or data type.

    >>> depth_to_metres(np.array([[1.5, 0]], np.float32), '32FC1').tolist()
    [[1.5, nan]]
    """
    if encoding not in DEPTH_ENCODINGS:
        raise BadInputError(
            f'depth encoding {encoding!r} is not supported; '
            f'publish one of {", ".join(DEPTH_ENCODINGS)}')
    kind, scale = DEPTH_ENCODINGS[encoding]
    depth = np.asarray(depth)
    if depth.ndim != 2 or depth.size == 0:
        raise BadInputError(f'a depth image is (H, W) and not empty, this one is {depth.shape}')
    if depth.dtype.kind != kind:
        raise BadInputError(f'{encoding} depth cannot hold values of type {depth.dtype}')
    if unit not in ('auto', 'mm', 'm'):
        raise BadInputError(f'depth unit {unit!r} is unknown; choose auto, mm or m')
    if unit != 'auto':
        scale = 0.001 if unit == 'mm' else 1.0
    with np.errstate(invalid='ignore', over='ignore'):
        metres = depth.astype(np.float32) * np.float32(scale)
        metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres
