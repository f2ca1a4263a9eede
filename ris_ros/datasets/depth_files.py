"""Depth pictures and files of intrinsics."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ris_ros.files import read_text
from ris_ros.geometry.depth import depth_to_metres
from ris_ros.lazy import require
from ris_ros.pictures import open_picture
from ris_ros.types import BadInputError, Camera


def read_depth(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """Return (H, W) float32 metres, NaN where invalid.

    16-bit pictures hold millimetres (16UC1), .npy files millimetres (uint16) or metres
    (float).  Raises BadInputError for another kind, or a size other than the image's.
    """
    depth = _array(path) if path.suffix == '.npy' else np.array(
        open_picture(path, 'the depth picture'))
    if depth.dtype == np.int32 and depth.size and depth.min() >= 0 and depth.max() <= 65535:
        depth = depth.astype(np.uint16)  # some versions of PIL widen 16-bit pictures
    if depth.dtype not in (np.uint16, np.float32, np.float64):
        raise BadInputError(f'{path} must hold 16-bit millimetres or float metres, '
                            f'not {depth.dtype}')
    if depth.shape != tuple(size):
        raise BadInputError(f'the depth picture is {depth.shape}, the image {tuple(size)}; '
                            'register depth to colour first')
    return depth_to_metres(depth, '16UC1' if depth.dtype == np.uint16 else '32FC1')


def _array(path: Path) -> np.ndarray:
    """Return the array of an .npy file in the machine's byte order."""
    try:
        # Mapped, so that a header that claims more than the file holds costs no memory.
        array = np.load(path, mmap_mode='r', allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError('it is an archive of arrays')
        return array.astype(array.dtype.newbyteorder('='))
    except FileNotFoundError:
        raise BadInputError(f'the depth array {path} is missing') from None
    except Exception as error:   # numpy passes on what the header's parser and zipfile raise
        raise BadInputError(f'{path} cannot be read as an array: {_one_line(error)}') from error


def read_camera(path: Path, size: tuple[int, ...]) -> Camera:
    """Return intrinsics from JSON or YAML.

    Either fx, fy, cx, cy or a 3x3 matrix `k` (flat or nested, also `camera_matrix: {data}` as
    ROS calibration files have it); width and height default to the image's.  Raises
    BadInputError for a file that cannot be read, another size, or no focal lengths.
    """
    text = read_text(path)
    try:
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
    except Exception as error:  # yaml has error types of its own
        raise BadInputError(f'{path} cannot be read as camera intrinsics '
                            f'({_one_line(error)}); give fx, fy, cx, cy, width '
                            'and height') from error
    if (height, width) != tuple(size):
        raise BadInputError(f'the intrinsics are for {width}x{height}, the image is '
                            f'{size[1]}x{size[0]}')
    fx, fy, cx, cy = (float(v) for v in values)
    if not np.isfinite(values).all() or fx <= 0 or fy <= 0:
        raise BadInputError(f'{path} is of no calibrated camera (fx {fx}, fy {fy}, cx {cx}, '
                            f'cy {cy}); focal lengths are positive pixels')
    return Camera(fx, fy, cx, cy, width, height)


def _one_line(error: Exception) -> str:
    """Return an error as one line: parsers of YAML show the place on several."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'
