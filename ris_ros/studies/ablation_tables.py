"""The Markdown of one group of ablation rows, from its JSON document alone."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ris_ros.evaluation.document import percent
from ris_ros.studies.ablation_effects import (
    WITH_POSITION,
    WITHOUT_POSITION,
    Verdict,
    paired,
    verdicts,
)

TAGS = ('attribute', 'position', 'relation', 'size')


def group_text(result: Mapping[str, Any]) -> str:
    """Return caption, tables, effects and what was left out."""
    parts = [_caption(result)]
    tags: tuple[str, ...] = TAGS
    if result['group'] == 'iterprime':
        tags = (*TAGS, WITH_POSITION, WITHOUT_POSITION)
    for table in result['tables']:
        keys = [key for key in table['rows'] if key in result['rows']]
        if keys:
            parts += [f'**{table["title"]}**', _table(result, table['against'], keys, tags)]
    found = verdicts(result['group'], result)
    if found:
        parts += ['**Published effects**', _effects(found)]
    if result['left_out']:
        reasons: dict[str, list[str]] = {}
        for entry in result['left_out']:
            reasons.setdefault(entry['why'], []).append(entry['label'])
        parts += [f'Left out: {", ".join(labels)} ({why}).' for why, labels in reasons.items()]
    refused = {row['label']: row['refused'] for row in result['rows'].values() if row['refused']}
    if refused:
        parts.append('Sentences refused by the method, counted as wrong: ' + ', '.join(
            f'{label} {count}' for label, count in refused.items()) + '.')
    return '\n\n'.join(parts)


def _caption(result: Mapping[str, Any]) -> str:
    first, last = result['seeds']
    oracle = next((row['oracle_miou'] for row in result['rows'].values()), None)
    return (f'{result["n"]} answerable sentences in {result["n_images"]} scenes (seeds {first} to '
            f'{last}, split {result["split"]}), profile `{result["profile"]}`, colour alone '
            f'(without depth, as in the papers); the best proposal reaches {percent(oracle)}. '
            'Shares in percent, 95 % intervals by bootstrap over scenes; differences are paired, '
            'in points of mIoU. Made by `scripts/ablations` from '
            f'`docs/ablations/{result["group"]}.json`.')


def _table(result: Mapping[str, Any], against: str, keys: Sequence[str], tags: Sequence[str]
           ) -> str:
    rows = result['rows']
    points = any(rows[key]['pointm'] is not None for key in keys)
    held = rows[against]['label'] if against in rows else ''
    head = ['', 'mIoU', '95 %', *([f'to "{held}"'] if held else []), 'oIoU', *tags,
            *(['PointM'] if points else [])]
    lines = [head, ['---', *['---:'] * (len(head) - 1)]]
    for key in keys:
        row = rows[key]
        difference = [_difference(result, against, key)] if held else []
        lines.append([row['label'], percent(row['miou']), _pair(row['intervals']['miou']),
                      *difference, percent(row['oiou']), *(_tag(row, tag) for tag in tags),
                      *([percent(row['pointm'])] if points else [])])
    return _markdown(lines)


def _difference(result: Mapping[str, Any], against: str, key: str) -> str:
    if key == against:
        return ''
    entry = paired(result, against, key)['differences']['miou']
    return f'{_signed(entry["difference"])} ({_pair(entry["interval"], signed=True)})'


def _tag(row: Mapping[str, Any], tag: str) -> str:
    return percent(row['by_tag'][tag]['miou']) if tag in row['by_tag'] else '-'


def _effects(found: Iterable[Verdict]) -> str:
    lines = [['the paper says', 'paper, mIoU', 'here, mIoU', 'difference', 'reproduced'],
             ['---', '---', '---', '---', '---']]
    for verdict in found:
        effect = verdict.effect
        digits = max(len(str(v).partition('.')[2]) for _, *both in effect.paper for v in both)
        paper = '; '.join(f'{name} {a:.{digits}f} to {b:.{digits}f}'
                          for name, a, b in effect.paper)
        on = f' ({verdict.n} sentences)' if effect.tag else ''
        lines.append([
            f'{effect.text} ({effect.source})', paper,
            f'{percent(verdict.worse)} to {percent(verdict.better)}{on}',
            f'{_signed(verdict.better - verdict.worse)} '
            f'({_pair(list(verdict.interval), signed=True)})', verdict.reproduced])
    return _markdown(lines)


def _markdown(lines: Iterable[Sequence[str]]) -> str:
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def _signed(value: float) -> str:
    return f'{100 * value:+.1f}'


def _pair(pair: Sequence[float] | None, signed: bool = False) -> str:
    if pair is None:
        return '-'
    return ' to '.join(f'{100 * v:+.1f}' if signed else f'{100 * v:.1f}' for v in pair)
