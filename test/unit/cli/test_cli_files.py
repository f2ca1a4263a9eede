"""Files that the command line reads and writes: damage, sizes, cameras that are none."""
from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

pil = pytest.importorskip('PIL.Image')

from ris_ros.cli.files import check_upright, read_camera, read_depth, write_png
from ris_ros.types import BadInputError

CAMERA = {'fx': 100, 'fy': 100, 'cx': 40, 'cy': 30, 'width': 80, 'height': 60}


def test_arrays_of_either_byte_order(tmp_path):
    for kind, metres in (('>u2', 500), ('<u2', 500), ('>f4', 0.5), ('<f8', 0.5)):
        np.save(tmp_path / 'd.npy', np.full((4, 5), metres, kind))
        assert (read_depth(tmp_path / 'd.npy', (4, 5)) == 0.5).all(), kind


def test_depth_beyond_16_bits_is_not_wrapped_around(tmp_path):
    pil.fromarray(np.full((4, 5), 65536 + 500, np.int32)).save(tmp_path / 'd.tiff')
    with pytest.raises(BadInputError, match='16-bit millimetres'):
        read_depth(tmp_path / 'd.tiff', (4, 5))
    pil.fromarray(np.full((4, 5), 500, np.int32)).save(tmp_path / 'd.tiff')
    assert (read_depth(tmp_path / 'd.tiff', (4, 5)) == 0.5).all()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros((4, 5), np.float32))
    return stream.getvalue()


def huge() -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {
        'descr': '<f4', 'fortran_order': False, 'shape': (1 << 24, 1 << 16)})
    return stream.getvalue()


@pytest.mark.parametrize('content', [b'', b'\x93NUMPY', b'PK\x03\x04rest', npz(), huge()],
                         ids=['empty', 'cut', 'no zip', 'npz', 'huge'])
def test_arrays_that_are_none(tmp_path, content):
    (tmp_path / 'd.npy').write_bytes(content)
    with pytest.raises(BadInputError, match='cannot be read as an array') as caught:
        read_depth(tmp_path / 'd.npy', (4, 5))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('change', [{'fx': 0}, {'fy': -1}, {'cx': float('nan')},
                                    {'fx': float('inf')}])
def test_intrinsics_of_no_calibrated_camera(tmp_path, change):
    path = tmp_path / 'c.json'
    path.write_text(json.dumps({**CAMERA, **change}))
    with pytest.raises(BadInputError, match='no calibrated camera'):
        read_camera(path, (60, 80))


@pytest.mark.parametrize('text', ['', 'a: [1', 'fx: 1', 'k: [1, 2]', '- 1', '\t'])
def test_camera_files_that_are_none_give_one_line(tmp_path, text):
    path = tmp_path / 'c.yaml'
    path.write_text(text)
    with pytest.raises(BadInputError, match='camera intrinsics') as caught:
        read_camera(path, (60, 80))
    assert '\n' not in str(caught.value)
    with pytest.raises(BadInputError, match='cannot be read'):
        read_camera(tmp_path, (60, 80))


def test_a_turned_picture_does_not_go_with_depth(tmp_path):
    notes = pil.Exif()
    for value in (1, 3):
        notes[0x0112] = value
        pil.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / f'{value}.jpg', exif=notes)
    check_upright(tmp_path / '1.jpg')
    with pytest.raises(BadInputError, match='stored turned'):
        check_upright(tmp_path / '3.jpg')


def test_png_of_any_name(tmp_path: Path):
    write_png(tmp_path / 'mask', np.eye(4, dtype=np.uint8))
    assert pil.open(tmp_path / 'mask').format == 'PNG'
    assert [p.name for p in tmp_path.iterdir()] == ['mask']
    with pytest.raises(BadInputError, match='there is no folder'):
        write_png(tmp_path / 'none' / 'mask.png', np.eye(4, dtype=np.uint8))
