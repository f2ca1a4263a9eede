"""
Choose on validation seeds by which numbers a method's decisions are made (decision "count").

Grounds every sentence of some validation scenes once, keeps how well each object fits each name,
and then, offline:

1. fits name_center and name_width, the logistic function from a cosine to the probability that
   a region is what it is called (on regions that show one object, or none, by the truth);
2. searches relation_limit: as high as loses at most --refused / 4 of the sentences whose relation
   holds, and shows what it refuses of relations with their two sides exchanged;
3. searches none_limit and several_limit: of those that refuse or ask back on at most --refused of
   the answerable sentences, the pair whose figures (precision and recall of the absent and of the
   ambiguous) miss their goals least.

    python benchmarks/tune_decisions.py --method hybridgl --proposals depth --scenes 80 --write

The numbers belong to what proposed the masks; those for depth are the settings' twins.

--write puts the numbers into the profile's file.  Never run on the test split: the seeds are
those of `val`, behind the ones that `ris eval tabletop --split val` takes.
"""
from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ris_ros
from ris_ros import Segmenter
from ris_ros.decision.meaning import Layout
from ris_ros.decision.objects import counts
from ris_ros.files import write_text
from ris_ros.geometry.depth import depth_to_metres
from ris_ros.language import analyse_expression
from ris_ros.settings import TWIN
from ris_ros.simulation import SPLITS, TabletopWorld
from ris_ros.types import Relation, Target, View

OPPOSITE = {'left': 'right', 'right': 'left'}
# What the search is after: precision and recall, of what is absent and of what is ambiguous.
GOALS = {'absent_p': 0.75, 'absent_r': 0.85, 'ambiguous_p': 0.8, 'ambiguous_r': 0.85}
SHOWS, ELSEWHERE = 0.6, 0.3  # IoU from which a mask shows an object, below which it shows none


@dataclass(eq=False)
class Case:
    """One sentence: its kind, what it means, and what the method says of every mask.

    raw: by name the logits (N,) that settings of centre 0 and width 1 give, so cosines.
    shown: (N, K) bool, whether mask n shows object k alone; clear: (N,) whether that is known.
    fitting: by name (K,) bool, which objects are called so.  at_least: of methods that look again.
    """

    kind: str
    target: Target
    view: View
    regions: Any
    raw: dict[str, np.ndarray]
    shown: np.ndarray
    clear: np.ndarray
    fitting: dict[str, np.ndarray]
    at_least: tuple[float, float] | None = None


def collect(segmenter: Segmenter, seeds: range) -> tuple[list[Case], list[Case]]:
    """Return the cases of the scenes' own sentences, and of relations made up from the truth."""
    from tqdm import tqdm
    said, made = [], []
    rng = np.random.default_rng(seeds.start)
    for seed in tqdm(seeds, unit='scene'):
        with TabletopWorld(seed) as world:
            frame, truth = world.frame, world.truth
            view = View(frame.color, depth_to_metres(frame.depth, '16UC1'), frame.camera)
            scene = segmenter.prepare(view)
            for e in world.expressions:
                said.append(case_of(segmenter, scene, frame.instances, truth, e.text, e.kind))
            for text in true_relations(truth, rng):
                case = case_of(segmenter, scene, frame.instances, truth, text, 'answerable')
                if len(case.target.relations) == 1:
                    made.append(case)
    return said, made


def case_of(segmenter: Segmenter, scene: Any, instances: np.ndarray, truth: Any, text: str,
            kind: str) -> Case:
    """Return what one sentence gives."""
    analysis = analyse_expression(text)
    target = analysis.command.target
    assert target is not None
    grounding = segmenter.method.ground(scene, analysis)
    regions = grounding.regions(scene)
    ious = np.array([[_iou(mask, instances == k + 1) for k in range(len(truth))]
                     for mask in regions.masks]).reshape(len(regions), len(truth))
    best = ious.max(axis=1, initial=0.0)
    fits = grounding.fits or {}
    return Case(kind, target, scene.view, regions,
                {n: np.log(p.astype(np.float64) / (1 - p)) for n, p in fits.items()},
                ious > SHOWS, (best > SHOWS) | (best < ELSEWHERE),
                {n: np.isin(np.arange(len(truth)), truth.named.get(n, ())) for n in fits},
                grounding.at_least)


def true_relations(truth: Any, rng: np.random.Generator, most: int = 4) -> list[str]:
    """Return sentences such as "the red mug left of the blue box" about unique objects."""
    names = [f'{c} {k}' for c, k in zip(truth.colours, truth.kinds, strict=True)]
    alone = [i for i in range(len(truth)) if names.count(names[i]) == 1 and truth.visible[i]]
    found = [f'the {names[a]} {kind} of the {names[b]}' for a, b in
             itertools.permutations(alone, 2) for kind in OPPOSITE
             if truth.relations[kind][a, b] > 1]
    return [found[i] for i in rng.permutation(len(found))[:most]]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def fit_names(cases: list[Case]) -> tuple[float, float]:
    """Return name_center and name_width by logistic regression (Newton's method)."""
    seen: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
    for case in cases:
        for name, cosine in case.raw.items():
            right = (case.shown & case.fitting[name][None]).any(axis=1)
            seen[id(case.view), name] = cosine[case.clear], right[case.clear]
    x, y = (np.concatenate(part).astype(np.float64) for part in zip(*seen.values(), strict=True))
    design, beta = np.stack([x, np.ones_like(x)], axis=1), np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        curve = (design * (p * (1 - p))[:, None]).T @ design
        beta = beta - np.linalg.solve(curve + 1e-9 * np.eye(2), design.T @ (p - y))
    print(f'{len(x)} regions and names, {int(y.sum())} fit; centre {-beta[1] / beta[0]:.4f}, '
          f'width {1 / beta[0]:.4f}')
    return float(-beta[1] / beta[0]), float(1 / beta[0])


def numbers(case: Case, center: float, width: float, limit: float) -> dict[str, float]:
    """Return what the limits are held against: P(none), P(several), evidence, anchors."""
    if case.at_least is not None:
        some, more = case.at_least
        return {'none': 1 - some, 'several': more, 'evidence': 1.0, 'anchors': 0.0}
    fits = {n: 1 / (1 + np.exp(-np.clip((c - center) / width, -60, 60)))
            for n, c in case.raw.items()}
    if case.target.name not in fits or not len(case.regions):
        return {'none': 1.0, 'several': 0.0, 'evidence': 1.0, 'anchors': 0.0}
    found = Layout(case.view, case.regions, fits, limit).of(case.target)
    counted = counts(found.meant)
    return {'none': counted.none, 'several': counted.several, 'evidence': found.evidence,
            'anchors': found.anchors}


def judge(kinds: np.ndarray, free: np.ndarray, table: dict[str, np.ndarray], relation: float,
          none: float, several: float) -> dict[str, float]:
    """Return precision and recall of absent and ambiguous, and answerable ones not answered.

    free: (S,) bool, nothing is said that chooses among likes.  relation, none, several: limits.
    """
    rejected = ((table['none'] > none) | (table['anchors'] > none)
                | (table['evidence'] < relation))
    asked = ~rejected & free & (table['several'] > several)
    absent, ambiguous, answerable = (kinds == k for k in ('absent', 'ambiguous', 'answerable'))

    def share(part: np.ndarray, whole: np.ndarray) -> float:
        return float((part & whole).sum() / max(whole.sum(), 1))

    return {'absent_p': share(absent, rejected), 'absent_r': share(rejected, absent),
            'ambiguous_p': share(ambiguous, asked), 'ambiguous_r': share(asked, ambiguous),
            'refused': share(rejected | asked, answerable)}


def worth(got: dict[str, float], refused: float) -> float:
    """Return by how much the figures miss their goals, less what is refused too often."""
    return (sum(min(0.0, got[name] - goal) for name, goal in GOALS.items())
            + 0.05 * sum(got[name] for name in GOALS)
            - 100 * max(0.0, got['refused'] - refused))


def search(cases: list[Case], tables: dict[str, np.ndarray], relation: float, refused: float
           ) -> tuple[float, float]:
    """Return none_limit and several_limit, and print what they give beside relation_limit."""
    kinds = np.array([c.kind for c in cases])
    free = np.array([not c.target.chooses for c in cases])
    grid = np.round(np.concatenate([np.arange(0.02, 1.0, 0.02), [0.99, 0.995]]), 3)
    best: tuple[float, float, float] = (-np.inf, 1.0, 1.0)
    for none, several in itertools.product(grid, grid):
        got = judge(kinds, free, tables, relation, none, several)
        best = max(best, (worth(got, refused), float(none), float(several)))
    print('none_limit {1}, several_limit {2}: '.format(*best)
          + ', '.join(f'{k} {v:.3f}' for k, v in judge(
              kinds, free, tables, relation, *best[1:]).items()))
    return best[1], best[2]


def search_relations(said: list[Case], made: list[Case], center: float, width: float,
                     limit: float, lost: float) -> float:
    """Return relation_limit: as high as loses no more than `lost` of the true relations.

    said: sentences of the scenes, whose objects have likes.  made: about unique objects.
    """
    def evidence(cases: list[Case]) -> np.ndarray:
        return np.array([numbers(c, center, width, limit)['evidence'] for c in cases])

    true, told, false = evidence(made), evidence(
        [c for c in said if c.target.relations and c.kind == 'answerable']), evidence(
            [exchanged(c) for c in made])
    chosen = round(float(min(np.quantile(part, lost) for part in (true, told))), 2)
    chosen = min(max(chosen, 0.02), 0.5)
    print(f'relation_limit {chosen}: of {len(false)} false relations it refuses '
          f'{(false < chosen).mean():.3f}, of as many true ones {(true < chosen).mean():.3f}, of '
          f'{len(told)} among likes {(told < chosen).mean():.3f}')
    return chosen


def exchanged(case: Case) -> Case:
    """Return the case with the opposite relation."""
    first = case.target.relations[0]
    other = Relation(OPPOSITE[first.type], first.object, first.expression, first.name)
    return dataclasses.replace(case, target=dataclasses.replace(case.target, relations=(other,)))


def main() -> None:
    """Collect, fit, search, and write where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--method', default='hybridgl')
    parser.add_argument('--profile', default='tabletop')
    parser.add_argument('--proposals', default='sam', choices=('sam', 'depth'),
                        help='whose masks the numbers are for (default %(default)s)')
    parser.add_argument('--scenes', type=int, default=80)
    parser.add_argument('--first', type=int, default=SPLITS['val'].start + 500)
    parser.add_argument('--refused', type=float, default=0.06,
                        help='share of answerable sentences that may be refused or asked about')
    parser.add_argument('--write', action='store_true', help="put them into the profile's file")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.scenes)
    if args.first < SPLITS['val'].start + 500 or seeds.stop > SPLITS['val'].stop:
        parser.error('settings are chosen on validation seeds behind the first 500 alone')
    segmenter = Segmenter.from_profile(args.profile, args.method, settings={
        'decision': 'count', 'proposals': args.proposals})
    names = {f.name for f in dataclasses.fields(segmenter.settings)}
    if 'name_center' in names:
        segmenter.method = segmenter.method.with_settings(dataclasses.replace(
            segmenter.settings, name_center=0.0, name_width=1.0, depth_name_center=-2.0,
            depth_name_width=0.0))
    said, made = collect(segmenter, seeds)
    chosen: dict[str, Any] = {'decision': 'count'}
    center, width = 0.0, 1.0
    limit = segmenter.settings.overlap_limit
    if 'name_center' in names:
        center, width = (round(v, 4) for v in fit_names(said + made))
        chosen |= {'name_center': center, 'name_width': width}
    rows = [numbers(c, center, width, limit) for c in said]
    tables = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    if 'name_center' in names:
        chosen['relation_limit'] = search_relations(said, made, center, width, limit,
                                                    args.refused / 4)
    chosen['none_limit'], chosen['several_limit'] = search(
        said, tables, chosen.get('relation_limit', 0.0), args.refused)
    if args.proposals == 'depth':
        chosen = {k if k == 'decision' else f'{TWIN}{k}': v for k, v in chosen.items()}
    print(json.dumps(chosen))
    if args.write:
        path = Path(ris_ros.__file__).parent / 'data' / 'profiles' / f'{args.profile}.json'
        document = json.loads(path.read_text(encoding='utf-8'))
        document['settings'].setdefault(args.method, {}).update(chosen)
        write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + '\n')
        print(f'written to {path}')


if __name__ == '__main__':
    main()
