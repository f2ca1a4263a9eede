"""Reading and writing pictures and camera files for the command line."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.types import BadInputError, Camera


def read_image(path: Path) -> np.ndarray:
    """Return a picture file as (H, W, 3) uint8 RGB; raises BadInputError if it is none."""
    return np.array(_open(path).convert('RGB'))


def _open(path: Path) -> Any:
    pil = require('PIL.Image', 'models')
    try:
        picture = pil.open(path)
        picture.load()
    except (OSError, ValueError, SyntaxError, pil.DecompressionBombError) as error:
        raise BadInputError(f'{path} cannot be read as a picture: {error}') from error
    return picture


def read_depth(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """Return (H, W) float32 metres, NaN where invalid.

    16-bit pictures hold millimetres (16UC1), .npy files millimetres (uint16) or metres
    (float).  Raises BadInputError for another kind, or a size other than the image's.
    """
    from ris_ros.geometry import depth_to_metres
    if path.suffix == '.npy':
        try:
            depth = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BadInputError(f'{path} cannot be read as an array: {error}') from error
    else:
        depth = np.array(_open(path))
        if depth.dtype == np.int32:  # some versions of PIL widen 16-bit pictures
            depth = depth.astype(np.uint16)
    if depth.dtype not in (np.uint16, np.float32, np.float64):
        raise BadInputError(f'{path} must hold 16-bit millimetres or float metres, '
                            f'not {depth.dtype}')
    if depth.shape != tuple(size):
        raise BadInputError(f'the depth picture is {depth.shape}, the image {tuple(size)}; '
                            'register depth to colour first')
    return depth_to_metres(depth, '16UC1' if depth.dtype == np.uint16 else '32FC1')


def read_camera(path: Path, size: tuple[int, ...]) -> Camera:
    """Return intrinsics from JSON or YAML.

    Either fx, fy, cx, cy or a 3x3 matrix `k` (flat or nested, also `camera_matrix: {data}` as
    ROS calibration files have it); width and height default to the image's.
    """
    try:
        text = path.read_text(encoding='utf-8')
        data = (json.loads(text) if path.suffix == '.json'
                else require('yaml', 'models').safe_load(text))
        width = int(data.get('width', data.get('image_width', size[1])))
        height = int(data.get('height', data.get('image_height', size[0])))
        matrix = data.get('k', data.get('K', data.get('camera_matrix')))
        if matrix is not None:
            flat = np.array(matrix['data'] if isinstance(matrix, dict) else matrix,
                            dtype=np.float64).reshape(9)
            values = flat[[0, 4, 2, 5]]
        else:
            values = np.array([float(data[name]) for name in ('fx', 'fy', 'cx', 'cy')])
    except BadInputError:
        raise
    except Exception as error:  # yaml has error types of its own
        raise BadInputError(f'{path} cannot be read as camera intrinsics '
                            f'({type(error).__name__}: {error}); give fx, fy, cx, cy, width '
                            'and height') from error
    if (height, width) != tuple(size):
        raise BadInputError(f'the intrinsics are for {width}x{height}, the image is '
                            f'{size[1]}x{size[0]}')
    fx, fy, cx, cy = (float(v) for v in values)
    return Camera(fx, fy, cx, cy, width, height)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture as PNG, under a temporary name first."""
    pil = require('PIL.Image', 'models')
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        pil.fromarray(picture).save(temporary, format='PNG')
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInputError(f'cannot write {path}: {error}') from error
