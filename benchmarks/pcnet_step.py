#!/usr/bin/env python3
"""A training step of PCNet against the released order of work, with the same loss.

    python benchmarks/pcnet_step.py [--images 12] [--published] [--calibration 2] [--json FILE]

The released order reads every text and every cue by itself, repeated ones too, and all three cues
of which two are used; runs CLIP's attention pool and throws its answer away; stacks the picture
for the second group of texts; makes every map at 320 x 320 for a 32 x 32 one; loops over pictures;
and runs a CLIP ViT on every stage's map for a calibration loss, whatever its weight is.  Both
orders run here in one process over the same weights and the same batch, forward and backward.
--published: RN50 and ViT-B/32 at their own sizes (slow); else the tabletop's.  Prints seconds of
a step, the ratio, and whether losses and gradients agree.  Exit code 1 below 3 times, or where
they differ.
"""
from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.models.architectures import architecture
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.training.pcnet.calibrating import CalibrationLoss
from ris_ros.training.pcnet.drawing import Drawing, PairsSource
from ris_ros.training.pcnet.pairs import Pairs, Picture, Said
from ris_ros.training.pcnet.run import tokens_of_texts
from ris_ros.training.pcnet.settings import NetworkSettings, PCNetTraining
from ris_ros.training.pcnet.showing import Shown
from ris_ros.training.pcnet.start import network_of, own_clip
from ris_ros.training.pcnet.task import PCNetTask

NEEDED, TOLERANCE = 3.0, 1e-3
SIZE = 320
KINDS = ('mug', 'bowl', 'can', 'box', 'ball', 'book')
COLOURS = ('red', 'blue', 'green', 'white', 'black', 'pink')


class Noise:
    """Pictures of noise, as many as are asked for."""

    def __init__(self, count: int) -> None:
        self.pictures = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3),
                                                          dtype=np.uint8)
        self.keys = tuple(map(str, range(count)))

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, row: int) -> np.ndarray:
        """Return one picture."""
        return self.pictures[row]


def pairs_of(count: int) -> Pairs:
    """Return two objects a picture; nouns and their cues repeat as they do in real sentences."""
    rng = np.random.default_rng(1)

    def said(name: str) -> Said:
        colour, kind = rng.choice(COLOURS), rng.choice(KINDS)
        other = rng.choice(KINDS)
        text = f'the {colour} {kind} left of the {other}'
        return Said(name, text, (str(kind), f'{colour} {kind}', f'{kind} left of the {other}',
                                 text, str(kind)))

    return Pairs('noise', [Picture(str(row), row, (said('a'), said('b')))
                           for row in range(count)])


def proposals_of(count: int) -> Tensor:
    """Return packed boxes of random places, (N, 40, 32, 4) uint8."""
    rng = np.random.default_rng(2)
    masks = np.zeros((count, 40, 32, 32), bool)
    for picture in masks:
        for mask in picture:
            y, x, h, w = (*rng.integers(0, 24, 2), *rng.integers(3, 9, 2))
            mask[y:y + h, x:x + w] = True
    return torch.from_numpy(np.packbits(masks, axis=3))


def make_task(args: argparse.Namespace) -> PCNetTask:
    """Return our task; its calibration tower is there where the loss has a weight."""
    torch.manual_seed(0)
    clip = architecture('RN50', 'clip') if args.published else {
        **own_clip(SIZE), 'quick_gelu': True}
    shape = (NetworkSettings(text_weight=0.1, cue_residual=False, image_text=True)
             if args.published else NetworkSettings(
                 channels=192, text_weight=0.1, cue_residual=False, image_text=True,
                 text_length=20))
    settings = PCNetTraining(device='cpu', steps=1, images=args.images, ras='paper',
                             iad='released', cls_weight=5.0, precision='fp32',
                             calibration_weight=args.calibration)
    network = network_of(clip, None, shape, 0)
    pictures, pairs = Noise(args.images), pairs_of(args.images)
    source = PairsSource(pairs, pictures, tokens_of_texts(network.config, pairs.texts()),
                         Drawing(args.images, 1, 3, image_size=SIZE))
    calibrating = CalibrationLoss(scorer(args, clip), pairs.texts())
    task = PCNetTask(network, source, Shown(), proposals_of(args.images), settings,
                     calibrating=calibrating)
    task.released_tower = calibrating       # type: ignore[attr-defined]
    return task


def scorer(args: argparse.Namespace, clip: dict[str, Any]) -> ClipModel:
    """Return the frozen CLIP of the calibration loss, a ViT."""
    torch.manual_seed(1)
    config: dict[str, Any] = dict(architecture('ViT-B-32', 'clip')) if args.published else {
        'embed_dim': 128, 'quick_gelu': True,
        'vision_cfg': {'image_size': 224, 'patch_size': 16, 'width': 128, 'layers': 6,
                       'head_width': 32},
        'text_cfg': {'context_length': 20, 'width': 128, 'heads': 4, 'layers': 2},
        'vocabulary': clip.get('vocabulary')}
    return ClipModel(build_clip(config), config)


# ---- the released order of work -----------------------------------------------------------------

class Released:
    """The step as the released code orders it, transcribed plainly; not tuned in any way."""

    def __init__(self, task: PCNetTask, pool: torch.nn.Module) -> None:
        self.task, self.pool, self.network = task, pool, task.network

    def read(self, texts: list[str]) -> Tensor:
        """Every text by itself, at the full length."""
        return self.network.encode_tokens(self.network.tokenise(texts)[0])

    def loss(self, batch: dict[str, Any], said: list[str], cues: list[list[str]]) -> Tensor:
        """Return the loss of a batch: texts of both groups, five cues each, three are read."""
        network, settings = self.network, self.task.settings
        images = len(batch['rows'])
        own, other = self.read(said[:images]), self.read(said[images:])
        own_cues = [self.read([c[k] for c in cues[:images]]) for k in range(3)]
        other_cues = [self.read([c[k] for c in cues[images:]]) for k in range(3)]
        visual = self.look(batch['pixels'])
        text = whole = torch.cat([own, other])
        parts = []
        shown = visual
        for n, module in enumerate(network.referring):
            cue = whole if n == 2 else torch.cat([own_cues[n], other_cues[n]])
            shown, text, scores = self.stage(module, shown, text, cue)
            parts.append(scores)
        masks = self.masks(batch)
        cls = torch.stack([self.classify(s[..., :images]) for s in parts]).mean()
        maps = [self.maps(s, images, 0) for s in parts]
        others = [self.maps(s, images, images) for s in parts]
        total = settings.cls_weight * cls + self.shrink(maps, masks) + torch.stack(
            [self.apart(a, d, masks) for a, d in zip(maps, others, strict=True)]).mean()
        return total + settings.calibration_weight * self.calibrate(batch, parts, images)

    def look(self, pixels: Tensor) -> Tensor:
        """Return the picture's tokens; the attention pool runs along."""
        tower, network = self.network.clip.visual, self.network
        x = (pixels.float() / 255 - network.mean) / network.std
        x = tower.layer4(tower.layer3(tower.layer2(tower.layer1(tower.stem(x)))))
        self.pool(x)                                   # made, and not used
        return network.visual_projection(x).flatten(2).transpose(1, 2)

    def stage(self, m: Any, visual: Tensor, text: Tensor, cue: Tensor
              ) -> tuple[Tensor, Tensor, Tensor]:
        """Attentions written out one by one, the picture stacked for both groups."""
        scale = m.channels ** 0.5
        images, texts = len(visual), len(text)
        v, q, c = (F.normalize(x, dim=-1) for x in (visual, text, cue))
        twice = torch.cat([v, v])
        weights = (m.t_proj1(c)[:, None] @ m.v_proj2(twice).transpose(1, 2) / scale).softmax(-1)
        c = m.t_output(weights @ m.v_proj3(twice))[:, 0]
        many = c[None].expand(texts, -1, -1)
        weights = (m.t_proj1(q)[:, None] @ m.t_proj2(many).transpose(1, 2) / scale).softmax(-1)
        q = q + 0.1 * m.t_output(weights @ m.t_proj3(many))[:, 0]
        u = F.normalize(q, dim=-1)[None].expand(images, -1, -1)
        weights = (m.t_proj1(u) @ m.v_proj2(v).transpose(1, 2) / scale).softmax(-1)
        lit = u + 0.1 * m.t_output(weights @ m.v_proj3(v))
        weights = (m.v_proj1(v) @ m.t_proj2(u).transpose(1, 2) / scale).softmax(-1)
        v = v + 0.1 * m.v_output(weights @ m.t_proj3(u))
        return v, q, v @ lit.transpose(1, 2) / 0.07

    @staticmethod
    def classify(scores: Tensor) -> Tensor:
        """Return the classification loss of a stage."""
        share = torch.cat([torch.ones_like(scores[..., :1]), scores], 2).softmax(2)
        share = share[..., 1:].mean(1)
        logits = scores.mean(1) + scores.amax(1) + (1 - share) ** 3 * torch.log(0.01 + share)
        return F.multilabel_soft_margin_loss(logits, torch.eye(len(logits)))

    def maps(self, scores: Tensor, images: int, first: int) -> list[Tensor]:
        """One picture after the other, through a map of 320 x 320."""
        grid, found = self.network.config.grid, []
        for b in range(images):
            own = scores[b, :, first + b].view(1, 1, grid, grid)
            large = F.relu(F.interpolate(own, (SIZE, SIZE), mode='bilinear'))
            large = F.relu(large / (large.max() + 1e-5) - 1e-5)
            found.append(F.interpolate(large, (32, 32), mode='bilinear', align_corners=True)[0, 0])
        return found

    def masks(self, batch: dict[str, Any]) -> list[Tensor]:
        """Return the proposals, picture by picture."""
        return [torch.from_numpy(np.unpackbits(self.task.proposals[row].numpy(), axis=2)).float()
                for row in batch['rows'].tolist()]

    @staticmethod
    def shrink(maps: list[list[Tensor]], masks: list[Tensor]) -> Tensor:
        """Return RaS as equation 7, picture by picture."""
        def iou(p: Tensor, m: Tensor) -> Tensor:
            both = (p * m).sum()
            return both / (p.sum() + m.sum() - both).clamp(min=1e-5)

        total = []
        for b, proposals in enumerate(masks):
            values = []
            for stage in maps:
                best = int((stage[b] * proposals).amax((1, 2)).argmax())
                rest = torch.cat([proposals[:best], proposals[best + 1:]]).amax(0)
                values.append(1 - (iou(stage[b], proposals[best]) - iou(stage[b], rest)))
            total.append(torch.stack([F.relu(values[n + 1] - values[n])
                                      for n in range(len(values) - 1)]).mean())
        return torch.stack(total).mean()

    @staticmethod
    def apart(own: list[Tensor], others: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Return IaD as released, picture by picture."""
        total = []
        for a, d, proposals in zip(own, others, masks, strict=True):
            y = []
            for each in (a, d):
                fit = (each * proposals).amax((1, 2))
                soft = fit.softmax(0)
                y.append(F.one_hot(fit.argmax(), len(fit)) + (soft - soft.detach()))
            total.append((y[0] - y[1]).abs().sum())
        return 1 - torch.stack(total).sum() / (2 * len(total) + 1e-4)

    def calibrate(self, batch: dict[str, Any], parts: list[Tensor], images: int) -> Tensor:
        """A ViT a stage, whatever the weight; negatives picture by picture."""
        tower: CalibrationLoss = self.task.released_tower      # type: ignore[attr-defined]
        grid, size, values = self.network.config.grid, tower.clip.image_size, []
        pixels = (batch['pixels'].float() / 255 - tower.mean) / tower.std
        texts = tower.texts[batch['name'][:images]]
        for scores in parts:
            own = torch.stack([scores[b, :, b].view(1, grid, grid) for b in range(images)])
            lit = F.interpolate(own, (SIZE, SIZE), mode='bilinear').sigmoid() * pixels
            seen = tower.clip.model.encode_image(F.interpolate(lit, (size, size),
                                                               mode='bilinear'))
            each = []
            for b in range(images):
                others = torch.cat([texts[:b], texts[b + 1:]])
                cosine = F.cosine_similarity(seen[b:b + 1], others)
                each.append(-torch.log((1 - cosine).clamp(min=1e-4)))
            values.append(torch.cat(each).mean())
        return torch.stack(values).mean()


# ---- measuring ----------------------------------------------------------------------------------

def timed(step: Callable[[], Tensor], network: torch.nn.Module, rounds: int
          ) -> tuple[float, float, Tensor]:
    """Return seconds of the fastest step, its loss, and one gradient."""
    best = float('inf')
    for _ in range(rounds):
        network.zero_grad(set_to_none=True)
        start = time.perf_counter()
        loss = step()
        loss.backward()
        best = min(best, time.perf_counter() - start)
    gradient = network.visual_projection.weight.grad      # type: ignore[union-attr]
    return best, float(loss.detach()), gradient.detach().clone()      # type: ignore


def main(argv: list[str] | None = None) -> int:
    """Measure both orders and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--images', type=int, default=12)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--published', action='store_true')
    parser.add_argument('--calibration', type=float, default=0.0,
                        help='weight of the calibration loss; released: 2')
    parser.add_argument('--json', type=Path)
    args = parser.parse_args(argv)
    torch.set_num_threads(2)
    task = make_task(args)
    pairs = pairs_of(args.images)
    texts = pairs.texts()
    cues = {s.text: list(s.cues) for p in pairs.pictures for s in p.said}
    batch = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in task.source.draw(
        np.random.default_rng(0), 0, 0.0).items()}
    said = [texts[n] for n in batch['name'].tolist()]
    spare = build_clip(task.network.config.clip).visual.attnpool
    vision = task.network.config.clip['vision_cfg']
    from open_clip.modified_resnet import AttentionPool2d
    pool = AttentionPool2d(task.network.config.grid, vision['width'] * 32, spare.num_heads,
                           task.network.config.clip['embed_dim'])
    released = Released(task, pool)
    state = copy.deepcopy(task.network.state_dict())
    found = {}
    for name, step in (('released', lambda: released.loss(batch, said, [cues[s] for s in said])),
                       ('ours', lambda: task.loss(batch, 0.0)[0])):
        task.network.load_state_dict(state)
        found[name] = timed(step, task.network, args.rounds)
    (slow, loss, gradient), (fast, own, own_gradient) = found['released'], found['ours']
    apart = float((gradient - own_gradient).norm() / gradient.norm())
    ratio, agree = slow / fast, abs(loss - own) < TOLERANCE * abs(loss) and apart < 1e-2
    result = {'images': args.images, 'published': args.published,
              'calibration_weight': args.calibration, 'released_s': round(slow, 3),
              'ours_s': round(fast, 3), 'ratio': round(ratio, 2), 'loss': round(loss, 6),
              'loss_ours': round(own, 6), 'gradient_apart': round(apart, 6)}
    print(json.dumps(result, indent=1))
    if args.json:
        from ris_ros.files import write_json
        write_json(args.json, result)
    if ratio < NEEDED or not agree:
        print('the orders differ' if not agree else f'below {NEEDED} times', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
