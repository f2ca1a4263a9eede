"""Pictures and camera files of the command line."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.depth_files import read_camera, read_depth
from ris_ros.files import atomic_path
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


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture as PNG, whole or not at all.  Raises as `atomic_path` does."""
    pil: Any = require('PIL.Image', 'models')
    with atomic_path(path, parents=False) as temporary:
        pil.fromarray(picture).save(temporary, format='PNG')
