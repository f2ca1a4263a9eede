"""A picture for people: the image with the mask over it and what was said; numpy and PIL."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.lazy import require
from ris_ros.types import BadInputError, Segmentation

# First the answer, then the other candidates.
COLOURS = ((255, 64, 64), (64, 160, 255), (255, 200, 0), (160, 90, 255), (0, 200, 120))


def draw_overlay(rgb: np.ndarray, result: Segmentation | np.ndarray, text: str = '',
                 pixel: tuple[int, int] | None = None) -> np.ndarray:
    """Return (H, W, 3) uint8: the mask tinted and outlined, a caption, the target point.

    rgb: (H, W, 3) uint8.  result: a Segmentation, or one (H, W) bool mask.  Of an ambiguous
    Segmentation the other candidates are outlined in their own colours.  pixel: (u, v) of the
    target point.  Raises BadInputError where the mask has another size than the image.
    """
    masks: Sequence[np.ndarray]
    if isinstance(result, Segmentation):
        ambiguous = result.outcome.name == 'AMBIGUOUS'
        masks = [c.mask for c in result.candidates] if ambiguous else [result.mask]
    else:
        masks = [np.asarray(result, dtype=bool)]
    if any(mask.shape != rgb.shape[:2] for mask in masks):
        raise BadInputError(f'a mask of {masks[0].shape} does not fit an image of {rgb.shape[:2]}')
    picture = rgb.astype(np.float32)
    for rank in reversed(range(min(len(masks), len(COLOURS)))):
        mask, colour = masks[rank], np.array(COLOURS[rank], dtype=np.float32)
        if rank == 0:
            picture[mask] = 0.55 * picture[mask] + 0.45 * colour
        picture[outline(mask)] = colour
    out = picture.clip(0, 255).astype(np.uint8)
    if pixel is not None:
        _cross(out, pixel)
    return _caption(out, text) if text else out


def outline(mask: np.ndarray, width: int = 2) -> np.ndarray:
    """Return the pixels of an (H, W) bool mask within `width` of its outside."""
    inside = np.pad(mask, width)
    for _ in range(width):
        inside = (inside & np.roll(inside, 1, 0) & np.roll(inside, -1, 0)
                  & np.roll(inside, 1, 1) & np.roll(inside, -1, 1))
    return mask & ~inside[width:-width, width:-width]


def _cross(picture: np.ndarray, pixel: tuple[int, int], size: int = 9) -> None:
    u, v = pixel
    for half, colour in ((2, 0), (1, 255)):
        picture[max(v - half, 0):v + half + 1, max(u - size, 0):u + size + 1] = colour
        picture[max(v - size, 0):v + size + 1, max(u - half, 0):u + half + 1] = colour


def _caption(picture: np.ndarray, text: str) -> np.ndarray:
    """Write `text` on a dark strip at the top; what does not fit is cut."""
    pil, draw, fonts = (require(f'PIL.{name}', 'models') for name in
                        ('Image', 'ImageDraw', 'ImageFont'))
    font = fonts.load_default()
    strip = picture.copy()
    strip[:int(font.getbbox('Ag')[3]) + 6] //= 4
    image = pil.fromarray(strip)
    draw.Draw(image).text((4, 2), ' '.join(text.split()), fill=(255, 255, 255), font=font)
    return np.array(image)
