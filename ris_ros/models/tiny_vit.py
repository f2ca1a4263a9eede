"""TinyViT as MobileSAM's image encoder: convolutions, then attention in windows.

The published file is one state dict of a whole SAM; names and shapes here are those of its
`image_encoder`, the classifier head that nobody asks included.  Source: TinyViT (ECCV 2022),
table 1 and section 4.1; MobileSAM (2023), section 4: 5M, the last stage without a stride.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.models.tiny_vit_config import TinyViTConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn, functional = torch.nn, torch.nn.functional


class ConvNorm(nn.Sequential):
    """A convolution without bias (`c`) and batch normalisation (`bn`)."""

    def __init__(self, ins: int, outs: int, kernel: int = 1, stride: int = 1, groups: int = 1
                 ) -> None:
        super().__init__()
        self.add_module('c', nn.Conv2d(ins, outs, kernel, stride, kernel // 2, groups=groups,
                                       bias=False))
        self.add_module('bn', nn.BatchNorm2d(outs))


class PatchEmbed(nn.Module):
    """(B, 3, H, W) to (B, C, H/4, W/4) by two convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, dim // 2, 3, 2), nn.GELU(),
                                 ConvNorm(dim // 2, dim, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the first stage's input."""
        return self.seq(x)


class MBConv(nn.Module):
    """An inverted bottleneck with its input added."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        wide = int(dim * ratio)
        self.conv1, self.conv2 = ConvNorm(dim, wide), ConvNorm(wide, wide, 3, groups=wide)
        self.conv3 = ConvNorm(wide, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) of the same shape."""
        y = functional.gelu(self.conv2(functional.gelu(self.conv1(x))))
        return functional.gelu(x + self.conv3(y))


class PatchMerging(nn.Module):
    """The step between two stages: (B, C, H, W) to (B, D, H/stride, W/stride)."""

    def __init__(self, dim: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvNorm(dim, out), ConvNorm(out, out, 3, stride, groups=out)
        self.conv3 = ConvNorm(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next stage's input."""
        return self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(x)))))


class Attention(nn.Module):
    """Attention within windows, shifted by a learned bias for each distance in rows and columns.

    The biases stand in the order in which the distances occur when the window's places are
    gone through row by row; from the first place they occur as they are numbered.
    """

    distances: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window * window)
        row, column = place // window, place % window
        down, across = (abs(p[:, None] - p[None]) for p in (row, column))
        self.register_buffer('distances', down * window + across, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (windows, window * window, C) of the same shape."""
        parts = self.qkv(self.norm(x)).unflatten(-1, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.distances].to(parts.dtype)
        found = functional.scaled_dot_product_attention(
            parts[0], parts[1], parts[2], attn_mask=bias.expand(len(x), -1, -1, -1))
        return self.proj(found.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Normalisation and two layers."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, int(dim * ratio)), nn.Linear(int(dim * ratio), dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        return self.fc2(functional.gelu(self.fc1(self.norm(x))))


class Block(nn.Module):
    """Attention in windows, a convolution from place to place, and the two layers."""

    def __init__(self, dim: int, heads: int, window: int, ratio: float) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(dim, heads, window), Mlp(dim, ratio)
        self.local_conv = ConvNorm(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) of the same shape."""
        x = x + self._windows(x)
        x = self.local_conv(x)
        return x + self.mlp(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)

    def _windows(self, x: Tensor) -> Tensor:
        """Return the attention, places behind the right and lower edge filled with zeros."""
        height, width, side = x.shape[2], x.shape[3], self.attn.window
        if (height, width) != (side, side):
            x = functional.pad(x, (0, -width % side, 0, -height % side))
        rows, columns = x.shape[2] // side, x.shape[3] // side
        cut = x.unflatten(3, (columns, side)).unflatten(2, (rows, side))
        windows = cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, x.shape[1])
        back = self.attn(windows).reshape(x.shape[0], rows, columns, side, side, x.shape[1])
        return back.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)[:, :, :height, :width]


class Stage(nn.Module):
    """Blocks, and the step to the next stage where there is one."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks, self.downsample = nn.ModuleList(blocks), downsample

    def forward(self, x: Tensor) -> Tensor:
        """Return the next stage's input."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of (B, C, H, W)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape, each place with mean 0 and variance 1 before the scale."""
        return functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight,
                                     self.bias, self.eps).permute(0, 3, 1, 2)


class TinyViT(nn.Module):
    """The encoder: (B, 3, s, s) normalised, padded pixels to (B, out, s/16, s/16).

    img_size: s.  out: channels of the prompt encoder.
    """

    def __init__(self, config: TinyViTConfig, img_size: int, out: int) -> None:
        super().__init__()
        self.img_size, dims = img_size, config.embed_dims
        self.patch_embed = PatchEmbed(dims[0])
        stages = []
        for i, depth in enumerate(config.depths):
            blocks: list[nn.Module] = [
                MBConv(dims[0], config.expand_ratio) if not i else
                Block(dims[i], config.num_heads[i], config.window_sizes[i], config.mlp_ratio)
                for _ in range(depth)]
            last = i + 1 == len(config.depths)
            stages.append(Stage(blocks, None if last else PatchMerging(
                dims[i], dims[i + 1], config.strides[i])))
        self.layers = nn.ModuleList(stages)
        self.norm_head, self.head = nn.LayerNorm(dims[-1]), nn.Linear(dims[-1], config.classes)
        self.neck = nn.Sequential(
            nn.Conv2d(dims[-1], out, 1, bias=False), ChannelNorm(out),
            nn.Conv2d(out, out, 3, padding=1, bias=False), ChannelNorm(out))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the image embedding."""
        x = self.patch_embed(pixels)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
