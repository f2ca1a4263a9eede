"""Sizes of MobileSAM's encoder, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TinyViTConfig:
    """Shape of the encoder; the defaults are MobileSAM's.

    strides: of the steps between the four stages.  classes: of the head in the file.
    """

    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    strides: tuple[int, ...] = (2, 2, 1)
    mlp_ratio: float = 4.0
    expand_ratio: float = 4.0
    classes: int = 1000
