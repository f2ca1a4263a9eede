"""Reading and writing pictures and camera files for the command line."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.files import atomic_path, read_text
from ris_ros.lazy import require
from ris_ros.pictures import open_picture, orientation
from ris_ros.types import BadInputError, Camera


def add_depth_options(parser: argparse.ArgumentParser) -> None:
    """Add --depth and --camera-info, which belong to the picture that the command reads."""
    parser.add_argument('--depth', type=Path,
                        help='depth picture, 16 bit in mm (PNG) or float in m (.npy)')
    parser.add_argument('--camera-info', type=Path,
                        help='intrinsics as JSON or YAML: fx fy cx cy width height, or k and size')


def check_depth_options(args: argparse.Namespace) -> None:
    """Raise BadInputError where only one of the two is given, or no picture with them."""
    if (args.depth is None) != (args.camera_info is None):
        raise BadInputError('--depth and --camera-info go together; give both or none')
    if args.depth is not None and args.image is None:
        raise BadInputError('--depth belongs to a picture; name it by --image')


def depth_and_camera(args: argparse.Namespace, size: tuple[int, ...]
                     ) -> tuple[np.ndarray, Camera] | tuple[None, None]:
    """Return depth, (H, W) float32 metres, and camera of args.image, which is of `size`.

    None for both where they were not asked for.  Raises BadInputError as `read_depth` and
    `read_camera` do, and for a picture that is stored turned.
    """
    if args.depth is None:
        return None, None
    check_upright(args.image)
    return read_depth(args.depth, size), read_camera(args.camera_info, size)


def check_upright(path: Path) -> None:
    """Raise BadInputError where a picture is stored turned, so that depth does not fit it.

    People see such a picture turned, and so does the method; depth and intrinsics belong to
    the sensor as it is.
    """
    value = orientation(open_picture(path))
    if value != 1:
        raise BadInputError(f'{path} is stored turned (EXIF orientation {value}), so depth and '
                            'intrinsics do not fit it; save it as the camera sees, without EXIF')


def read_depth(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """Return (H, W) float32 metres, NaN where invalid.

    16-bit pictures hold millimetres (16UC1), .npy files millimetres (uint16) or metres
    (float).  Raises BadInputError for another kind, or a size other than the image's.
    """
    from ris_ros.geometry import depth_to_metres
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


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture as PNG, whole or not at all.  Raises as `atomic_path` does."""
    pil: Any = require('PIL.Image', 'models')
    with atomic_path(path, parents=False) as temporary:
        pil.fromarray(picture).save(temporary, format='PNG')
