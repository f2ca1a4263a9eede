"""Where a picture lies on the grids of CLIP and SAM, and the way there and back.

Both networks see the same region: stretched to their squares, or with its sides kept ("pad").
In the second case CLIP computes no empty patches at all, and the rest of SAM's square holds
`OUTSIDE` in a mask prompt.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

OUTSIDE = -10.0     # mask prompt where SAM's square holds no picture: a sure "no"


@dataclass(frozen=True)
class Layout:
    """The sizes, rows before columns, of one shape of picture.

    clip: pixels of CLIP's input, multiples of its patch.  grid: its patches.  sam: pixels that
    the picture fills of SAM's square.  cells: what it fills of the (side, side) mask grid, whose
    cells are a quarter of SAM's patch.  square: pixels of SAM's square.  side: see cells.
    """

    clip: tuple[int, int]
    grid: tuple[int, int]
    sam: tuple[int, int]
    cells: tuple[int, int]
    square: int
    side: int

    @classmethod
    def of(cls, size: tuple[int, int], fit: str, image_size: int, patch: int, square: int,
           sam_patch: int) -> Layout:
        """Return the layout of (H, W) pictures.

        fit, image_size: of NetworkConfig.  patch: of CLIP.  square, sam_patch: of SAM.
        Raises BadInputError where a picture is so narrow that no patch of it is left.
        """
        height, width = size
        side = 4 * square // sam_patch
        if fit == 'stretch':
            grid = (image_size // patch,) * 2
            return cls((grid[0] * patch, grid[1] * patch), grid, (square, square), (side, side),
                       square, side)
        longer = max(height, width)
        if min(height, width) * side < longer:
            raise BadInputError(f'the picture is {width}x{height}, too narrow for this network; '
                                f'its sides may differ by a factor of {side} at most')
        rows, columns = (max(1, round(n * image_size / longer / patch)) for n in size)
        sam = int(height * square / longer + 0.5), int(width * square / longer + 0.5)
        cells = tuple(min(side, max(1, round(n * side / square))) for n in sam)
        return cls((rows * patch, columns * patch), (rows, columns), (sam[0], sam[1]),
                   (cells[0], cells[1]), square, side)

    def on_mask_grid(self, coarse: Tensor) -> Tensor:
        """Return coarse logits (B, gh, gw) on SAM's mask grid, (B, side, side), bilinear.

        What is outside of the picture holds OUTSIDE.
        """
        inside = functional.interpolate(coarse[:, None], size=self.cells, mode='bilinear',
                                        align_corners=False)[:, 0]
        if self.cells == (self.side, self.side):
            return inside
        return functional.pad(inside, (0, self.side - self.cells[1], 0,
                                       self.side - self.cells[0]), value=OUTSIDE)

    def inside(self, logits: Tensor) -> Tensor:
        """Return the part of (B, side, side) mask logits that shows the picture."""
        return logits[:, :self.cells[0], :self.cells[1]]

    def on_picture(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return (B, side, side) mask logits at picture size, (B, H, W), as SAM enlarges masks.

        First to SAM's square, cut to the picture, then to its size (segment_anything,
        `Sam.postprocess_masks`).  Where the picture fills whole cells, cells beyond its edge have
        no say.
        """
        def enlarged(x: Tensor, to: tuple[int, int]) -> Tensor:
            return functional.interpolate(x, size=to, mode='bilinear', align_corners=False)

        if all(c * self.square == s * self.side
               for c, s in zip(self.cells, self.sam, strict=True)):
            shown = enlarged(self.inside(logits)[:, None], self.sam)
        else:
            whole = enlarged(logits[:, None], (self.square,) * 2)
            shown = whole[..., :self.sam[0], :self.sam[1]]
        return enlarged(shown, size)[:, 0]


def resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, 3, h, w) float32 pixels in [0, 255] of (B, 3, H, W) uint8 pictures.

    Bilinear with antialiasing, as Pillow does it, rounded to whole grey values.
    """
    small = functional.interpolate(pixels.float(), size=size, mode='bilinear',
                                   align_corners=False, antialias=True)
    return small.round_().clamp_(0, 255)
