#!/usr/bin/env python3
"""TAS against the released order of work, over the sentences of one image.

    python benchmarks/tas_order.py [tabletop|paper] [--small] [--precision bf16]
        [--json FILE]

The released order runs SAM's own automatic generator and the captioner again for every object
that is referred to, one mask at a time, with crops made by Pillow and the blur made anew for
each mask; and the image tower for every sentence, on every crop and, for a feature that the
score does not use, on the whole image for every mask.  The caption of the whole image it reads
from a file: here it is given ours, which ours has to make.  Both orders have the same weights
and 40 proposals.

tabletop  the shipped networks on a validation scene: all sentences of an image (10 times
          needed) and a single one (3 times).  Without the shipped captioner both orders leave
          captions out.
paper     SAM ViT-B and CLIP ViT-B/32 of random weights, 3 objects, 8 sentences: 3.5 times, 6
          in bf16.  The captioner is a BLIP-base of random weights, which writes 10 tokens with
          5 beams; in place of its nonsense both orders take sentences from a list.

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
import transformers
from stages import Stages, format_table
from torch.nn import functional

from ris_ros.language.analyser import _analyse, analyse
from ris_ros.language.pipelines import load_pipeline
from ris_ros.language.wordnet import open_wordnet
from ris_ros.methods.registry import settings_for
from ris_ros.methods.tas import method as module
from ris_ros.methods.tas import scores as scoring
from ris_ros.methods.tas.method import TAS
from ris_ros.methods.tas.settings import TASSettings
from ris_ros.methods.tas.text import (
    distractors,
    first_noun,
    head_chunk,
    negative_phrases,
    synonym_test,
    text_plan,
)
from ris_ros.models import proposals, vit
from ris_ros.models.architectures import architecture
from ris_ros.models.captioner import share_pictures
from ris_ros.models.clip import CLIP_MEAN, CLIP_STD, ClipModel, build_clip
from ris_ros.profiles import Networks, get_profile
from ris_ros.types import BadInputError, View, WeightsError

TOLERANCE = 1e-3
UNUSED_BLOCKS = 3  # last blocks after which the tower that nobody reads zeroes patches
_SMALL = {'hidden_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 2,
          'intermediate_size': 128}
SMALL_BLIP = {'vision_config': {**_SMALL, 'image_size': 64},
              'text_config': {**_SMALL, 'encoder_hidden_size': 64}}
SENTENCES = ('a red mug on a table', 'a blue bowl', 'a small green box', 'a yellow cup',
             'a can next to a box', 'the back of a chair', 'a wooden table with a bowl')


class NonsenseCaptioner:
    """BLIP-base of random weights; its work is done, its words come from a list in turn.

    shared: each picture is projected once for all beams, as our captioner does it.
    """

    fit, mean, std = 'stretch', CLIP_MEAN, CLIP_STD
    tokens = 10

    def __init__(self, beams: int, precision: str, small: bool, shared: bool) -> None:
        torch.manual_seed(2)
        dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        config = transformers.BlipConfig(**SMALL_BLIP) if small else transformers.BlipConfig()
        self.image_size = config.vision_config.image_size
        self.model: Any = transformers.BlipForConditionalGeneration(config).to(
            dtype).eval().requires_grad_(False)
        self.beams, self.told = beams, 0
        if shared:
            share_pictures(self.model, beams)

    def caption(self, pixels: torch.Tensor) -> list[str]:
        """Return the next sentences of the list."""
        if not len(pixels):
            return []
        with torch.inference_mode():
            self.model.generate(pixel_values=pixels.to(self.model.dtype), num_beams=self.beams,
                                max_new_tokens=self.tokens, min_new_tokens=self.tokens,
                                do_sample=False)
        first, self.told = self.told, self.told + len(pixels)
        return [SENTENCES[i % len(SENTENCES)] for i in range(first, self.told)]


class Released:
    """The order of work of the published program, over the networks of a method of ours."""

    def __init__(self, method: TAS, sam: Any) -> None:
        self.settings, self.sam, self.captioner = method.settings, sam, method.captioner
        self.clip: Any = method.scorer
        self.overall = ''   # what the file says of the whole image

    @torch.no_grad()
    def answers(self, scene: orders.Scene) -> list[orders.Answer]:
        """Return an answer per sentence, object by object."""
        out = []
        for sentences in scene.objects:
            restart(self.captioner)
            masks, boxes, _ = orders.released_proposals(
                self.sam, orders.proposal_settings(self.settings), scene.image)
            kept = self.keep(masks)
            crops, captions = [], []
            for i in kept:
                crops.append(self.crop(scene.image, masks[i], boxes[i]))
                if self.settings.captions:
                    captions.append(self.describe(scene.image, masks[i], boxes[i]))
            centroids = np.array([[int(v.mean()) for v in np.nonzero(masks[i])] for i in kept])
            out += [self.answer(scene.image, masks, kept, torch.stack(crops), captions,
                                centroids, said) for said in sentences]
        return out

    def keep(self, masks: list[np.ndarray]) -> list[int]:
        """Return the masks that are large enough and lie in no larger one, pair by pair."""
        areas = [int(mask.sum()) for mask in masks]
        large = [i for i, area in enumerate(areas) if area >= self.settings.min_mask_area]
        lost = set()
        for n, i in enumerate(large):
            for j in large[n + 1:]:
                shared = np.logical_and(masks[i], masks[j]).sum()
                if shared / min(areas[i], areas[j]) > self.settings.containment:
                    lost.add(i if areas[i] < areas[j] else j)
        return [i for i in large if i not in lost]

    def crop(self, image: np.ndarray, mask: np.ndarray, box: np.ndarray) -> torch.Tensor:
        """Return the scorer's picture of a mask on black."""
        picture = _cut(image * mask[..., None], box)
        side, (width, height) = self.clip.image_size, picture.size
        if width <= height:
            size = side, int(side * height / width)
        else:
            size = int(side * width / height), side
        picture = picture.resize(size, PIL.Image.Resampling.BICUBIC)
        left, top = (round((length - side) / 2) for length in size)
        return _pixels(picture.crop((left, top, left + side, top + side)), self.clip)

    def describe(self, image: np.ndarray, mask: np.ndarray, box: np.ndarray) -> str:
        """Caption one mask with its surroundings blurred."""
        captioner: Any = self.captioner
        soft = cv2.GaussianBlur(image, (self.settings.blur_kernel,) * 2, 0)
        picture = _cut(np.where(mask[..., None], image, soft), box)
        side = captioner.image_size
        if captioner.fit == 'stretch':
            picture = picture.resize((side, side), PIL.Image.Resampling.BICUBIC)
            return captioner.caption(_pixels(picture, captioner)[None])[0]
        width, height = picture.size
        scale = side / min(width, height)
        size = (side if width <= height else int(width * scale),
                side if height < width else int(height * scale))
        picture = picture.resize(size, PIL.Image.Resampling.BICUBIC)
        left, top = (round((length - side) / 2) for length in size)
        picture = picture.crop((left, top, left + side, top + side))
        return captioner.caption(_pixels(picture, captioner)[None])[0]

    def answer(self, image: np.ndarray, masks: list[np.ndarray], kept: list[int],
               crops: torch.Tensor, captions: list[str], centroids: np.ndarray, said: str
               ) -> orders.Answer:
        """Score the kept masks for one sentence."""
        s, nlp = self.settings, load_pipeline()
        doc = nlp(said)
        nlp(said)  # entities and noun phrase are parsed apart
        plan = text_plan(doc, 'released')
        features = self.clip.model.encode_image(crops)
        self.unused_tower(image, [masks[i] for i in kept])
        self.texts([plan.noun_phrase])
        text = self.texts([plan.sentence])
        scale = s.score_scale or self.clip.logit_scale
        v = scale * _cosine(features, text)[:, 0]
        p = n = np.zeros(len(kept))
        if captions:
            p = scale * _cosine(self.texts(captions), text)[:, 0]
        if s.negatives:
            phrases = negative_phrases(nlp(self.overall))
            others = distractors(first_noun(head_chunk(doc)), phrases,
                                 synonym_test(open_wordnet(), 'released'))
            prompts = [prompt for (prompt, _), keep in zip(phrases, others, strict=True) if keep]
            if prompts:
                n = scale * _cosine(features, self.texts(prompts)).mean(1)
        total = v + s.alpha * p - s.negative_lambda * n
        total = (total - total.min()) / max(total.max() - total.min(), 1e-30)
        score = np.exp(total) / np.exp(total).sum()
        allowed = (scoring.allowed(plan, None, centroids, 'released') if s.rectifier
                   else np.arange(len(kept)))
        out = np.full(len(masks), -np.inf)
        out[np.array(kept)[allowed]] = score[allowed]
        return orders.Answer(out, kept[int(allowed[np.argmax(score[allowed])])])

    def unused_tower(self, image: np.ndarray, masks: list[np.ndarray]) -> None:
        """Run the image tower on the whole image for every mask, without its last patches."""
        visual, grid = self.clip.visual, self.clip.grid
        side = self.clip.image_size
        picture = PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.BICUBIC)
        pixels = _pixels(picture, self.clip)[None].expand(len(masks), -1, -1, -1)
        shown = torch.cat([functional.interpolate(torch.from_numpy(mask)[None, None].float(),
                                                  grid) for mask in masks]).flatten(1)
        keep = functional.pad(shown, (1, 0), value=1.0)[..., None]
        x = vit.tokens_of(visual, pixels)
        blocks = list(visual.transformer.resblocks)
        for index, block in enumerate(blocks):
            x = block(x)
            if index >= len(blocks) - UNUSED_BLOCKS:
                x = x * keep
        vit.head(visual, x[:, 0])

    def texts(self, texts: list[str]) -> torch.Tensor:
        """Run the text tower at its full length."""
        return self.clip.model.encode_text(self.clip.tokenizer(texts))


def _cut(picture: np.ndarray, box: np.ndarray) -> PIL.Image.Image:
    """Cut a box out and pad its short side with black; the last row and column are lost."""
    x, y, width, height = (int(v) for v in box)
    part = picture[y:y + height, x:x + width]
    pad = abs(height - width) // 2
    sides = ((0, 0), (pad, pad)) if height > width else ((pad, pad), (0, 0))
    return PIL.Image.fromarray(np.pad(part, (*sides, (0, 0))))


def _pixels(picture: PIL.Image.Image, model: Any) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    return ((pixels - torch.tensor(model.mean)[:, None, None])
            / torch.tensor(model.std)[:, None, None])


def _cosine(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return (functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T).double().numpy()


def restart(captioner: Any) -> None:
    """Let a captioner that tells a list begin anew."""
    if isinstance(captioner, NonsenseCaptioner):
        captioner.told = 0


def ours(method: TAS, scene: orders.Scene, released: Released) -> list[orders.Answer]:
    """Return our answers: one look at the image, nothing remembered of earlier runs."""
    _analyse.cache_clear()
    scorer: Any = method.scorer
    scorer._texts.clear()
    restart(method.captioner)
    seen = method.prepare(View(scene.image))
    released.overall = seen.cache['description'].overall
    found = [method.ground(seen, analyse(said)) for said in scene.sentences]
    return [orders.Answer(g.scores.astype(np.float64), int(g.order[0])) for g in found]


def tabletop() -> tuple[TAS, Released, str]:
    """Return both orders over the shipped networks, and the captioner's name."""
    profile = get_profile('tabletop')
    # The published program has no other way than the filter.
    changed = {**orders.MANY, 'rules': 'released', 'mask_filter': 'on'}
    networks, name, captioner = Networks(profile, 'cpu', 'fp32'), 'none', None
    settings = settings_for('tas', profile, changed)
    try:
        captioner = networks.captioner(settings.captioner, settings.beams,
                                       settings.max_new_tokens)
        name = networks.name_of('caption')
    except (BadInputError, WeightsError):
        settings = settings_for('tas', profile, {**changed, 'captions': False,
                                                 'negatives': False})
    sam = networks.proposer(settings).sam
    method = TAS(networks.scorer(), orders.FirstProposals(sam, settings), settings, captioner)
    return method, Released(method, sam), name


def paper(precision: str, small: bool) -> tuple[TAS, Released, str]:
    """Return both orders over random networks of the published sizes."""
    sams, settings = orders.PaperSam(precision, small), TASSettings(rules='released')
    torch.manual_seed(1)
    config = orders.SMALL_CLIP if small else architecture('ViT-B-32', 'clip')
    clip = ClipModel(build_clip(config), config, precision=precision)
    sharing, plain = (NonsenseCaptioner(settings.beams, precision, small, shared)
                   for shared in (True, False))
    captioner: Any = sharing
    method = TAS(clip, sams.proposer, settings, captioner)
    released = Released(method, sams.released)
    released.captioner = plain  # type: ignore[assignment]
    return method, released, 'BLIP-base of random weights, 10 tokens'


def stages_of(method: TAS, scene: orders.Scene, released: Released
              ) -> tuple[list[dict[str, Any]], float]:
    """Return the table of our stages and the peak."""
    stages, peak = Stages(), orders.matmul_gflops()
    proposer: Any = method.proposer
    watched: list[tuple[Any, str, str]] = [
        (proposer, '_encode', 'SAM encoder'),
        (proposals.sam_decoder.PointDecoder, '_decode', 'SAM decoder'),
        (proposer, '_candidates', 'candidates'), (proposer, '_masks', 'masks'),
        (proposals, 'remove_small_regions', 'small regions'),
        (method, '_filtered', 'mask filter'), (method, '_centroids', 'centre points'),
        (method, '_soft', 'blur'), (method, 'views', 'crops'),
        (method.scorer, 'encode_images', 'image tower'),
        (method.scorer, 'encode_text', 'text tower'), (module, 'text_plan', 'text plan'),
        (method, 'score', 'score')]
    if method.captioner is not None:
        watched.append((method.captioner, 'caption', 'captioner'))
    stages.run(lambda: ours(method, scene, released), *watched)
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
    half = args.precision == 'bf16'
    result: dict[str, Any] = {'networks': args.networks, 'precision': args.precision,
                              'threads': torch.get_num_threads()}
    if half:
        result['bf16'], wrong = orders.bf16_verdict(6.0)
        if wrong:
            return orders.finish(result, wrong, args.json)
    if args.networks == 'tabletop':
        scene, (method, released, name) = orders.tabletop_scene(), tabletop()
        cases = [('all', scene, 10.0), ('single', scene.first(), 3.0)]
    else:
        scene, (method, released, name) = orders.paper_scene(), paper(
            args.precision, args.small)
        cases = [('all', scene, 0.0 if args.small else 6.0 if half else 3.5)]
    result['captioner'], wrong = name, []
    analyse('the bowl')  # loads the parser outside the clock
    open_wordnet()
    for case, part, needed in cases:
        result[case], problems = orders.compare(
            case, lambda p=part: released.answers(p),  # type: ignore[misc]
            lambda p=part: ours(method, p, released), needed,  # type: ignore[misc]
            0.05 if half else TOLERANCE)
        wrong += problems
    result['stages'], peak = stages_of(method, scene, released)
    result['peak_gflop_per_s'] = round(peak, 1)
    print(format_table(result['stages'], peak))
    return orders.finish(result, wrong, args.json)


if __name__ == '__main__':
    raise SystemExit(main())
