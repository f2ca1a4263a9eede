"""Metrics against hand-made cases: empty masks, exact thresholds, ties, groups."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ris_ros.evaluation import metrics
from ris_ros.evaluation.statistics import RatioTable, bounds, percentiles
from ris_ros.types import BadInputError

MASKS = arrays(bool, (6, 7))


def test_iou_rules_on_empty_masks() -> None:
    assert metrics.iou(0, 0) == 0.0
    assert metrics.iou(0, 0, 'cris') == 0.0
    assert metrics.iou(0, 0, 'iterprime') == 1.0
    assert metrics.iou(0, 7) == 0.0
    np.testing.assert_allclose(metrics.iou(3, 4, 'cris'), 3 / (4 + 1e-6), rtol=0, atol=1e-12)
    with pytest.raises(BadInputError, match='plain, cris, iterprime'):
        metrics.iou(1, 2, 'mine')


def test_precision_differs_only_at_equality() -> None:
    ious = metrics.iou(np.array([1, 3, 0]), np.array([2, 4, 5]))
    assert metrics.precision(ious, 0.5) == pytest.approx(1 / 3)
    assert metrics.precision(ious, 0.5, inclusive=True) == pytest.approx(2 / 3)
    assert metrics.precision(ious, 0.6) == metrics.precision(ious, 0.6, inclusive=True)
    assert np.isnan(metrics.precision(np.array([]), 0.5))


@given(MASKS, MASKS)
def test_intersection_and_union_count_pixels(p: np.ndarray, g: np.ndarray) -> None:
    assert metrics.intersection_union(p, g) == ((p & g).sum(), (p | g).sum())


def test_sizes_must_agree() -> None:
    with pytest.raises(BadInputError, match='different sizes'):
        metrics.intersection_union(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


@given(arrays(bool, (5, 6, 7)), MASKS)
def test_best_overlap_is_the_best_of_all(masks: np.ndarray, true: np.ndarray) -> None:
    i, u = metrics.best_overlap(masks, masks.sum(axis=(1, 2)), true)
    best = max(float(metrics.iou(*metrics.intersection_union(m, true))) for m in masks)
    assert float(metrics.iou(i, u)) == pytest.approx(best)


def test_best_overlap_without_proposals() -> None:
    true = np.eye(4, dtype=bool)
    assert metrics.best_overlap(np.zeros((0, 4, 4), bool), np.zeros(0, int), true) == (0, 4)


def test_overall_iou_weighs_by_size() -> None:
    assert metrics.overall_iou(np.array([10, 0]), np.array([10, 90])) == pytest.approx(0.1)
    assert metrics.overall_iou(np.array([0]), np.array([0])) == 0.0


def test_grouped_mean_gives_every_group_one_vote() -> None:
    values, images = np.array([1.0, 0.0, 0.0, 0.5]), np.array(['a', 'b', 'b', 'a'])
    assert metrics.grouped_mean(values, images) == pytest.approx((0.75 + 0.0) / 2)


def test_peak_takes_the_first_maximum_by_rows() -> None:
    heat = np.zeros((4, 5))
    heat[1, 3] = heat[2, 0] = 2.0
    assert metrics.peak(heat, 4, 5) == (1, 3)


def test_peak_is_found_at_the_image_size_with_corners_aligned() -> None:
    heat = np.zeros((3, 3))
    heat[2, 2] = 1.0
    assert metrics.peak(heat, 9, 7) == (8, 6)
    grown = metrics.resize_heatmap(np.array([[0.0, 1.0], [2.0, 3.0]]), 3, 5)
    np.testing.assert_allclose(grown, [[0, .25, .5, .75, 1], [1, 1.25, 1.5, 1.75, 2],
                                       [2, 2.25, 2.5, 2.75, 3]])


def test_resize_agrees_with_torch() -> None:
    torch = pytest.importorskip('torch')
    heat = np.random.default_rng(0).random((5, 8))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(heat)[None, None], (31, 17), mode='bilinear', align_corners=True)
    np.testing.assert_allclose(metrics.resize_heatmap(heat, 31, 17), theirs[0, 0].numpy(),
                               atol=1e-12)


def test_point_in_box_truncates_and_includes_corners() -> None:
    box = (10.9, 5.9, 4.3, 2.0)   # x 10..15, y 5..7 after truncation
    assert metrics.point_in_box((5, 10), box) and metrics.point_in_box((7, 15), box)
    assert not metrics.point_in_box((8, 15), box) and not metrics.point_in_box((7, 16), box)
    assert metrics.point_in_mask((1, 2), np.arange(6).reshape(2, 3) == 5)


def table(images, values) -> RatioTable:
    return RatioTable.build(images, {'mean': (np.asarray(values, float), np.ones(len(values)))})


def test_estimate_does_not_depend_on_grouping_but_the_interval_does() -> None:
    rng = np.random.default_rng(1)
    per_image = rng.random(60)
    values = np.repeat(per_image, 5)   # five sentences of an image say the same
    clustered = table(np.repeat(np.arange(60).astype(str), 5).tolist(), values)
    apart = table([str(k) for k in range(300)], values)
    np.testing.assert_allclose(clustered.estimates(), apart.estimates())
    low, high = clustered.intervals()['mean']
    low2, high2 = apart.intervals()['mean']
    assert (high - low) > 1.7 * (high2 - low2)   # sqrt(5) in theory


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for k in range(200):
        low, high = table([str(i) for i in range(80)], rng.random(80)).intervals(300, k)['mean']
        hits += low <= 0.5 <= high
    assert 180 <= hits <= 199


def test_intervals_of_nothing() -> None:
    empty = RatioTable.build([], {'mean': (np.zeros(0), np.zeros(0))})
    assert empty.intervals() == {'mean': None}
    undefined = RatioTable.build(['a'], {'mean': (np.zeros(1), np.zeros(1))})
    assert undefined.intervals() == {'mean': None}
    assert bounds(np.array([[np.nan], [1.0]])) == [(1.0, 1.0)]


def test_large_tables_are_resampled_in_parts_with_the_same_total() -> None:
    big = table([f'{k:05d}' for k in range(9000)], np.arange(9000.0))
    draws = big.resampled(1000)
    assert draws.shape == (1000, 1)
    assert abs(draws.mean() - 4499.5) < 10


def test_percentiles_are_milliseconds() -> None:
    result = percentiles([k / 1000 for k in range(1, 101)])
    assert result == {'n': 100, 'mean': 50.5, 'p50': 50.5, 'p95': pytest.approx(95.05),
                      'p99': pytest.approx(99.01)}
    assert percentiles([]) is None
