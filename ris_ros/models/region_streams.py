"""Hybrid global-local region features (HybridGL section 3.2) and the tower modes around them."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ris_ros.lazy import require
from ris_ros.models import vit
from ris_ros.models.sampling import Taps
from ris_ros.models.vit import Tower
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

FUSION_MODES = ('g2l', 'l2g', 'g2l_l2g', 'local', 'global', 'global_local')
FusionMode = Literal['g2l', 'l2g', 'g2l_l2g', 'local', 'global', 'global_local']


@dataclass(frozen=True)
class Fusion:
    """How the two streams make one feature (HybridGL equations 1 and 2, table 3).

    mode: g2l (the paper's choice), l2g, their sum, one stream alone, or a weighted sum of
    the two plain streams.  start: 0-based block from which on streams are fused and masks
    act.  beta: weight of the global stream.  fuse_cls: add the global CLS token too
    (released code; the paper's mask covers image tokens only).  attention_mask: CLS of the
    global stream sees patches of the region only.  token_mask: the global stream's patches
    outside the region are set to zero.  global_weight: share of G in global_local.
    """

    mode: str = 'g2l'
    start: int = 9
    beta: float = 2.0
    fuse_cls: bool = True
    attention_mask: bool = True
    token_mask: bool = False
    global_weight: float = 0.5


def token_grid(masks: Tensor, grid: tuple[int, int], kind: Literal['soft', 'binary'] = 'soft'
               ) -> Tensor:
    """Return the mask on the patch grid, (N, P) float32 in [0, 1].

    masks: (N, H, W) bool.  soft: sampled bilinearly at the patch centres without
    antialiasing (released code); thin masks may vanish.  binary: 1 where the mask covers
    more than half of the patch, and at least the best covered patch of a mask that has any
    pixel, so that no region vanishes (the paper's B in {0, 1}).
    """
    height, width = masks.shape[-2:]
    if kind == 'soft':
        return Taps((height, width), grid, masks.device).resize(masks).flatten(1)
    cover = functional.adaptive_avg_pool2d(masks[:, None].float(), grid).flatten(1)
    best = cover.amax(dim=1, keepdim=True)
    return ((cover > 0.5) | ((cover == best) & (best > 0))).float()


def hybrid_features(visual: Tower, local: Tensor, context: Tensor, tokens: Tensor,
                    fusion: Fusion) -> Tensor:
    """Return one feature per region, (n, D) float32, not normalised.

    local: (n, 3, s, s) masked views.  context: (n, 3, s, s) views with blurred surroundings.
    tokens: (n, P) in [0, 1] from `token_grid`.  Neither the global stream's last block nor
    the patch rows of the last fused block are computed: nobody reads them.
    Raises BadInputError for an unknown mode or a start block the tower does not have.
    """
    layers = len(visual.transformer.resblocks)
    if fusion.mode not in FUSION_MODES:
        raise BadInputError(f'fusion must be one of {", ".join(FUSION_MODES)}')
    if not 0 <= fusion.start < layers:
        raise BadInputError(f'start_block must lie in [0, {layers - 1}] for this network, '
                            f'not {fusion.start}')
    if fusion.mode == 'g2l_l2g':
        return sum((_fused(visual, local, context, tokens, fusion, mode)
                    for mode in ('g2l', 'l2g')), torch.zeros((), device=local.device))
    if fusion.mode == 'global_local':
        weight = fusion.global_weight
        return (weight * _single(visual, context, tokens, fusion, True)
                + (1 - weight) * _single(visual, local, tokens, fusion, False))
    if fusion.mode in ('local', 'global'):
        is_global = fusion.mode == 'global'
        return _single(visual, context if is_global else local, tokens, fusion, is_global)
    return _fused(visual, local, context, tokens, fusion, fusion.mode)


def _cls_keys(tokens: Tensor) -> Tensor:
    """Return (n, 1 + P) bool: CLS always sees itself, and patches that the region touches."""
    return functional.pad(tokens > 0, (1, 0), value=True)


def _single(visual: Tower, images: Tensor, tokens: Tensor, fusion: Fusion,
            masked: bool) -> Tensor:
    """One stream alone; its masks act from the start block on."""
    blocks = visual.transformer.resblocks
    keys = _cls_keys(tokens) if masked and fusion.attention_mask else None
    keep = functional.pad(tokens, (1, 0), value=1.0)[..., None]
    x = vit.tokens_of(visual, images)
    for i, block in enumerate(blocks):
        late = i >= fusion.start
        if late and masked and fusion.token_mask:
            x = x * keep
        x = vit.run_block(block, x, keys if late else None, cls_only=i == len(blocks) - 1)
    return vit.head(visual, x[:, 0]).float()


def _fused(visual: Tower, local: Tensor, context: Tensor, tokens: Tensor,
           fusion: Fusion, mode: str) -> Tensor:
    """G2L: equation 1 into the local stream.  L2G: the local stream into the masked global."""
    blocks = visual.transformer.resblocks
    keys = _cls_keys(tokens) if fusion.attention_mask else None
    # Equation 1's B; beta belongs to the global stream in both directions.
    gate = functional.pad(tokens, (1, 0), value=float(fusion.fuse_cls))[..., None] * fusion.beta
    x_local, x_global = vit.tokens_of(visual, local), vit.tokens_of(visual, context)
    for block in blocks[:fusion.start]:
        x_local, x_global = vit.run_block(block, x_local), vit.run_block(block, x_global)
    for block in blocks[fusion.start:]:
        last = block is blocks[-1]
        if mode == 'g2l':
            fused = vit.run_block(block, x_local + gate * x_global, cls_only=last)
            x_global = x_global if last else vit.run_block(block, x_global, keys)
            x_local = fused
        else:
            fused = vit.run_block(block, x_local + fusion.beta * x_global, keys, cls_only=last)
            x_local = x_local if last else vit.run_block(block, x_local)
            x_global = fused
    return vit.head(visual, (x_local if mode == 'g2l' else x_global)[:, 0]).float()
