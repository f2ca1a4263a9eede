#!/usr/bin/env python3
"""IteRPrimE against the released order of work, over the sentences of one image.

    python benchmarks/iterprime_order.py [--width 768] [--sentences 7] [--json FILE]

The released order runs the image tower, the text layers and the parse again for every sentence
and every look, with gradients of all weights.  Both run here over the same random network with
as many layers as ALBEF; proposals are left out of both.  Prints processor seconds for one
sentence and for all, and whether the maps agree.  Exit code 1 below 8 times for seven sentences,
below 2 times for one, or where the maps differ.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ris_ros.language import Analysis, analyse
from ris_ros.language.analyser import _analyse
from ris_ros.methods.iterprime import maps
from ris_ros.methods.iterprime.method import IteRPrimE
from ris_ros.methods.iterprime.settings import IterPrimeSettings
from ris_ros.methods.iterprime.text import text_plan
from ris_ros.models.albef import Albef, AlbefConfig
from ris_ros.models.matcher import PROMPT, Matcher
from ris_ros.models.proposals import Proposals
from ris_ros.models.wordpiece import WordPiece
from ris_ros.types import View

ALL, ONE, TOLERANCE = 8.0, 2.0, 1e-3
SIZE = (480, 640)
LAYER, LOOKS = 8, 3
SENTENCES = ('the red mug left of the bowl', 'the small green box', 'the mug behind the can',
             'the blue bowl on the right', 'the can next to the red box', 'the largest bowl',
             'the yellow cup in front of the box')
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()}
               | {'there', 'is', 'a'})


def make_matcher(width: int) -> Matcher:
    """Return a random network with ALBEF's layers, `width` wide."""
    torch.manual_seed(0)
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', *WORDS]
    model = Albef(AlbefConfig(vision_width=width, text_width=width, intermediate=4 * width,
                              vocab=len(words)))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.03)
    return Matcher(model, WordPiece(words))


def released_look(matcher: Matcher, image: np.ndarray, sentence: str, seen: torch.Tensor
                  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one look's map and match, everything computed anew with a graph over all of it."""
    model = matcher.model.requires_grad_(True)
    _analyse.cache_clear()
    analysis = analyse(sentence)
    plan = text_plan(analysis.doc, matcher.tokenizer.count, 'released')  # type: ignore[arg-type]
    ids = torch.tensor([matcher.tokenizer.encode(PROMPT + analysis.doc.text)])  # type: ignore
    valid = torch.ones_like(ids, dtype=torch.bool)
    tokens = torch.nn.functional.pad(seen.flatten(1), (1, 0), value=True)
    keys = model.image_keys(model.visual_encoder(matcher.pixels(image)))
    x = model.fuse(model.read(ids, valid), valid, keys, tokens, stop=LAYER)
    own, (key, value) = model.layers[LAYER], keys[LAYER - model.config.fusion_layer]
    x = own.read(x, valid)
    weights = own.crossattention.weights(x, (key, value), tokens)
    weights.retain_grad()
    y = own.feed_forward(own.crossattention.output((weights @ value).transpose(1, 2).flatten(2),
                                                   x))
    logits = model.itm_head(model.fuse(y, valid, keys, tokens, start=LAYER + 1)[:, 0])
    model.zero_grad()
    logits[0, 1].backward()
    grid = (model.config.grid,) * 2
    a, g = (part[0, :, :, 1:].detach().unflatten(-1, grid) for part in (weights, weights.grad))
    return (maps.word_map(a, g.clamp(min=0), plan, 0, 'released')[None],
            logits.detach().softmax(-1)[:, 1])


def released_order(matcher: Matcher, image: np.ndarray, sentences: tuple[str, ...]
                   ) -> list[np.ndarray]:
    """Return each sentence's full-size map, one sentence after the other."""
    out = []
    grid = (matcher.config.grid,) * 2
    for sentence in sentences:
        def step(rows: list[int], seen: torch.Tensor, said: str = sentence
                 ) -> tuple[torch.Tensor, torch.Tensor]:
            return released_look(matcher, image, said, seen)
        found, = maps.refine(step, 1, grid, maps.Refinement(LOOKS), SIZE)
        out.append(maps.stretch(maps.enlarge(found.heat[None], SIZE))[0].numpy())
    return out


def our_order(matcher: Matcher, image: np.ndarray, sentences: tuple[str, ...]
              ) -> list[np.ndarray]:
    """Return the same maps by the method."""
    matcher.model.requires_grad_(False)
    _analyse.cache_clear()
    method = IteRPrimE(matcher, None, IterPrimeSettings(rules='released', iterations=LOOKS))
    masks = torch.zeros(1, *SIZE, dtype=torch.bool)
    scene = method.prepare_with(View(image), Proposals.of(masks))
    analyses: list[Analysis] = [analyse(sentence) for sentence in sentences]
    return [g.heatmap for g in method.ground_many(scene, analyses)
            if g is not None and g.heatmap is not None]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return processor seconds and the result of one call."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--width', type=int, default=768, help='of towers; ALBEF: 768')
    parser.add_argument('--sentences', type=int, default=7, choices=range(1, 8))
    parser.add_argument('--json', type=Path, help='write the result to this file')
    args = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    result: dict[str, Any] = {'width': args.width, 'threads': torch.get_num_threads()}
    ok = True
    our_order(make_matcher(48), image, SENTENCES)  # load the parser outside the clock
    for name, count, limit in (('one', 1, ONE), ('all', args.sentences, ALL)):
        sentences = SENTENCES[:count]
        slow, theirs = seconds(lambda s=sentences: released_order(  # type: ignore[misc]
            make_matcher(args.width), image, s))
        fast, ours = seconds(lambda s=sentences: our_order(  # type: ignore[misc]
            make_matcher(args.width), image, s))
        making, _ = seconds(lambda: make_matcher(args.width))
        apart = max(float(np.abs(a - b).max()) for a, b in zip(theirs, ours, strict=True))
        ratio = (slow - making) / (fast - making)
        ok = ok and apart < TOLERANCE and (ratio >= limit or count not in (1, len(SENTENCES)))
        result[name] = {'sentences': count, 'released_s': round(slow - making, 2),
                        'ours_s': round(fast - making, 2), 'times': round(ratio, 1),
                        'largest_difference': float(f'{apart:.1e}')}
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        part = args.json.with_suffix('.part')
        part.write_text(text + '\n', encoding='utf-8')
        part.replace(args.json)
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
