"""
Choose the tabletop profile's settings on validation seeds.

Prepares scenes of the validation split once, then grounds all expressions under every
combination of a grid of settings and prints mIoU by tag, and fits the two numbers that turn
a cosine into the probability of a match (logistic regression on matching and absent
expressions).  Never run on the test split: the seeds are those of `val`.

    python benchmarks/tune_tabletop.py --scenes 60
    python benchmarks/tune_tabletop.py --scenes 20 --base proposals=depth --decisions

The thresholds of a method belong to what proposed its masks, so each choice of `proposals` is
tuned by itself.  --decisions chooses score_threshold and ambiguity_margin too: of the right
choices at most --may-lose may be refused, and then as many wrong ones, absent and ambiguous
sentences as can be.  Several methods share one rendering and one proposing of each scene.

With --true-masks the visible objects' own masks stand in for proposals, so that mIoU is the
share of right choices: what is left to win in the choosing alone.
"""
from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from ris_ros import Segmenter
from ris_ros.datasets.base import OpenGroup
from ris_ros.datasets.tabletop import scene_samples
from ris_ros.decision import distinct
from ris_ros.geometry import depth_to_metres
from ris_ros.language import analyse_expression
from ris_ros.methods.base import ProposalMethod
from ris_ros.methods.options import CosineSettings, fitting
from ris_ros.models.proposals import Proposals
from ris_ros.settings import TWIN
from ris_ros.simulation import SPLITS, RenderedFrame, TabletopWorld


def true_masks_of(frame: RenderedFrame) -> Proposals:
    """Return the true masks of at least 300 pixels as proposals."""
    import torch
    objects = [i for i in range(1, int(frame.instances.max()) + 1)
               if (frame.instances == i).sum() >= 300]
    return Proposals.of(torch.from_numpy(np.stack([frame.instances == i for i in objects])))


def collect(segmenter: Segmenter, scenes: range, true_masks: bool = False) -> list:
    """Return (opened scene, proposals) of every seed."""
    from tqdm import tqdm
    method, found = segmenter.method, []
    assert isinstance(method, ProposalMethod) and method.proposer is not None, \
        'only a method over proposals can be tuned here'
    for seed in tqdm(scenes, unit='scene'):
        with TabletopWorld(seed) as world:
            opened = OpenGroup(world.frame.color, scene_samples(world),
                               depth_to_metres(world.frame.depth, '16UC1'), world.frame.camera)
            found.append((opened, true_masks_of(world.frame) if true_masks
                          else method.proposer.propose(opened.view)))
    return found


def samples_of(segmenter: Segmenter, collected: list) -> list:
    """Return (scene, analysis, truth mask or None, tag) of every expression."""
    samples, method = [], segmenter.method
    assert isinstance(method, ProposalMethod)
    for opened, proposals in collected:
        scene = method.prepare_with(opened.view, proposals.to(method.device))
        for s in opened.samples:
            truth = s.mask.load() if s.mask is not None else None
            samples.append((scene, analyse_expression(s.expression), truth, s.tags[0]))
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


def fit_match(segmenter: Segmenter, samples: list) -> dict[str, float]:
    """Print match_center and match_width from best cosines of present and absent objects."""
    rows = []
    for scene, analysis, truth, tag in samples:
        if tag == 'ambiguous':
            continue
        grounding = segmenter.method.ground(scene, analysis)
        if not len(grounding.probabilities):
            continue
        p = float(grounding.probabilities.max())
        s = fitting(segmenter.method.settings, scene.proposed_by)
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
    return {'match_center': -b / a, 'match_width': 1 / a}


def fit_decisions(segmenter: Segmenter, samples: list, changes: dict, may_lose: float) -> None:
    """Print the thresholds under which most sentences end as they should, and what they give.

    may_lose: share of the right choices that may be refused.  changes: settings found before;
    each is given to the twin too, so that it counts whatever proposed the masks.
    """
    twins = {TWIN + name: value for name, value in changes.items()}
    method = segmenter.method.with_settings(
        dataclasses.replace(segmenter.settings, **changes, **twins))
    rows = []
    for scene, analysis, truth, tag in samples:
        grounding = method.ground(scene, analysis)
        regions = grounding.regions(scene)
        ranked = distinct(regions, grounding.order, method.settings.overlap_limit, 2)
        scores = [float(grounding.probabilities[i]) for i in ranked]
        best, second = [*scores, 0.0, 0.0][:2]
        right = truth is not None and bool(ranked) and iou(regions.masks[ranked[0]], truth) >= 0.5
        kind = 'answerable' if truth is not None else tag
        rows.append((kind, best, best - second if len(scores) > 1 else best, right))
    kinds = np.array([r[0] for r in rows])
    score, margin = (np.array([r[k] for r in rows]) for k in (1, 2))
    right = np.array([r[3] for r in rows])
    groups = {'wrong': (kinds == 'answerable') & ~right, 'absent': kinds == 'absent',
              'ambiguous': kinds == 'ambiguous'}
    found = []
    for threshold, gap in itertools.product(np.arange(0.02, 0.9, 0.02),
                                            np.arange(0.0, 0.41, 0.01)):
        absent, several = score < threshold, (score >= threshold) & (margin < gap)
        lost = float((absent | several)[right].mean())
        ends = {'wrong': absent | several, 'absent': absent, 'ambiguous': several}
        shares = {name: float(ends[name][group].mean()) for name, group in groups.items()
                  if group.any()}
        if lost <= may_lose:
            found.append((float(np.mean(list(shares.values()))), threshold, gap, lost, shares))
    most = max(f[0] for f in found)
    # Among the nearly best the one in their middle: the very best fits these scenes alone.
    near = [f for f in found if f[0] > most - 0.01]
    middle = np.median([f[1:3] for f in near], axis=0)
    mean, threshold, gap, lost, shares = min(
        near, key=lambda f: abs(f[1] - middle[0]) + abs(f[2] - middle[1]))
    print(f'score_threshold {threshold:.2f}  ambiguity_margin {gap:.2f}  right choices '
          f'{right[kinds == "answerable"].mean():.3f}, of these refused {lost:.3f}; refused of '
          + ', '.join(f'{name} {share:.3f}' for name, share in shares.items())
          + f' (mean {mean:.3f})')


def main() -> None:
    """Prepare, fit, search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--scenes', type=int, default=60)
    parser.add_argument('--first', type=int, default=SPLITS['val'].start + 500)
    parser.add_argument('--method', nargs='+', default=['hybridgl'])
    parser.add_argument('--set', nargs='*', default=[], metavar='NAME=V1,V2,...')
    parser.add_argument('--base', nargs='*', default=[], metavar='NAME=VALUE')
    parser.add_argument('--true-masks', action='store_true')
    parser.add_argument('--decisions', action='store_true')
    parser.add_argument('--may-lose', type=float, default=0.05)
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
    collected: list = []
    for name in args.method:
        segmenter = Segmenter.from_profile('tabletop', name, settings=base)
        collected = collected or collect(
            segmenter, range(args.first, args.first + args.scenes), args.true_masks)
        tune(segmenter, collected, args, value)


def tune(segmenter: Segmenter, collected: list, args: argparse.Namespace, value: Callable
         ) -> None:
    """Fit and search for one method."""
    samples = samples_of(segmenter, collected)
    print(f'{segmenter.method.name}, masks by {sorted({s[0].proposed_by for s in samples})}')
    found = (fit_match(segmenter, samples) if isinstance(segmenter.settings, CosineSettings)
             else {})
    if args.decisions:
        for changes in ({}, found) if found else ({},):
            fit_decisions(segmenter, samples, changes, args.may_lose)
    names, values = [], []
    for item in args.set:
        name, listed = item.split('=')
        names.append(name)
        values.append([value(v) for v in listed.split(',')])
    for combination in itertools.product(*values):
        changes = dict(zip(names, combination, strict=True))
        result = score(segmenter, samples, changes)
        print(changes, {k: round(v, 3) for k, v in result.items()}, flush=True)


if __name__ == '__main__':
    main()
