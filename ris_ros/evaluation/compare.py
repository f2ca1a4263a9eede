"""Paired comparison of two evaluations of the same samples."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ris_ros.evaluation.document import interval, percent
from ris_ros.evaluation.metrics import THRESHOLDS, iou
from ris_ros.evaluation.statistics import RESAMPLES, RatioTable, bounds
from ris_ros.types import BadInputError


def compare(a: Mapping[str, Any], b: Mapping[str, Any], resamples: int = RESAMPLES,
            seed: int = 0) -> dict[str, Any]:
    """Return B minus A for every metric, over the samples that both documents hold.

    Both are resampled with the same images (paired cluster bootstrap).  Each entry of
    `differences` has `a`, `b`, `difference`, `interval` (95 %) and `better`: 'a', 'b', or None
    where the interval holds 0.  Raises BadInputError without common samples, or where the
    same sample has another image or the two used different IoU rules.
    """
    for key in ('dataset', 'split'):
        if a.get(key) != b.get(key):
            raise BadInputError(f'the two results differ in {key}: {a.get(key)} and '
                                f'{b.get(key)}; compare runs on the same samples')
    if a.get('iou_rule') != b.get('iou_rule'):
        raise BadInputError('the two results use different IoU rules; run one again with the '
                            'same --iou-rule')
    place_a = {key: k for k, key in enumerate(a['samples']['key'])}
    place_b = {key: k for k, key in enumerate(b['samples']['key'])}
    common = sorted(place_a.keys() & place_b.keys())
    if not common:
        raise BadInputError('the two results have no sample in common')
    rows_a, rows_b = [place_a[k] for k in common], [place_b[k] for k in common]
    images = [a['samples']['image'][k] for k in rows_a]
    if images != [b['samples']['image'][k] for k in rows_b]:
        raise BadInputError('the same samples belong to different images in the two results; '
                            'they come from different data')
    tags = [a['samples']['tags'][k] for k in rows_a]
    rule = a.get('iou_rule', 'plain')
    table_a = RatioTable.build(images, _columns(a, rows_a, tags, rule))
    table_b = RatioTable.build(images, _columns(b, rows_b, tags, rule))
    draws = table_b.resampled(resamples, seed) - table_a.resampled(resamples, seed)
    differences = {
        name: _entry(float(x), float(y), pair)
        for name, x, y, pair in zip(table_a.names, table_a.estimates(), table_b.estimates(),
                                    bounds(draws), strict=True)}
    return {
        'a': _who(a), 'b': _who(b), 'n': len(common),
        'only_a': len(place_a) - len(common), 'only_b': len(place_b) - len(common),
        'differences': {k: v for k, v in differences.items() if ':' not in k},
        'by_tag': {k.partition(':')[2]: v for k, v in differences.items() if ':' in k}}


def _who(document: Mapping[str, Any]) -> dict[str, Any]:
    return {k: document.get(k) for k in ('method', 'profile', 'dataset', 'split', 'settings')}


def _columns(document: Mapping[str, Any], rows: list[int], tags: list[list[str]],
             rule: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    samples = document['samples']
    i, u = (np.array([samples[name][k] for k in rows], np.float64) for name in 'iu')
    ious, one = iou(i, u, rule), np.ones(len(rows))
    columns = {'miou': (ious, one), 'oiou': (i, u)}
    for threshold in THRESHOLDS:
        columns[f'p@{threshold}'] = ((ious > threshold).astype(float), one)
    for tag in sorted({t for members in tags for t in members}):
        weights = np.array([tag in members for members in tags], float)
        columns[f'tag:{tag}'] = (ious * weights, weights)
    return columns


def _entry(a: float, b: float, pair: tuple[float, float] | None) -> dict[str, Any]:
    better = None
    if pair is not None and (pair[0] > 0 or pair[1] < 0):
        better = 'b' if pair[0] > 0 else 'a'
    return {'a': a, 'b': b, 'difference': b - a,
            'interval': None if pair is None else list(pair), 'better': better}


def format_comparison(result: Mapping[str, Any]) -> str:
    """Return the comparison as a table in percent points."""
    lines = [f'A: {result["a"]["method"]} ({result["a"]["profile"]})   '
             f'B: {result["b"]["method"]} ({result["b"]["profile"]})   '
             f'{result["n"]} common samples'
             + (f', {result["only_a"]} only in A, {result["only_b"]} only in B'
                if result['only_a'] or result['only_b'] else '')]
    entries = {**result['differences'],
               **{f'  {tag} mIoU': e for tag, e in result['by_tag'].items()}}
    width = max(map(len, entries))
    lines.append(f'{"":<{width}}  {"A":>6}  {"B":>6}  {"B - A":>6}  95 % interval')
    for name, entry in entries.items():
        mark = '' if entry['better'] is None else f'  {entry["better"].upper()} is better'
        lines.append(f'{name:<{width}}  {percent(entry["a"]):>6}  {percent(entry["b"]):>6}  '
                     f'{100 * entry["difference"]:>+6.1f}  {interval(entry["interval"])}{mark}')
    return '\n'.join(lines)
