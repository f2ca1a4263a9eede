"""The JSON document of one evaluation, and its table for a terminal."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros import __version__
from ris_ros.datasets.base import Dataset
from ris_ros.datasets.files import load_json
from ris_ros.evaluation.bench import machine
from ris_ros.evaluation.calibration import risk_at
from ris_ros.evaluation.records import RecordFile
from ris_ros.evaluation.summary import summarise
from ris_ros.files import write_text
from ris_ros.types import BadInputError

SHOWN_PROBLEMS = 50   # entries named in the document; the record names all


def build_document(header: Mapping[str, Any], dataset: Dataset, record: RecordFile,
                   record_path: Path, iou_rule: str = 'plain') -> dict[str, Any]:
    """Return the document of `ris eval --json` (keys: design contract, plus more).

    `left_out` counts unusable entries and names the first ones; `refused` does so with sentences
    that the method did not take, which count as wrong.  `time` sums seconds over
    all workers: `overhead` is what evaluation adds to the method itself (metrics, bookkeeping),
    as a share of the method's time; reading or rendering data is `data_s`.
    """
    figures = summarise(record.records.values(), iou_rule)
    samples = figures.pop('samples')
    refused = [f'{r.key} {r.expression!r}: {r.refused}' for r in record.records.values()
               if r.refused is not None]
    problems = [*dataset.problems.entries, *record.problems]
    return {
        **{k: header[k] for k in ('method', 'profile', 'dataset', 'split')},
        **{k: v for k, v in header.items() if k not in ('method', 'profile', 'dataset', 'split')},
        'version': __version__, 'machine': machine(), **figures, 'time': _times(record.times),
        'left_out': {'n': len(problems), 'first': [str(p) for p in problems[:SHOWN_PROBLEMS]]},
        'refused': {'n': figures['n_refused'], 'first': refused[:SHOWN_PROBLEMS]},
        'facts': dataset.facts, 'notes': dataset.notes,
        'record': record_path.name, 'samples': samples}


def _times(times: Mapping[str, float]) -> dict[str, float | None]:
    extra = times['total_s'] - times['method_s'] - times['data_s']
    return {**{k: round(v, 3) for k, v in times.items()},
            'overhead': round(extra / times['method_s'], 5) if times['method_s'] else None}


def to_json(document: Mapping[str, Any]) -> str:
    """Return readable JSON; the long per-sample columns stay on one line each."""
    head = {k: v for k, v in document.items() if k != 'samples'}
    text = json.dumps(head, indent=1, allow_nan=False)
    if 'samples' not in document:
        return text + '\n'
    columns = ',\n'.join(f'  {json.dumps(name)}: {json.dumps(values, separators=(",", ":"))}'
                         for name, values in document['samples'].items())
    return f'{text[:-2]},\n "samples": {{\n{columns}\n }}\n}}\n'


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document, whole or not at all."""
    write_text(path, to_json(document), durable=True)


def read_document(path: Path) -> dict[str, Any]:
    """Read a document of `ris eval --json`.  Raises BadInputError naming the file."""
    document = load_json(path)
    if not isinstance(document, dict) or 'miou' not in document or 'samples' not in document:
        raise BadInputError(f'{path} is no result of `ris eval --json`')
    return document


def format_table(document: Mapping[str, Any]) -> str:
    """Return the main figures as text, shares in percent with their 95 % interval."""
    rows = [('samples', _counts(document), '')]
    names = {'miou': 'mIoU', 'oiou': 'oIoU', 'p@0.5': 'P@0.5', 'p@0.7': 'P@0.7',
             'p@0.9': 'P@0.9', 'pointm': 'PointM', 'img_acc': 'ImgAcc', 'inst_acc': 'InstAcc',
             'oracle_miou': 'oracle mIoU'}
    rows += [(label, percent(document[name]), interval(document['intervals'][name]))
             for name, label in names.items()]
    rows += [(f'  {tag} ({group["n"]})', percent(group['miou']), interval(group['interval']))
             for tag, group in document['by_tag'].items()]
    for name, group in document['seen'].items():
        if group['n'] and name not in document['by_tag']:
            rows.append((f'  {name} ({group["n"]})', percent(group['miou']),
                         interval(group['interval'])))
    rows += _decision_rows(document['decisions'])
    rows += _calibration_rows(document.get('calibration'))
    latency = document['latency_ms']
    for name in ('prepare', 'ground'):
        if latency[name]:
            rows.append((f'{name} p50 / p95', f'{latency[name]["p50"]:.0f} / '
                         f'{latency[name]["p95"]:.0f} ms', ''))
    if document.get('n_refused'):   # documents of older versions have none
        rows.append(('refused, counted as wrong', str(document['n_refused']), ''))
    if document['left_out']['n']:
        rows.append(('left out', str(document['left_out']['n']), ''))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    title = (f'{document["method"]} ({document["profile"]}) on {document["dataset"]} '
             f'{document["split"]}{_seen_by(document)}')
    lines = [f'{a:<{widths[0]}}  {b:>{widths[1]}}  {c:<{widths[2]}}'.rstrip()
             for a, b, c in rows]
    return '\n'.join([title, *lines])


def _seen_by(document: Mapping[str, Any]) -> str:
    """Say what proposed the masks, and whether depth was withheld; older documents say neither."""
    proposals = document.get('proposals')
    return ''.join((f', proposals: {proposals}' if proposals else '',
                    ', colour only' if document.get('colour_only') else ''))


def _counts(document: Mapping[str, Any]) -> str:
    return f'{document["n"]} of {document["n_samples"]}'


def _decision_rows(decisions: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    absent, ambiguous = decisions['absent'], decisions['ambiguous']
    rows = []
    if absent['n']:
        rows.append((f'absent ({absent["n"]}) precision / recall',
                     f'{percent(absent["precision"])} / {percent(absent["recall"])}', ''))
        rows += _recall_rows(absent)
    if ambiguous['n']:
        rows.append((f'ambiguous ({ambiguous["n"]}) precision / recall',
                     f'{percent(ambiguous.get("precision"))} / {percent(ambiguous["recall"])}',
                     ''))
        rows += _recall_rows(ambiguous)
    acted = decisions['acted']
    rows.append(('acted on / of these right',
                 f'{percent(acted["share"])} / {percent(acted["right"])}', ''))
    return rows


def _calibration_rows(found: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if not found or not found['n']:   # documents of older versions have none
        return []
    risks = (risk_at(found['risk_coverage'], c) for c in (0.5, 0.8))
    return [('calibration error (ECE)', percent(found['ece']), ''),
            ('risk at 50 / 80 % coverage', ' / '.join(percent(r) for r in risks), '')]


def recalls_by_tag(group: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what is known by tag of absent or ambiguous sentences, where there are several."""
    tags = group.get('by_tag', {})     # documents of older versions have none
    return dict(tags) if len(tags) > 1 else {}


def _recall_rows(group: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(f'  {tag} ({row["n"]}) recall', percent(row['recall']), '')
            for tag, row in recalls_by_tag(group).items()]


def percent(value: float | None) -> str:
    """Return a share in percent with one decimal, a dash for None."""
    return '-' if value is None else f'{100 * value:.1f}'


def interval(pair: list[float] | None) -> str:
    """Return an interval of shares in percent."""
    return '' if pair is None else f'[{100 * pair[0]:.1f}, {100 * pair[1]:.1f}]'
