"""SAM's mask decoder for many point prompts on one image, with what they share done once.

Same function as `segment_anything.modeling.MaskDecoder` up to rounding, in another order of
work.  Before the first layer all prompts see the same image tokens, so that these stay one
copy.  A projection of all image tokens that only meets a handful of prompt tokens is moved to
the prompt's side: (X W) q = X (W q), with h T columns (heads, prompt tokens) in place of the
projection's width.  Transposed convolutions whose stride is their kernel are products over
channels, so tokens stay in one layout until the mask.  The mask for ambiguous prompts, which
automatic generation drops, is not made; nor are masks of prompts that the predicted IoU rules
out.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_ros.lazy import is_a, require

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

# Image tokens of all prompts decoded at once, in values: on a CPU 4 MiB, which its cache
# holds; 512 MiB on a GPU.
CPU_TOKEN_VALUES = 1 << 20
TOKEN_VALUES = 1 << 27


def can_decode(sam: nn.Module) -> bool:
    """Return whether the network has the library's own mask decoder."""
    return is_a(sam.mask_decoder, 'segment_anything.modeling.mask_decoder', 'MaskDecoder')


class PointDecoder:
    """Decodes point prompts on one image embedding, (1, C, h, w), or on one each, (n, C, h, w)."""

    def __init__(self, sam: Any, embedding: Tensor) -> None:
        self.sam, self.decoder = sam, sam.mask_decoder
        self.grid = (int(embedding.shape[-2]), int(embedding.shape[-1]))
        bare = embedding + sam.prompt_encoder.no_mask_embed.weight[0, :, None, None]
        self.image = bare.flatten(2).transpose(1, 2).contiguous()
        self.places = sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2).contiguous()

    def __call__(self, points: Tensor, least: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return mask logits (m, 3, 4h, 4w) and predicted IoU (m, 3).

        points: (n, 2) x, y on the network's input.  Of the n, the m are left that have a mask
        with a predicted IoU above `least`; all of them for 0.
        """
        if len(self.image) > 1:
            return self._decode(points, least)
        values = CPU_TOKEN_VALUES if points.device.type == 'cpu' else TOKEN_VALUES
        step = max(1, values // self.image.numel())
        parts = [self._decode(part, least) for part in points.split(step)]
        logits, scores = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(scores)

    def _decode(self, points: Tensor, least: float) -> tuple[Tensor, Tensor]:
        decoder = self.decoder
        prompt = self._point_tokens(points)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(points), -1, -1), prompt], dim=1)
        queries, image = self._transform(tokens)
        scores = decoder.iou_prediction_head(queries[:, 0])[:, 1:]
        if least > 0:
            keep = (scores > least).any(dim=1)
            queries, image, scores = queries[keep], image[keep], scores[keep]
        kernels = torch.stack([decoder.output_hypernetworks_mlps[i](queries[:, 1 + i])
                               for i in range(1, decoder.num_mask_tokens)], dim=1)
        return draw_masks(decoder, image, kernels, self.grid), scores

    def _point_tokens(self, points: Tensor) -> Tensor:
        """Return two tokens a point, (n, 2, C): its place as foreground, and "no further point".

        As the library's prompt encoder does for label 1, without its masks over labels, each
        of which would wait for a GPU.
        """
        encoder = self.sam.prompt_encoder
        place = encoder.pe_layer.forward_with_coords(points[:, None] + 0.5,
                                                     encoder.input_image_size)
        none = encoder.not_a_point_embed.weight.expand(len(points), 1, -1)
        return torch.cat([place + encoder.point_embeddings[1].weight, none], dim=1)

    def _transform(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return prompt tokens (n, T, C) and image tokens (n, L, C) after the transformer."""
        transformer = self.decoder.transformer
        queries, image = tokens, self.image
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                queries = layer.norm1(layer.self_attn(q=queries, k=queries, v=queries))
            else:
                placed = queries + tokens
                queries = layer.norm1(queries + layer.self_attn(q=placed, k=placed, v=queries))
            there = image + self.places
            queries = layer.norm2(queries + gather(
                layer.cross_attn_token_to_image, queries + tokens, there, image))
            queries = layer.norm3(queries + layer.mlp(queries))
            image = layer.norm4(spread(layer.cross_attn_image_to_token, image, there,
                                       queries + tokens, queries))
        queries = queries + gather(transformer.final_attn_token_to_image, queries + tokens,
                                   image + self.places, image)
        return transformer.norm_final_attn(queries), image


def draw_masks(decoder: Any, image: Tensor, kernels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return (n, M, 4h, 4w) mask logits: SAM's upscaling and the product with the kernels.

    image: (n, h w, C) image tokens after the transformer.  kernels: (n, M, C / 8), what the
    hypernetworks made of the mask tokens.  grid: h, w.
    """
    first, norm, activation, second, last = decoder.output_upscaling
    x = _doubled(first, image)
    x = functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
    x = last(_doubled(second, activation(x).flatten(1, 2))).flatten(1, 2)
    out = kernels.to(x.dtype) @ x.transpose(1, 2)
    (height, width), (n, masks) = grid, out.shape[:2]
    out = out.view(n, masks, height, width, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
    return out.reshape(n, masks, 4 * height, 4 * width)


def _doubled(convolution: Any, x: Tensor) -> Tensor:
    """Return the four pixels that a 2x2 transposed convolution makes of each token.

    x: (n, L, C).  Returns (n, L, 4, C'), row by row.
    """
    weight = convolution.weight.permute(0, 2, 3, 1)
    bias = convolution.bias.repeat(4)
    return functional.linear(x, weight.flatten(1).T, bias).unflatten(-1, (4, -1))


def _heads(attention: Any, projection: Any) -> Tensor:
    """Return a projection's weight by heads, (h, d, C)."""
    return projection.weight.unflatten(0, (attention.num_heads, -1))


def gather(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what few queries (n, T, C) find among many keys, (n, T, C).

    keys, values: (n, L, C), or (1, L, C) for all.  The keys' bias shifts all scores of a
    query alike and drops out.
    """
    n, count, _ = queries.shape
    query = attention.q_proj(queries).unflatten(-1, (attention.num_heads, -1))
    scale = query.shape[-1] ** -0.5
    rows = torch.einsum('nthd,hdc->nhtc', query * scale, _heads(attention, attention.k_proj))
    rows = rows.reshape(len(keys), -1, keys.shape[-1])
    found = (rows @ keys.transpose(1, 2)).softmax(dim=-1).to(values.dtype) @ values
    found = found.view(n, attention.num_heads, count, -1)
    out = torch.einsum('nhtc,hdc->nthd', found, _heads(attention, attention.v_proj))
    return attention.out_proj(out.flatten(2) + attention.v_proj.bias)


def spread(attention: Any, image: Tensor, queries: Tensor, keys: Tensor, values: Tensor
           ) -> Tensor:
    """Return many image tokens plus what they find among few keys, (n, L, C).

    image, queries: (n, L, C), or (1, L, C) for all.  keys, values: (n, T, C).
    """
    heads = attention.num_heads
    n, count, _ = keys.shape
    key = attention.k_proj(keys).unflatten(-1, (heads, -1))
    key = key * key.shape[-1] ** -0.5
    rows = torch.einsum('nthd,hdc->nhtc', key, _heads(attention, attention.q_proj))
    shift = torch.einsum('nthd,hd->nht', key, attention.q_proj.bias.unflatten(0, (heads, -1)))
    scores = rows.reshape(len(queries), -1, rows.shape[-1]) @ queries.transpose(1, 2)
    scores = scores.view(n, heads, count, -1).add_(shift[..., None])
    value = attention.v_proj(values).unflatten(-1, (heads, -1))
    share = torch.einsum('nthd,chd->nhtc', value, attention.out_proj.weight.unflatten(
        1, (heads, -1)))
    # The weights of each head add up to one, and so do these parts of the bias.
    share = (share + attention.out_proj.bias / heads).flatten(1, 2)
    weights = scores.softmax(dim=2).flatten(1, 2).to(share.dtype)
    return torch.baddbmm(image.to(share.dtype), weights.transpose(1, 2), share)
