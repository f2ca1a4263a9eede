"""Image encodings of sensor_msgs: how they are stored and how they become RGB; no ROS calls.

What numpy cannot do in one step is left to OpenCV, asked for only then.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.types import BadInputError, MissingDependencyError


@dataclass(frozen=True)
class Encoding:
    """How a picture is stored.

    kind: the item's type.  channels: items a pixel.  planes_below: rows of further planes below
    the picture, as a share of its height.  even: which sides must be even, of 'w' and 'h'.
    to_rgb: from (H, W) or (H, W, C) items to (H, W, 3) uint8 RGB; None where that is no
    picture for people.
    """

    kind: Any
    channels: int
    to_rgb: Callable[[np.ndarray], np.ndarray] | None = None
    planes_below: float = 0.0
    even: str = ''


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[:, :, None], 3, axis=2)


def _high_byte(picture: np.ndarray) -> np.ndarray:
    return (picture >> 8).astype(np.uint8)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return picture[:, :, :3]


def _bgr(picture: np.ndarray) -> np.ndarray:
    return picture[:, :, 2::-1]


def _deep(convert: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a conversion of 16-bit pictures from that of 8-bit ones."""
    return lambda picture: convert(_high_byte(picture))


def _opencv(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the conversion that OpenCV calls COLOR_<name>."""
    def convert(picture: np.ndarray) -> np.ndarray:
        try:
            cv2 = require('cv2', 'models')
        except MissingDependencyError as error:
            raise BadInputError(f'this image encoding needs OpenCV ({error}); or publish rgb8 '
                                'or bgr8') from error
        try:
            return cv2.cvtColor(np.ascontiguousarray(picture), getattr(cv2, f'COLOR_{name}'))
        except cv2.error as error:
            raise BadInputError('OpenCV cannot convert this image '
                                f'({" ".join(str(error).split())[:120]})') from error
    return convert


# ROS names a Bayer pattern by its first two pixels of the first row and the second, OpenCV by
# the inner ones of the second row and the third.
_BAYER = {'rggb': 'BayerBG2RGB', 'bggr': 'BayerRG2RGB', 'gbrg': 'BayerGR2RGB',
          'grbg': 'BayerGB2RGB'}

# What we send and what others send most.
PLAIN = {
    'rgb8': Encoding(np.uint8, 3, _rgb), 'bgr8': Encoding(np.uint8, 3, _bgr),
    'rgba8': Encoding(np.uint8, 4, _rgb), 'bgra8': Encoding(np.uint8, 4, _bgr),
    'mono8': Encoding(np.uint8, 1, _grey), '8UC1': Encoding(np.uint8, 1, _grey),
    'mono16': Encoding(np.uint16, 1, _deep(_grey)),
}
DEPTH = {'16UC1': Encoding(np.uint16, 1), '32FC1': Encoding(np.float32, 1)}
OTHERS = {
    'rgb16': Encoding(np.uint16, 3, _deep(_rgb)), 'bgr16': Encoding(np.uint16, 3, _deep(_bgr)),
    'rgba16': Encoding(np.uint16, 4, _deep(_rgb)), 'bgra16': Encoding(np.uint16, 4, _deep(_bgr)),
    **{f'bayer_{pattern}8': Encoding(np.uint8, 1, _opencv(name))
       for pattern, name in _BAYER.items()},
    **{f'bayer_{pattern}16': Encoding(np.uint16, 1, _deep(_opencv(name)))
       for pattern, name in _BAYER.items()},
    **{name: Encoding(np.uint8, 2, _opencv('YUV2RGB_UYVY'), even='w')
       for name in ('yuv422', 'uyvy')},
    **{name: Encoding(np.uint8, 2, _opencv('YUV2RGB_YUY2'), even='w')
       for name in ('yuv422_yuy2', 'yuyv')},
    'nv12': Encoding(np.uint8, 1, _opencv('YUV2RGB_NV12'), planes_below=0.5, even='wh'),
    'nv21': Encoding(np.uint8, 1, _opencv('YUV2RGB_NV21'), planes_below=0.5, even='wh'),
}
ENCODINGS = {**PLAIN, **DEPTH, **OTHERS}
COLOUR_ENCODINGS = tuple(name for name, encoding in ENCODINGS.items() if encoding.to_rgb)
