"""
Train the small SAM of the tabletop profile: points in, masks of whole objects out.

The loss is the one of the SAM paper (section 3 and appendix A: focal and dice loss in the ratio
20 to 1, the best of three masks, squared error for the predicted IoU), with two changes for
two CPU cores: the targets are the soft coverage of each mask cell, so that the coarse mask learns
borders finer than its cells, and a linear head on the image embedding predicts foreground and
the way to the object's centre in every cell, which teaches the encoder objects long before the
decoder can.  That head is not kept.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.models.sam import (
    PIXEL_MEAN,
    PIXEL_STD,
    SamConfig,
    SamDecoderConfig,
    SamEncoderConfig,
    build_sam,
)
from ris_ros.models.sam_decoder import PointDecoder
from ris_ros.models.sam_encoder import encode
from ris_ros.training.engine.draws import as_tensors, to_device
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.engine.task import Batch, Loss, Task
from ris_ros.training.tabletop.job import Job
from ris_ros.training.tabletop.sam_draws import SamSource
from ris_ros.training.tabletop.settings import SamSettings

TABLETOP_SAM = SamConfig(
    image_size=256, patch_size=8,
    encoder=SamEncoderConfig(embed_dim=96, depth=4, num_heads=4, global_attn_indexes=(1, 3),
                             window_size=8, use_rel_pos=False, mlp_ratio=3.0),
    prompt_dim=96, mask_in_chans=8,
    decoder=SamDecoderConfig(depth=2, num_heads=4, mlp_dim=256, iou_head_depth=2,
                             iou_head_hidden_dim=96))


class SamTrainee(nn.Module):
    """The network with the head that only training uses."""

    sam: Any
    dense_head: nn.Conv2d
    mean: Tensor
    std: Tensor

    def __init__(self, config: SamConfig) -> None:
        """Build both from the configuration."""
        super().__init__()
        self.sam = build_sam(config)
        self.dense_head = nn.Conv2d(config.prompt_dim, 3, 1)
        self.register_buffer('mean', torch.tensor(PIXEL_MEAN), persistent=False)
        self.register_buffer('std', torch.tensor(PIXEL_STD), persistent=False)

    def normalised(self, image: Tensor, extent: Tensor, changed: bool) -> Tensor:
        """
        Return (B, 3, S, S) float32 of SAM's statistics, the padding zero.

        image: (B, S, S, 3) uint8.  extent: (B, 2).  changed: with another brightness, tint and
        noise for every picture.
        """
        b, size, device = len(image), image.shape[1], image.device
        x = image.float()
        if changed:
            gain = torch.empty(b, 1, 1, 1, device=device).uniform_(0.75, 1.2)
            gain = gain * torch.empty(b, 1, 1, 3, device=device).uniform_(0.92, 1.08)
            noise = torch.empty(b, 1, 1, 1, device=device).uniform_(0, 5) * torch.randn_like(x)
            x = (x * gain + noise).clamp(0, 255)
        place = torch.arange(size, device=device)
        inside = (place < extent[:, :1])[:, :, None] & (place < extent[:, 1:])[:, None]
        x = (x - self.mean) / self.std * inside[..., None]
        return x.permute(0, 3, 1, 2).contiguous()

    def masks_of(self, embeddings: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """
        Return mask logits (B * P, 3, 4G, 4G) and predicted IoU (B * P, 3).

        embeddings: (B, C, G, G).  points: (B, P, 2), of which each picture has its own.
        """
        each = embeddings.repeat_interleave(points.shape[1], dim=0)
        return PointDecoder(self.sam, each)(points.flatten(0, 1))


def mask_loss(logits: Tensor, predicted_iou: Tensor, target: Tensor) -> Tensor:
    """
    Return the SAM loss of P prompts.

    logits (P, 3, G, G); predicted_iou (P, 3); target (P, G, G) coverage in [0, 1].
    """
    logits, wanted = logits.float(), target[:, None].expand_as(logits)
    probability = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, wanted, reduction='none')
    focal = (cross * (probability - wanted).square()).mean((2, 3))
    both = (probability * wanted).sum((2, 3))
    dice = 1 - (2 * both + 1) / (probability.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    per_mask = 20 * focal + dice
    hard, truth = logits.detach() > 0, wanted > 0.5
    union = (hard | truth).sum((2, 3)).clamp(min=1)
    iou = (hard & truth).sum((2, 3)) / union
    # One point means one object here, so that all three masks learn, the best one more.
    best = 0.6 * per_mask.min(1).values + 0.4 * per_mask.mean(1)
    return best.mean() + F.mse_loss(predicted_iou.float(), iou.float())


def batch_loss(model: SamTrainee, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch of `SamSource` and its parts."""
    pixels = model.normalised(batch['image'], batch['extent'], True)
    embeddings = encode(model.sam.image_encoder, pixels)
    guess, dense = model.dense_head(embeddings).float(), batch['dense']
    objects = F.binary_cross_entropy_with_logits(guess[:, 0], dense[:, 0])
    weight = dense[:, :1]
    offsets = 5 * ((guess[:, 1:] - dense[:, 1:]).abs() * weight).sum() / weight.sum().clamp(min=1)
    logits, iou = model.masks_of(embeddings, batch['points'])
    masks = mask_loss(logits, iou, batch['targets'].flatten(0, 1))
    return objects + offsets + masks, {'objects': objects, 'offsets': offsets, 'masks': masks}


def validate_masks(model: SamTrainee, source: SamSource, images: int) -> dict[str, float]:
    """
    Return mean IoU on the mask grid: of the mask the network prefers, and of its best.

    The same `images` pictures at every call, their colours as they are.
    """
    rng, device = np.random.default_rng(1), model.dense_head.weight.device
    preferred, best = [], []
    for _ in range(images):
        batch = to_device(as_tensors(source.draw(rng, 0, 1.0)), device)
        embeddings = encode(model.sam.image_encoder,
                            model.normalised(batch['image'], batch['extent'], False))
        logits, iou = model.masks_of(embeddings, batch['points'])
        hard, truth = logits > 0, batch['targets'].flatten(0, 1)[:, None] > 0.5
        real = (hard & truth).sum((2, 3)) / (hard | truth).sum((2, 3)).clamp(min=1)
        preferred.append(real.gather(1, iou.argmax(1, keepdim=True)).mean())
        best.append(real.max(1).values.mean())
    return {'iou': round(float(torch.stack(preferred).mean()), 4),
            'best_iou': round(float(torch.stack(best).mean()), 4)}


class SamTask(Task):
    """The small SAM in training."""

    name = 'sam'
    figures = SamSettings.figures
    hidden = ('.blocks.', '.transformer.')
    model: SamTrainee

    def __init__(self, model: SamTrainee, config: SamConfig, job: Job) -> None:
        """config: of the model.  job: scenes and SamSettings."""
        settings: SamSettings = job.settings
        self.model, self.settings, self.job = model, settings, job
        self.source = SamSource(job.train, config, settings.images, settings.prompts)
        self.fixed = SamSource(job.val, config, 1, settings.prompts)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what the batches are drawn from."""
        return self.job.identity()

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the mean loss over pictures and prompts, and its parts."""
        return batch_loss(self.model, batch)

    def validate(self) -> Mapping[str, float]:
        """Return IoU on validation scenes."""
        return validate_masks(self.model, self.fixed, self.settings.validation_images)


def train_sam(job: Job) -> Outcome:
    """Train by the job's settings and write tabletop_sam.safetensors and .json."""
    model = SamTrainee(TABLETOP_SAM)
    if job.init:
        load_network(job.init, 'tabletop_sam', model.sam)
    outcome = fit(SamTask(model, TABLETOP_SAM, job), job.settings, job.work, job.runtime)
    if job.runtime.is_main:
        write_network(job.out, 'tabletop_sam', model.sam.state_dict(), TABLETOP_SAM.to_dict(),
                      outcome.record())
    return outcome
