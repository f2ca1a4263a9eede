"""The small CLIP that PCNet starts from on the tabletop: whole frames and sentences, no more.

A residual CLIP as published ones are: a picture and a sentence about it belong together, other
pictures and sentences do not.  Two terms are ours.  A sentence is about one thing among many, so
the cells of the last map are compared with it as well, through the value and output projections
of the attention pool (as MaskCLIP reads a dense map off CLIP), and the best cells count.  And a
sentence belongs to its first cue, the noun.  No mask, no box and no proposal is read.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.methods.pcnet.network import PCNet, PCNetConfig, without_stride
from ris_ros.models.clip import build_clip
from ris_ros.training.engine.task import Batch, Loss, Source, Task
from ris_ros.training.pcnet import losses
from ris_ros.training.pcnet.settings import BackboneTraining
from ris_ros.training.pcnet.showing import Shown

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
        tower: Any = self.clip.visual
        for layer, stride in ((tower.layer4, 32), (tower.layer3, 16)):
            if config.stride < stride:
                without_stride(layer)
        for name, value in (('mean', config.mean), ('std', config.std)):
            self.register_buffer(name, torch.tensor(value).view(1, 3, 1, 1), persistent=False)

    def look(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a picture is, (B, D), and what each of its cells is, (B, P, D)."""
        tower = self.clip.visual
        x = (pixels / 255 - self.mean) / self.std
        x = tower.layer4(tower.layer3(tower.layer2(tower.layer1(tower.stem(x)))))
        pool = tower.attnpool
        cells = pool.c_proj(pool.v_proj(x.flatten(2).transpose(1, 2)))
        whole: Tensor = pool(x)
        return whole, cells

    def read(self, tokens: Tensor) -> Tensor:
        """Return what texts are, (n, D), of token ids (n, L)."""
        clip, length = self.clip, tokens.shape[1]
        mask = clip.attn_mask[:length, :length] if clip.attn_mask is not None else None
        x = clip.transformer(clip.token_embedding(tokens) + clip.positional_embedding[:length],
                             attn_mask=mask)
        x = clip.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)])
        read: Tensor = x @ clip.text_projection
        return read


class BackboneTask(Task):
    """The small CLIP with its losses; draws as PCNet does, without proposals."""

    figures: ClassVar[tuple[str, ...]] = FIGURES
    hidden: ClassVar[tuple[str, ...]] = ('.resblocks.',)

    def __init__(self, model: Backbone, source: Source, shown: Shown,
                 settings: BackboneTraining, held: Batch | None = None,
                 identity: Mapping[str, str | int | float] | None = None,
                 name: str = 'pcnet_backbone') -> None:
        """held: a batch of pictures that are not trained on, for `validate`."""
        self.name, self.model, self.source = name, model, source
        self.backbone, self.shown, self.settings = model, shown, settings
        self.held, self._identity = held, dict(identity or {})

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what a checkpoint has to agree in: the data."""
        return self._identity

    def validate(self) -> Mapping[str, float]:
        """Return how often a text finds its picture among those held out, and it its text."""
        if self.held is None:
            return {}
        count = len(self.held['rows'])
        whole, cells = self.backbone.look(self.held['pixels'].float())
        read = self.backbone.read(self.held['tokens'])[self.held['text'][:count]]
        logits = self._global(whole, read) + self._dense(cells, read)
        own = torch.arange(count, device=logits.device)
        return {'picture_of_text': float((logits.argmax(0) == own).float().mean()),
                'text_of_picture': float((logits.argmax(1) == own).float().mean())}

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the sum of the contrasts, and each by name."""
        settings = self.settings
        whole, cells = self.backbone.look(self.shown.pixels(batch))
        read = self.backbone.read(batch['tokens'])
        with torch.autocast(whole.device.type, enabled=False):
            whole, cells, read = whole.float(), cells.float(), read.float()
            count = len(batch['rows'])
            groups = [slice(g * count, (g + 1) * count) for g in range(settings.sentences)]
            texts = [read[batch['text'][g]] for g in groups]
            same = [self._same(batch, g) for g in groups]
            parts = {'picture': torch.stack([losses.contrast(self._global(whole, t), s)
                                             for t, s in zip(texts, same, strict=True)]).mean()}
            if settings.dense_weight:
                parts['dense'] = torch.stack([losses.contrast(self._dense(cells, t), s)
                                              for t, s in zip(texts, same, strict=True)]).mean()
            if settings.text_weight:
                parts['text'] = self._texts(batch, texts[0], read)
            weights = {'picture': 1.0, 'dense': settings.dense_weight,
                       'text': settings.text_weight}
            total = torch.stack([weights[n] * v for n, v in parts.items()]).sum()
        return total, {name: value.detach() for name, value in parts.items()}

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

    def _texts(self, batch: Batch, own: Tensor, read: Tensor) -> Tensor:
        """Return the contrast of a sentence with its first cue, against those of all others."""
        cue = batch['cues'][:len(own), 0]
        same = cue[:, None] == cue[None]
        return losses.contrast(self._global(own, read[cue]), same)

    @staticmethod
    def _same(batch: Batch, group: slice) -> Tensor:
        name, rows = batch['name'][group], batch['rows']
        return (name[:, None] == name[None]) | (rows[:, None] == rows[None])


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
