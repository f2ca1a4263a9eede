"""What tells masks apart in words: colour, place, size (ours)."""
from __future__ import annotations

import numpy as np

from ris_ros.types import Regions, View

# Hue in degrees up to which a saturated colour is called so; red comes round again.
_HUES = ((15.0, 'red'), (40.0, 'orange'), (70.0, 'yellow'), (165.0, 'green'), (195.0, 'cyan'),
         (255.0, 'blue'), (292.0, 'purple'), (340.0, 'pink'), (360.1, 'red'))
CLEAR_PX = 0.05   # part of the picture's width or height that makes a place clear
CLEAR_SIZE = 1.5  # ratio of areas that makes a size clear
CLEAR_M = 0.05    # metres of depth that make in front and behind clear


def colour_of(rgb: np.ndarray, mask: np.ndarray) -> str:
    """Return the basic colour word of what an (H, W) bool mask shows in an (H, W, 3) uint8 image.

    By the median of its inner pixels in hue, saturation and value; empty for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return ''
    window = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    pixels = rgb[window][mask[window]].astype(np.float64)
    red, green, blue = np.median(pixels, axis=0) / 255
    value, low = max(red, green, blue), min(red, green, blue)
    chroma = value - low
    if value < 0.2:
        return 'black'
    if chroma < 0.15 * value + 0.02:
        return 'white' if value > 0.66 else 'gray' if value > 0.25 else 'black'
    if value == red:
        hue = 60 * ((green - blue) / chroma % 6)
    else:
        hue = 60 * ((blue - red) / chroma + 2 if value == green else (red - green) / chroma + 4)
    name = next(n for limit, n in _HUES if hue < limit)
    if name in ('orange', 'red', 'yellow') and value < 0.55 and hue > 8 and hue < 50:
        return 'brown'
    if name == 'red' and chroma < 0.45 * value and value > 0.6:
        return 'pink'
    return name


def places(view: View, regions: Regions, index: list[int]) -> list[str]:
    """Return where each of K masks is among them, in words that tell all apart; '' where none do.

    "on the left", "in the middle", "on the right" of up to three, "at the front" and "at the
    back", or "at the top" and "at the bottom", of two.
    """
    boxes = regions.boxes[index]
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    size = np.array([view.size[1], view.size[0]])
    names = {2: ('on the left', 'on the right'),
             3: ('on the left', 'in the middle', 'on the right')}.get(len(index))
    order = np.argsort(centre[:, 0], kind='stable')
    gaps = np.diff(centre[order, 0]) / size[0]
    if names and (gaps > CLEAR_PX).all():
        out = [''] * len(index)
        for name, i in zip(names, order, strict=True):
            out[i] = name
        return out
    if len(index) == 2:
        depths = depths_of(view, regions, index)
        if depths is not None and abs(depths[0] - depths[1]) > CLEAR_M:
            return ['at the front', 'at the back'][::1 if depths[0] < depths[1] else -1]
        if abs(centre[0, 1] - centre[1, 1]) / size[1] > CLEAR_PX:
            return ['at the top', 'at the bottom'][::1 if centre[0, 1] < centre[1, 1] else -1]
    return [''] * len(index)


def true_areas(view: View, regions: Regions, index: list[int]) -> np.ndarray:
    """Return areas, (K,): in square metres up to a factor where depth is known, else pixels."""
    areas = regions.areas[index].astype(np.float64)
    depths = depths_of(view, regions, index)
    return areas if depths is None else areas * depths ** 2


def sizes(view: View, regions: Regions, index: list[int]) -> list[str]:
    """Return 'bigger' and 'smaller' of two masks that clearly differ in size, else ''.

    By area times squared depth where depth is known, by area in the picture else.
    """
    if len(index) != 2:
        return [''] * len(index)
    areas = true_areas(view, regions, index)
    if max(areas) < CLEAR_SIZE * max(min(areas), 1e-9):
        return ['', '']
    return ['bigger', 'smaller'] if areas[0] > areas[1] else ['smaller', 'bigger']


def depths_of(view: View, regions: Regions, index: list[int]) -> np.ndarray | None:
    """Return the median depth of K masks in metres, (K,); None where one has none."""
    if view.depth is None:
        return None
    out = []
    for i in index:
        inside = view.depth[regions.masks[i]]
        inside = inside[np.isfinite(inside)]
        if not len(inside):
            return None
        out.append(float(np.median(inside)))
    return np.array(out)
