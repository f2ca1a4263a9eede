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

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ris_ros.models.sam import SamConfig, SamDecoderConfig, SamEncoderConfig, build_sam
from ris_ros.models.sam_decoder import PointDecoder
from ris_ros.models.sam_encoder import encode
from ris_ros.training.engine.loop import Budget, mixed_precision, pick_device, train
from ris_ros.training.engine.muon import MuonAdamW
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.tabletop.shards import SceneStore

TABLETOP_SAM = SamConfig(
    image_size=256, patch_size=8,
    encoder=SamEncoderConfig(embed_dim=96, depth=4, num_heads=4, global_attn_indexes=(1, 3),
                             window_size=8, use_rel_pos=False, mlp_ratio=3.0),
    prompt_dim=96, mask_in_chans=8,
    decoder=SamDecoderConfig(depth=2, num_heads=4, mlp_dim=256, iou_head_depth=2,
                             iou_head_hidden_dim=96))
IMAGES_PER_STEP, PROMPTS_PER_IMAGE = 4, 6


@dataclass(frozen=True, eq=False)
class SamSample:
    """image (S, S, 3) uint8, padded; points (P, 2) x, y in it; targets (P, 4G, 4G) float32."""

    image: np.ndarray
    points: np.ndarray
    targets: np.ndarray
    dense: np.ndarray     # (3, G, G): foreground, x and y offset to the centre in image sides


class SamSampler:
    """Draws training samples from rendered scenes."""

    def __init__(self, store: SceneStore, config: SamConfig, rng: np.random.Generator) -> None:
        """Keep the scenes, the network's geometry and the random numbers."""
        self.store, self.rng = store, rng
        self.size = config.image_size
        self.grid = config.image_size // config.patch_size
        self.usable = [s for s, things in enumerate(store.by_scene) if things]

    def draw(self) -> SamSample:
        """Return one scene with PROMPTS_PER_IMAGE prompts, one of them often on the background."""
        rng = self.rng
        scene = int(rng.choice(self.usable))
        color = np.asarray(self.store.color(scene))
        instances = np.asarray(self.store.instances(scene))
        if rng.random() < 0.5:
            color, instances = color[:, ::-1], instances[:, ::-1]
        visible = [t.instance for t in self.store.by_scene[scene]]
        chosen = [int(i) for i in rng.permutation(visible)[:PROMPTS_PER_IMAGE]]
        if rng.random() < 0.35:
            chosen[-1] = 0
        while len(chosen) < PROMPTS_PER_IMAGE:
            chosen.append(int(rng.choice(visible)))
        scale = self.size / max(instances.shape)
        points, targets = [], []
        for instance in chosen:
            mask = instances == instance
            flat = np.flatnonzero(mask)
            row, column = divmod(int(flat[rng.integers(len(flat))]), mask.shape[1])
            points.append(((column + 0.5) * scale, (row + 0.5) * scale))
            targets.append(self._cover(mask, 4 * self.grid))
        return SamSample(self._image(color), np.array(points, np.float32), np.stack(targets),
                         self._dense(instances, visible))

    def _cover(self, mask: np.ndarray, cells: int) -> np.ndarray:
        """Return the covered part of each cell of a cells x cells grid over the padded square."""
        height, width = mask.shape
        k = cells / max(height, width)
        small = cv2.resize(mask.astype(np.float32), (round(width * k), round(height * k)),
                           interpolation=cv2.INTER_AREA)
        out = np.zeros((cells, cells), np.float32)
        out[:small.shape[0], :small.shape[1]] = small
        return out

    def _image(self, color: np.ndarray) -> np.ndarray:
        height, width = color.shape[:2]
        k = self.size / max(height, width)
        small = cv2.resize(np.ascontiguousarray(color), (round(width * k), round(height * k)),
                           interpolation=cv2.INTER_AREA).astype(np.float32)
        gain = self.rng.uniform(0.75, 1.2) * self.rng.uniform(0.92, 1.08, 3)
        noisy = small * gain + self.rng.normal(0, self.rng.uniform(0, 5), small.shape)
        out = np.zeros((self.size, self.size, 3), np.float32)
        out[:small.shape[0], :small.shape[1]] = (
            np.clip(noisy, 0, 255) - np.array([123.675, 116.28, 103.53])) / np.array(
                [58.395, 57.12, 57.375])
        return out

    def _dense(self, instances: np.ndarray, visible: list[int]) -> np.ndarray:
        g, side = self.grid, max(instances.shape)
        centres = ((np.arange(g) + 0.5) * side / g).astype(int)
        rows, columns = centres[centres < instances.shape[0]], centres
        coarse = np.zeros((g, g), np.int64)
        coarse[:len(rows)] = instances[rows][:, np.clip(columns, 0, instances.shape[1] - 1)]
        dense = np.zeros((3, g, g), np.float32)
        for instance in visible:
            at = coarse == instance
            ys, xs = np.nonzero(instances == instance)
            dense[0][at] = 1
            dense[1][at] = (xs.mean() - centres[None, :].repeat(g, 0)[at]) / side
            dense[2][at] = (ys.mean() - centres[:, None].repeat(g, 1)[at]) / side
        return dense


class SamTrainee(nn.Module):
    """The network with the head that only training uses."""

    sam: Any
    dense_head: nn.Conv2d

    def __init__(self, config: SamConfig) -> None:
        """Build both from the configuration."""
        super().__init__()
        self.sam = build_sam(config)
        self.dense_head = nn.Conv2d(config.prompt_dim, 3, 1)

    def masks_of(self, embedding: torch.Tensor, points: torch.Tensor
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (P, 3, 4G, 4G) mask logits and (P, 3) predicted IoU for P points of one image."""
        return PointDecoder(self.sam, embedding[None])(points)


def mask_loss(logits: torch.Tensor, predicted_iou: torch.Tensor, target: torch.Tensor
              ) -> torch.Tensor:
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


def batch_loss(model: SamTrainee, samples: list[SamSample], device: torch.device) -> torch.Tensor:
    """Return the loss of one step over a list of images."""
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2).to(device)
    dense = torch.from_numpy(np.stack([s.dense for s in samples])).to(device)
    with mixed_precision(device):
        embeddings = encode(model.sam.image_encoder, images.contiguous())
        guess = model.dense_head(embeddings).float()
        total = F.binary_cross_entropy_with_logits(guess[:, 0], dense[:, 0])
        weight = dense[:, :1]
        offsets = ((guess[:, 1:] - dense[:, 1:]).abs() * weight).sum()
        total = total + 5 * offsets / weight.sum().clamp(min=1)
        for embedding, sample in zip(embeddings, samples, strict=True):
            logits, iou = model.masks_of(embedding, torch.from_numpy(sample.points).to(device))
            total = total + mask_loss(logits, iou, torch.from_numpy(sample.targets).to(device)
                                      ) / len(samples)
    return total


def validate_masks(model: SamTrainee, sampler: SamSampler, images: int, device: torch.device
                   ) -> dict[str, float]:
    """Return mean IoU on the mask grid: of the mask the network prefers, and of its best."""
    preferred, best = [], []
    for _ in range(images):
        sample = sampler.draw()
        image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].contiguous().to(device)
        embedding = encode(model.sam.image_encoder, image)[0]
        logits, iou = model.masks_of(embedding, torch.from_numpy(sample.points).to(device))
        hard = logits > 0
        truth = torch.from_numpy(sample.targets)[:, None].to(device) > 0.5
        real = (hard & truth).sum((2, 3)) / (hard | truth).sum((2, 3)).clamp(min=1)
        preferred.append(real.gather(1, iou.argmax(1, keepdim=True)).mean().item())
        best.append(real.max(1).values.mean().item())
    return {'iou': round(float(np.mean(preferred)), 4), 'best_iou': round(float(np.mean(best)), 4)}


def train_sam(args: argparse.Namespace, train_store: SceneStore, val_store: SceneStore,
              out: Path) -> None:
    """Train within the budget and write tabletop_sam.safetensors and .json."""
    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    model = SamTrainee(TABLETOP_SAM)
    if args.init:
        load_network(args.init, 'tabletop_sam', model.sam)
    model.to(device)
    optimiser = MuonAdamW(model, ('.blocks.', '.transformer.'), 1e-3, weight_decay=0.02)
    sampler = SamSampler(train_store, TABLETOP_SAM, np.random.default_rng(args.seed))

    def loss_of(_: float) -> torch.Tensor:
        return batch_loss(model, [sampler.draw() for _ in range(IMAGES_PER_STEP)], device)

    def validate() -> dict[str, float]:
        fixed = SamSampler(val_store, TABLETOP_SAM, np.random.default_rng(1))
        return validate_masks(model, fixed, 40, device)

    history = train('sam', model, optimiser, Budget(args.minutes), args.work / 'sam.ckpt', loss_of,
                    validate, base_rate=5e-4 if args.init else 1e-3)
    write_network(out, 'tabletop_sam', model.sam.state_dict(), TABLETOP_SAM.to_dict(),
                  history[-1] if history else {})
