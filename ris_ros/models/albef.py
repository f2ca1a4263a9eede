"""ALBEF for image-text matching: a ViT, BERT text layers and fusion layers, small and open.

The modules carry the names of the published checkpoint.  Text layers see the sentence alone;
fusion layers also attend to the image, whose keys and values depend on the image only and are
computed once.  Nothing drops out: training here and inference share one forward.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.models.architectures import from_config
from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn, functional = torch.nn, torch.nn.functional

Keys = Sequence[tuple['Tensor', 'Tensor']]  # per fusion layer: keys and values of the image


@dataclass(frozen=True)
class AlbefConfig:
    """Sizes; the defaults are the published ALBEF at 256 pixels.

    fusion_layer: number of layers that see the sentence alone, 0 for BLIP.
    separator: sentences end with [SEP].
    """

    image_size: int = 256
    patch: int = 16
    vision_width: int = 768
    vision_depth: int = 12
    vision_heads: int = 12
    vision_eps: float = 1e-6
    text_width: int = 768
    text_layers: int = 12
    fusion_layer: int = 6
    heads: int = 12
    intermediate: int = 3072
    vocab: int = 30522
    positions: int = 512
    text_eps: float = 1e-12
    separator: bool = False

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AlbefConfig:
        """Return a configuration; raises BadInputError for a field or size that cannot be."""
        config = from_config(cls, values, 'the matcher configuration')
        if (config.image_size % config.patch or config.vision_width % config.vision_heads
                or config.text_width % config.heads
                or not 0 <= config.fusion_layer < config.text_layers):
            raise BadInputError('the matcher configuration does not fit: image_size must be a '
                                'multiple of patch, widths multiples of their heads, and '
                                'fusion_layer less than text_layers')
        return config


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merged(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


class _VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(_merged(functional.scaled_dot_product_attention(q, k, v)))


class _VisionMlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class _VisionBlock(nn.Module):
    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        width = config.vision_width
        self.norm1 = nn.LayerNorm(width, eps=config.vision_eps)
        self.attn = _VisionAttention(width, config.vision_heads)
        self.norm2 = nn.LayerNorm(width, eps=config.vision_eps)
        self.mlp = _VisionMlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTower(nn.Module):
    """The image encoder: (n, 3, s, s) normalised pixels to (n, 1 + P, width), CLS first."""

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        width = config.vision_width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, config.grid**2 + 1, width))
        self.patch_embed: Any = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, config.patch, config.patch)
        self.blocks = nn.ModuleList(_VisionBlock(config) for _ in range(config.vision_depth))
        self.norm = nn.LayerNorm(width, eps=config.vision_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the image tokens."""
        patches = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        cls = self.cls_token.to(patches.dtype).expand(len(patches), -1, -1)
        x = torch.cat([cls, patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class _Dense(nn.Module):
    """BERT's output step: a projection, the residual, then the norm."""

    def __init__(self, inside: int, width: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inside, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class _Attention(nn.Module):
    """Attention of sentence tokens to themselves or, in fusion layers, to the image."""

    def __init__(self, config: AlbefConfig, source: int) -> None:
        super().__init__()
        width, self.heads = config.text_width, config.heads
        self.self: Any = nn.Module()
        self.self.query = nn.Linear(width, width)
        self.self.key = nn.Linear(source, width)
        self.self.value = nn.Linear(source, width)
        self.output = _Dense(width, width, config.text_eps)

    def query(self, x: Tensor) -> Tensor:
        return _heads(self.self.query(x), self.heads)

    def keys(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return (_heads(self.self.key(source), self.heads),
                _heads(self.self.value(source), self.heads))

    def forward(self, x: Tensor, keys: tuple[Tensor, Tensor], seen: Tensor | None) -> Tensor:
        k, v = (part.expand(len(x), -1, -1, -1) for part in keys)
        mixed = functional.scaled_dot_product_attention(
            self.query(x), k, v, attn_mask=None if seen is None else seen[:, None, None, :])
        return self.output(_merged(mixed), x)

    def weights(self, x: Tensor, keys: tuple[Tensor, Tensor], seen: Tensor | None) -> Tensor:
        """Return the attention probabilities, (n, heads, T, S) float32."""
        query = self.query(x)
        scores = query @ keys[0].transpose(-1, -2) / query.shape[-1] ** 0.5
        if seen is not None:
            scores = scores.masked_fill(~seen[:, None, None, :], float('-inf'))
        return scores.float().softmax(dim=-1)


class _Layer(nn.Module):
    """One BERT layer; `crossattention` only from the fusion layer on."""

    def __init__(self, config: AlbefConfig, fusion: bool) -> None:
        super().__init__()
        width = config.text_width
        self.attention = _Attention(config, width)
        if fusion:
            self.crossattention = _Attention(config, config.vision_width)
        self.intermediate: Any = nn.Module()
        self.intermediate.dense = nn.Linear(width, config.intermediate)
        self.output = _Dense(config.intermediate, width, config.text_eps)

    def read(self, x: Tensor, valid: Tensor, first_only: bool = False) -> Tensor:
        """Attend to the sentence; `first_only` keeps the first token alone."""
        return self.attention(x[:, :1] if first_only else x, self.attention.keys(x), valid)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.output(functional.gelu(self.intermediate.dense(x)), x)


class TextEncoder(nn.Module):
    """BERT's embeddings and layers."""

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        width = config.text_width
        self.embeddings: Any = nn.Module()
        self.embeddings.word_embeddings = nn.Embedding(config.vocab, width)
        self.embeddings.position_embeddings = nn.Embedding(config.positions, width)
        self.embeddings.token_type_embeddings = nn.Embedding(2, width)
        self.embeddings.LayerNorm = nn.LayerNorm(width, eps=config.text_eps)
        self.encoder: Any = nn.Module()
        self.encoder.layer = nn.ModuleList(
            _Layer(config, i >= config.fusion_layer) for i in range(config.text_layers))
        for name in ('word_embeddings', 'position_embeddings', 'token_type_embeddings'):
            nn.init.normal_(getattr(self.embeddings, name).weight, std=0.02)

    def embed(self, ids: Tensor) -> Tensor:
        """Return (n, T, width) from (n, T) ids."""
        e = self.embeddings
        position = torch.arange(ids.shape[1], device=ids.device)
        return e.LayerNorm(e.word_embeddings(ids) + e.token_type_embeddings.weight[0]
                           + e.position_embeddings(position))


class Albef(nn.Module):
    """The whole matcher; `itm_head` gives two logits, the second means "match"."""

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.config = config
        self.visual_encoder = VisionTower(config)
        self.text_encoder = TextEncoder(config)
        self.itm_head = nn.Linear(config.text_width, 2)

    @property
    def layers(self) -> Any:
        """The text and fusion layers in order."""
        return self.text_encoder.encoder.layer

    def image_keys(self, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values of image tokens (n, 1 + P, width) for each fusion layer."""
        return [layer.crossattention.keys(tokens)
                for layer in self.layers[self.config.fusion_layer:]]

    def read(self, ids: Tensor, valid: Tensor) -> Tensor:
        """Return (n, T, width) after the layers that see the sentence alone.

        ids: (n, T) int64.  valid: (n, T) bool, False for padding.
        """
        x = self.text_encoder.embed(ids)
        for layer in self.layers[:self.config.fusion_layer]:
            x = layer.feed_forward(layer.read(x, valid))
        return x

    def fuse(self, x: Tensor, valid: Tensor, keys: Keys, seen: Tensor | None = None,
             start: int | None = None, stop: int | None = None) -> Tensor:
        """Return `x` after the fusion layers [start, stop), counted from 0 in all layers.

        keys: of `image_keys`, for one image or one per row.  seen: (n, 1 + P) bool, image
        tokens that may be attended to.  After the last layer only the first token is left.
        """
        first, last = self.config.fusion_layer, self.config.text_layers - 1
        for i in range(first if start is None else start, last + 1 if stop is None else stop):
            layer = self.layers[i]
            x = layer.read(x, valid, first_only=i == last)
            x = layer.feed_forward(layer.crossattention(x, keys[i - first], seen))
        return x

    def forward(self, pixels: Tensor, ids: Tensor, valid: Tensor) -> Tensor:
        """Return (n, 2) matching logits of n image-sentence pairs."""
        keys = self.image_keys(self.visual_encoder(pixels))
        return self.itm_head(self.fuse(self.read(ids, valid), valid, keys)[:, 0])


def attention_gradient(model: Albef, x: Tensor, valid: Tensor, keys: Keys, seen: Tensor | None,
                       layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what Grad-CAM needs of one cross-attention: probabilities, gradient, match.

    x: (n, T, width) of `Albef.read`.  layer: index in all layers, from `fusion_layer` on.
    Probabilities (n, heads, T, 1 + P) and the gradient of the raw match logit in them, not
    clamped; match (n,) is the softmax probability.  Layers up to the attention run without a
    graph and no weight gets a gradient, since only the attention map needs one.  The rows'
    logits are summed, so that one backward serves all of them.
    """
    first = model.config.fusion_layer
    own = model.layers[layer]
    with torch.no_grad():
        x = own.read(model.fuse(x, valid, keys, seen, stop=layer), valid)
        weights = own.crossattention.weights(x, keys[layer - first], seen)
    with torch.enable_grad():
        weights.requires_grad_(True)
        value = keys[layer - first][1]
        mixed = weights.to(value.dtype) @ value
        y = own.feed_forward(own.crossattention.output(_merged(mixed), x))
        y = model.fuse(y, valid, keys, seen, start=layer + 1)
        logits = model.itm_head(y[:, 0])
        gradient, = torch.autograd.grad(logits[:, 1].sum(), weights)
    return weights.detach(), gradient.float(), logits.detach().float().softmax(dim=-1)[:, 1]


def load_albef(state: Mapping[str, Any], config: AlbefConfig) -> Albef:
    """Return the matcher with weights in the official key names.

    `checkpoint["model"]` is opened and ".bert" dropped from the names; momentum copies,
    queues, the language head and the projections are left out.  Raises WeightsError where
    names are missing or shapes differ.
    """
    inner = state.get('model', state)
    if not isinstance(inner, Mapping):
        raise WeightsError('the matcher checkpoint has no state dict under "model"')
    if any(name.startswith('vision_model.') for name in inner):
        inner = _from_blip(inner)
    model = Albef(config)
    wanted = model.state_dict()
    named = {name.replace('.bert', ''): value for name, value in inner.items()}
    missing = [name for name in wanted if name not in named]
    if missing:
        raise WeightsError(f'the matcher weights lack {len(missing)} tensors, the first is '
                           f'{missing[0]}; do they belong to this configuration?')
    for name, value in wanted.items():
        if named[name].shape != value.shape:
            raise WeightsError(f'the matcher weights do not fit this configuration: {name} is '
                               f'{tuple(named[name].shape)}, not {tuple(value.shape)}')
    model.load_state_dict({name: named[name].float() for name in wanted})
    return model


# transformers' names of BLIP's image tower -> ALBEF's.
_BLIP = (('vision_model.embeddings.class_embedding', 'visual_encoder.cls_token'),
         ('vision_model.embeddings.position_embedding', 'visual_encoder.pos_embed'),
         ('vision_model.embeddings.patch_embedding', 'visual_encoder.patch_embed.proj'),
         ('vision_model.post_layernorm', 'visual_encoder.norm'),
         ('vision_model.encoder.layers', 'visual_encoder.blocks'),
         ('.self_attn.projection', '.attn.proj'), ('.self_attn.', '.attn.'),
         ('.layer_norm1', '.norm1'), ('.layer_norm2', '.norm2'))


def _from_blip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return transformers' BLIP state under ALBEF's names; token types do not exist there."""
    out = {}
    for name, value in state.items():
        for old, new in _BLIP:
            name = name.replace(old, new)
        out[name] = value
    words = out['text_encoder.embeddings.word_embeddings.weight']
    out['text_encoder.embeddings.token_type_embeddings.weight'] = words.new_zeros(
        2, words.shape[1])
    return out
