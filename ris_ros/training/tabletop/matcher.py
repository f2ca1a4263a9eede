"""
Train the small image-text matcher of the tabletop profile, which IteRPrimE looks through.

The network is `models.albef` in small.  Its task is image-text matching over many statements
per picture, true and false (`tabletop_statements`), so that the tower runs once per picture.
Two further losses use the masks that the simulator knows, and nothing of them is kept:

- names: patches of the tower's output tell kind, colour and size of what they show;
- words: in the first fusion layer a phrase looks at all that it fits by itself, in a later one
  (`meant_above` the Grad-CAM layer) the target's phrase and [CLS] look at the object meant
  (cross-attention, mean of heads).

So the matcher was shown where things are, unlike the paper's ALBEF, and it knows the simulated
tabletop only.  Grad-CAM's own map, which IteRPrimE is tested with, is in no loss.  Labels are
smoothed and patches hidden at random, so that a match stays unsure and another look can add to
it.  To fit one CPU core most steps keep the patches with objects and a random part
of the table; a kept patch of the table counts in every attention for those left out.
"""
from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.models.albef import Albef, AlbefConfig
from ris_ros.models.clip import CLIP_MEAN, CLIP_STD
from ris_ros.models.weights import SHIPPED
from ris_ros.models.wordpiece import WordPiece
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.package import write_network
from ris_ros.training.engine.task import Batch, Loss, Task
from ris_ros.training.tabletop.job import Job
from ris_ros.training.tabletop.matcher_data import IGNORE, MatcherSource, Pictures
from ris_ros.training.tabletop.matcher_report import grad_cam_layer, report_on
from ris_ros.training.tabletop.matcher_start import start_from_clip
from ris_ros.training.tabletop.settings import MatcherSettings
from ris_ros.training.tabletop.statements import matcher_vocabulary

WEIGHTS = {'match': 1.0, 'names': 1.0, 'known': 0.3, 'meant': 0.5}
TABLE_WEIGHT = 0.2       # of patches of the table among those that tell their kind


def tabletop_matcher_config() -> dict[str, Any]:
    """Return the configuration as `Networks.matcher` reads it, vocabulary included."""
    words = matcher_vocabulary()
    return {'image_size': 320, 'patch': 16, 'vision_width': 128, 'vision_depth': 6,
            'vision_heads': 4, 'text_width': 128, 'text_layers': 8, 'fusion_layer': 2,
            'heads': 4, 'intermediate': 384, 'vocab': len(words), 'positions': 64,
            'text_eps': 1e-6, 'vocabulary': words}


class MatcherTrainee(nn.Module):
    """The network with the heads that only training uses."""

    mean: Tensor
    std: Tensor
    balance: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the network of `tabletop_matcher_config`."""
        super().__init__()
        sizes = {k: v for k, v in config.items() if k != 'vocabulary'}
        self.albef = Albef(AlbefConfig.from_dict(sizes))
        width = self.albef.config.vision_width
        self.register_buffer('mean', torch.tensor(CLIP_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(CLIP_STD).view(3, 1, 1), persistent=False)
        balance = torch.tensor([TABLE_WEIGHT, *[1.0] * len(KINDS)])
        self.register_buffer('balance', balance, persistent=False)
        self.names = nn.Linear(width, len(KINDS) + 1 + len(COLOURS) + 2)

    def normalised(self, patches: Tensor) -> Tensor:
        """(B, K, p * p * 3) uint8 to normalised (B, K, 3, p, p), its colours changed a little."""
        side, device = self.albef.config.patch, patches.device
        x = patches.view(*patches.shape[:2], side, side, 3).permute(0, 1, 4, 2, 3).float() / 255
        gain = 1 + 0.12 * torch.randn(len(x), 1, 1, 1, 1, device=device)
        gain = gain * (1 + 0.025 * torch.randn(len(x), 1, 3, 1, 1, device=device))
        return ((x * gain).clamp(0, 1) - self.mean) / self.std

    def tower(self, patches: Tensor, index: Tensor, bias: Tensor) -> Tensor:
        """
        Encode kept patches, CLS first: (B, 1 + K, width).

        patches: (B, K, 3, p, p) normalised.  index: (B, K) places.  bias: (B, 1 + K), the
        logarithm of how many tokens each stands for.
        """
        tower: Any = self.albef.visual_encoder
        project = tower.patch_embed.proj
        x = F.linear(patches.flatten(2), project.weight.flatten(1), project.bias)
        x = x + tower.pos_embed[0, 1:][index]
        cls = (tower.cls_token[0] + tower.pos_embed[0, :1]).expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1)
        for block in tower.blocks:
            q, k, v = (_heads(part, block.attn.heads)
                       for part in block.attn.qkv(block.norm1(x)).chunk(3, dim=-1))
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None, None, :])
            x = x + block.attn.proj(mixed.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.norm2(x))
        return tower.norm(x)

    def match(self, image: Tensor, ids: Tensor, valid: Tensor, bias: Tensor
              ) -> tuple[Tensor, list[Tensor]]:
        """
        Return matching logits (B, C, 2) and each fusion layer's weights (B, heads, C, T, 1 + K).

        image: (B, 1 + K, width).  ids, valid: (B, C, T).  The last layer's weights are those of
        [CLS] alone, T = 1.  Attention is written out, since Grad-CAM's loss differentiates it
        twice.
        """
        albef, (b, c, _) = self.albef, ids.shape
        first, last = albef.config.fusion_layer, albef.config.text_layers - 1
        flat = valid.flatten(0, 1)
        x = albef.text_encoder.embed(ids.flatten(0, 1))
        maps = []
        for i, layer in enumerate(albef.layers):
            x = _read(layer, x, flat, first_only=i == last)
            if i >= first:
                own = layer.crossattention
                keys, values = own.keys(image)
                query = own.query(x.view(b, c * x.shape[1], -1))
                scores = query @ keys.transpose(-1, -2) / math.sqrt(query.shape[-1])
                weights = (scores + bias[:, None, None, :]).softmax(dim=-1)
                mixed = (weights @ values).transpose(1, 2).reshape(b * c, x.shape[1], -1)
                x = own.output(mixed, x)
                maps.append(weights)
            x = layer.feed_forward(x)
        logits = albef.itm_head(x[:, 0]).view(b, c, 2)
        return logits, maps


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _read(layer: Any, x: Tensor, valid: Tensor, first_only: bool) -> Tensor:
    own = layer.attention
    keys = own.keys(x)
    query = x[:, :1] if first_only else x
    mixed = own.weights(query, keys, valid) @ keys[1]
    return own.output(mixed.transpose(1, 2).flatten(2), query)


def _falls_on(where: Tensor, wanted: Tensor) -> Tensor:
    """Return the cross-entropy of distributions `where` (..., K), rows with none left out."""
    rows = (wanted.sum(-1) > 0.5).float()
    each = -(wanted * (where + 1e-6).log()).sum(-1)
    return (each * rows).sum() / rows.sum().clamp(min=1)


class MatcherTask(Task):
    """The small matcher in training: tower, fusion layers, the losses added up."""

    name = 'matcher'
    figures = MatcherSettings.figures
    hidden = ('.blocks.', '.layer.')
    model: MatcherTrainee

    def __init__(self, model: MatcherTrainee, tokenizer: WordPiece, pictures: Pictures, job: Job
                 ) -> None:
        """pictures: of the training scenes."""
        self.model, self.tokenizer, self.job = model, tokenizer, job
        self.settings: MatcherSettings = job.settings
        self.config = model.albef.config
        self.source = MatcherSource(pictures, tokenizer, self.settings)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what the batches are drawn from."""
        return self.job.identity()

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the weighted sum of the losses, and each."""
        losses = self.losses(batch)
        return torch.stack([WEIGHTS[k] * v for k, v in losses.items()]).sum(), losses

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a batch by name, see WEIGHTS."""
        model, ids, s = self.model, batch['ids'], self.settings
        bias = F.pad(batch['weight'].log(), (1, 0))
        pixels = model.normalised(batch['patches'])
        image = model.tower(pixels, batch['index'], bias)
        logits, maps = model.match(image, ids, batch['valid'], bias)
        # The last layer's weights are those of [CLS] alone.
        layer = min(grad_cam_layer(self.config) + s.meant_above, self.config.text_layers - 2)
        early, late = (maps[i].mean(1).view(*ids.shape, -1)[..., 1:]
                       for i in (0, layer - self.config.fusion_layer))
        return {'match': F.cross_entropy(logits.flatten(0, 1), batch['match'].flatten(),
                                         label_smoothing=s.smoothing),
                'names': self._name_loss(image[:, 1:], batch),
                'known': _falls_on(early, batch['known']),
                'meant': _falls_on(late, batch['meant'])}

    def _name_loss(self, tokens: Tensor, batch: Batch) -> Tensor:
        scores = self.model.names(tokens).flatten(0, 1)
        parts = scores.split([len(KINDS) + 1, len(COLOURS), 2], dim=1)
        total = scores.new_zeros(())
        for score, name, weight in zip(parts, ('kind', 'colour', 'size'), (1.0, 0.5, 0.25),
                                       strict=True):
            truth = batch[name].flatten()
            balance = self.model.balance if name == 'kind' else torch.ones_like(score[0])
            # Without asking whether there is a clear patch at all, which would wait for a GPU.
            counted = (balance[truth.clamp(min=0)] * (truth != IGNORE)).sum().clamp(min=1e-6)
            total = total + weight / counted * F.cross_entropy(
                score, truth, balance, ignore_index=IGNORE, reduction='sum')
        return total

    def validate(self) -> Mapping[str, float]:
        """Return how statements about validation scenes are told, and where maps peak."""
        return report_on(self.model.albef, self.tokenizer, self.job.val,
                         self.settings.validation_scenes)


def train_matcher(job: Job) -> Outcome:
    """Train by the job's settings and write tabletop_matcher.safetensors and .json."""
    config = tabletop_matcher_config()
    model = MatcherTrainee(config)
    source = start_from_clip(model.albef, [job.out, SHIPPED])
    print(f'matcher: the image tower starts from {source or "nothing"}', file=sys.stderr)
    tokenizer, sizes = WordPiece(config['vocabulary']), model.albef.config
    with job.runtime.main_first():
        pictures = Pictures(job.train, sizes.image_size, sizes.patch, job.work)
    task = MatcherTask(model, tokenizer, pictures, job)
    outcome = fit(task, job.settings, job.work, job.runtime)
    if job.runtime.is_main:
        write_network(job.out, 'tabletop_matcher', model.albef.state_dict(), config,
                      outcome.record())
    return outcome
