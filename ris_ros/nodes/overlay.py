"""A picture for people: the image, the mask over it, the target point; numpy only."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.geometry import erode

COLOURS = ((255, 64, 64), (64, 160, 255), (255, 200, 0), (160, 90, 255), (0, 200, 120))


def draw_overlay(image: np.ndarray, masks: Sequence[np.ndarray],
                 pixel: tuple[int, int] | None = None) -> np.ndarray:
    """Return (H, W, 3) uint8: each (H, W) bool mask tinted and outlined, best first.

    image: (H, W, 3) uint8 RGB.  pixel: (u, v) of the target point, marked with a cross.
    """
    picture = image.astype(np.float32)
    for rank in range(min(len(masks), len(COLOURS)) - 1, -1, -1):
        mask, colour = np.asarray(masks[rank], dtype=bool), np.array(COLOURS[rank], np.float32)
        tint = 0.45 if rank == 0 else 0.25
        picture[mask] = (1 - tint) * picture[mask] + tint * colour
        picture[mask & ~erode(mask, 2)] = colour
    result = np.clip(picture, 0, 255).astype(np.uint8)
    if pixel is not None:
        _cross(result, pixel)
    return result


def _cross(picture: np.ndarray, pixel: tuple[int, int], size: int = 9) -> None:
    height, width = picture.shape[:2]
    u, v = pixel
    for thickness, colour in ((2, (0, 0, 0)), (1, (255, 255, 255))):
        rows = slice(max(v - thickness, 0), min(v + thickness + 1, height))
        columns = slice(max(u - thickness, 0), min(u + thickness + 1, width))
        picture[rows, max(u - size, 0):min(u + size + 1, width)] = colour
        picture[max(v - size, 0):min(v + size + 1, height), columns] = colour
