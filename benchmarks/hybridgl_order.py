#!/usr/bin/env python3
"""HybridGL against the released order of work, over the sentences of one image.

    python benchmarks/hybridgl_order.py [tabletop|paper] [--small] [--precision bf16]
        [--json FILE]

The released order runs SAM's own automatic generator and the region towers again for every
object that is referred to, composites mask by mask on the host, and runs GEM, the text tower
and the parser again for every sentence.  Both orders have the same weights and 40 proposals.

tabletop  the shipped networks on a validation scene: all sentences of an image (10 times
          needed) and a single one (3 times).
paper     SAM ViT-B and CLIP ViT-B/16 of random weights, 3 objects, 8 sentences: 2.5 times, 6
          in bf16.

Prints processor seconds, whether scores and choices agree, and a table of our stages with
their counted operations.  Exit code 1 with a sentence where a figure is missed or they differ.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orders
import PIL.Image
import torch
from stages import Stages, format_table
from torch.nn import functional

from ris_ros.language.analyser import _analyse, analyse
from ris_ros.language.pipelines import load_pipeline
from ris_ros.methods.hybridgl import method as module
from ris_ros.methods.hybridgl.method import HybridGL
from ris_ros.methods.hybridgl.scores import RELEASED_B, RELEASED_B_DEFAULT
from ris_ros.methods.hybridgl.settings import HybridGLSettings
from ris_ros.methods.hybridgl.text import text_plan
from ris_ros.methods.registry import settings_for
from ris_ros.models import gem, proposals, region_streams, sampling, vit
from ris_ros.models.architectures import architecture
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.profiles import Networks, get_profile
from ris_ros.types import View

TOLERANCE = 1e-3
HELPERS = 4  # functions that parse the sentence again, after the one that cuts it to tokens


class Released:
    """The order of work of the published program, over the networks of a method of ours."""

    def __init__(self, method: HybridGL, sam: Any) -> None:
        self.settings, self.clip, self.sam = method.settings, method.clip, sam
        self.visual = method.clip.visual
        self.imagenet = [torch.tensor(v)[:, None, None]
                         for v in (sampling.IMAGENET_MEAN, sampling.IMAGENET_STD)]

    @torch.no_grad()
    def answers(self, scene: orders.Scene) -> list[orders.Answer]:
        """Return an answer per sentence, object by object."""
        out = []
        for sentences in scene.objects:
            masks, boxes, _ = orders.released_proposals(
                self.sam, orders.proposal_settings(self.settings), scene.image)
            features = self.features(scene.image, masks)
            out += [self.answer(scene.image, masks, boxes, features, said)
                    for said in sentences]
        return out

    def features(self, image: np.ndarray, masks: list[np.ndarray]) -> torch.Tensor:
        """Return the hybrid features; views are made one after the other on the host."""
        mean, std = self.imagenet
        side, grid = (self.clip.image_size,) * 2, self.clip.grid
        base = (torch.from_numpy(image).permute(2, 0, 1).float() / 255 - mean) / std
        fill = torch.tensor(self.clip.mean)[:, None, None]
        soft = cv2.GaussianBlur(image, (self.settings.blur_kernel,) * 2, 0)
        local, context, tokens = [], [], []
        for mask in masks:
            shown = torch.from_numpy(mask)[None].float()
            local.append(_resize((base * shown + fill * (1 - shown))[None], side))
            mixed = np.where(mask[..., None], image, soft)
            picture = torch.from_numpy(mixed).permute(2, 0, 1).float() / 255
            context.append((_resize(picture[None], side) - mean) / std)
            tokens.append(_resize(shown[None], grid).flatten(1))
        return self.towers(torch.cat(local), torch.cat(context), torch.cat(tokens))

    def towers(self, local: torch.Tensor, context: torch.Tensor, tokens: torch.Tensor
               ) -> torch.Tensor:
        """Run both streams through all blocks, the last ones fused and masked."""
        s, visual = self.settings, self.visual
        xl, xg = _tokens(visual, local), _tokens(visual, context)
        n, length, _ = xl.shape
        blocked = torch.zeros(n, length, length, dtype=torch.bool)
        blocked[:, 0, 1:] = tokens == 0
        gate = s.beta * functional.pad(tokens, (1, 0), value=1.0)[..., None]
        for index, block in enumerate(visual.transformer.resblocks):
            if index < s.start_block:
                xl, xg = _block(block, xl), _block(block, xg)
            else:
                heads = blocked.repeat_interleave(block.attn.num_heads, dim=0)
                xl, xg = _block(block, xl + gate * xg), _block(block, xg, heads)
        return visual.ln_post(xl[:, 0]) @ visual.proj

    def answer(self, image: np.ndarray, masks: list[np.ndarray], boxes: np.ndarray,
               features: torch.Tensor, said: str) -> orders.Answer:
        """Score the masks for one sentence."""
        nlp = load_pipeline()
        for _ in range(HELPERS):
            nlp(said)
        plan = text_plan(nlp(said), 'released')
        s = self.settings
        target = ((1 - s.phrase_weight) * self.text(plan.sentence)
                  + s.phrase_weight * self.text(plan.noun_phrase))
        best = self.semantic(features, target)
        others = [self.text(f'a photo of {phrase}') for phrase in plan.other_noun_phrases]
        guidance = self.guidance(image, plan)
        top = torch.topk(best, min(s.top_k_target, len(masks))).indices.tolist()
        second, weights = top, best
        if others:
            weights = self.semantic(features, torch.stack(others).mean(0))
            second = torch.topk(weights, min(s.top_k_other, len(masks))).indices.tolist()
        relation = torch.tensor([sum(
            _relation(plan.relation, boxes[i], boxes[j], float(best[i]), float(weights[j]))
            for j in second) for i in top])
        b = RELEASED_B.get(plan.relation, RELEASED_B_DEFAULT)
        scores = np.full(len(masks), -np.inf)
        for i, share in zip(top, relation.softmax(0).tolist(), strict=True):
            mask = torch.from_numpy(masks[i])
            inside = (guidance * mask).sum() / mask.sum()
            outside = (guidance * ~mask).sum() / (~mask).sum()
            scores[i] = ((1 - s.alpha) * share
                         + s.alpha * float((2 - b) * inside - b * outside))
        return orders.Answer(scores, int(np.argmax(scores)))

    def text(self, text: str) -> torch.Tensor:
        """Run the text tower, at its full length, for one text."""
        return self.clip.model.encode_text(self.clip.tokenizer([text]))[0]

    def semantic(self, features: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Return the softmax over the masks."""
        cosine = functional.normalize(features, dim=-1) @ functional.normalize(text, dim=-1)
        return (cosine * (self.settings.semantic_scale or self.clip.logit_scale)).softmax(0)

    def guidance(self, image: np.ndarray, plan: Any) -> torch.Tensor:
        """Run GEM on the image and return the map over its mean."""
        side = self.settings.gem_size or 2 * self.clip.image_size
        small = PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
        pixels = sampling.normalise(pixels, self.clip.mean, self.clip.std)
        patches = self.gem(pixels[None])
        text = functional.normalize(self.text(f'a photo of a {plan.noun_phrase}.'), dim=-1)
        grid = vit.grid_of(self.visual, side, side)
        heat = _stretch(_resize((patches @ text).reshape(1, 1, *grid), (side, side)))
        heat = functional.interpolate(heat, image.shape[:2], mode='bilinear', antialias=True)
        heat = _stretch(heat)[0, 0] * _prior(plan.direction, image.shape[1])
        return heat / heat.mean()

    def gem(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patches' features by self-self attention of the last blocks."""
        x = _tokens(self.visual, pixels)
        blocks = list(self.visual.transformer.resblocks)
        first = len(blocks) - self.settings.gem_blocks
        for index, block in enumerate(blocks):
            if index == first:
                gathered = x
            if index >= first:
                gathered = gathered + self.self_attention(block, x)
            x = _block(block, x)
        return functional.normalize(
            (self.visual.ln_post(gathered) @ self.visual.proj)[0, 1:], dim=-1)

    def self_attention(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        """Return one block's part: queries, keys and values each attend to themselves."""
        y, attn = block.ln_1(x), block.attn
        qkv = functional.linear(y, attn.in_proj_weight, attn.in_proj_bias)
        parts = [p.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
                 for p in qkv.chunk(3, dim=-1)]
        tau = y.norm(dim=-1).mean() / parts[0].shape[-1] ** 0.5
        out = torch.zeros_like(parts[2])
        for part in parts:
            for _ in range(self.settings.gem_iterations):
                part = functional.normalize(part, dim=-1)
                part = (tau * part @ part.transpose(-2, -1)).softmax(-1) @ part
            part = functional.normalize(part, dim=-1)
            out = out + (tau * part @ part.transpose(-2, -1)).softmax(-1) @ parts[2]
        return attn.out_proj((out / 3).transpose(1, 2).flatten(2))


def _resize(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(pictures, size, mode='bilinear', align_corners=False)


def _stretch(values: torch.Tensor) -> torch.Tensor:
    return (values - values.min()) / (values.max() - values.min())


def _prior(direction: str, width: int) -> torch.Tensor:
    """Return the position prior by column; up and down have none."""
    column = torch.arange(width, dtype=torch.float32)
    if direction == 'left':
        return 1 - column / (width - 1)
    if direction == 'right':
        return column / (width - 1)
    if direction == 'middle':
        half = width // 2
        return torch.where(column < half, column / (half - 1),
                           1 - (column - half) / (width - half - 1))
    return torch.ones(width)


def _tokens(visual: Any, images: torch.Tensor) -> torch.Tensor:
    return vit.tokens_of(visual, images)


def _block(block: Any, x: torch.Tensor, blocked: torch.Tensor | None = None) -> torch.Tensor:
    """Return a residual block's output through torch's own attention; blocked: per head."""
    y = block.ln_1(x)
    batch_first = block.attn.batch_first
    y = y if batch_first else y.transpose(0, 1)
    y = block.attn(y, y, y, need_weights=False, attn_mask=blocked)[0]
    x = x + (y if batch_first else y.transpose(0, 1))
    return x + block.mlp(block.ln_2(x))


def _relation(flag: str, a: np.ndarray, b: np.ndarray, first: float, second: float) -> float:
    """Return what one pair of boxes adds to the relation score."""
    if flag == 'none':
        return first
    (ax, ay), (bx, by) = a[:2] + a[2:] / 2, b[:2] + b[2:] / 2
    area_a, area_b = float(a[2] * a[3]), float(b[2] * b[3])
    if flag == 'within':
        low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
        return first * second * float(np.clip(high - low, 0, None).prod()) / max(area_a, 1e-9)
    holds = {'left': ax < bx, 'right': ax > bx, 'up': ay < by, 'down': ay > by,
             'big': area_a > area_b, 'small': area_a < area_b}[flag]
    return first * second * float(holds)


def ours(method: HybridGL, scene: orders.Scene) -> list[orders.Answer]:
    """Return our answers: one look at the image, nothing remembered of earlier runs."""
    _analyse.cache_clear()
    method.clip._texts.clear()
    seen = method.prepare(View(scene.image))
    found = [method.ground(seen, analyse(said)) for said in scene.sentences]
    return [orders.Answer(g.scores.astype(np.float64), int(g.order[0])) for g in found]


def tabletop() -> tuple[HybridGL, Released]:
    """Return both orders over the shipped networks."""
    profile = get_profile('tabletop')
    settings = settings_for('hybridgl', profile, {**orders.MANY, 'rules': 'released'})
    networks = Networks(profile, 'cpu', 'fp32')
    sam = networks.proposer(settings).sam
    method = HybridGL(networks.clip(), orders.FirstProposals(sam, settings), settings)
    return method, Released(method, sam)


def paper(precision: str, small: bool) -> tuple[HybridGL, Released]:
    """Return both orders over random networks of the published sizes."""
    sams = orders.PaperSam(precision, small)
    torch.manual_seed(1)
    config = orders.SMALL_CLIP if small else architecture('ViT-B-16', 'clip')
    clip = ClipModel(build_clip(config), config, precision=precision)
    method = HybridGL(clip, sams.proposer, HybridGLSettings(rules='released'))
    return method, Released(method, sams.released)


def stages_of(method: HybridGL, scene: orders.Scene) -> tuple[list[dict[str, Any]], float]:
    """Return the table of our stages and the peak."""
    stages, peak = Stages(), orders.matmul_gflops()
    proposer: Any = method.proposer
    stages.run(
        lambda: ours(method, scene),
        (proposer, '_encode', 'SAM encoder'),
        (proposals.sam_decoder.PointDecoder, '_decode', 'SAM decoder'),
        (proposer, '_candidates', 'candidates'), (proposer, '_masks', 'masks'),
        (proposals, 'remove_small_regions', 'small regions'),
        (method, 'region_views', 'region views'),
        (region_streams, 'hybrid_features', 'region towers'),
        (method, 'patch_features', 'GEM'), (module, 'mask_overlaps', 'overlaps'),
        (gem, 'runs_of', 'runs'), (module, 'text_plan', 'text plan'),
        (method, 'encode', 'text tower'), (method, 'score', 'score'))
    return stages.table(peak), peak


def main() -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('networks', nargs='?', choices=('tabletop', 'paper'), default='tabletop')
    parser.add_argument('--precision', choices=('fp32', 'bf16'), default='fp32',
                        help='of our order, with the networks of paper size')
    parser.add_argument('--small', action='store_true',
                        help='paper: small networks, to check in seconds that the orders agree; '
                        'no speed is needed')
    parser.add_argument('--json', type=Path, help='write the result to this file')
    args = parser.parse_args()
    result: dict[str, Any] = {'networks': args.networks, 'precision': args.precision,
                              'threads': torch.get_num_threads()}
    half = args.precision == 'bf16'
    if half:
        result['bf16'], wrong = orders.bf16_verdict(6.0)
        if wrong:
            return orders.finish(result, wrong, args.json)
    if args.networks == 'tabletop':
        scene, (method, released) = orders.tabletop_scene(), tabletop()
        cases: list[tuple[str, orders.Scene, float]] = [
            ('all', scene, 10.0), ('single', scene.first(), 3.0)]
    else:
        scene, (method, released) = orders.paper_scene(), paper(
            args.precision, args.small)
        cases = [('all', scene, 0.0 if args.small else 6.0 if half else 2.5)]
    analyse('the bowl')  # loads the parser outside the clock
    wrong = []
    for name, part, needed in cases:
        result[name], problems = orders.compare(
            name, lambda p=part: released.answers(p),  # type: ignore[misc]
            lambda p=part: ours(method, p), needed,  # type: ignore[misc]
            0.05 if half else TOLERANCE)
        wrong += problems
    result['stages'], peak = stages_of(method, scene)
    result['peak_gflop_per_s'] = round(peak, 1)
    print(format_table(result['stages'], peak))
    return orders.finish(result, wrong, args.json)


if __name__ == '__main__':
    raise SystemExit(main())
