"""SAM's mask decoder for many prompts on several images at once.

`segment_anything.modeling.MaskDecoder` takes one image: it repeats its embedding for every
prompt.  Here each row brings its own image embedding, prompts of different lengths stand in one
batch behind a mask, and only the mask that is asked for is drawn.  The same function up to
rounding as the library's decoder called row by row without the padding.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.models import attention
from ris_ros.models.sam_decoder import draw_masks

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

OUTPUTS = ('single', 'best')


def decode_batch(sam: Any, embeddings: Tensor, sparse: Tensor, dense: Tensor,
                 known: Tensor | None = None, output: str = 'single',
                 places: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mask logits (B, 4h, 4w) and their predicted IoU (B,).

    embeddings: (B, C, h, w) of the image encoder.  sparse: (B, T, C) prompt tokens.  dense:
    (B, C, h, w) mask prompts, or what stands for none.  known: (B, T) bool, False for padding
    among the prompt tokens; None: all are prompts.  output: 'single', the mask token for
    unambiguous prompts (number 0), or 'best', of the other three the one with the highest
    predicted IoU.  places: of `places_of`, where it is kept.  Source: SAM, appendix A; the
    padding is ours.
    """
    decoder = sam.mask_decoder
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1).to(sparse.dtype), sparse], dim=1)
    keep = None if known is None else functional.pad(known, (len(own), 0), value=True)
    grid = (int(embeddings.shape[2]), int(embeddings.shape[3]))
    image = (embeddings + dense).flatten(2).transpose(1, 2)
    places = places_of(sam) if places is None else places
    queries, image = _transform(decoder.transformer, image, places, tokens, keep)
    scores = decoder.iou_prediction_head(queries[:, 0])
    if output == 'single':
        kernels = decoder.output_hypernetworks_mlps[0](queries[:, 1])
        chosen = scores[:, 0]
    else:
        three = torch.stack([decoder.output_hypernetworks_mlps[i](queries[:, 1 + i])
                             for i in range(1, decoder.num_mask_tokens)], dim=1)
        best = scores[:, 1:].argmax(dim=1)
        rows = torch.arange(len(best), device=best.device)
        kernels, chosen = three[rows, best], scores[rows, 1 + best]
    return draw_masks(decoder, image, kernels[:, None], grid)[:, 0], chosen


def places_of(sam: Any) -> Tensor:
    """Return the position encoding of all image tokens, (1, h w, C)."""
    return sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2)


def _transform(transformer: Any, image: Tensor, places: Tensor, tokens: Tensor,
               keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return prompt tokens (B, T, C) and image tokens (B, L, C) after the two-way transformer."""
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.norm1(attend(layer.self_attn, queries, queries, queries, keep))
        else:
            placed = queries + tokens
            queries = layer.norm1(queries + attend(layer.self_attn, placed, placed, queries,
                                                   keep))
        there = image + places
        queries = layer.norm2(queries + attend(layer.cross_attn_token_to_image,
                                               queries + tokens, there, image))
        queries = layer.norm3(queries + layer.mlp(queries))
        image = layer.norm4(image + attend(layer.cross_attn_image_to_token, there,
                                           queries + tokens, queries, keep))
    queries = queries + attend(transformer.final_attn_token_to_image, queries + tokens,
                               image + places, image)
    return transformer.norm_final_attn(queries), image


def attend(module: Any, queries: Tensor, keys: Tensor, values: Tensor,
           keep: Tensor | None = None) -> Tensor:
    """Return SAM's attention of queries (B, Q, C) over keys and values (B, K, C).

    keep: (B, K) bool, False for keys that nobody may see.
    """
    heads = module.num_heads
    query, key, value = (
        projection(x).unflatten(-1, (heads, -1)).transpose(1, 2) for projection, x in
        ((module.q_proj, queries), (module.k_proj, keys), (module.v_proj, values)))
    mask = None if keep is None else keep[:, None, None, :]
    found = attention.attend(query, key, value, mask)
    return module.out_proj(found.transpose(1, 2).flatten(2))
