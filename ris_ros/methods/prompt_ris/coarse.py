"""The tiny decoder: text-pixel response map, and whether what is meant is there at all.

Section 3.1, equation 1 and the inner product after it.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.methods.prompt_ris.blocks import Attention, FeedForward
from ris_ros.methods.prompt_ris.config import NetworkConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require('torch', 'models')
    nn = torch.nn


@dataclass(frozen=True, eq=False)
class Coarse:
    """What CLIP's side of the network says of B sentences.

    logits: (B, gh, gw) float32 of the response map.  presence: (B,) float32 logit that the
    picture shows what is meant, or None without that head.  text: (B, L, D_T) of CLIP.
    keep: (B, L) bool, False for padding.
    """

    logits: Tensor
    presence: Tensor | None
    text: Tensor
    keep: Tensor


class CrossBlock(nn.Module):
    """x + attention of x over y, then x + feed-forward; norms before both."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm_x, self.norm_y = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, width, width, heads)
        self.feed_forward = FeedForward(width, ratio)

    def forward(self, x: Tensor, y: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return (B, Q, C) of x (B, Q, C) and y (B, K, C); keep: (B, K) bool."""
        x = x + self.attention(self.norm_x(x), self.attention.project(self.norm_y(y)), keep)
        return x + self.feed_forward(x)


class TinyDecoder(nn.Module):
    """Cross-attention each way, then the product of every patch with the end token.

    widths: of the image and text tokens that come in.
    """

    def __init__(self, config: NetworkConfig, widths: tuple[int, int]) -> None:
        super().__init__()
        width, heads = config.coarse_width, config.coarse_heads
        self.image_in = nn.Linear(widths[0], width)
        self.text_in = nn.Linear(widths[1], width)
        self.image_blocks = nn.ModuleList(CrossBlock(width, heads, config.coarse_ratio)
                                          for _ in range(config.coarse_layers))
        self.text_blocks = nn.ModuleList(CrossBlock(width, heads, config.coarse_ratio)
                                         for _ in range(config.coarse_layers))
        scale = torch.tensor(width ** -0.5)
        if config.coarse_scale == 'learned':
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer('scale', scale, persistent=False)
        # Most of a picture is background; minus three is a share of one in twenty.
        self.bias = nn.Parameter(torch.tensor(-3.0)) if config.coarse_bias else None
        self.presence = nn.Sequential(nn.Linear(width + 1, width), nn.GELU(),
                                      nn.Linear(width, 1)) if config.presence else None

    def forward(self, image: Tensor, text: Tensor, keep: Tensor, ends: Tensor
                ) -> tuple[Tensor, Tensor | None]:
        """Return the response map (B, P) and the presence (B,), both float32 logits.

        image: (B, P, D_I) patches.  text: (B, L, D_T).  keep: (B, L) bool.  ends: (B,) place
        of the end token.
        """
        x, t = self.image_in(image), self.text_in(text)
        for of_image, of_text in zip(self.image_blocks, self.text_blocks, strict=True):
            x, t = of_image(x, t, keep), of_text(t, x)
        meant = t[torch.arange(len(t), device=t.device), ends]
        logits = torch.einsum('bpc,bc->bp', x, meant).float() * self.scale
        if self.bias is not None:
            logits = logits + self.bias
        if self.presence is None:
            return logits, None
        best = logits.amax(dim=1, keepdim=True)
        return logits, self.presence(torch.cat([meant, best.to(meant.dtype)], 1))[:, 0].float()
