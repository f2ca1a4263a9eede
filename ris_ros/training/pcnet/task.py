"""PCNet in training: each text of a step is read once, each picture seen once."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ris_ros.methods.pcnet.asking import alone
from ris_ros.methods.pcnet.network import SCALE, PCNet
from ris_ros.methods.pcnet.referring import Looked, Stage, cue_of, run_stage, start_of
from ris_ros.training.engine.task import Batch, Loss, Source, Task
from ris_ros.training.pcnet import agreement, losses
from ris_ros.training.pcnet.calibrating import CalibrationLoss
from ris_ros.training.pcnet.proposals import Unpacker, without_empty
from ris_ros.training.pcnet.settings import FIGURES, PCNetTraining
from ris_ros.training.pcnet.showing import KeptMaps, Shown
from ris_ros.training.pcnet.validation import Validation


class Regions(NamedTuple):
    """Proposals of a step's pictures.

    masks: (B, P, s, s) float32, empty ones behind.  there: (B, P) bool.  weights: from a map to
    the means inside, (B, P, grid^2), and overlaps: of `losses.proposal_overlaps`, where they are
    needed.
    """

    masks: Tensor
    there: Tensor
    weights: Tensor | None
    overlaps: Tensor | None


class PCNetTask(Task):
    """A PCNet with its losses.

    proposals: (N, P, 32, 4) uint8 on the device, of every picture of the data set.  calibrating:
    where its weight is above 0; a CLIP of its own is loaded for nothing else.
    """

    figures: ClassVar[tuple[str, ...]] = FIGURES
    hidden: ClassVar[tuple[str, ...]] = ('.resblocks.',)

    def __init__(self, network: PCNet, source: Source, shown: Shown, proposals: Tensor,
                 settings: PCNetTraining, validation: Validation | None = None,
                 identity: Mapping[str, str | int | float] | None = None,
                 calibrating: CalibrationLoss | None = None, name: str = 'pcnet',
                 kept: KeptMaps | None = None) -> None:
        """kept: of the network's tower, with tower=kept."""
        self.kept = kept
        if kept is not None:
            network.clip.visual.requires_grad_(False)
        proposals = without_empty(proposals)
        self.name, self.model, self.source = name, network, source
        self.network, self.shown, self.proposals = network, shown, proposals
        self.settings, self.validation = settings, validation
        self.unpack = Unpacker(proposals.device)
        self.calibrating = calibrating if settings.calibration_weight else None
        self._identity = dict(identity or {})

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what a checkpoint has to agree in: the data."""
        return self._identity

    def scale_of(self, name: str) -> float:
        """Return the rate of a parameter as a part of the rate: CLIP's own learn slower."""
        return self.settings.backbone_rate if name.startswith('clip.') else 1.0

    def validate(self) -> Mapping[str, float]:
        """Return PointM and the map's IoU on the validation pictures."""
        return self.validation.figures(self.network) if self.validation is not None else {}

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the weighted sum of the losses, and each by name."""
        network = self.network
        visual = (network.image_tokens(self.shown.pixels(batch)) if self.kept is None
                  else network.tokens_of(self.kept.maps(batch)))
        with plain_attention(visual.device):
            read = network.encode_tokens(batch['tokens'])
        with torch.autocast(visual.device.type, enabled=False):
            visual, read = visual.float(), read.float()
            # Once per picture: texts that stand alone all read the same of it.
            looked = network.looks(visual) if network.config.form.rows == 'alone' else None
            stages = network(visual, read[batch['text']], read[batch['cues']], looked)
            parts = self.parts(batch, stages, visual, read, fraction, looked)
            total = sum(weight * value for weight, value in parts.values())
        assert isinstance(total, Tensor)
        return total, {name: value.detach() for name, (_, value) in parts.items()}

    def parts(self, batch: Batch, stages: list[Stage], visual: Tensor, read: Tensor,
              fraction: float = 1.0, looked: Sequence[Looked] | None = None
              ) -> dict[str, tuple[float, Tensor]]:
        """Return weight and value of every loss that is switched on."""
        settings = self.settings
        scores = [s.scores for s in stages]
        regions = self._regions(batch)
        parts = {}
        if settings.cls_weight:
            parts['cls'] = settings.cls_weight, self._classification(batch, scores, regions)
        if settings.outside_weight:
            parts['outside'] = settings.outside_weight, self._outside(scores, regions)
        ras = settings.ras != 'off' and (settings.ras_weight or settings.anchor_weight)
        iad = settings.iad != 'off' and settings.iad_weight and settings.extra
        if ras or (iad and settings.iad != 'regions'):
            maps = [self._maps(s, len(visual)) for s in scores]
            if ras:
                parts |= self._shrinking(maps, regions)
            if iad and settings.iad != 'regions':
                parts['iad'] = settings.iad_weight, self._disambiguation(batch, maps, regions)
        if iad and settings.iad == 'regions':
            parts['iad'] = settings.iad_weight, self._apart(batch, scores, regions)
        if settings.references:
            parts |= self._agreeing(batch, visual, read, regions, fraction, looked)
        elif settings.contrary_weight:
            parts['contrary'] = settings.contrary_weight, self._contrary(
                batch, visual, read, scores, regions, looked)
        if self.calibrating is not None:
            own = torch.stack([self._own(s, len(visual))[0] for s in scores])
            parts['calibration'] = settings.calibration_weight, self.calibrating(batch, own,
                                                                                 self.shown)
        return parts

    def _regions(self, batch: Batch) -> Regions:
        settings = self.settings
        masks = self.unpack(self.proposals[batch['rows']], batch['mirror'])
        there = masks.flatten(2).any(dim=2)
        needed = settings.cls == 'regions' or settings.iad == 'regions' or settings.references
        weights = losses.region_weights(masks, self.network.config.grid) if needed else None
        compared = settings.iad == 'regions' or settings.references
        overlaps = losses.proposal_overlaps(masks) if compared else None
        return Regions(masks, there, weights, overlaps)

    @staticmethod
    def _own(scores: Tensor, images: int) -> Tensor:
        """Return the maps of texts on their own pictures, (G, B, pixels)."""
        index = torch.arange(images, device=scores.device)
        each = scores.unflatten(2, (-1, images))
        return each[index, :, :, index].permute(2, 0, 1)

    def _maps(self, scores: Tensor, images: int) -> Tensor:
        """Return soft maps of texts on their own pictures, (G, B, 32, 32)."""
        grid = self.network.config.grid
        own = self._own(scores, images)
        found = losses.soft_maps(own.reshape(-1, grid, grid), self.network.config.image_size)
        return found.unflatten(0, (-1, images))

    def _pooled(self, scores: Tensor, regions: Regions) -> Tensor:
        """Return the logits of texts on pictures, (B, E)."""
        if self.settings.cls == 'pixels':
            return losses.pixel_logits(scores)
        assert regions.weights is not None
        return losses.region_logits(scores, regions.weights, regions.there,
                                    self.settings.region_temperature)

    def _classification(self, batch: Batch, scores: list[Tensor], regions: Regions) -> Tensor:
        """Return the mean over stages, and over groups of texts where the further ones count."""
        settings, images = self.settings, len(batch['rows'])
        groups = 1 + settings.extra if settings.cls_extra else 1
        found = []
        for stage, each in enumerate(scores):
            for group in range(groups):
                part = slice(group * images, (group + 1) * images)
                logits = self._pooled(each[:, :, part], regions)
                if settings.cls_form in ('sigmoid', 'both'):
                    found.append(losses.one_of_many(logits))
                if settings.cls_form in ('softmax', 'both'):
                    found.append(losses.contrast(logits, self._same(batch, stage, part)))
        return torch.stack(found).sum() / (len(scores) * groups)

    def _same(self, batch: Batch, stage: int, part: slice) -> Tensor:
        """Return which texts are no negatives of each other at a stage, (B, B) bool."""
        last = stage == len(self.network.referring) - 1
        words = batch['name'][part] if last or self.network.config.form.start == 'sentence' \
            else batch['cues'][part, stage]
        return losses.alike(words, batch['rows'])

    def _outside(self, scores: list[Tensor], regions: Regions) -> Tensor:
        found = []
        for each in scores:
            own = self._own(each, len(regions.masks)).permute(1, 2, 0)     # (B, pixels, G)
            found.append(losses.outside(own, self._pooled(own, regions), regions.masks,
                                        self.settings.region_temperature))
        return torch.stack(found).mean()

    def _shrinking(self, maps: list[Tensor], regions: Regions
                   ) -> dict[str, tuple[float, Tensor]]:
        settings = self.settings
        own = [m[0] for m in maps]
        if settings.ras == 'paper':
            return {'ras': (settings.ras_weight, losses.ras(
                own, regions.masks, settings.ras_overlap, settings.criterion))}
        # How the stored CLIP scores were made was never published; the last map chooses here.
        chosen = losses.alignment(own[-1].detach(), regions.masks, settings.criterion).argmax(1)
        stage = int(torch.randint(max(len(own) - 1, 1), ()))      # on the host: nothing waits
        found = losses.ras_released(own, regions.masks, chosen, stage)
        return {'ras': (settings.ras_weight, found.shrink),
                'anchor': (settings.anchor_weight, found.anchor)}

    def _disambiguation(self, batch: Batch, maps: list[Tensor], regions: Regions) -> Tensor:
        settings, found = self.settings, []
        for each in maps:
            fits = torch.stack([losses.alignment(m, regions.masks, settings.criterion)
                                for m in each])
            if settings.iad == 'paper':
                found.append(losses.iad(fits[0], fits[1:], batch['known']))
            elif settings.iad == 'released':
                found.append(losses.iad_released(fits[0], fits[1:], batch['known']))
            else:
                found.append(losses.iad_hinge(fits[0], fits[1:], batch['known'],
                                              settings.iad_temperature, settings.iad_margin))
        return torch.stack(found).mean()

    def _apart(self, batch: Batch, scores: list[Tensor], regions: Regions) -> Tensor:
        """Return `iad_regions` at the last stage; earlier cues may fit several things."""
        assert regions.weights is not None and regions.overlaps is not None
        own = self._own(scores[-1], len(batch['rows']))                    # (G, B, pixels)
        inside = torch.einsum('brp,gbp->gbr', regions.weights, own)
        inside = inside.masked_fill(~regions.there, -1e4)
        return losses.iad_regions(inside[0], inside[1:], batch['known'], regions.overlaps)

    def _contrary(self, batch: Batch, visual: Tensor, read: Tensor, scores: list[Tensor],
                  regions: Regions, looked: Sequence[Looked] | None) -> Tensor:
        """Return the loss of contraries, which are held against their own picture alone."""
        images, network = len(visual), self.network
        turned = own_scores(network, visual, read[batch['contrary']], read[batch['cues']],
                            looked)
        said = self._own(scores[-1], images).permute(1, 2, 0)              # (B, pixels, G)
        pair = self._pooled(torch.cat([said, turned], dim=2), regions)
        own, other = pair.unflatten(1, (2, -1)).unbind(1)                  # (B, G) each
        known = batch['turned'].unflatten(0, (-1, images)).T
        return losses.contrary(own.flatten(), other.flatten(), known.flatten())

    def _agreeing(self, batch: Batch, visual: Tensor, read: Tensor, regions: Regions,
                  fraction: float, looked: Sequence[Looked] | None
                  ) -> dict[str, tuple[float, Tensor]]:
        """Return the losses of sentences about one thing, see `agreement`."""
        settings, images = self.settings, len(visual)
        shape = (settings.references, settings.sentences, images)

        def grouped(x: Tensor) -> Tensor:
            return x.unflatten(0, shape).permute(2, 0, 1)                  # (B, R, K)

        assert regions.weights is not None and regions.overlaps is not None
        said, turned = grouped(batch['group_said']), grouped(batch['group_turned'])
        texts = [batch['group_text'], *([batch['group_contrary']] * bool(
            settings.contrary_weight))]
        scores = own_scores(self.network, visual, read[torch.cat(texts)],
                            read[batch['group_cues'].repeat(len(texts), 1)], looked)
        inside = (regions.weights @ scores).masked_fill(~regions.there[..., None], -1e4)
        # (parts, B, R, K, proposals)
        inside = inside.unflatten(2, (len(texts), *shape[:2])).permute(2, 0, 3, 4, 1)
        own = scores[:, :, :shape[0] * shape[1]].unflatten(2, shape[:2]).permute(0, 2, 3, 1)
        common = agreement.common_choice(inside[0], said, regions.overlaps)
        rise = min(1.0, fraction / settings.agree_after) if settings.agree_after else 1.0
        found = {'agree': (rise * settings.agree_weight,
                           agreement.towards(inside[0], said, common)),
                 'paint': (rise * settings.paint_weight,
                           agreement.painted(own, said, regions.masks, common))}
        if settings.contrary_weight:
            found['against'] = (rise * settings.contrary_weight, agreement.contrary_there(
                inside[0], inside[1], turned, common))
        return {**found, 'trust': (0.0, common.trust.mean())}


def plain_attention(device: torch.device) -> AbstractContextManager:
    """Return a context for short texts: a processor's fused attention is slow backwards."""
    if device.type != 'cpu':
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    context: AbstractContextManager = sdpa_kernel(SDPBackend.MATH)
    return context


def own_scores(network: PCNet, visual: Tensor, text: Tensor, cues: Tensor,
               looked: Sequence[Looked] | None = None) -> Tensor:
    """Return the last stage's scores of texts on their own pictures alone, (B, pixels, G).

    text: (E, C), E = G B.  cues: (E, N - 1, C).  No text sees another here.  looked: of
    `PCNet.looks`, where that is known.
    """
    # Every text here meets its own picture alone, which is each picture that it meets.
    form, images = replace(alone(network.config.form), sees='each'), len(visual)

    def by_picture(x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, images)).transpose(0, 1)                # (B, G, ...)

    state, modules = by_picture(start_of(form, text)), network.referring
    stage: Any = None
    for n, module in enumerate(modules):
        cue = by_picture(cue_of(n, len(modules), text, cues))
        seen = module.look(visual) if looked is None else looked[n]
        stage = run_stage(module, form, seen, state, cue, SCALE)
        visual, state = stage.visual, stage.text
    scores: Tensor = stage.scores
    return scores
