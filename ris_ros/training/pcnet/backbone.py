"""The small CLIP that PCNet starts from on the tabletop: whole frames and sentences, no more.

A residual CLIP as published ones are: a picture and a sentence about it belong together, other
pictures and sentences do not.  What is ours: a sentence is about one thing among many, so it is
compared with the means of the last map inside of SAM's proposals (or with its cells), through
the value and output projections of the attention pool, as MaskCLIP reads a dense map off CLIP,
and the best one counts; sentences about one thing agree on which (`agreement`).  No true mask and
no box is read.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.methods.pcnet.network import (
    PCNet,
    PCNetConfig,
    fit_stride,
    last_map_of,
    read_tokens,
)
from ris_ros.models.clip import build_clip
from ris_ros.training.engine.task import Batch, Loss, Source, Task
from ris_ros.training.pcnet import agreement, losses
from ris_ros.training.pcnet.proposals import Unpacker, without_empty
from ris_ros.training.pcnet.settings import BackboneTraining
from ris_ros.training.pcnet.showing import Shown
from ris_ros.training.pcnet.task import plain_attention

TINY = 1e-5

FIGURES = ('picture_of_text', 'text_of_picture')


class Backbone(nn.Module):
    """A residual CLIP at PCNet's input size, its last strides left out as there.

    The attention pool has positions for every cell of its map, so it is built for the finer
    grid.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: PCNetConfig) -> None:
        super().__init__()
        self.config = config
        vision = {**config.clip['vision_cfg'], 'image_size': 32 * config.grid}
        self.clip: Any = build_clip({**config.clip, 'vision_cfg': vision})
        fit_stride(self.clip.visual, config.stride)
        for name, value in (('mean', config.mean), ('std', config.std)):
            self.register_buffer(name, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        self.of_places = Standardised(config.clip['embed_dim'])
        self.of_texts = Standardised(config.clip['embed_dim'])

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """Return the weights of the CLIP alone, its standardised embeddings as its own.

        The text's mean goes through the bias before its projection.
        """
        state: dict[str, Tensor] = {k: v.clone() for k, v in self.clip.state_dict().items()}
        mean, scale = self.of_places.mean, self.of_places.variance.add(TINY).rsqrt()
        prefix = 'visual.attnpool.c_proj.'
        state[f'{prefix}weight'] = state[f'{prefix}weight'] * scale[:, None]
        state[f'{prefix}bias'] = (state[f'{prefix}bias'] - mean) * scale
        mean, scale = self.of_texts.mean, self.of_texts.variance.add(TINY).rsqrt()
        projection = state['text_projection']
        state['ln_final.bias'] = state['ln_final.bias'] - mean @ torch.linalg.pinv(projection)
        state['text_projection'] = projection * scale
        return state

    def look(self, pixels: Tensor, whole: bool = True) -> tuple[Tensor, Tensor]:
        """Return what a picture is, (B, D), and what each of its cells is, (B, P, D).

        whole: False where the former is not wanted; it is (B, 0) then.
        """
        tower = self.clip.visual
        x = last_map_of(tower, (pixels / 255 - self.mean) / self.std)
        pool = tower.attnpool
        cells = pool.c_proj(pool.v_proj(x.flatten(2).transpose(1, 2)))
        return pool(x) if whole else cells[:, 0, :0], cells

    def read(self, tokens: Tensor) -> Tensor:
        """Return what texts are, (n, D), of token ids (n, L)."""
        return read_tokens(self.clip, tokens)


class Standardised(nn.Module):
    """Brings embeddings to mean 0 and variance 1 in every channel; nothing of it is learned.

    In training over what is given, else over what training gave of late.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer('mean', torch.zeros(channels))
        self.register_buffer('variance', torch.ones(channels))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Return x (n, C); counts: (n,) bool, the rows that mean and variance are of."""
        if self.training:
            share = counts.to(x.dtype)[:, None] / counts.sum().clamp(min=1)
            mean = (x * share).sum(dim=0)
            variance = ((x - mean).square() * share).sum(dim=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        else:
            mean, variance = self.mean, self.variance
        return (x - mean) * torch.rsqrt(variance + TINY)


class BackboneTask(Task):
    """The small CLIP with its losses; its batches bring no proposals, see `proposals`."""

    figures: ClassVar[tuple[str, ...]] = FIGURES
    hidden: ClassVar[tuple[str, ...]] = ('.resblocks.',)

    def __init__(self, model: Backbone, source: Source, shown: Shown,
                 settings: BackboneTraining, held: Batch | None = None,
                 proposals: Tensor | None = None,
                 identity: Mapping[str, str | int | float] | None = None,
                 name: str = 'pcnet_backbone') -> None:
        """held: a batch of pictures that are not trained on, for `validate`.

        proposals: (N, P, 32, 4) uint8 on the device, for dense=regions.
        """
        self.name, self.model, self.source = name, model, source
        self.backbone, self.shown, self.settings = model, shown, settings
        self.held, self._identity = held, dict(identity or {})
        self.proposals = None if proposals is None else without_empty(proposals)
        if proposals is not None:
            self.unpack = Unpacker(proposals.device)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what a checkpoint has to agree in: the data."""
        return self._identity

    def validate(self) -> Mapping[str, float]:
        """Return how often a text finds its picture among those held out, and it its text."""
        if self.held is None:
            return {}
        count = len(self.held['rows'])
        whole, cells = self.backbone.look(self.held['pixels'].float(),
                                          self.settings.whole_weight > 0)
        read = self.backbone.read(self.held['tokens'])[self.held['text'][:count]]
        if self.settings.standardise:
            read = self._texts_apart(read)
            flat = cells.flatten(0, 1)
            cells = self.backbone.of_places(flat, flat.new_ones(len(flat), dtype=torch.bool)
                                            ).view_as(cells)
        logits = self._dense(cells, read)
        if self.settings.whole_weight:
            logits = logits + self._global(whole, read)
        own = torch.arange(count, device=logits.device)
        return {'picture_of_text': float((logits.argmax(0) == own).float().mean()),
                'text_of_picture': float((logits.argmax(1) == own).float().mean())}

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the sum of the contrasts, and each by name."""
        settings, count = self.settings, len(batch['rows'])
        whole, cells = self.backbone.look(self.shown.pixels(batch), settings.whole_weight > 0)
        with plain_attention(cells.device):
            read = self.backbone.read(batch['tokens'])
        with torch.autocast(cells.device.type, enabled=False):
            cells, read = cells.float(), read.float()
            # With references the sentences of these, one of each picture in every group.
            chosen = batch['group_text' if settings.references else 'text']
            groups = chosen.unflatten(0, (-1, count))
            same = [losses.alike(group, batch['rows']) for group in groups]
            read = self._texts_apart(read)
            parts: dict[str, tuple[float, Tensor]] = {}
            if settings.whole_weight:
                parts['picture'] = settings.whole_weight, torch.stack([
                    losses.contrast(self._global(whole.float(), read[g]), s)
                    for g, s in zip(groups, same, strict=True)]).mean()
            if settings.dense_weight or settings.agree_weight:
                parts |= self._dense_parts(batch, cells, read[groups], same, fraction)
            if settings.text_weight:
                parts['text'] = settings.text_weight, self._texts(batch, read)
            total = torch.stack([weight * value for weight, value in parts.values()]).sum()
        return total, {name: value.detach() for name, (_, value) in parts.items()}

    def _dense_parts(self, batch: Batch, cells: Tensor, read: Tensor, same: list[Tensor],
                     fraction: float) -> dict[str, tuple[float, Tensor]]:
        """Return the contrast over proposals or cells, and the agreement over proposals.

        cells: (B, P, D).  read: (G, B, D) texts.
        """
        settings = self.settings
        if settings.dense == 'cells':
            found = [losses.contrast(self._dense(cells, r), s)
                     for r, s in zip(read, same, strict=True)]
            return {'dense': (settings.dense_weight, torch.stack(found).mean())}
        assert self.proposals is not None
        masks = self.unpack(self.proposals[batch['rows']], batch['mirror'])
        there = masks.flatten(2).any(dim=2)
        inside = losses.region_weights(masks, self.backbone.config.grid) @ cells
        if settings.standardise:
            inside = self.backbone.of_places(inside.flatten(0, 1), there.flatten()).view_as(
                inside)
        logits = self._scale * torch.einsum('brd,ged->gebr', F.normalize(inside, dim=-1),
                                            F.normalize(read, dim=-1))
        logits = logits.masked_fill(~there, -1e4)                   # (G, texts, pictures, R)
        temperature = settings.dense_temperature
        pooled = temperature * torch.logsumexp(logits / temperature, dim=3)
        parts = {'dense': (settings.dense_weight, torch.stack([
            losses.contrast(p.T, s) for p, s in zip(pooled, same, strict=True)]).mean())}
        if settings.references and settings.agree_weight:
            shape = (settings.references, settings.sentences)
            own = logits.diagonal(dim1=1, dim2=2).permute(2, 0, 1).unflatten(1, shape)
            said = batch['group_said'].unflatten(0, (*shape, len(cells))).permute(2, 0, 1)
            common = agreement.common_choice(own, said, losses.proposal_overlaps(masks))
            start = settings.agree_from
            rise = min(1.0, max(0.0, fraction / start - 1)) if start else 1.0
            parts['agree'] = rise * settings.agree_weight, agreement.towards(own, said, common)
            parts['trust'] = 0.0, common.trust.mean()
        return parts

    def _texts_apart(self, read: Tensor) -> Tensor:
        """Return texts (n, D) standardised where that is asked for."""
        if not self.settings.standardise:
            return read
        return self.backbone.of_texts(read, read.new_ones(len(read), dtype=torch.bool))

    @property
    def _scale(self) -> Tensor:
        scale: Tensor = self.backbone.clip.logit_scale.exp().clamp(max=100)
        return scale

    def _global(self, whole: Tensor, read: Tensor) -> Tensor:
        """Return the logits of texts (E, D) on pictures (B, D), (B, E)."""
        return self._scale * F.normalize(whole, dim=-1) @ F.normalize(read, dim=-1).T

    def _dense(self, cells: Tensor, read: Tensor) -> Tensor:
        """Return the same of the best cells (B, P, D): a smooth maximum."""
        logits = self._scale * F.normalize(cells, dim=-1) @ F.normalize(read, dim=-1).T
        temperature = self.settings.dense_temperature
        return temperature * torch.logsumexp(logits / temperature, dim=1)

    def _texts(self, batch: Batch, read: Tensor) -> Tensor:
        """Return the contrast of a sentence with its first cue, against those of all others."""
        own = batch['text'][:len(batch['rows'])]
        cue = batch['cues'][:len(own), 0]
        return losses.contrast(self._global(read[own], read[cue]), cue[:, None] == cue[None])


def hand_over(backbone: Mapping[str, Tensor], network: PCNet, projections: bool = True) -> None:
    """Start a PCNet from a backbone's weights, or those of any residual CLIP.

    backbone: in open_clip's names.  projections: start these too; the picture's becomes that of
    the attention pool (MaskCLIP), so that maps mean something from the first step on, and the
    text's the identity; where the stages have fewer or more channels than CLIP's embedding, its
    leading ones.
    """
    own = {name: value for name, value in backbone.items()
           if not name.startswith('visual.attnpool.')}
    network.clip.load_state_dict(own)
    if not projections:
        return
    prefix = 'visual.attnpool.'
    values = {part: (backbone[f'{prefix}{part}.weight'].float(),
                     backbone[f'{prefix}{part}.bias'].float()) for part in ('v_proj', 'c_proj')}
    weight = values['c_proj'][0] @ values['v_proj'][0]
    bias = values['c_proj'][0] @ values['v_proj'][1] + values['c_proj'][1]
    channels = min(network.config.channels, len(weight))
    with torch.no_grad():
        network.visual_projection.weight[:channels] = weight[:channels, :, None, None]
        assert network.visual_projection.bias is not None
        network.visual_projection.bias[:channels] = bias[:channels]
        network.text_projection.weight.copy_(torch.eye(*network.text_projection.weight.shape))
        network.text_projection.bias.zero_()
