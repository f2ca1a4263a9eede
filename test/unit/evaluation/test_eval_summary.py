"""Figures of a summary against the metrics' own definitions, on made-up records."""
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ris_ros.evaluation import metrics
from ris_ros.evaluation.records import Record
from ris_ros.evaluation.summary import summarise


def record(k: int, rng: np.random.Generator, **changes) -> Record:
    u = int(rng.integers(100, 1000))
    i = int(rng.integers(0, u + 1))
    base = Record(
        key=f'{k:04d}', image_id=str(k % 17), object_id=str(k % 5), expression=(
            'the left cup' if k % 3 else 'a cup'), kind='answerable', tags=(f't{k % 2}',),
        unseen=(None, True, False)[k % 3], category=None, outcome='SUCCEEDED_2D', score=0.5,
        margin=0.1, i=i, u=u, oracle_i=u, oracle_u=u, candidates=2, proposals=9,
        point=(None, True, False, False)[k % 4], point_box=None, prepare_s=0.1, ground_s=0.01,
        first=k < 17)
    return dataclasses.replace(base, **changes)


@pytest.fixture
def records() -> list[Record]:
    rng = np.random.default_rng(3)
    return [record(k, rng) for k in range(120)]


def test_every_figure_agrees_with_its_definition(records: list[Record]) -> None:
    figures = summarise(records)
    i, u = (np.array([getattr(r, n) for r in records]) for n in 'iu')
    ious = metrics.iou(i, u)
    images = np.array([r.image_id for r in records])
    objects = np.array([f'{r.image_id}/{r.object_id}' for r in records])
    assert figures['miou'] == pytest.approx(ious.mean())
    assert figures['oiou'] == pytest.approx(metrics.overall_iou(i, u))
    assert figures['img_acc'] == pytest.approx(metrics.grouped_mean(ious, images))
    assert figures['inst_acc'] == pytest.approx(metrics.grouped_mean(ious, objects))
    for threshold in metrics.THRESHOLDS:
        assert figures[f'p@{threshold}'] == pytest.approx(metrics.precision(ious, threshold))
        assert figures[f'p>={threshold}'] == pytest.approx(
            metrics.precision(ious, threshold, inclusive=True))
    assert figures['pointm'] == pytest.approx(1 / 4)   # no heat map is a miss, as in mIoU
    assert figures['point_box'] is None and figures['intervals']['point_box'] is None
    assert figures['oracle_miou'] == 1.0
    for name, (low, high) in ((n, p) for n, p in figures['intervals'].items() if p):
        assert low <= figures[name] <= high


def test_subsets_add_up(records: list[Record]) -> None:
    figures = summarise(records)
    for groups in (figures['by_tag'], {k: figures['position']['words'][k]
                                       for k in ('position', 'other')}):
        assert sum(g['n'] for g in groups.values()) == figures['n']
        assert sum(g['n'] * g['miou'] for g in groups.values()) / figures['n'] == pytest.approx(
            figures['miou'])
    assert figures['position']['words']['share'] == pytest.approx(80 / 120)
    # "up" is in "cup": the substring rule takes every sentence
    assert figures['position']['substring']['share'] == 1.0
    assert figures['position']['substring']['other']['miou'] is None
    assert (figures['seen']['seen']['n'], figures['seen']['unseen']['n']) == (40, 40)


def test_iou_rule_changes_what_two_empty_masks_score(records: list[Record]) -> None:
    empty = [dataclasses.replace(r, i=0, u=0) for r in records]
    assert summarise(empty)['miou'] == 0.0
    assert summarise(empty, 'iterprime')['miou'] == 1.0


def test_order_of_records_does_not_matter(records: list[Record]) -> None:
    assert summarise(records) == summarise(records[::-1])


def test_decisions_are_counted_over_all_kinds(records: list[Record]) -> None:
    rng = np.random.default_rng(4)
    none = {'i': None, 'u': None, 'oracle_i': None, 'oracle_u': None}
    more = [record(900 + k, rng, kind='absent', outcome=outcome,
                   tags=('absent',) if k else ('false_relation', 'left'), **none)
            for k, outcome in enumerate(['NO_MATCH', 'NO_MATCH', 'SUCCEEDED_2D', 'AMBIGUOUS'])]
    more += [record(950 + k, rng, kind='ambiguous', outcome=outcome, **none)
             for k, outcome in enumerate(['AMBIGUOUS', 'NO_MATCH'])]
    wrong = [dataclasses.replace(r, i=0) for r in records[:30]]
    rejected = [dataclasses.replace(r, outcome='NO_MATCH') for r in records[30:33]]
    right = [dataclasses.replace(r, i=r.u) for r in records[33:]]
    figures = summarise([*wrong, *rejected, *right, *more])
    assert figures['n'] == 120 and figures['n_samples'] == 126
    decisions = figures['decisions']
    absent, ambiguous = decisions['absent'], decisions['ambiguous']
    assert (absent['n'], absent['precision'], absent['recall']) == (4, 2 / 6, 0.5)
    assert absent['by_tag'] == {
        'absent': {'n': 3, 'recall': 1 / 3}, 'false_relation': {'n': 1, 'recall': 1.0},
        'left': {'n': 1, 'recall': 1.0}}
    assert (ambiguous['n'], ambiguous['recall'], ambiguous['false_alarms']) == (2, 0.5, 0.0)
    assert ambiguous['precision'] == 0.5
    assert sum(row['n'] for row in ambiguous['by_tag'].values()) >= 2
    from ris_ros.evaluation.document import recalls_by_tag
    assert recalls_by_tag(absent) == absent['by_tag']
    assert recalls_by_tag({'n': 3}) == {}, 'a document of an older version'
    assert decisions['acted']['share'] == pytest.approx(117 / 120)
    assert decisions['acted']['right'] == pytest.approx(87 / 117)
    assert decisions['outcomes']['absent'] == {'AMBIGUOUS': 1, 'NO_MATCH': 2, 'SUCCEEDED_2D': 1}


def test_confidence_is_judged(records: list[Record]) -> None:
    none = {'i': None, 'u': None, 'oracle_i': None, 'oracle_u': None}
    rng = np.random.default_rng(4)
    sure = [dataclasses.replace(r, i=r.u, confidence=0.95) for r in records[:60]]
    unsure = [dataclasses.replace(r, i=0, confidence=0.25) for r in records[60:80]]
    refused = [dataclasses.replace(r, outcome='NO_MATCH', confidence=0.0) for r in records[80:]]
    absent = [record(900, rng, kind='absent', outcome='SUCCEEDED_2D', confidence=0.95, **none)]
    found = summarise([*sure, *unsure, *refused, *absent])['calibration']
    assert found['n'] == 81 and [b['n'] for b in found['bins']] == [20, 61]
    assert found['bins'][1]['right'] == pytest.approx(60 / 61), 'acting on what is not there'
    assert found['ece'] == pytest.approx((20 * 0.25 + 61 * abs(0.95 - 60 / 61)) / 81)
    last = found['risk_coverage'][-1]
    assert last['coverage'] == pytest.approx(81 / 121)
    assert last['risk'] == pytest.approx(21 / 81)
    assert found['risk_coverage'][0]['risk'] <= last['risk']
    assert summarise(refused)['calibration']['ece'] is None
    older = [dataclasses.replace(r, confidence=None) for r in sure]
    assert summarise(older)['calibration']['n'] == 0, 'a record of an older version'


def test_latency_counts_images_and_sentences(records: list[Record]) -> None:
    latency = summarise(records)['latency_ms']
    assert latency['prepare']['n'] == 17 and latency['ground']['n'] == 120
    assert latency['first']['p50'] == pytest.approx(110.0)
