"""Depth images to metres (REP-118 units, REP-117 invalid values)."""
from __future__ import annotations

import numpy as np

from ris_ros.types import BadInputError

# encoding -> (numpy kind the array must have, its unit by REP-118)
DEPTH_ENCODINGS = {'16UC1': ('u', 'mm'), 'mono16': ('u', 'mm'), '32FC1': ('f', 'm')}
UNITS = {'mm': 0.001, 'm': 1.0, '0.1mm': 0.0001}  # metres


def depth_to_metres(depth: np.ndarray, encoding: str, unit: str = 'auto') -> np.ndarray:
    """Return (H, W) float32 metres with NaN wherever the sensor measured nothing.

    depth: (H, W) uint16 millimetres for '16UC1' and 'mono16', float metres for '32FC1'.
    unit: 'auto' goes by the encoding as REP-118 says; one of UNITS overrules it for drivers
    that do not keep to it.  Zero, negative, NaN and infinite readings are invalid.
    Raises BadInputError for another encoding, unit, shape or data type.

    >>> depth_to_metres(np.array([[1.5, 0]], np.float32), '32FC1').tolist()
    [[1.5, nan]]
    """
    if encoding not in DEPTH_ENCODINGS:
        raise BadInputError(
            f'depth encoding {encoding!r} is not supported; '
            f'publish one of {", ".join(DEPTH_ENCODINGS)}')
    kind, usual = DEPTH_ENCODINGS[encoding]
    depth = np.asarray(depth)
    if depth.ndim != 2 or depth.size == 0:
        raise BadInputError(f'a depth image is (H, W) and not empty, this one is {depth.shape}')
    if depth.dtype.kind != kind:
        raise BadInputError(f'{encoding} depth cannot hold values of type {depth.dtype}')
    if unit != 'auto' and unit not in UNITS:
        raise BadInputError(f'depth unit {unit!r} is unknown; choose auto, {", ".join(UNITS)}')
    scale = UNITS[usual if unit == 'auto' else unit]
    with np.errstate(invalid='ignore', over='ignore'):
        metres = depth.astype(np.float32) * np.float32(scale)
        metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres


def unit_hint(depth_m: np.ndarray, mask: np.ndarray, read_in: str, min_m: float, max_m: float
              ) -> str | None:
    """Return what depth would be in another unit where it makes no sense in this one, or None.

    depth_m: (H, W) float metres with NaN where nothing was measured, read in unit `read_in` of
    UNITS.  mask: (H, W) bool, the object.  min_m, max_m: the range that counts as measured.

    >>> unit_hint(np.full((2, 2), 812.0), np.ones((2, 2), bool), 'm', 0.1, 10.0)
    'the depth would be 0.812 m if it were in mm (it is read in m); set depth.unit to mm'
    """
    values = depth_m[mask]
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    typical = float(np.median(values))
    if min_m <= typical <= max_m:
        return None
    for unit, scale in UNITS.items():
        other = typical * scale / UNITS[read_in]
        if unit != read_in and min_m <= other <= max_m:
            return (f'the depth would be {other:.3g} m if it were in {unit} (it is read in '
                    f'{read_in}); set depth.unit to {unit}')
    return None
