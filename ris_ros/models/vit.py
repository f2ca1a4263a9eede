"""The CLIP vision transformer taken apart: tokens, blocks with a CLS mask, GEM.

Works on `open_clip.transformer.VisionTransformer` through its public parts only, and computes
attention itself, so that neither the batch order that open_clip happens to use nor its mask
formats matter (feeding (L, N, D) to today's batch-first blocks goes wrong silently).
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.models.attention import attend
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional


Tower = Any  # an open_clip.transformer.VisionTransformer
Block = Any  # one of its residual attention blocks


def check_tower(visual: Tower) -> None:
    """Raise BadInputError unless the tower is a plain CLS-token ViT that can be taken apart."""
    blocks = getattr(getattr(visual, 'transformer', None), 'resblocks', None)
    plain = blocks is not None and all(
        isinstance(getattr(b, 'attn', None), torch.nn.MultiheadAttention) for b in blocks)
    if not plain or getattr(visual, 'pool_type', 'tok') != 'tok':
        raise BadInputError('this method needs a CLIP with a plain ViT tower and a CLS token; '
                            'choose a ViT such as ViT-B/16')


def grid_of(visual: Tower, height: int, width: int) -> tuple[int, int]:
    """Return the patch rows and columns of an input of the given size."""
    patch = visual.conv1.kernel_size
    if height % patch[0] or width % patch[1]:
        raise BadInputError(f'network input {height}x{width} is no multiple of the patch size '
                            f'{patch[0]}x{patch[1]}')
    return height // patch[0], width // patch[1]


def tokens_of(visual: Tower, images: Tensor, norm: bool = True) -> Tensor:
    """Return CLS and patch tokens before the first block, (n, 1 + P, width).

    images: (n, 3, h, w).  Where the patch grid differs from the trained one the positional
    embedding is resized bicubically with antialiasing (GEM).  norm: apply the norm that stands
    before the first block.
    """
    grid = grid_of(visual, *images.shape[-2:])
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    cls = visual.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
    x = torch.cat([cls, patches], dim=1)
    x = x + _positions(visual, grid).to(x.dtype)
    return visual.ln_pre(x) if norm else x


def _positions(visual: Tower, grid: tuple[int, int]) -> Tensor:
    embedding = visual.positional_embedding
    trained = tuple(visual.grid_size)
    if grid == trained:
        return embedding
    patches = embedding[1:].float().T.reshape(1, -1, *trained)
    resized = functional.interpolate(patches, size=grid, mode='bicubic', align_corners=False,
                                     antialias=True)
    return torch.cat([embedding[:1].float(), resized[0].flatten(1).T])


def _project(attn: Any, y: Tensor, part: int) -> Tensor:
    """Return queries (part 0), keys (1) or values (2) per head, (n, heads, L, width / heads)."""
    rows = slice(part * attn.embed_dim, (part + 1) * attn.embed_dim)
    out = functional.linear(y, attn.in_proj_weight[rows], attn.in_proj_bias[rows])
    return _split(out, attn.num_heads)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def run_block(block: Block, x: Tensor, cls_keys: Tensor | None = None,
              cls_only: bool = False, mask: Tensor | None = None) -> Tensor:
    """Return one residual block's output, (n, 1 + P, width), or (n, 1, width) if `cls_only`.

    cls_keys: (n, 1 + P) bool, the tokens that the CLS query may attend to; patches always
    attend to everything.  cls_only: skip the rows that nobody reads after the last block.
    mask: (L, L) bool, per token (row) the tokens that it may attend to; for text towers.
    """
    y = block.ln_1(x)
    attn = block.attn
    width = attn.embed_dim
    if cls_only:
        query = _project(attn, y[:, :1], 0)
        key, value = functional.linear(
            y, attn.in_proj_weight[width:], attn.in_proj_bias[width:]).chunk(2, dim=-1)
        key, value = _split(key, attn.num_heads), _split(value, attn.num_heads)
    else:
        query, key, value = (
            _split(part, attn.num_heads) for part in
            functional.linear(y, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1))
    if cls_keys is None:
        out = attend(query, key, value, attn_mask=mask)
    else:
        out = attend(query[:, :, :1], key, value, attn_mask=cls_keys[:, None, None, :])
        if not cls_only:
            out = torch.cat([out, attend(query[:, :, 1:], key, value)], dim=2)
    kept = x[:, :1] if cls_only else x
    kept = kept + block.ls_1(attn.out_proj(_merge(out)))
    return kept + block.ls_2(block.mlp(block.ln_2(kept)))


def head(visual: Tower, x: Tensor) -> Tensor:
    """Return the embedding of tokens, (..., D): final norm and projection."""
    return visual.ln_post(x) @ visual.proj


def gem_features(visual: Tower, images: Tensor, blocks: int = 6, iterations: int = 1
                 ) -> Tensor:
    """Return GEM's patch embeddings, (n, P, D) with unit norm.

    images: (n, 3, h, w), of any size that is a multiple of the patch.  blocks: the number of
    last blocks that get self-self attention beside the ordinary path (6 of 12: "depth 7" in
    GEM).  iterations: extra rounds of self-self attention before the values are gathered.
    Source: GEM (CVPR 2024) as HybridGL section 3.3 uses it; only the attention residuals are
    summed, no MLP and no norm between.
    """
    return _second_path(visual, images, blocks,
                        lambda block, x: _self_self(block, x, iterations))


def _second_path(visual: Tower, images: Tensor, blocks: int,
                 attend: Callable[[Block, Tensor], Tensor]) -> Tensor:
    """Return unit patch embeddings, (n, P, D), of a path beside the ordinary one.

    It starts at the input of the last `blocks` blocks and sums what `attend` (block, its
    ordinary input) gives for each of them.
    """
    layers = visual.transformer.resblocks
    if not 1 <= blocks <= len(layers):
        raise BadInputError(f'gem_blocks must lie in [1, {len(layers)}] for this network, '
                            f'not {blocks}')
    x = tokens_of(visual, images)
    for block in layers[:-blocks]:
        x = run_block(block, x)
    gathered = x
    for block in layers[-blocks:]:
        gathered = gathered + attend(block, x)
        x = run_block(block, x)
    patches = head(visual, gathered)[:, 1:]
    return functional.normalize(patches.float(), dim=-1)


def _self_self(block: Block, x: Tensor, iterations: int) -> Tensor:
    y = block.ln_1(x)
    attn = block.attn
    q, k, v = (_project(attn, y, part) for part in range(3))
    # The temperature adapts to the image: mean token norm over the root of the head size.
    tau = y.norm(dim=-1).mean(dim=-1)[:, None, None, None] / q.shape[-1] ** 0.5
    plain = functional.scaled_dot_product_attention
    total = torch.zeros_like(v)
    for s in (v, k, q):
        for _ in range(iterations):
            s = functional.normalize(s, dim=-1)
            s = plain(s * tau, s, s, scale=1.0)
        s = functional.normalize(s, dim=-1)
        total = total + plain(s * tau, s, v, scale=1.0)
    return attn.out_proj(_merge(total / 3))


def value_features(visual: Tower, images: Tensor) -> Tensor:
    """Return MaskCLIP's patch embeddings, (n, P, D) with unit norm.

    In the last block every patch gets its own value in place of an attended mixture.
    """
    layers = visual.transformer.resblocks
    x = tokens_of(visual, images)
    for block in layers[:-1]:
        x = run_block(block, x)
    block = layers[-1]
    x = x + block.ls_1(block.attn.out_proj(_merge(_project(block.attn, block.ln_1(x), 2))))
    x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return functional.normalize(head(visual, x)[:, 1:].float(), dim=-1)


def value_attention_features(visual: Tower, images: Tensor, blocks: int = 6) -> Tensor:
    """Return CLIP Surgery's patch embeddings, (n, P, D) with unit norm.

    Beside the ordinary path a second one sums the last blocks' value-value attention, without
    their MLPs.
    """
    return _second_path(visual, images, blocks, _value_value)


def _value_value(block: Block, x: Tensor) -> Tensor:
    value = _project(block.attn, block.ln_1(x), 2)
    mixed = functional.scaled_dot_product_attention(value, value, value)
    return block.attn.out_proj(_merge(mixed))
