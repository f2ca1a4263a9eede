"""Pictures as drivers send them: raw Bayer patterns, YUV, sixteen bits."""
from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

from sensor_msgs.msg import Image

import ris_ros.nodes.encodings as encodings
from ris_ros.nodes.messages import image_to_array, image_to_depth, image_to_rgb
from ris_ros.types import BadInputError, MissingDependencyError

HEIGHT, WIDTH = 48, 64
QUARTERS = [[(200, 30, 40), (40, 180, 60)], [(30, 60, 210), (190, 190, 190)]]


def picture():
    """Return (48, 64, 3) uint8: red, green, blue and grey quarters."""
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for row, line in enumerate(QUARTERS):
        for column, colour in enumerate(line):
            image[row * 24:row * 24 + 24, column * 32:column * 32 + 32] = colour
    return image


def message(encoding, items, height=HEIGHT, width=WIDTH):
    items = np.ascontiguousarray(items)
    result = Image(encoding=encoding, height=height, width=width,
                   step=items.nbytes // items.shape[0])
    result.data = array.array('B', items.tobytes())
    return result


def mosaic(pattern, rgb):
    """Sample a picture through a Bayer pattern, named by its first two rows."""
    result = np.empty(rgb.shape[:2], rgb.dtype)
    for index, letter in enumerate(pattern):
        row, column = divmod(index, 2)
        result[row::2, column::2] = rgb[row::2, column::2, 'rgb'.index(letter)]
    return result


def yuv(rgb):
    """Return Y, U, V (H, W) uint8 of full-range RGB by BT.601 with studio swing."""
    r, g, b = np.moveaxis(rgb.astype(float), 2, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return tuple(np.round(plane).astype(np.uint8) for plane in (y, u, v))


def packed(order):
    y, u, v = yuv(picture())
    result = np.empty((HEIGHT, WIDTH * 2), np.uint8)
    luma = order.index('y')
    result[:, luma::2] = y
    result[:, 1 - luma::4] = u[:, ::2]
    result[:, 3 - luma::4] = v[:, ::2]
    return result


def semi_planar(first, second):
    planes = dict(zip('yuv', yuv(picture()), strict=True))
    below = np.empty((HEIGHT // 2, WIDTH), np.uint8)
    below[:, 0::2], below[:, 1::2] = planes[first][::2, ::2], planes[second][::2, ::2]
    return np.concatenate([planes['y'], below])


def deep(rgb):
    return rgb.astype(np.uint16) * 257


SENT = {
    **{f'bayer_{p}8': mosaic(p, picture()) for p in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{p}16': mosaic(p, deep(picture())) for p in ('rggb', 'bggr', 'gbrg', 'grbg')},
    'yuv422': packed('uyvy'), 'uyvy': packed('uyvy'),
    'yuv422_yuy2': packed('yuyv'), 'yuyv': packed('yuyv'),
    'nv12': semi_planar('u', 'v'), 'nv21': semi_planar('v', 'u'),
    'rgb16': deep(picture()), 'bgr16': deep(picture()[:, :, ::-1]),
    'rgba16': deep(np.dstack([picture(), picture()[:, :, 0]])),
    'bgra16': deep(np.dstack([picture()[:, :, ::-1], picture()[:, :, 0]])),
}


def test_every_encoding_is_tried():
    assert set(SENT) == set(encodings.OTHERS)


@pytest.mark.parametrize('encoding', SENT)
def test_colours_come_out_as_they_were(encoding):
    if 'bayer' in encoding or 'y' in encoding or 'nv' in encoding:
        pytest.importorskip('cv2', reason='OpenCV is not installed')
    rgb = image_to_rgb(message(encoding, SENT[encoding]))
    assert rgb.shape == (HEIGHT, WIDTH, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    for row, line in enumerate(QUARTERS):
        for column, colour in enumerate(line):   # the middle of each quarter, off its edges
            inside = rgb[row * 24 + 8:row * 24 + 16, column * 32 + 8:column * 32 + 24]
            assert np.abs(inside.astype(int) - colour).max() <= 4, (encoding, colour)


@pytest.mark.parametrize('encoding', ['bayer_rggb16', 'rgb16'])
def test_big_endian(encoding):
    if 'bayer' in encoding:
        pytest.importorskip('cv2', reason='OpenCV is not installed')
    sent = message(encoding, SENT[encoding].astype('>u2'))
    sent.is_bigendian = 1
    assert np.array_equal(image_to_rgb(sent), image_to_rgb(message(encoding, SENT[encoding])))


@pytest.mark.parametrize(('encoding', 'height', 'width'), [
    ('nv12', 47, 64), ('nv12', 48, 63), ('yuv422', 48, 63), ('yuyv', 48, 1)])
def test_sizes_that_cannot_be(encoding, height, width):
    items = np.zeros((height * 3 // 2, width * 2), np.uint8)
    with pytest.raises(BadInputError, match='in pairs'):
        image_to_rgb(message(encoding, items, height, width))


def test_missing_planes():
    with pytest.raises(BadInputError, match='72 rows'):
        image_to_rgb(message('nv12', SENT['nv12'][:HEIGHT]))


@pytest.mark.parametrize('encoding', ['bayer_rggb8', 'bayer_grbg16'])
@pytest.mark.parametrize('size', [(1, 1), (2, 2), (3, 5)])
def test_tiny_patterns_give_a_picture_or_a_reason(encoding, size):
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    kind = np.uint8 if encoding.endswith('8') else np.uint16
    try:
        rgb = image_to_rgb(message(encoding, np.zeros(size, kind), *size))
    except BadInputError as error:
        assert 'OpenCV' in str(error)
    else:
        assert rgb.shape == (*size, 3)


def test_what_is_offered_for_an_unknown_encoding_is_what_the_topic_takes():
    unknown = message('yuv444', np.zeros((4, 4), np.uint8), 4, 4)
    with pytest.raises(BadInputError) as colour:
        image_to_rgb(unknown)
    assert 'bayer_rggb8' in str(colour.value) and '16UC1' not in str(colour.value)
    with pytest.raises(BadInputError) as depth:
        image_to_depth(unknown)
    assert '16UC1' in str(depth.value) and 'rgb8' not in str(depth.value)
    with pytest.raises(BadInputError, match='which channel is which'):
        image_to_rgb(message('8UC3', np.zeros((4, 12), np.uint8), 4, 4))
    with pytest.raises(BadInputError) as long:
        image_to_array(message('x' * 5000, np.zeros((4, 4), np.uint8), 4, 4))
    assert len(str(long.value)) < 600


def test_without_opencv_the_reason_is_said(monkeypatch):
    def absent(name, extra):
        raise MissingDependencyError(f'{name} cannot be imported')
    monkeypatch.setattr(encodings, 'require', absent)
    with pytest.raises(BadInputError, match='needs OpenCV'):
        image_to_rgb(message('nv12', SENT['nv12']))
    assert image_to_rgb(message('rgb16', SENT['rgb16'])).shape == (HEIGHT, WIDTH, 3)
