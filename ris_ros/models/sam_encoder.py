"""SAM's image encoder with its attention in parts that fit the processor's cache.

Same function as `segment_anything.modeling.ImageEncoderViT` up to rounding.  The library makes
all scores of a block at once, 0.8 GB for ViT-B, and passes over them for each of the two
position terms; here a few rows of queries are scored, shifted, normalised and used before the
next ones.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_ros.lazy import is_a, require, require_part
from ris_ros.models.attention import attend

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require('torch', 'models')

LIBRARY = 'segment_anything.modeling.image_encoder'
# Scores held at once, in values: on a CPU 4 MiB, which its cache holds; 256 MiB on a GPU.
CPU_SCORES = 1 << 20
SCORES = 1 << 26


def encode(encoder: Any, pixels: Tensor) -> Tensor:
    """Return the embedding (1, C, h, w) of normalised, padded (1, 3, s, s) pixels.

    An encoder that is none of the library's is called as it is.
    """
    if not is_a(encoder, LIBRARY, 'ImageEncoderViT'):
        return encoder(pixels)
    library = require_part('segment_anything.modeling', 'models').image_encoder
    x = encoder.patch_embed(pixels)
    if encoder.pos_embed is not None:
        x = x + encoder.pos_embed
    for block in encoder.blocks:
        y, size, window = block.norm1(x), x.shape[1:3], block.window_size
        if window:
            y, padded = library.window_partition(y, window)
        y = attention(block.attn, y)
        if window:
            y = library.window_unpartition(y, window, padded, size)
        x = x + y
        x = x + block.mlp(block.norm2(x))
    return encoder.neck(x.permute(0, 3, 1, 2))


def attention(attn: Any, x: Tensor) -> Tensor:
    """Return the attention of (n, h, w, C) windows, each to itself."""
    n, height, width, _ = x.shape
    qkv = attn.qkv(x).view(n, height * width, 3, attn.num_heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    if attn.use_rel_pos:
        out = _placed(attn, query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1),
                      (height, width)).view(query.shape)
    else:
        out = attend(query, key, value)
    return attn.proj(out.transpose(1, 2).reshape(n, height, width, -1))


def _placed(attn: Any, query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int]
            ) -> Tensor:
    """Return attention with relative positions, (m, h w, d).

    query, key, value: (m, h w, d), m windows times heads.  Every score is shifted by two
    terms, one for the distance in rows and one for that in columns.
    """
    library = require_part('segment_anything.modeling', 'models').image_encoder
    height, width = grid
    length = height * width
    rows = query.unflatten(1, grid)
    down = torch.einsum('mhwd,hkd->mhwk', rows,
                        library.get_rel_pos(height, height, attn.rel_pos_h).to(query.dtype))
    across = torch.einsum('mhwd,wkd->mhwk', rows,
                          library.get_rel_pos(width, width, attn.rel_pos_w).to(query.dtype))
    limit = CPU_SCORES if query.device.type == 'cpu' else SCORES
    lines = max(1, min(height, limit // (width * length)))
    several = max(1, limit // (lines * width * length))
    query, key = (query * attn.scale).unflatten(1, grid), key.transpose(1, 2)
    out = torch.empty_like(value)
    for m in range(0, len(query), several):
        some = slice(m, m + several)
        for top in range(0, height, lines):
            part = slice(top, top + lines)
            shift = down[some, part, :, :, None] + across[some, part, :, None, :]
            scores = torch.baddbmm(shift.flatten(3).flatten(1, 2),
                                   query[some, part].flatten(1, 2), key[some])
            out[some, top * width:(top + lines) * width] = torch.bmm(
                scores.softmax(-1).to(value.dtype), value[some])
    return out
