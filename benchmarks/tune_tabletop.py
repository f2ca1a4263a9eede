"""
Choose the tabletop profile's settings on validation seeds.

Prepares scenes of the validation split once, then grounds all expressions under every
combination of a grid of settings and prints mIoU by tag, and fits the two numbers that turn
a cosine into the probability of a match (logistic regression on matching and absent
expressions).  Never run on the test split: the seeds are those of `val`.

    python benchmarks/tune_tabletop.py --scenes 60

With --true-masks the visible objects' own masks stand in for proposals, so that mIoU is the
share of right choices: what is left to win in the choosing alone.
"""
from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections import defaultdict

import numpy as np

from ris_ros import Segmenter
from ris_ros.language import analyse
from ris_ros.methods.base import ProposalMethod
from ris_ros.methods.options import CosineSettings
from ris_ros.simulation import SPLITS, RenderedFrame, TabletopWorld
from ris_ros.types import Scene, View


def prepare_true(segmenter: Segmenter, frame: RenderedFrame) -> Scene:
    """Return the scene whose proposals are the true masks of at least 300 pixels."""
    import torch

    from ris_ros.models.proposals import Proposals
    objects = [i for i in range(1, int(frame.instances.max()) + 1)
               if (frame.instances == i).sum() >= 300]
    masks = torch.from_numpy(np.stack([frame.instances == i for i in objects]))
    method = segmenter.method
    assert isinstance(method, ProposalMethod), 'true masks can stand in for proposals alone'
    return method.prepare_with(View(frame.color), Proposals.of(masks))


def collect(segmenter: Segmenter, scenes: int, first: int, true_masks: bool = False) -> list:
    """Return (scene, analysis, truth mask or None, tag) of every expression."""
    from tqdm import tqdm
    samples = []
    for seed in tqdm(range(first, first + scenes), unit='scene'):
        with TabletopWorld(seed) as world:
            scene = (prepare_true(segmenter, world.frame) if true_masks
                     else segmenter.prepare(world.frame.color))
            for e in world.expressions:
                truth = np.isin(world.frame.instances, e.targets) if e.answerable else None
                samples.append((scene, analyse(e.text), truth, e.tag))
    return samples


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over the union of two masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def score(segmenter: Segmenter, samples: list, changes: dict) -> dict[str, float]:
    """Return mIoU by tag, over all and of the oracle, under changed settings."""
    method = segmenter.method.with_settings(
        dataclasses.replace(segmenter.settings, **changes))
    by_tag = defaultdict(list)
    for scene, analysis, truth, tag in samples:
        if truth is None:
            continue
        grounding = method.ground(scene, analysis)
        order, regions = grounding.order, grounding.regions(scene)
        value = iou(regions.masks[order[0]], truth) if len(order) else 0.0
        by_tag['oracle'].append(max((iou(m, truth) for m in regions.masks), default=0.0))
        by_tag[tag].append(value)
        by_tag['all'].append(value)
    return {tag: float(np.mean(values)) for tag, values in by_tag.items()}


def fit_match(segmenter: Segmenter, samples: list) -> None:
    """Print match_center and match_width from best cosines of present and absent objects."""
    rows = []
    for scene, analysis, truth, tag in samples:
        if tag == 'ambiguous':
            continue
        grounding = segmenter.method.ground(scene, analysis)
        if not len(grounding.probabilities):
            continue
        p = float(grounding.probabilities.max())
        s = segmenter.method.settings
        odds = math.log(max(p, 1e-9) / max(1 - p, 1e-9))
        rows.append((s.match_center + s.match_width * odds, truth is not None))
    x, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], float)
    weight = np.where(y > 0, 0.5 / max(y.sum(), 1), 0.5 / max((1 - y).sum(), 1))
    design = np.stack([x, np.ones_like(x)], 1)
    beta = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        slope = design.T @ (weight * (p - y))
        curve = (design * (weight * p * (1 - p))[:, None]).T @ design
        beta = beta - np.linalg.solve(curve + 1e-9 * np.eye(2), slope)
    a, b = (float(v) for v in beta)
    print(f'present {x[y > 0].mean():.3f} +- {x[y > 0].std():.3f}, '
          f'absent {x[y < 1].mean():.3f} +- {x[y < 1].std():.3f}')
    print(f'match_center {-b / a:.4f}  match_width {1 / a:.4f}')


def main() -> None:
    """Prepare, fit, search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--scenes', type=int, default=60)
    parser.add_argument('--first', type=int, default=SPLITS['val'].start + 500)
    parser.add_argument('--method', default='hybridgl')
    parser.add_argument('--set', nargs='*', default=[], metavar='NAME=V1,V2,...')
    parser.add_argument('--base', nargs='*', default=[], metavar='NAME=VALUE')
    parser.add_argument('--true-masks', action='store_true')
    args = parser.parse_args()
    if args.first not in SPLITS['val'] or args.first + args.scenes > SPLITS['val'].stop:
        parser.error('only validation seeds are tuned on')

    def value(text: str) -> object:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        return {'true': True, 'false': False}.get(text, text)

    base = {k: value(v) for k, v in (item.split('=') for item in args.base)}
    segmenter = Segmenter.from_profile('tabletop', args.method, settings=base)
    samples = collect(segmenter, args.scenes, args.first, args.true_masks)
    if isinstance(segmenter.settings, CosineSettings):
        fit_match(segmenter, samples)
    names, values = [], []
    for item in args.set:
        name, listed = item.split('=')
        names.append(name)
        values.append([value(v) for v in listed.split(',')])
    for combination in itertools.product(*values):
        changes = dict(zip(names, combination, strict=True))
        result = score(segmenter, samples, changes)
        print(changes, {k: round(v, 3) for k, v in result.items()})


if __name__ == '__main__':
    main()
