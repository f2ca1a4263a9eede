"""The matcher's image tower does not start from nothing: it starts from the small CLIP's."""
from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ris_ros.models.albef import Albef
from ris_ros.models.clip import CLIP_MEAN, CLIP_STD


def sines_and_cosines(grid: int, width: int) -> Tensor:
    """Return (grid * grid, width) positions: half for rows, half for columns, amplitude 0.5."""
    quarter = width // 4
    rates = 1.0 / (30.0 ** (torch.arange(quarter) / quarter))
    angles = torch.arange(grid)[:, None] * rates[None] * (14 / grid)
    one = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = one[:, None].expand(-1, grid, -1), one[None].expand(grid, -1, -1)
    return 0.5 * torch.cat([rows, columns], dim=2).reshape(grid * grid, width)


def start_from_clip(model: Albef, folders: list[Path]) -> Path | None:
    """
    Copy the visual tower of the first tabletop_clip in `folders` into the matcher's.

    Carries over: attention, norms, the hidden units that CLIP has (further ones start at
    random with an output of zero), the patch projection with CLIP's pixel statistics turned
    into the matcher's, and positions, resized to the grid.  CLIP's first norm (`ln_pre`) has
    no counterpart; its centring, gain and the mean scale of its input go into projection and
    positions.  The projection to the joint space is left out.  Where there is no CLIP or its
    sizes differ, positions start as sines and cosines; returns the file used, or None.
    """
    tower: Any = model.visual_encoder
    with torch.no_grad():
        tower.pos_embed[0, 1:] = sines_and_cosines(model.config.grid, model.config.vision_width)
    for folder in folders:
        path = folder / 'tabletop_clip.safetensors'
        if path.exists() and path.with_suffix('.json').exists():
            config = json.loads(path.with_suffix('.json').read_text())['config']
            state = load_file(str(path))
            if _fits(model, config):
                with torch.no_grad():
                    _copy(model, state, config)
                return path
            logging.getLogger(__name__).warning(
                '%s has other sizes than the matcher; its tower is not used', path)
    return None


def _fits(model: Albef, config: Mapping[str, Any]) -> bool:
    vision, own = config['vision_cfg'], model.config
    return (vision['width'] == own.vision_width and vision['layers'] == own.vision_depth
            and vision['patch_size'] == own.patch and vision['mlp_ratio'] <= 4
            and vision['width'] // vision['head_width'] == own.vision_heads)


def _copy(model: Albef, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    tower: Any = model.visual_encoder
    s = {k.removeprefix('visual.'): v.float() for k, v in state.items() if k.startswith('visual.')}
    # The same pixel: x_clip * std + mean = x * STD + MEAN.
    mean, std = torch.tensor(config['mean']), torch.tensor(config['std'])
    scale = torch.tensor(CLIP_STD) / std
    shift = (torch.tensor(CLIP_MEAN) - mean) / std
    kernel = s['conv1.weight']
    weight = kernel * scale[None, :, None, None]
    bias = (kernel * shift[None, :, None, None]).sum((1, 2, 3))
    place = s['positional_embedding']
    cls, patches = s['class_embedding'] + place[0], place[1:]
    old = round(len(patches) ** 0.5)
    patches = F.interpolate(patches.T.reshape(1, -1, old, old), size=(model.config.grid,) * 2,
                            mode='bicubic', align_corners=False)[0].flatten(1).T
    gain, offset = s['ln_pre.weight'], s['ln_pre.bias']
    # Centring over channels is linear, so it can be part of every summand.
    weight, bias = weight - weight.mean(0), bias - bias.mean()
    patches = patches - patches.mean(1, keepdim=True)
    # Spread of a patch of one colour, half a unit from the mean, over its positions.
    plain = (weight.sum((2, 3)) * 0.5).sum(1) + bias + patches
    spread = plain.std(dim=1).mean()
    tower.patch_embed.proj.weight.copy_(weight * (gain / spread)[:, None, None, None])
    tower.patch_embed.proj.bias.copy_(bias * gain / spread)
    tower.pos_embed[0, 1:] = patches * gain / spread + offset
    tower.pos_embed[0, 0] = F.layer_norm(cls, cls.shape, gain, offset)
    tower.cls_token.zero_()
    for i, block in enumerate(tower.blocks):
        _copy_block(block, {k.removeprefix(f'transformer.resblocks.{i}.'): v
                            for k, v in s.items() if f'resblocks.{i}.' in k})
    tower.norm.weight.copy_(s['ln_post.weight'])
    tower.norm.bias.copy_(s['ln_post.bias'])


def _copy_block(block: Any, s: Mapping[str, Tensor]) -> None:
    for new, old in ((block.norm1, 'ln_1'), (block.norm2, 'ln_2'),
                     (block.attn.proj, 'attn.out_proj')):
        new.weight.copy_(s[f'{old}.weight'])
        new.bias.copy_(s[f'{old}.bias'])
    block.attn.qkv.weight.copy_(s['attn.in_proj_weight'])
    block.attn.qkv.bias.copy_(s['attn.in_proj_bias'])
    hidden = len(s['mlp.c_fc.bias'])
    block.mlp.fc1.weight[:hidden] = s['mlp.c_fc.weight']
    block.mlp.fc1.bias[:hidden] = s['mlp.c_fc.bias']
    block.mlp.fc2.weight.zero_()
    block.mlp.fc2.weight[:, :hidden] = s['mlp.c_proj.weight']
    block.mlp.fc2.bias.copy_(s['mlp.c_proj.bias'])
