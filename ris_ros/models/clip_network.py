"""CLIP's towers as OpenAI published them (Radford et al., 2021, sections 2.4 and 2.5).

Parameters have the names of the published weights, which open_clip uses too, and every number is
that of open_clip's classes bit for bit, also at the start of a training (tests).  Importing
open_clip takes seconds, for towers of other libraries that no configuration here asks for.
"""
from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn, functional = torch.nn, torch.nn.functional

START_LOGIT_SCALE = math.log(1 / 0.07)   # section 2.5
# What a configuration may say of a tower, with open_clip's names and defaults.
VISION_FIELDS = {'image_size': 224, 'patch_size': 16, 'width': 768, 'layers': 12,
                 'head_width': 64, 'mlp_ratio': 4.0}
TEXT_FIELDS = {'context_length': 77, 'vocab_size': 49408, 'width': 512, 'heads': 8, 'layers': 12,
               'mlp_ratio': 4.0}


def covers(vision: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    """Return whether the towers here are all that two configurations ask for."""
    return set(vision) <= set(VISION_FIELDS) and set(text) <= set(TEXT_FIELDS)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation that gives back the type it was given, under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalised over its last axis."""
        return super().forward(x).to(x.dtype)


class QuickGELU(nn.Module):
    """The approximation x sigmoid(1.702 x) that the published weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of every value."""
        return x * torch.sigmoid(1.702 * x)


class ResidualAttentionBlock(nn.Module):
    """Attention and a two-layer perceptron, each after a layer norm and added to its input."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, activation: type[nn.Module]
                 ) -> None:
        super().__init__()
        inner = int(width * mlp_ratio)
        self.ln_1 = LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ls_1 = nn.Identity()   # where larger models of others scale what is added
        self.ln_2 = LayerNorm(width)
        self.mlp: Any = nn.Sequential(OrderedDict(
            c_fc=nn.Linear(width, inner), gelu=activation(), c_proj=nn.Linear(inner, width)))
        self.ls_2 = nn.Identity()

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Return (n, L, width) tokens; attn_mask: (L, L), added to the scores."""
        normal = self.ln_1(x)
        mask = None if attn_mask is None else attn_mask.to(x.dtype)
        x = x + self.ls_1(self.attn(normal, normal, normal, need_weights=False,
                                    attn_mask=mask)[0])
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """A stack of residual attention blocks."""

    def __init__(self, width: int, layers: int, heads: int, mlp_ratio: float,
                 activation: type[nn.Module]) -> None:
        super().__init__()
        self.width, self.layers = width, layers
        self.resblocks: Any = nn.ModuleList(
            ResidualAttentionBlock(width, heads, mlp_ratio, activation) for _ in range(layers))

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Return (n, L, width) tokens after all blocks."""
        for block in self.resblocks:
            x = block(x, attn_mask)
        return x


class VisionTransformer(nn.Module):
    """The ViT tower: a class token among patches, its projection being the image's feature."""

    pool_type = 'tok'

    def __init__(self, embed_dim: int, activation: type[nn.Module], image_size: int,
                 patch_size: int, width: int, layers: int, head_width: int, mlp_ratio: float
                 ) -> None:
        super().__init__()
        side = image_size // patch_size
        self.image_size, self.patch_size = (image_size,) * 2, (patch_size,) * 2
        self.grid_size, self.output_dim = (side, side), embed_dim
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        scale = width ** -0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(side * side + 1, width))
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(width, layers, width // head_width, mlp_ratio, activation)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def embed(self, images: Tensor) -> Tensor:
        """Return (n, 1 + P, width) tokens before the first block of (n, 3, s, s) images."""
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1)
        return self.ln_pre(tokens + self.positional_embedding.to(tokens.dtype))

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, embed_dim) features of (n, 3, s, s) normalised images."""
        tokens = self.ln_post(self.transformer(self.embed(images)))
        return tokens[:, 0] @ self.proj


class Bottleneck(nn.Module):
    """A residual block whose stride is an average pooling, not a strided convolution."""

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        outputs = 4 * planes
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(planes), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(planes), nn.ReLU(inplace=True)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3, self.act3 = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.stride = stride
        self.downsample = nn.Sequential(OrderedDict([
            ('-1', nn.AvgPool2d(stride)), ('0', nn.Conv2d(inputs, outputs, 1, bias=False)),
            ('1', nn.BatchNorm2d(outputs))])) if stride > 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 4 planes, h / stride, w / stride)."""
        past = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.avgpool(self.act2(self.bn2(self.conv2(x))))
        return self.act3(self.bn3(self.conv3(x)).add_(past))


def _residual_layer(inputs: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(4 * planes, planes) for _ in range(1, blocks))
    return nn.Sequential(Bottleneck(inputs, planes, stride), *rest)


class AttentionPool2d(nn.Module):
    """One query, the mean of all cells, attends to them; its answer is the image's feature."""

    def __init__(self, side: int, width: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(
            torch.randn(side ** 2 + 1, width) / width ** 0.5)
        self.k_proj, self.q_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.c_proj = nn.Linear(width, width), nn.Linear(width, outputs)
        self.num_heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs) of (n, width, h, w) features."""
        cells = x.flatten(2).permute(2, 0, 1)
        cells = torch.cat([cells.mean(dim=0, keepdim=True), cells])
        cells = cells + self.positional_embedding[:, None].to(cells.dtype)
        bias = torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])
        return functional.multi_head_attention_forward(
            cells, cells, cells, cells.shape[-1], self.num_heads, None, bias, None, None, False,
            0.0, self.c_proj.weight, self.c_proj.bias, training=self.training,
            need_weights=False, use_separate_proj_weight=True, q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight)[0][0]


class ModifiedResNet(nn.Module):
    """The residual tower: a stem of three convolutions, four layers, attention pooling."""

    def __init__(self, embed_dim: int, image_size: int, width: int, layers: Sequence[int],
                 head_width: int) -> None:
        super().__init__()
        self.image_size, self.output_dim = image_size, embed_dim
        half = width // 2
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(half), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(half), nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3, self.act3 = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.avgpool = nn.AvgPool2d(2)
        first, second, third, fourth = layers
        self.layer1 = _residual_layer(width, width, first, 1)
        self.layer2 = _residual_layer(4 * width, 2 * width, second, 2)
        self.layer3 = _residual_layer(8 * width, 4 * width, third, 2)
        self.layer4 = _residual_layer(16 * width, 8 * width, fourth, 2)
        self.attnpool = AttentionPool2d(image_size // 32, 32 * width, width * 32 // head_width,
                                        embed_dim)
        self._start()

    def _start(self) -> None:
        """Set the starting values: attention by its width, blocks begin as the identity."""
        pool = self.attnpool
        for linear in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
            nn.init.normal_(linear.weight, std=pool.c_proj.in_features ** -0.5)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def stem(self, x: Tensor) -> Tensor:
        """Return (n, width, h / 4, w / 4) of (n, 3, h, w) images."""
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.act2(self.bn2(self.conv2(x)))
        return self.avgpool(self.act3(self.bn3(self.conv3(x))))

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, embed_dim) features of (n, 3, s, s) normalised images."""
        x = self.stem(images)
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class CLIP(nn.Module):
    """Image tower, causal text tower, and the factor in front of their cosines.

    embed_dim: D of both features.  vision: of VISION_FIELDS; a list of four numbers as `layers`
    means the residual tower.  text: of TEXT_FIELDS.  quick_gelu: the activation of the
    published weights.  Raises BadInputError for a field that is in neither, and for sizes that
    do not fit together.
    """

    text_pool_type = 'argmax'

    def __init__(self, embed_dim: int, vision: Mapping[str, Any], text: Mapping[str, Any],
                 quick_gelu: bool = False, init_logit_scale: float = START_LOGIT_SCALE) -> None:
        super().__init__()
        if not covers(vision, text):
            raise BadInputError('a CLIP has no such fields: ' + ', '.join(sorted(
                (set(vision) - set(VISION_FIELDS)) | (set(text) - set(TEXT_FIELDS)))))
        activation = QuickGELU if quick_gelu else nn.GELU
        self.visual: Any = _image_tower(embed_dim, activation, {**VISION_FIELDS, **vision})
        size = {**TEXT_FIELDS, **text}
        width, length = size['width'], size['context_length']
        self.context_length, self.vocab_size = length, size['vocab_size']
        words = nn.Embedding(size['vocab_size'], width)   # drawn first, named second
        self.positional_embedding = nn.Parameter(torch.empty(length, width))
        self.transformer = Transformer(width, size['layers'], size['heads'], size['mlp_ratio'],
                                       activation)
        self.token_embedding = words
        self.ln_final = LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
        self.attn_mask: Tensor
        self.register_buffer('attn_mask', torch.full((length, length), -math.inf).triu(1),
                             persistent=False)
        self._start()
        self.logit_scale = nn.Parameter(torch.ones([]) * init_logit_scale)

    def _start(self) -> None:
        """Set the starting values of the text tower, deeper ones adding less at first."""
        tower = self.transformer
        attention = tower.width ** -0.5
        added = attention * (2 * tower.layers) ** -0.5
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        for block in tower.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=attention)
            nn.init.normal_(block.attn.out_proj.weight, std=added)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * tower.width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=added)
        nn.init.normal_(self.text_projection, std=attention)

    def encode_image(self, images: Tensor) -> Tensor:
        """Return (n, D) features of (n, 3, s, s) normalised images, not normalised."""
        return self.visual(images)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return (n, D) features of (n, L) token ids, not normalised.

        The end token, which has the highest id of all, stands for the sentence.
        """
        dtype = self.transformer.resblocks[0].mlp.c_fc.weight.dtype
        x = self.token_embedding(tokens).to(dtype) + self.positional_embedding.to(dtype)
        x = self.ln_final(self.transformer(x, self.attn_mask))
        return x[torch.arange(len(x), device=x.device), tokens.argmax(-1)] @ self.text_projection


def _image_tower(embed_dim: int, activation: type[nn.Module], size: Mapping[str, Any]
                 ) -> nn.Module:
    if isinstance(size['layers'], (list, tuple)):
        return ModifiedResNet(embed_dim, size['image_size'], size['width'], size['layers'],
                              size['head_width'])
    return VisionTransformer(embed_dim, activation, **size)
