"""The one reader of picture files: bounds, orientation, and any mode to RGB."""
from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from PIL.Image import Image

# As many pixels as Pillow reads without a warning, and sides that no camera exceeds.
MAX_PIXELS = 89_478_485
MAX_SIDE = 32_768
MOST_PICTURE_BYTES = 1 << 30  # of a picture that comes through a pipe
# Pillow starts Ghostscript for EPS and reads PDF and plugins' formats; no camera writes those.
FORMATS = ('PNG', 'JPEG', 'MPO', 'WEBP', 'TIFF', 'BMP', 'DIB', 'GIF', 'PPM', 'JPEG2000', 'AVIF',
           'TGA', 'ICO')
ORIENTATION_TAG = 0x0112
GREY_BITS = (8, 10, 12, 14, 16, 24, 32)


def open_picture(source: Path | str | bytes, what: str = 'the image', extra: str = 'models'
                 ) -> Image:
    """Return a picture's first frame, decoded, as it is stored.

    source: a file, or the bytes of one.  what: how messages call it.  extra: the pip extra that
    brings Pillow.  Raises BadInputError for a file that is missing, empty, truncated, no
    picture of a format that cameras write, or larger than MAX_SIDE pixels a side or MAX_PIXELS
    in all; nothing of that size is decoded.
    """
    pil = require('PIL.Image', extra)
    name = what if isinstance(source, bytes) else f'{what} {source}'
    try:
        with warnings.catch_warnings():
            # Twice the limit is Pillow's error, up to there only its warning.
            warnings.simplefilter('error', pil.DecompressionBombWarning)
            with _stream(source) as stream:
                picture = pil.open(stream)
                _check_picture(picture, name)
                picture.load()
                return picture
    except BadInputError:
        raise
    except FileNotFoundError:
        raise BadInputError(f'{name} is missing') from None
    except (pil.DecompressionBombError, pil.DecompressionBombWarning) as error:
        raise BadInputError(f'{name} cannot be read: it has more than '
                            f'{MAX_PIXELS / 1e6:.0f} million pixels; make it smaller') from error
    except pil.UnidentifiedImageError as error:
        raise BadInputError(f'{name} cannot be read as a picture: it is empty, cut short '
                            'or no PNG, JPEG, WebP, TIFF or the like') from error
    except Exception as error:   # a damaged picture raises nearly anything in Pillow's readers
        raise BadInputError(f'{name} cannot be read as a picture: '
                            f'{getattr(error, "strerror", None) or error}') from error


def decoded(data: bytes, what: str = 'the image', extra: str = 'models') -> np.ndarray:
    """Return an encoded picture, as cameras send them, as (H, W, 3) uint8 RGB.

    Pixels are taken as they are stored, whatever an EXIF orientation says: intrinsics and depth
    are those of the sensor.  16-bit grey is brought to 8 bits by its high byte, the same in
    every picture of a stream.  Raises BadInputError as `open_picture` does.
    """
    picture = open_picture(data, what, extra)
    if picture.mode.startswith('I'):
        grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    try:
        return _rgb(picture)
    except (ValueError, OSError, MemoryError) as error:
        raise BadInputError(f'{what} cannot be read as colours: its mode is {picture.mode} '
                            f'({error}); send JPEG or PNG') from error


def read_picture(path: Path | str, exif: bool = True, what: str = 'the image',
                 extra: str = 'models') -> np.ndarray:
    """Return a picture file as (H, W, 3) uint8 RGB.

    exif: turn it as its EXIF orientation says, which is how people see it.  Grey pictures of
    more than 8 bits are brought to 8 by `grey_levels`; transparent parts lie on white, unless
    all of the picture is equally transparent.  Raises as `open_picture` does.
    """
    picture = open_picture(path, what, extra)
    try:
        rgb = _rgb(picture)
    except (ValueError, OSError, MemoryError) as error:
        raise BadInputError(f'{what} {path} cannot be read as colours: its mode is '
                            f'{picture.mode} ({error}); save it as RGB') from error
    return turned(rgb, orientation(picture)) if exif else rgb


def orientation(picture: Image) -> int:
    """Return the EXIF orientation of a picture, 1 (as it is stored) to 8."""
    try:
        value = picture.getexif().get(ORIENTATION_TAG, 1)
    except Exception:   # damaged notes beside a whole picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def stored_orientation(path: Path | str, what: str = 'the image', extra: str = 'models') -> int:
    """Return the EXIF orientation of a picture file, 1 to 8.  Raises as `open_picture` does."""
    return orientation(open_picture(path, what, extra))


def turned(pixels: np.ndarray, value: int) -> np.ndarray:
    """Return (H, W, ...) pixels turned as the EXIF orientation 1 to 8 says."""
    if value >= 5:
        pixels = pixels.swapaxes(0, 1)
    if value in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if value in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def grey_levels(values: np.ndarray) -> np.ndarray:
    """Return (H, W) grey values of more than 8 bits as uint8.

    Whole numbers: full white is the largest number of the fewest bits (8, 10, 12, 14, 16, 24,
    32) that hold the brightest pixel, since sensors of 10 and 12 bits write 16-bit files.
    Floats: 0 to 1, else 0 to 255, else from the least to the greatest value; NaN is black.
    """
    if values.dtype.kind == 'f':
        finite = values[np.isfinite(values)].astype(np.float64)
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if low >= 0 and high <= 255:
            low, high = 0.0, 1.0 if high <= 1 else 255.0
        scaled = (values.astype(np.float64) - low) * (255.0 / max(high - low, 1e-300))
        return np.nan_to_num(np.clip(scaled, 0, 255), nan=0.0).round().astype(np.uint8)
    whole = values.astype(np.int64).clip(0)
    white = next(w for w in ((1 << bits) - 1 for bits in GREY_BITS) if whole.max() <= w)
    return ((whole * 255 + white // 2) // white).astype(np.uint8)


def _rgb(picture: Image) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB of a decoded picture of any mode."""
    if picture.mode[0] in 'IF':
        return np.repeat(grey_levels(np.asarray(picture))[:, :, None], 3, axis=2)
    if 'transparency' in picture.info or picture.mode[-1] in 'Aa':
        rgba = np.asarray(picture.convert('RGBA'))
        alpha = rgba[:, :, 3:].astype(np.uint16)
        if alpha.min() == alpha.max():
            return rgba[:, :, :3].copy()
        return ((rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.array(picture.convert('RGB'))


def _check_picture(picture: Image, name: str) -> None:
    width, height = picture.size
    if picture.format not in FORMATS:
        raise BadInputError(f'{name} is {picture.format}, which is not read; save it as '
                            'PNG or JPEG')
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadInputError(f'{name} cannot be read: it is {width}x{height}, at most '
                            f'{MAX_SIDE} pixels a side and {MAX_PIXELS / 1e6:.0f} million in all '
                            'are allowed; make it smaller')


@contextlib.contextmanager
def _stream(source: Path | str | bytes) -> Iterator[IO[bytes]]:
    """Open bytes, a file, or what comes through a pipe, for a reader that jumps about in it."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    path = Path(source)
    with path.open('rb') as stream:
        if stream.seekable():
            yield stream
            return
        data = stream.read(MOST_PICTURE_BYTES + 1)
        if len(data) > MOST_PICTURE_BYTES:
            raise BadInputError(f'{path} sends more than {MOST_PICTURE_BYTES >> 30} GiB')
        yield io.BytesIO(data)
