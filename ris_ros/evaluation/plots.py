"""The report's plots as SVG texts."""
from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ris_ros.lazy import require

BLUE, ORANGE, GREY = '#2b6cb0', '#c05621', '#a0aec0'
SIZE = (5.2, 3.1)   # inches


def _figure(size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    """Return a figure and its axes without touching pyplot's global state or a display."""
    figure_module = require('matplotlib.figure', 'evaluation')
    figure = figure_module.Figure(figsize=size, layout='constrained')
    axes = figure.subplots()
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Any) -> str:
    matplotlib = require('matplotlib', 'evaluation')
    buffer = io.StringIO()
    with matplotlib.rc_context({'svg.hashsalt': 'ris', 'svg.fonttype': 'path'}):
        figure.savefig(buffer, format='svg', metadata={'Date': None})
    text = buffer.getvalue()
    return text[text.index('<svg'):]


def iou_histogram(ious: np.ndarray) -> str:
    """Histogram of IoU (S,) in twenty bins from 0 to 1, with its mean."""
    figure, axes = _figure()
    axes.hist(ious, bins=20, range=(0, 1), color=BLUE)
    axes.axvline(float(ious.mean()), color=ORANGE, linewidth=1.5,
                 label=f'mean {ious.mean():.3f}')
    axes.set_xlabel('IoU', fontsize=9)
    axes.set_ylabel('samples', fontsize=9)
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def precision_curve(ious: np.ndarray, oracle: np.ndarray) -> str:
    """Share of samples above each IoU threshold, for the method and a perfect choice (S,)."""
    figure, axes = _figure()
    thresholds = np.linspace(0, 1, 101)
    for values, colour, label in ((oracle, GREY, 'best proposal'), (ious, BLUE, 'method')):
        axes.plot(thresholds, 100 * (values[:, None] > thresholds).mean(axis=0), color=colour,
                  label=label)
    axes.set_xlabel('IoU threshold', fontsize=9)
    axes.set_ylabel('samples above, %', fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 101)
    axes.legend(frameon=False, fontsize=8, loc='upper right', bbox_to_anchor=(1, 1.06))
    return _svg(figure)


def latency_bars(latency: Mapping[str, Any]) -> str:
    """Percentiles of prepare, ground and the first sentence, in milliseconds, log scale."""
    figure, axes = _figure()
    names = [n for n in ('prepare', 'ground', 'first') if latency[n]]
    for k, (key, colour) in enumerate((('p50', BLUE), ('p95', ORANGE), ('p99', GREY))):
        values = [max(latency[n][key], 1e-3) for n in names]
        bars = axes.barh(np.arange(len(names)) + 0.26 * (k - 1), values, 0.24, color=colour,
                         label=key)
        axes.bar_label(bars, [f'{v:.0f}' if v >= 100 else f'{v:.3g}' for v in values],
                       padding=3, fontsize=7)
    axes.set_yticks(range(len(names)),
                    [{'prepare': 'image\n(prepare)', 'ground': 'sentence\n(ground)',
                      'first': 'both\n(first)'}[n] for n in names])
    axes.set_xscale('log')
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_xlabel('ms', fontsize=9)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc='lower right', bbox_to_anchor=(1, 1))
    return _svg(figure)


def tag_bars(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """MIoU per tag with its 95 % interval."""
    figure, axes = _figure((SIZE[0], max(1.6, 0.42 * len(groups) + 0.9)))
    names = list(groups)
    values = np.array([100 * groups[n]['miou'] for n in names])
    lows, highs = (100 * np.array([groups[n]['interval'][k] for n in names]) for k in (0, 1))
    errors = np.clip([values - lows, highs - values], 0, None)
    axes.barh(names, values, 0.6, color=BLUE, xerr=errors, ecolor=ORANGE, capsize=3)
    axes.set_yticks(range(len(names)), [f'{n} ({groups[n]["n"]})' for n in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel('mIoU, % (line: 95 % interval)', fontsize=9)
    return _svg(figure)


def calibration_bars(bins: Sequence[Mapping[str, float]]) -> str:
    """Share of right answers by confidence, beside what was claimed."""
    figure, axes = _figure()
    middle = [(b['from'] + b['to']) / 2 for b in bins]
    axes.bar(middle, [100 * b['right'] for b in bins], 0.09, color=BLUE, label='right')
    axes.plot([b['confidence'] for b in bins], [100 * b['confidence'] for b in bins], 'o-',
              color=ORANGE, markersize=4, label='claimed')
    for x, b in zip(middle, bins, strict=True):
        axes.annotate(str(int(b['n'])), (x, 2), ha='center', fontsize=7, color='white')
    axes.set_xlabel('confidence', fontsize=9)
    axes.set_ylabel('right, %', fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 101)
    axes.legend(frameon=False, fontsize=8, loc='upper left')
    return _svg(figure)


def risk_coverage(curve: Sequence[Mapping[str, float]]) -> str:
    """Share of wrong answers among the most confident, by the share of all sentences."""
    figure, axes = _figure()
    axes.plot([100 * p['coverage'] for p in curve], [100 * p['risk'] for p in curve],
              color=BLUE)
    axes.set_xlabel('answered, % of all sentences', fontsize=9)
    axes.set_ylabel('wrong among these, %', fontsize=9)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    return _svg(figure)
