#!/usr/bin/env python3
"""Every method of the papers at paper size on a GPU: time, memory, and bf16 against fp32.

    python benchmarks/gpu_report.py [--device cuda] [--methods hybridgl,tas] [--minutes 10]
        [--json gpu_report.json] [--small]

Weights are random, in the published layouts, so that nothing is fetched; they are loaded through
the profile as real ones are.  SAM proposes at its full cost, then 40 drawn masks take the place
of what a random SAM proposes.  TAS is measured without its captioner (see tas_memory.py
--measure).  Per method and precision: seconds to build, of the first sentence about a picture and
of a further one (medians of three), the most memory that was held, and in how many of the
sentences bf16 chooses as fp32 does.  Of random weights: times and memory are those of real ones,
agreement is a lower bound, since random scores lie close together.

--small: tiny networks, to try the script on a machine without a GPU.
Prints one table and writes one JSON document.  Exit code 1 where a row failed.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from ris_ros.files import write_json
from ris_ros.language import analyse
from ris_ros.methods.registry import find_method, settings_for
from ris_ros.models import architectures
from ris_ros.models.device import pick_device, seconds_now
from ris_ros.models.proposals import Proposals
from ris_ros.models.weights import Entry, WeightStore
from ris_ros.profiles import Networks, Profile, get_profile
from ris_ros.types import RisError, View

METHODS = {'hybridgl': {}, 'tas': {'captions': False, 'negatives': False},
           'iterprime': {'peak_filter': False, 'component_limit': 0}, 'pcnet': {},
           'prompt_ris': {}, 'clip_only': {}}
PRECISIONS = ('fp32', 'bf16')
# With another colour for every picture, so that no text is known from the one before.
COLOURS = ('red', 'blue', 'green', 'yellow')
SENTENCES = ('the {} mug', 'the {} mug left of the bowl', 'the biggest {} can',
             'the {} bowl on the right', 'the {} box behind the mug', 'the {} can next to the box',
             'the left {} mug', 'the {} box between the mug and the bowl')
WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *sorted(
    {word for sentence in SENTENCES for word in sentence.split()} | {'there', 'is', 'a'}
    | set(COLOURS))]
ROWS_PER_SIDE = 8
SMALL_CLIP = {'embed_dim': 64, 'quick_gelu': True,
              'text_cfg': {'context_length': 77, 'vocab_size': 49408, 'width': 64, 'heads': 4,
                           'layers': 1}}
SMALL = {
    ('clip', 'ViT'): {**SMALL_CLIP, 'vision_cfg': {
        'image_size': 64, 'patch_size': 8, 'width': 64, 'layers': 12, 'head_width': 16}},
    ('clip', 'RN50'): {**SMALL_CLIP, 'vision_cfg': {
        'image_size': 64, 'layers': [1, 1, 1, 1], 'width': 16, 'head_width': 32}},
    ('sam', ''): {'image_size': 128, 'patch_size': 16, 'prompt_dim': 32, 'mask_in_chans': 8,
                  'encoder': {'embed_dim': 32, 'depth': 2, 'num_heads': 2,
                              'global_attn_indexes': [1], 'window_size': 4},
                  'decoder': {'depth': 2, 'num_heads': 2, 'mlp_dim': 32,
                              'iou_head_hidden_dim': 32}},
    ('matcher', ''): {'image_size': 64, 'patch': 16, 'vision_width': 32, 'vision_depth': 1,
                      'vision_heads': 2, 'text_width': 32, 'text_layers': 12, 'fusion_layer': 6,
                      'heads': 2, 'intermediate': 32, 'positions': 64, 'vocab': 30522},
}


class RandomStore(WeightStore):
    """Weights drawn at random in the published layouts, in the place of files."""

    def __init__(self, device: str, small: bool, folder: Path) -> None:
        super().__init__(folder)
        self.device, self.small, self.folder = device, small, folder
        self.parameters: dict[str, int] = {}

    def verify(self, name: str) -> Path:
        """Return a vocabulary; nothing else is read as a file."""
        path = self.folder / 'vocabulary.txt'
        path.write_text('\n'.join(WORDS + [f'[unused{i}]' for i in range(30522 - len(WORDS))]))
        return path

    def load(self, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any] | str]:
        """Return random weights, on the device, and their configuration."""
        entry = self.entry(name)
        with torch.device('meta'):
            network, config = self._build(entry)
        self.parameters[name] = sum(p.numel() for p in network.parameters())
        torch.manual_seed(0)
        return {key: self._draw(key, value) for key, value in network.state_dict().items()}, \
            config

    def _draw(self, key: str, value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return torch.zeros(value.shape, dtype=value.dtype, device=self.device)
        if key.endswith('running_var') or (key.endswith('weight') and value.ndim == 1):
            return torch.ones(value.shape, device=self.device)
        return torch.randn(value.shape, device=self.device) * 0.02

    def _build(self, entry: Entry) -> tuple[Any, Any]:
        from ris_ros.models.albef import Albef, AlbefConfig
        from ris_ros.models.clip import build_clip
        from ris_ros.models.mask2former import network_config
        from ris_ros.models.sam import build_sam
        if entry.kind == 'pcnet':
            return self._pcnet()
        if entry.kind == 'prompt_ris':
            return self._prompt_ris()
        config = self.layout(entry.config, entry.kind)
        if entry.kind == 'mask2former':
            from transformers import Mask2FormerForUniversalSegmentation
            return Mask2FormerForUniversalSegmentation(network_config(config)), config
        build = {'clip': build_clip, 'sam': build_sam,
                 'matcher': lambda c: Albef(AlbefConfig.from_dict(c))}[entry.kind]
        return build(config), config

    def layout(self, name: str, kind: str) -> dict[str, Any]:
        """Return a published layout, or a small one in its place."""
        if not self.small:
            return architectures.architecture(name, kind)
        for (of, begins), config in SMALL.items():
            if of == kind and name.startswith(begins):
                return json.loads(json.dumps(config))
        return {'num_queries': 9, 'hidden_dim': 32, 'feature_size': 32, 'mask_feature_size': 32,
                'encoder_layers': 1, 'decoder_layers': 2, 'num_attention_heads': 2,
                'dim_feedforward': 32, 'encoder_feedforward_dim': 32, 'backbone_config': {
                    'model_type': 'swin', 'embed_dim': 8, 'depths': [1, 1, 1, 1],
                    'num_heads': [1, 2, 2, 4], 'window_size': 4,
                    'out_features': ['stage1', 'stage2', 'stage3', 'stage4']}}

    def _pcnet(self) -> tuple[Any, Any]:
        from ris_ros.methods.logistic import Logistic
        from ris_ros.methods.pcnet.load import describe_network
        from ris_ros.methods.pcnet.network import PCNet, PCNetConfig
        config = PCNetConfig(clip=self.layout('RN50', 'clip'),
                             image_size=64 if self.small else 320)
        return PCNet(config), describe_network(config, Logistic(0.1, {'inside': 2.0}))

    def _prompt_ris(self) -> tuple[Any, Any]:
        from ris_ros.methods.prompt_ris.calibration import Calibration
        from ris_ros.methods.prompt_ris.config import NetworkConfig
        from ris_ros.methods.prompt_ris.load import build, describe_network
        network = NetworkConfig(image_size=64 if self.small else 480)
        config = describe_network(network, self.layout('ViT-B-16', 'clip'),
                                  self.layout('vit_b', 'sam'), {}, Calibration())
        return build(config, network, 'random'), config


class Drawn:
    """A proposer at its own cost whose answer is 40 boxes: a random SAM's would be noise."""

    def __init__(self, inner: Any, size: tuple[int, int]) -> None:
        self.inner = inner
        rng = np.random.default_rng(0)
        masks = np.zeros((40, *size), dtype=bool)
        for mask in masks:
            y, x = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
            mask[y:y + rng.integers(20, 120), x:x + rng.integers(20, 120)] = True
        self.masks = torch.from_numpy(masks)

    def propose(self, view: View) -> Proposals:
        """Propose, and answer with the boxes."""
        found = self.inner.propose(view)
        return Proposals.of(self.masks.to(found.masks.device))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def profile() -> Profile:
    """Return the profile paper with a PCNet and a Prompt-RIS beside it."""
    base = get_profile('paper')
    own = {kind: Entry(f'random_{kind}', kind, f'{kind}.safetensors', 'safetensors')
           for kind in ('pcnet', 'prompt_ris')}
    return dataclasses.replace(
        base, networks={**base.networks, **{k: e.name for k, e in own.items()}},
        entries={**base.entries, **{e.name: e for e in own.values()}})


def measure(method: str, precision: str, device: str, small: bool, image: np.ndarray
            ) -> dict[str, Any]:
    """Return one row: see the module."""
    used, on_gpu = profile(), device.startswith('cuda')
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as folder:
        store = RandomStore(device, small, Path(folder))
        networks = Networks(used, device, precision, folder)
        store.entries.update(networks.store.entries)
        networks.store = store
        changes = {'proposals': 'mask2former' if method == 'iterprime' else 'sam',
                   **METHODS[method]}
        settings_class = find_method(method).settings_class()
        known = {f.name for f in dataclasses.fields(settings_class)}
        settings = settings_for(method, used, {k: v for k, v in changes.items() if k in known})
        start = seconds_now(device)
        built = find_method(method).load().from_networks(networks, settings)
        building = seconds_now(device) - start
    if getattr(built, 'proposer', None) is not None and method != 'pcnet':
        built = built.with_proposer(Drawn(built.proposer, image.shape[:2]))
    first, further, chosen = [], [], []
    for turn, colour in enumerate(COLOURS):   # the first one warms up and is not counted
        said = [analyse(text.format(colour)) for text in SENTENCES]
        view = View(np.roll(image, turn, axis=1))
        start = seconds_now(device)
        scene = built.prepare(view)
        built.ground(scene, said[0])
        first.append(seconds_now(device) - start)
        for sentence in said[1:]:
            start = seconds_now(device)
            built.ground(scene, sentence)
            further.append(seconds_now(device) - start)
    for sentence in said:
        found = built.ground(scene, sentence)
        best = found.regions(scene).masks[found.order[0]] if len(found.order) else None
        chosen.append(best)
    row = {'method': method, 'precision': precision, 'build_s': building,
           'first_s': statistics.median(first[1:]),
           'further_s': statistics.median(further[len(said) - 1:]),
           'memory_gb': torch.cuda.max_memory_allocated(device) / 1e9 if on_gpu else None,
           'parameters': store.parameters}
    return {**row, 'chosen': chosen}


def agreement(rows: list[dict[str, Any]]) -> None:
    """Put into every row of bf16 in which part of the sentences it chooses as fp32 does."""
    exact = {row['method']: row['chosen'] for row in rows
             if row.get('precision') == 'fp32' and 'chosen' in row}
    for row in rows:
        chosen = row.pop('chosen', None)
        if row['precision'] == 'bf16' and chosen is not None and row['method'] in exact:
            row['same_choice'] = float(np.mean([
                (a is None) == (b is None) and (a is None or overlap(a, b) > 0.9)
                for a, b in zip(exact[row['method']], chosen, strict=True)]))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two masks."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ['| method | precision | build | first | further | memory | as fp32 |',
             '|---|---|---|---|---|---|---|']
    for row in rows:
        if 'failed' in row:
            lines.append(f'| {row["method"]} | {row["precision"]} | {row["failed"]} | | | | |')
            continue
        memory = f'{row["memory_gb"]:.2f} GB' if row['memory_gb'] is not None else '-'
        same = f'{row["same_choice"]:.0%}' if 'same_choice' in row else '-'
        lines.append(f'| {row["method"]} | {row["precision"]} | {row["build_s"]:.1f} s | '
                     f'{1e3 * row["first_s"]:.0f} ms | {1e3 * row["further_s"]:.1f} ms | '
                     f'{memory} | {same} |')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and write the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--methods', default=','.join(METHODS))
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--json', type=Path, default=Path('gpu_report.json'))
    parser.add_argument('--small', action='store_true')
    args = parser.parse_args(arguments)
    device = pick_device(args.device)
    size = (96, 128) if args.small else (480, 640)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    began, rows, failed = time.monotonic(), [], False
    for method in args.methods.split(','):
        for precision in PRECISIONS:
            if time.monotonic() - began > 60 * args.minutes:
                rows.append({'method': method, 'precision': precision,
                             'failed': f'left out: {args.minutes:g} minutes are over'})
                continue
            try:
                with mock.patch.dict('os.environ', {'RIS_OFFLINE': '1'}):
                    rows.append(measure(method, precision, device, args.small, image))
            except (RisError, RuntimeError) as error:
                failed = True
                rows.append({'method': method, 'precision': precision,
                             'failed': str(error).splitlines()[0][:200]})
            print(f'{method} {precision}: {rows[-1].get("failed", "measured")}', file=sys.stderr)
    agreement(rows)
    name = torch.cuda.get_device_name(device) if device.startswith('cuda') else 'cpu'
    write_json(args.json, {'device': name, 'torch': torch.__version__, 'small': args.small,
                           'image': list(size), 'sentences': len(SENTENCES), 'rows': rows})
    print(f'{name}, {size[1]}x{size[0]}, random weights'
          f'{" of tiny networks" if args.small else ""}\n\n{table(rows)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
