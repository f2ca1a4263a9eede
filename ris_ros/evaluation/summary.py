"""From the per-sample record to every figure that is reported."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ris_ros.datasets.expressions import POSITION_RULES
from ris_ros.evaluation.calibration import calibration
from ris_ros.evaluation.metrics import THRESHOLDS, iou
from ris_ros.evaluation.records import Record
from ris_ros.evaluation.statistics import RESAMPLES, RatioTable, percentiles
from ris_ros.types import Outcome

Columns = dict[str, tuple[np.ndarray, np.ndarray]]
SUCCESS = (Outcome.SUCCEEDED.name, Outcome.SUCCEEDED_2D.name)
RIGHT = 0.5   # IoU above which an answer counts as the right object


def summarise(records: Iterable[Record], iou_rule: str = 'plain', resamples: int = RESAMPLES,
              seed: int = 0) -> dict[str, Any]:
    """Return the figures of one evaluation, JSON-ready; shares and IoUs in [0, 1].

    `n_refused` counts sentences that the method did not take: wrong wherever they count.
    `n`, `miou`, `oiou`, `p@X` (strict), `p>=X`, `img_acc`, `inst_acc`, `pointm`, `point_box`,
    `oracle_miou`, `by_tag`, `position` and `seen` are over answerable samples, the prediction
    being the best candidate; `decisions` judges the outcomes, absent and ambiguous
    samples included; `calibration` how far their confidence can be trusted.  `intervals` holds
    95 % bootstrap intervals over images.  Latencies are in milliseconds.  None where nothing was
    there to measure.
    """
    ordered = sorted(records, key=lambda r: r.key)   # sums do not depend on who was first
    answerable = [r for r in ordered if r.kind == 'answerable' and r.u is not None]
    columns = _columns(answerable, iou_rule)
    tags = sorted({t for r in answerable for t in r.tags})
    groups = _subsets(answerable, tags)
    ious = columns['miou'][0]
    for name, chosen in groups.items():
        weights = chosen.astype(float)
        columns[f'{name}:miou'] = (ious * weights, weights)
        columns[f'{name}:oiou'] = (columns['oiou'][0] * weights, columns['oiou'][1] * weights)
        columns[f'{name}:p@0.5'] = (columns['p@0.5'][0] * weights, weights)
    table = RatioTable.build([r.image_id for r in answerable], columns)
    values = {n: _finite(v) for n, v in zip(table.names, table.estimates(), strict=True)}
    intervals = table.intervals(resamples, seed)
    main = [n for n in values if ':' not in n]
    counts = Counter(r.kind for r in ordered)
    return {
        'n': len(answerable), 'n_samples': len(ordered), 'n_absent': counts['absent'],
        'n_ambiguous': counts['ambiguous'],
        'n_refused': sum(r.refused is not None for r in ordered),
        'n_images': len({r.image_id for r in ordered}),
        'iou_rule': iou_rule,
        **{name: values[name] for name in main},
        'intervals': {name: _pair(intervals[name]) for name in main},
        'by_tag': {tag: _group(f'tag {tag}', groups, values, intervals) for tag in tags},
        'position': {rule: {
            'share': _finite(groups[f'{rule} position'].mean()) if answerable else None,
            'position': _group(f'{rule} position', groups, values, intervals),
            'other': _group(f'{rule} other', groups, values, intervals),
        } for rule in POSITION_RULES},
        'seen': {name: _group(name, groups, values, intervals) for name in ('seen', 'unseen')},
        'decisions': decisions(ordered, iou_rule),
        'calibration': _calibration(ordered, iou_rule),
        'latency_ms': latencies(ordered),
        'samples': _samples(answerable),
    }


def _columns(records: Sequence[Record], iou_rule: str) -> Columns:
    i, u = (np.array([getattr(r, name) for r in records], np.float64) for name in 'iu')
    oracle_i, oracle_u = (np.array([getattr(r, f'oracle_{name}') for r in records], np.float64)
                          for name in 'iu')
    ious, one = iou(i, u, iou_rule), np.ones(len(records))
    columns: Columns = {'miou': (ious, one), 'oiou': (i, u)}
    for threshold in THRESHOLDS:
        columns[f'p@{threshold}'] = ((ious > threshold).astype(float), one)
    for threshold in THRESHOLDS:
        columns[f'p>={threshold}'] = ((ious >= threshold).astype(float), one)
    per_image = _share([r.image_id for r in records])
    per_object = _share([f'{r.image_id}\0{r.object_id}' for r in records])
    columns['img_acc'] = (ious * per_image, per_image)
    columns['inst_acc'] = (ious * per_object, per_object)
    columns |= _points(records)
    columns['oracle_miou'] = (iou(oracle_i, oracle_u, iou_rule), one)
    columns['oracle_oiou'] = (oracle_i, oracle_u)
    return columns


def _points(records: Sequence[Record]) -> Columns:
    """Count peaks; a sentence that got no heat map counts as a miss, as it does in mIoU.

    Nothing is counted of a method that gives heat maps to no sentence.
    """
    maps = any(r.point is not None for r in records)
    columns: Columns = {}
    for name, field in (('pointm', 'point'), ('point_box', 'point_box')):
        hits = [getattr(r, field) for r in records]
        known = np.array([h is not None or (maps and r.point is None and (
            name == 'pointm' or r.has_box)) for h, r in zip(hits, records, strict=True)], float)
        columns[name] = (np.array([bool(h) for h in hits], float), known)
    return columns


def _share(names: Sequence[str]) -> np.ndarray:
    """Weight 1/k for each of k samples of one name, so that the weights count names."""
    counts = Counter(names)
    return np.array([1 / counts[n] for n in names])


def _subsets(records: Sequence[Record], tags: Sequence[str]) -> dict[str, np.ndarray]:
    subsets = {f'tag {t}': np.array([t in r.tags for r in records], bool) for t in tags}
    for name, rule in POSITION_RULES.items():
        chosen = np.array([rule(r.expression) for r in records], bool)
        subsets[f'{name} position'], subsets[f'{name} other'] = chosen, ~chosen
    subsets['seen'] = np.array([r.unseen is False for r in records], bool)
    subsets['unseen'] = np.array([r.unseen is True for r in records], bool)
    return subsets


def _group(name: str, groups: Mapping[str, np.ndarray], values: Mapping[str, float | None],
           intervals: Mapping[str, Any]) -> dict[str, Any]:
    return {'n': int(groups[name].sum()), 'miou': values[f'{name}:miou'],
            'oiou': values[f'{name}:oiou'], 'p@0.5': values[f'{name}:p@0.5'],
            'interval': _pair(intervals[f'{name}:miou'])}


def decisions(records: Sequence[Record], iou_rule: str = 'plain') -> dict[str, Any]:
    """Judge the outcomes.

    absent: `precision` is the share of NO_MATCH answers given to absent targets, `recall` the
    share of absent targets that got one.  ambiguous: `recall` is the share of ambiguous
    sentences answered AMBIGUOUS, `precision` the share of these answers given to ambiguous ones,
    `false_alarms` the share of answerable ones.  acted: the
    share of answerable sentences answered with one object, `right` the share of these with IoU
    above 0.5.  `by_tag` below absent and ambiguous: `n` and `recall` of every tag.
    """
    kinds = {kind: [r for r in records if r.kind == kind]
             for kind in ('answerable', 'ambiguous', 'absent')}
    rejected = [r for r in records if r.outcome == Outcome.NO_MATCH.name]
    acted = [r for r in kinds['answerable'] if r.outcome in SUCCESS]
    right = [r for r in acted if r.u is not None and float(iou(r.i or 0, r.u, iou_rule)) > RIGHT]

    def count(members: Iterable[Record], outcome: Outcome) -> int:
        return sum(r.outcome == outcome.name for r in members)

    def by_tag(members: Sequence[Record], outcome: Outcome) -> dict[str, Any]:
        tags = sorted({t for r in members for t in r.tags})
        found = {t: [r for r in members if t in r.tags] for t in tags}
        return {t: {'n': len(rs), 'recall': _rate(count(rs, outcome), len(rs))}
                for t, rs in found.items()}

    return {
        'absent': {'n': len(kinds['absent']),
                   'precision': _rate(count(kinds['absent'], Outcome.NO_MATCH), len(rejected)),
                   'recall': _rate(count(kinds['absent'], Outcome.NO_MATCH),
                                   len(kinds['absent'])),
                   'by_tag': by_tag(kinds['absent'], Outcome.NO_MATCH)},
        'ambiguous': {'n': len(kinds['ambiguous']),
                      'recall': _rate(count(kinds['ambiguous'], Outcome.AMBIGUOUS),
                                      len(kinds['ambiguous'])),
                      'false_alarms': _rate(count(kinds['answerable'], Outcome.AMBIGUOUS),
                                            len(kinds['answerable'])),
                      'precision': _rate(count(kinds['ambiguous'], Outcome.AMBIGUOUS),
                                         count(records, Outcome.AMBIGUOUS)),
                      'by_tag': by_tag(kinds['ambiguous'], Outcome.AMBIGUOUS)},
        'acted': {'share': _rate(len(acted), len(kinds['answerable'])),
                  'right': _rate(len(right), len(acted))},
        'outcomes': {kind: dict(sorted(Counter(r.outcome for r in members).items()))
                     for kind, members in kinds.items() if members},
    }


def _calibration(records: Sequence[Record], iou_rule: str) -> dict[str, Any]:
    """Judge the confidence of all answers that were acted on; see `calibration`."""
    acted = [r for r in records if r.outcome in SUCCESS and r.confidence is not None]
    right = [r.kind == 'answerable' and r.u is not None
             and float(iou(r.i or 0, r.u, iou_rule)) > RIGHT for r in acted]
    return calibration([r.confidence or 0.0 for r in acted], right, len(records))


def latencies(records: Sequence[Record]) -> dict[str, Any]:
    """Return percentiles in milliseconds.

    prepare: per image.  ground: per sentence.  first: prepare and ground together.
    stages: as the method names them.
    """
    firsts = [r for r in records if r.first]
    stages: dict[str, list[float]] = {}
    for record in records:
        for name, seconds in record.stages.items():
            stages.setdefault(name, []).append(seconds)
    return {'prepare': percentiles([r.prepare_s for r in firsts]),
            'ground': percentiles([r.ground_s for r in records]),
            'first': percentiles([r.prepare_s + r.ground_s for r in firsts]),
            'stages': {name: percentiles(values) for name, values in stages.items()}}


def _samples(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the pixel counts per sample in columns: what --compare and recounts need."""
    return {'key': [r.key for r in records], 'image': [r.image_id for r in records],
            'tags': [list(r.tags) for r in records],
            'i': [r.i for r in records], 'u': [r.u for r in records]}


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [float(v) for v in interval]
