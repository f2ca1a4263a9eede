"""The reader of pictures: bounds, damage, orientation, and every mode to RGB."""
from __future__ import annotations

import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

pil = pytest.importorskip('PIL.Image')

from ris_ros.pictures import (
    MAX_PIXELS,
    MAX_SIDE,
    grey_levels,
    open_picture,
    orientation,
    read_picture,
    turned,
)
from ris_ros.types import BadInputError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    pil.fromarray(array, mode).save(path, **options)
    return path


def png_header(path: Path, width: int, height: int) -> Path:
    """Write a PNG that claims a size and holds next to nothing."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (struct.pack('>I', len(data)) + kind + data
                + struct.pack('>I', zlib.crc32(kind + data)))
    path.write_bytes(b'\x89PNG\r\n\x1a\n'
                     + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0))
                     + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b''))
    return path


@pytest.mark.parametrize('width, height, text', [
    (20000, 20000, 'million pixels'),         # Pillow's error
    (12000, 10000, 'million pixels'),         # Pillow's warning only
    (MAX_SIDE + 1, 10, f'{MAX_SIDE} pixels a side')])
def test_what_is_too_large_is_never_decoded(tmp_path, width, height, text):
    path = png_header(tmp_path / 'bomb.png', width, height)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with pytest.raises(BadInputError, match=text) as caught:
            read_picture(path)
    assert not seen and 'bomb.png' in str(caught.value) and 'smaller' in str(caught.value)
    assert MAX_PIXELS < 12000 * 10000


def test_the_largest_side_is_read(tmp_path):
    path = save(tmp_path / 'long.png', np.zeros((2, MAX_SIDE, 3), np.uint8))
    assert read_picture(path).shape == (2, MAX_SIDE, 3)


def test_damaged_files_and_files_that_are_no_pictures(tmp_path):
    whole = save(tmp_path / 'whole.png', RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = whole.read_bytes()
    jpeg = save(tmp_path / 'whole.jpg', PICTURE.repeat(20, 0).repeat(20, 1)).read_bytes()
    files = {'empty.png': b'', 'signature.png': b'\x89PNG\r\n\x1a\nrest', 'text.png': b'hello',
             'half.png': data[:len(data) // 2], 'half.jpg': jpeg[:len(jpeg) // 2],
             'no_width.png': data[:16] + bytes(4) + data[20:]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInputError, match=f'the image .*{name} cannot be read'):
            read_picture(tmp_path / name)
    with pytest.raises(BadInputError, match=r'the mask .* is missing'):
        read_picture(tmp_path / 'none.png', what='the mask')
    with pytest.raises(BadInputError, match='directory'):
        read_picture(tmp_path)


def test_formats_that_start_other_programs_are_refused(tmp_path):
    path = tmp_path / 'page.eps'
    pil.fromarray(PICTURE).save(path)
    with pytest.raises(BadInputError, match=r'EPS.*save it as PNG'):
        read_picture(path)


@pytest.mark.parametrize('suffix', ['png', 'webp', 'tiff', 'bmp', 'gif', 'ppm'])
def test_usual_formats(tmp_path, suffix):
    path = save(tmp_path / f'p.{suffix}', PICTURE // 255 * 255, **(
        {'lossless': True} if suffix == 'webp' else {}))
    np.testing.assert_array_equal(read_picture(path), PICTURE // 255 * 255)


def test_a_picture_may_come_through_a_pipe(tmp_path):
    data = save(tmp_path / 'p.png', PICTURE).read_bytes()
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(data))
    writer.start()
    np.testing.assert_array_equal(read_picture(pipe), PICTURE)
    writer.join(10)


# --- orientation ---------------------------------------------------------------------------------

@pytest.mark.parametrize('suffix', ['png', 'tiff', 'webp'])
@pytest.mark.parametrize('value', range(1, 9))
def test_exif_turns_a_picture_as_pillow_shows_it(tmp_path, value, suffix):
    from PIL import ImageOps
    notes = pil.Exif()
    notes[0x0112] = value
    path = save(tmp_path / f'p.{suffix}', PICTURE, exif=notes, **(
        {'lossless': True} if suffix == 'webp' else {}))
    shown = np.asarray(ImageOps.exif_transpose(pil.open(path)).convert('RGB'))
    np.testing.assert_array_equal(read_picture(path), shown)
    np.testing.assert_array_equal(turned(PICTURE, value), shown)
    assert read_picture(path).flags['C_CONTIGUOUS']
    if suffix != 'tiff':   # Pillow itself turns TIFF on loading
        np.testing.assert_array_equal(read_picture(path, exif=False), PICTURE)
        assert orientation(open_picture(path)) == value


def test_nonsense_in_exif_turns_nothing(tmp_path):
    notes = pil.Exif()
    notes[0x0112] = 77
    path = save(tmp_path / 'p.png', PICTURE, exif=notes)
    np.testing.assert_array_equal(read_picture(path), PICTURE)
    save(path, PICTURE, exif=b'Exif\0\0nonsense')
    np.testing.assert_array_equal(read_picture(path), PICTURE)


# --- modes ---------------------------------------------------------------------------------------

def test_grey_of_16_bits_is_not_white(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for name in ('g.png', 'g.tiff'):
        rgb = read_picture(save(tmp_path / name, ramp))
        assert (rgb == np.arange(256, dtype=np.uint8).reshape(16, 16, 1)).all(), name
    twelve = read_picture(save(tmp_path / '12.png', ramp >> 4))   # a sensor of 12 bits
    assert twelve.max() == 255 and abs(twelve[..., 0].astype(int).ravel()
                                       - np.arange(256)).max() <= 1
    eight = read_picture(save(tmp_path / '8.png', ramp >> 8))
    np.testing.assert_array_equal(eight[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize('values, expected', [
    ([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 128.0, 255.0], [0, 128, 255]),
    ([-10.0, 0.0, 10.0], [0, 128, 255]), ([0.0, 500.0, 1000.0], [0, 128, 255]),
    ([np.nan, 0.0, 1.0], [0, 0, 255]), ([np.inf, 0.0, 1.0], [255, 0, 255]),
    ([3.0, 3.0, 3.0], [3, 3, 3]), ([np.nan, np.nan, np.nan], [0, 0, 0]),
    ([700.0, 700.0, 700.0], [0, 0, 0])])
def test_float_levels(values, expected):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert grey_levels(np.array([values], np.float32))[0].tolist() == expected


def test_whole_numbers_of_any_width():
    assert grey_levels(np.array([[0, 1 << 20, -5]]))[0].tolist() == [0, 16, 0]
    assert grey_levels(np.array([[0, 0]], np.int32))[0].tolist() == [0, 0]
    assert grey_levels(np.array([[1023, 511]], np.uint16))[0].tolist() == [255, 127]


def test_float_pictures(tmp_path):
    values = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    rgb = read_picture(save(tmp_path / 'f.tiff', values))
    assert rgb[..., 0].ravel().tolist() == [0, 51, 102, 153, 204, 255]


def test_transparent_parts_lie_on_white(tmp_path):
    rgba = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    rgba[:3, :, 3] = 255
    rgb = read_picture(save(tmp_path / 'a.png', rgba))
    np.testing.assert_array_equal(rgb[:3], PICTURE[:3])
    assert (rgb[3:] == 255).all()
    for alpha in (0, 128, 255):   # the same everywhere: it says nothing
        rgba[..., 3] = alpha
        np.testing.assert_array_equal(read_picture(save(tmp_path / 'a.png', rgba)), PICTURE)
    grey = np.dstack([PICTURE[..., 0], np.where(PICTURE[..., 1] > 99, 255, 0).astype(np.uint8)])
    rgb = read_picture(save(tmp_path / 'la.png', grey))
    assert (rgb[grey[..., 1] == 0] == 255).all()


def test_palettes(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], np.uint8)
    index = RNG.integers(0, 3, (5, 7), dtype=np.uint8)
    picture = pil.fromarray(index, 'P')
    picture.putpalette(colours.tobytes())
    picture.save(tmp_path / 'p.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'p.png'), colours[index])
    picture.save(tmp_path / 'p.png', transparency=1)
    expected = colours[index]
    expected[index == 1] = 255
    np.testing.assert_array_equal(read_picture(tmp_path / 'p.png'), expected)


def test_other_modes(tmp_path):
    cmyk = pil.fromarray(np.full((16, 16, 3), (200, 30, 30), np.uint8)).convert('CMYK')
    cmyk.save(tmp_path / 'c.jpg', quality=95)
    assert abs(read_picture(tmp_path / 'c.jpg')[8, 8].astype(int) - (200, 30, 30)).max() < 12
    pil.fromarray(np.eye(8) > 0).save(tmp_path / 'one.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'one.png')[..., 1],
                                  np.eye(8, dtype=np.uint8) * 255)
    pil.fromarray(PICTURE).convert('LAB').save(tmp_path / 'lab.tiff')
    try:
        assert abs(read_picture(tmp_path / 'lab.tiff').astype(int) - PICTURE).mean() < 16
    except BadInputError as error:   # an older Pillow
        assert 'LAB' in str(error)


def test_the_first_frame_of_several(tmp_path):
    frames = [pil.fromarray(np.full((4, 4, 3), v, np.uint8)) for v in (0, 255)]
    frames[0].save(tmp_path / 'two.gif', save_all=True, append_images=frames[1:])
    assert (read_picture(tmp_path / 'two.gif') == 0).all()
