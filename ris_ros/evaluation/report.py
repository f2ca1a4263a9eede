"""One HTML page about one evaluation; everything is inside, so it opens anywhere offline."""
from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.base import Dataset, EntryError, OpenGroup, Sample
from ris_ros.datasets.masks import decode_rle
from ris_ros.evaluation import plots
from ris_ros.evaluation.document import interval, percent, recalls_by_tag
from ris_ros.evaluation.metrics import iou
from ris_ros.evaluation.records import Record, RecordFile
from ris_ros.files import write_text
from ris_ros.lazy import require

SHOWN = 8             # cases per gallery
LONG_SIDE = 420       # pixels of a gallery picture
TRUE, PREDICTED = (56, 161, 105), (221, 72, 20)   # colours of the outlines

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse } td, th { padding: .25em .8em .25em 0; text-align: right;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: left } .soft { opacity: .7 }
.flex { display: flex; flex-wrap: wrap; gap: 1.2em; align-items: flex-start }
figure { margin: 0; max-width: 100% } figcaption { font-size: .85em }
.plot { background: #fff; border-radius: 6px; padding: 6px; width: 500px } .plot svg {
  width: 100%; height: auto }
.case { width: 258px; background: var(--soft); border-radius: 6px; padding: 8px }
.case img { width: 100%; max-height: 230px; object-fit: contain; border-radius: 4px;
  display: block; margin-bottom: 6px }
.true { color: rgb(56,161,105) } .predicted { color: rgb(221,72,20) }
.scroll { overflow-x: auto }
"""


def write_report(folder: Path, document: Mapping[str, Any], dataset: Dataset,
                 record: RecordFile) -> Path:
    """Write FOLDER/index.html and return its path.

    The gallery opens the images of the shown cases once more (renders them, on the tabletop);
    a case whose image cannot be opened is shown without a picture.
    """
    answerable = [r for r in record.records.values() if r.kind == 'answerable' and r.u]
    body = [_heading(document), _figures_table(document)]
    if answerable:
        body += [_plots(document, answerable), _gallery(dataset, answerable)]
    body += [_stages(document), _remarks(document)]
    title = f'{document["method"]} on {document["dataset"]} {document["split"]}'
    page = (f'<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(title)}</title><style>{STYLE}</style><body>'
            f'{"".join(body)}</body></html>')
    path = folder / 'index.html'
    write_text(path, page)
    return path


def _heading(document: Mapping[str, Any]) -> str:
    changed = ', '.join(f'{k} = {v}' for k, v in document.get('settings', {}).items())
    return (f'<h1>{escape(str(document["method"]))} '
            f'<span class="soft">({escape(str(document["profile"]))} profile)</span> on '
            f'{escape(str(document["dataset"]))} {escape(str(document["split"]))}</h1>'
            f'<p class="soft">{document["n"]} answerable sentences of {document["n_samples"]}, '
            f'{document["n_images"]} images. Settings: {escape(changed) or "defaults"}. '
            f'Parsed by {escape(str(document.get("pipeline", "an unnamed pipeline")))}. '
            f'ris_ros {escape(str(document["version"]))}.</p>')


def _figures_table(document: Mapping[str, Any]) -> str:
    labels = {'miou': 'mIoU', 'oiou': 'oIoU', 'p@0.5': 'P@0.5', 'p@0.6': 'P@0.6',
              'p@0.7': 'P@0.7', 'p@0.8': 'P@0.8', 'p@0.9': 'P@0.9', 'pointm': 'PointM',
              'img_acc': 'ImgAcc', 'inst_acc': 'InstAcc', 'oracle_miou': 'oracle mIoU'}
    intervals = document['intervals']
    rows = [(label, percent(document[name]), interval(intervals[name]))
            for name, label in labels.items() if document[name] is not None]
    main = _table(('metric', '%', '95 % interval'), rows)
    tags = _table(('expressions', 'n', 'mIoU, %', '95 % interval'),
                  [(t, g['n'], percent(g['miou']), interval(g['interval']))
                   for t, g in _subsets(document).items()])
    return (f'<h2>Figures</h2><div class="flex"><div class="scroll">{main}</div>'
            f'<div class="scroll">{tags}{_decisions(document["decisions"])}</div></div>')


def _subsets(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Tags, and seen and unseen categories where these are no tags already."""
    subsets = dict(document['by_tag'])
    for name, group in document['seen'].items():
        if group['n'] and name not in subsets:
            subsets[f'{name} categories'] = group
    return subsets


def _decisions(decisions: Mapping[str, Any]) -> str:
    absent, ambiguous, acted = (decisions[k] for k in ('absent', 'ambiguous', 'acted'))
    rows = [('acted on, of the answerable', percent(acted['share'])),
            ('of these right (IoU &gt; 0.5)', percent(acted['right']))]
    if absent['n']:
        rows += [(f'absent ({absent["n"]}): precision', percent(absent['precision'])),
                 ('absent: recall', percent(absent['recall'])), *_recalls(absent)]
    if ambiguous['n']:
        rows += [(f'ambiguous ({ambiguous["n"]}): recall', percent(ambiguous['recall'])),
                 ('false alarms', percent(ambiguous['false_alarms'])), *_recalls(ambiguous)]
    return '<h2>Decisions</h2>' + _table(('', '%'), rows, escaped=True)


def _recalls(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(f'{escape(tag)} ({row["n"]}): recall', percent(row['recall']))
            for tag, row in recalls_by_tag(group).items()]


def _plots(document: Mapping[str, Any], records: Sequence[Record]) -> str:
    ious = _ious(records, 'i', 'u', document['iou_rule'])
    oracle = _ious(records, 'oracle_i', 'oracle_u', document['iou_rule'])
    drawn = [('IoU', plots.iou_histogram(ious)),
             ('Precision over threshold', plots.precision_curve(ious, oracle)),
             ('Latency', plots.latency_bars(document['latency_ms']))]
    groups = {k: v for k, v in _subsets(document).items() if v['miou'] is not None}
    if groups:
        drawn.append(('By kind of expression', plots.tag_bars(groups)))
    trust = document.get('calibration') or {'n': 0}
    if trust['n']:
        drawn += [('Calibration', plots.calibration_bars(trust['bins'])),
                  ('Risk and coverage', plots.risk_coverage(trust['risk_coverage']))]
    return '<h2>Plots</h2><div class="flex">' + ''.join(
        f'<figure class="plot" role="img" aria-label="{escape(title)}">{svg}</figure>'
        for title, svg in drawn) + '</div>'


def _ious(records: Sequence[Record], i: str, u: str, rule: str) -> np.ndarray:
    return iou(np.array([getattr(r, i) for r in records]),
               np.array([getattr(r, u) for r in records]), rule)


def _gallery(dataset: Dataset, records: Sequence[Record]) -> str:
    choices: list[tuple[str, Callable[[Record], Any]]] = [
        ('Best', lambda r: (-r.iou, r.key)), ('Worst', lambda r: (r.iou, -r.score, r.key)),
        ('Most uncertain (smallest margin between the first two)',
         lambda r: (r.margin, r.key))]
    chosen = {title: _spread(sorted(records, key=rank)) for title, rank in choices}
    pictures = _pictures(dataset, {r.key: r for members in chosen.values() for r in members})
    parts = ['<p>Outlines: <b class="true">true</b>, <b class="predicted">predicted</b>.</p>']
    for title, members in chosen.items():
        parts.append(f'<h2>{title}</h2><div class="flex">'
                     + ''.join(_case(r, pictures.get(r.key)) for r in members) + '</div>')
    return ''.join(parts)


def _spread(ordered: Sequence[Record]) -> list[Record]:
    """Take the first cases, one per image while there are enough images."""
    first: dict[str, Record] = {}
    for record in ordered:
        first.setdefault(record.image_id, record)
    chosen = list(first.values())[:SHOWN]
    keys = {r.key for r in chosen}
    chosen += [r for r in ordered if r.key not in keys][:SHOWN - len(chosen)]
    return chosen


def _pictures(dataset: Dataset, records: Mapping[str, Record]) -> dict[str, str]:
    pictures: dict[str, str] = {}
    images = {r.image_id for r in records.values()}
    for group in dataset.groups:
        known = group.keys
        if not (group.key in images if known is None else records.keys() & set(known)):
            continue
        try:
            opened = group.open()
            for sample in opened.samples:
                if sample.key in records:
                    pictures[sample.key] = _picture(opened, sample, records[sample.key])
        except EntryError:
            continue   # listed among the remarks; the case is shown without a picture
    return pictures


def _picture(opened: OpenGroup, sample: Sample, record: Record) -> str:
    """Return the image with both outlines as a data URI."""
    image = opened.image.copy()
    width = max(1, round(max(image.shape[:2]) / LONG_SIDE * 2.5))
    if sample.mask is not None:
        image[_outline(sample.mask.load(), width)] = TRUE
    if record.mask is not None:
        predicted = decode_rle(record.mask)
        image[predicted] = (0.72 * image[predicted] + 0.28 * np.array(PREDICTED)).astype(np.uint8)
        image[_outline(predicted, width)] = PREDICTED
    picture = require('PIL.Image', 'evaluation').fromarray(image)
    picture.thumbnail((LONG_SIDE, LONG_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, 'JPEG', quality=82)
    return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode()


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    """Return the band of `width` pixels inside the border of an (H, W) bool mask."""
    inner = np.pad(mask, 1)
    for _ in range(width):
        core = inner.copy()
        core[1:] &= inner[:-1]
        core[:-1] &= inner[1:]
        core[:, 1:] &= inner[:, :-1]
        core[:, :-1] &= inner[:, 1:]
        inner = core
    return mask & ~inner[1:-1, 1:-1]


def _case(record: Record, picture: str | None) -> str:
    image = f'<img src="{picture}" alt="{escape(record.expression)}">' if picture else \
        '<p class="soft">no picture</p>'
    return (f'<figure class="case">{image}<figcaption><b>{escape(record.expression)}</b><br>'
            f'IoU {record.iou:.3f}, score {record.score:.2f}, margin {record.margin:.2f}<br>'
            f'<span class="soft">{escape(record.outcome)}, {escape(record.key)}'
            f'{", " + escape(", ".join(record.tags)) if record.tags else ""}</span>'
            f'</figcaption></figure>')


def _stages(document: Mapping[str, Any]) -> str:
    latency = document['latency_ms']
    rows = [(name, latency[name]) for name in ('prepare', 'ground', 'first')]
    rows += [(f'stage {name}', values) for name, values in latency['stages'].items()]
    return '<h2>Latency, ms</h2><div class="scroll">' + _table(
        ('', 'n', 'mean', 'p50', 'p95', 'p99'),
        [(name, v['n'], *(f'{v[k]:.2f}' for k in ('mean', 'p50', 'p95', 'p99')))
         for name, v in rows if v]) + '</div>'


def _remarks(document: Mapping[str, Any]) -> str:
    left_out = document['left_out']
    machine = document['machine']
    remarks = [f'latencies were measured on {machine["processor"]}, {machine["cpus"]} cores',
               *document['notes']]
    if left_out['n']:
        remarks.append(f'{left_out["n"]} entries have problems; the first of them:')
        remarks += left_out['first']
    for rule, entry in document['position'].items():
        if entry['share'] is not None:
            remarks.append(
                f'position words ({rule} rule): {percent(entry["share"])} % of the sentences, '
                f'mIoU {percent(entry["position"]["miou"])}; others '
                f'{percent(entry["other"]["miou"])}')
    overhead = document['time']['overhead']
    if overhead is not None:
        remarks.append(f"evaluation took {100 * overhead:.1f} % of the method's own time "
                       f'({document["time"]["method_s"]:.1f} s)')
    return '<h2>Remarks</h2><ul>' + ''.join(f'<li>{escape(r)}</li>' for r in remarks) + '</ul>'


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], escaped: bool = False) -> str:
    clean = (lambda v: str(v)) if escaped else (lambda v: escape(str(v)))
    return ('<table><tr>' + ''.join(f'<th>{escape(h)}</th>' for h in head) + '</tr>'
            + ''.join('<tr>' + ''.join(f'<td>{clean(v)}</td>' for v in row) + '</tr>'
                      for row in rows) + '</table>')
