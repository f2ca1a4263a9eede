"""Prompt-RIS in training: coarse masks first, then end to end (section 4.2, equation 9)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.methods.prompt_ris.coarse import Coarse
from ris_ros.methods.prompt_ris.network import Picture, PointDraw, PromptRis
from ris_ros.training.engine.task import Batch, Loss, Source, Task
from ris_ros.training.prompt_ris.frames import Frames
from ris_ros.training.prompt_ris.learning import set_learning
from ris_ros.training.prompt_ris.losses import contrastive_loss, iou_of, segmentation_loss
from ris_ros.training.prompt_ris.names import Learning, NamesHead, NameTable
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.training.prompt_ris.validation import FIGURES, Validation

# Modules whose matrices Muon trains where it is chosen.
HIDDEN = ('resblocks.', 'prompting.', 'coarse_decoder.', 'sam_prompts.blocks.', '.blocks.',
          'mask_decoder.transformer.')
PER_SENTENCE = ('tokens', 'targets', 'masks')   # of what a batch holds


class PromptRisTask(Task):
    """Trains a network; `parts` of the loss go to the log by name.

    A batch holds, beside what `Frames` reads: tokens (B, L) int64; targets (B, T) int64, see
    `sentences.targets_array`.  The b sentences of one picture stand together.
    part: 'both', or 'coarse' or 'end' where each part of the run has its own curve.
    """

    figures: ClassVar[tuple[str, ...]] = FIGURES
    hidden: ClassVar[tuple[str, ...]] = HIDDEN

    def __init__(self, network: PromptRis, source: Source, frames: Frames,
                 settings: PromptRisTraining, mean: tuple[float, ...], std: tuple[float, ...],
                 validation: Validation | None = None, identity: Mapping[str, Any] | None = None,
                 part: str = 'both', names: NameTable | None = None) -> None:
        """mean, std: of CLIP's pixel normalisation, for pixels in [0, 1].

        names: what every patch shows, where settings.names_part is above 0.
        """
        self.model: nn.Module = network
        self.network, self.source, self.frames = network, source, frames
        self.names = names
        if names is not None:
            width = int(network.clip.visual.conv1.out_channels)
            self.model = Learning(network, NamesHead(width, names.sizes))
        self.settings, self.validation = settings, validation
        # Kept on the device: a small copy at every step would wait for what is queued.
        self.shift = -torch.tensor(mean)[:, None, None] / torch.tensor(std)[:, None, None]
        self.factor = 1 / torch.tensor(std)[:, None, None]
        self._identity = dict(identity or {})
        self.part = part
        self.name = 'prompt_ris' if part == 'both' else f'prompt_ris_{part}'
        set_learning(network, settings)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what the data and the network were."""
        return self._identity

    def scale_of(self, name: str) -> float:
        """CLIP's own weights may learn more slowly."""
        of_clip = name.removeprefix('network.').startswith('clip.')
        return self.settings.clip_rate if of_clip else 1.0

    def ends(self, fraction: float) -> bool:
        """Return whether the run trains end to end at this fraction of it."""
        if self.part == 'both':
            return fraction >= self.settings.coarse_part
        return self.part == 'end'

    def temperature(self, fraction: float) -> float:
        """Return the temperature of the Gumbel-softmax at a fraction of the run."""
        first, last = self.settings.temperature, self.settings.last_temperature
        return first * (last / first) ** fraction

    def pixels(self, shown: Tensor) -> Tensor:
        """Return CLIP's input (G, 3, h, w) of pixels in [0, 255]; training may recolour it."""
        x = shown / 255
        if self.shift.device != x.device:
            self.shift, self.factor = self.shift.to(x.device), self.factor.to(x.device)
        if self.settings.augment and self.model.training:
            gain = 1 + 0.12 * torch.randn(len(x), 1, 1, 1, device=x.device)
            tint = 1 + 0.03 * torch.randn(len(x), 3, 1, 1, device=x.device)
            x = (x * gain * tint).clamp(0, 1)
        return x * self.factor + self.shift

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the mean loss of a batch and its parts."""
        network, settings = self.network, self.settings
        ends = self.ends(fraction)
        shown = self.frames.shown(batch)
        picture = network.look(self.frames.layout, self.pixels(shown.pixels),
                               shown.embeddings() if ends else None, settings.recompute)
        lesson = self._names_loss(picture, batch)
        if fraction < settings.names_part:
            return torch.stack(list(lesson.values())).sum(), lesson
        coarse = network.coarse(picture, batch['tokens'], settings.recompute)
        found = (batch['targets'] > 0).sum(dim=1)
        truth = self.frames.truth(batch, 1)
        cells = picture.layout.inside(picture.layout.on_mask_grid(coarse.logits))
        parts = lesson | self._mask_losses(
            'coarse', cells, truth, batch['targets'], found > 0,
            torch.ones_like(found, dtype=torch.bool), picture.count)
        if coarse.presence is not None:
            parts['presence'] = settings.presence_weight * F.binary_cross_entropy_with_logits(
                coarse.presence, (found > 0).float())
        if ends:
            parts |= self._final_losses(picture, *self._refined(coarse, batch), fraction)
        return torch.stack(list(parts.values())).sum(), parts

    def _names_loss(self, picture: Picture, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of what every patch shows, nothing where that is not asked for."""
        if self.names is None:
            return {}
        assert isinstance(self.model, Learning)
        loss = self.model.names.loss(picture, self.names.of(batch))
        return {'names': self.settings.names_weight * loss}

    def _refined(self, coarse: Coarse, batch: Batch) -> tuple[Coarse, Batch]:
        """Return those sentences that go on to SAM: the first ones of each picture.

        Their order is random already.
        """
        some = self.settings.refined
        each = self.settings.sentences
        if not some or some == each:
            return coarse, batch
        rows = torch.arange(len(coarse.logits), device=coarse.logits.device)
        rows = rows.view(-1, each)[:, :some].flatten()
        part = {name: value[rows] if name in PER_SENTENCE else value
                for name, value in batch.items()}
        return Coarse(coarse.logits[rows], None, coarse.text[rows], coarse.keep[rows]), part

    def _final_losses(self, picture: Picture, coarse: Coarse, batch: Batch, fraction: float
                      ) -> dict[str, Tensor]:
        """Return the losses of SAM's masks, of sentences that mean one object."""
        settings, scale = self.settings, self.settings.loss_scale
        device = coarse.logits.device
        single = (batch['targets'] > 0).sum(dim=1) == 1
        given = torch.rand(len(single), 3, device=device) >= settings.prompt_dropout
        masks, score = self.network.refine(picture, coarse, given,
                                           PointDraw(self.temperature(fraction)))
        masks = picture.layout.inside(masks)
        truth = self.frames.truth(batch, scale)
        if scale > 1:
            masks = F.interpolate(masks[:, None], size=truth.shape[1:], mode='bilinear',
                                  align_corners=False)[:, 0]
        parts = self._mask_losses('final', masks, truth, batch['targets'], single, single,
                                  picture.count)
        if settings.train_sam in ('decoder', 'all'):
            error = (score - iou_of(masks, truth)).square()
            parts['score'] = settings.score_weight * _mean_of(error, single)
        return parts

    def _mask_losses(self, name: str, logits: Tensor, truth: Tensor, targets: Tensor,
                     dice_of: Tensor, cross_of: Tensor, pictures: int) -> dict[str, Tensor]:
        """Return segmentation and contrastive losses.

        dice_of, cross_of: (B,) bool, the sentences whose masks each loss is of: Dice says
        nothing of an object that is not there.
        """
        settings = self.settings
        cross, dice = segmentation_loss(logits, truth, settings.smooth)
        parts = {f'{name}_cross': settings.cross_weight * _mean_of(cross, cross_of),
                 f'{name}_dice': settings.dice_weight * _mean_of(dice, dice_of)}
        if settings.icl:
            # Ambiguous sentences and those about nothing mean no single object.
            one = (targets > 0).sum(dim=1) == 1
            objects = torch.where(one, targets[:, 0], -1).view(pictures, -1)
            weights = iou_of(logits, truth).view(pictures, -1)
            contrast = contrastive_loss(logits.unflatten(0, (pictures, -1)), objects, weights)
            parts[f'{name}_icl'] = settings.icl_weight * contrast.mean()
        return parts

    def validate(self) -> Mapping[str, float]:
        """Return figures on the validation pictures; none without any."""
        if self.validation is None:
            return {}
        return self.validation.figures(self.network, self.pixels)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values, zero where none is."""
    part = chosen.float()
    return (values * part).sum() / part.sum().clamp(min=1)
