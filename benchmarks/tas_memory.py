#!/usr/bin/env python3
"""GPU memory of TAS with BLIP-2 OPT-2.7B in bf16: counted, or measured where a GPU is there.

    python benchmarks/tas_memory.py [--budget 8.0] [--json FILE] [--measure BATCH]

Parameters are counted on networks of the published sizes that are built without memory (meta
device); activations and the cache of keys and values by their shapes, for batches of crops.
`--measure` builds BLIP-2 with random weights on the GPU and captions one batch; without a GPU
it is an error.  Exit code 1 where no batch fits the budget.  docs/tas_memory.md explains the
table.
"""
from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    OPTConfig,
)

from ris_ros.models.architectures import architecture
from ris_ros.models.clip import build_clip
from ris_ros.models.sam import build_sam

GB = 1e9
BEAMS, NEW_TOKENS = 5, 30
BATCHES = (1, 2, 4, 8, 16)


def blip2_config() -> Blip2Config:
    """Return the configuration of Salesforce/blip2-opt-2.7b."""
    text = OPTConfig(vocab_size=50304, hidden_size=2560, num_hidden_layers=32, ffn_dim=10240,
                     num_attention_heads=32, word_embed_proj_dim=2560,
                     max_position_embeddings=2048)
    return Blip2Config(vision_config=Blip2VisionConfig().to_dict(),
                       qformer_config=Blip2QFormerConfig().to_dict(), text_config=text.to_dict(),
                       num_query_tokens=32)


def parameters() -> dict[str, int]:
    """Return parameters by part, shared ones once."""
    with torch.device('meta'):
        blip = Blip2ForConditionalGeneration(blip2_config())
        blip.tie_weights()
        sam, clip = (build_sam(architecture('vit_h', 'sam')),
                     build_clip(architecture('ViT-B-32', 'clip')))
        small = build_sam(architecture('vit_b', 'sam'))

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    vision, language = count(blip.vision_model), count(blip.language_model)
    return {'ViT-g/14': vision, 'Q-Former, projection': count(blip) - vision - language,
            'OPT-2.7B': language, 'SAM ViT-H': count(sam), 'SAM ViT-B': count(small),
            'CLIP ViT-B/32': count(clip)}


@dataclass(frozen=True)
class Needs:
    """Bytes that a batch of crops takes beside the weights, bf16 unless said."""

    vision: float
    cache: float
    prefill: float
    logits: float

    @property
    def peak(self) -> float:
        """The vision tower has let go of its activations when the language model starts."""
        return max(self.vision, self.cache + max(self.prefill, self.logits))


def needs(config: Blip2Config, batch: int) -> Needs:
    """Return what captioning `batch` crops takes, by shapes."""
    eye, text, queries = config.vision_config, config.text_config, config.num_query_tokens
    tokens = (eye.image_size // eye.patch_size) ** 2 + 1
    # One block at a time: residual, its norm, q k v, the output; hidden layer before and after
    # its nonlinearity.
    vision = 2 * batch * tokens * (6 * eye.hidden_size + 2 * eye.intermediate_size)
    vision += 2 * batch * 3 * eye.image_size ** 2
    rows, prompt = batch * BEAMS, queries + 1
    length = prompt + NEW_TOKENS
    per_token = 2 * 2 * text.num_hidden_layers * text.hidden_size
    # While a step appends to one layer's keys and values that layer exists twice.
    cache = rows * length * per_token * (1 + 1 / text.num_hidden_layers)
    prefill = 2 * rows * prompt * (6 * text.hidden_size + 2 * text.ffn_dim)
    # Beam search keeps the scores in fp32: logits, their softmax, and sums of scores.
    logits = 4 * rows * text.vocab_size * 4
    return Needs(vision, cache, prefill, logits)


def table(budget: float) -> dict[str, Any]:
    """Return parameters, needs by batch, and the plans with the largest batch that fits."""
    counted, config = parameters(), blip2_config()
    blip = sum(counted[name] for name in ('ViT-g/14', 'Q-Former, projection', 'OPT-2.7B'))
    language = 2 * counted['OPT-2.7B']
    batches = {batch: needs(config, batch) for batch in BATCHES}
    # Weights beside the captioner's activations: SAM and CLIP hold fp32 weights under autocast.
    held = {
        'all resident, SAM ViT-H': 2 * blip + 4 * (counted['SAM ViT-H'] + counted[
            'CLIP ViT-B/32']),
        'all resident, SAM ViT-B': 2 * blip + 4 * (counted['SAM ViT-B'] + counted[
            'CLIP ViT-B/32']),
        'BLIP-2 alone while it captions': 2 * blip,
        'OPT alone while it writes': language}
    plans = {}
    for name, weights in held.items():
        totals = {batch: weights + need.peak for batch, need in batches.items()}
        fitting = [batch for batch, total in totals.items() if total <= budget * GB]
        plans[name] = {'weights_gb': round(weights / GB, 2),
                       'total_gb': {b: round(t / GB, 2) for b, t in totals.items()},
                       'largest_batch': max(fitting, default=0)}
    return {'budget_gb': budget, 'parameters': counted, 'blip2_parameters': blip,
            'blip2_bf16_gb': round(2 * blip / GB, 2),
            'needs_mb': {batch: {'vision': round(n.vision / 1e6), 'cache': round(n.cache / 1e6),
                                 'prefill': round(n.prefill / 1e6),
                                 'logits': round(n.logits / 1e6), 'peak': round(n.peak / 1e6)}
                         for batch, n in batches.items()},
            'plans': plans}


def measure(batch: int) -> dict[str, Any]:
    """Caption a batch of noise on the GPU; return the memory that torch held at most."""
    if not torch.cuda.is_available():
        raise SystemExit('--measure needs a GPU; leave it out to count instead')
    torch.set_default_dtype(torch.bfloat16)
    with torch.device('cuda'):
        model = Blip2ForConditionalGeneration(blip2_config()).eval()
    torch.set_default_dtype(torch.float32)
    weights = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    pixels = torch.randn(batch, 3, 224, 224, device='cuda', dtype=torch.bfloat16)
    with torch.inference_mode():
        model.generate(pixel_values=pixels, num_beams=BEAMS, max_new_tokens=NEW_TOKENS,
                       min_new_tokens=NEW_TOKENS, do_sample=False)
    return {'device': torch.cuda.get_device_name(), 'batch': batch,
            'weights_gb': round(weights / GB, 2),
            'peak_gb': round(torch.cuda.max_memory_allocated() / GB, 2)}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--budget', type=float, default=8.0, help='GB (10^9 bytes)')
    parser.add_argument('--measure', type=int, metavar='BATCH', help='crops; needs a GPU')
    parser.add_argument('--json', type=Path, help='write the result to this file')
    args = parser.parse_args()
    result = table(args.budget)
    if args.measure is not None:
        result['measured'] = measure(args.measure)
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + '\n', encoding='utf-8')
    if not any(plan['largest_batch'] for plan in result['plans'].values()):
        print(f'no batch fits {args.budget} GB', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
