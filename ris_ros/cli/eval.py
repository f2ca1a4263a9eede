"""`ris eval`: evaluate a method on a data set, or compare two results."""
from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ris_ros.arguments import add_method_options, method_options, networks_said
from ris_ros.datasets.derived import LAYOUTS
from ris_ros.datasets.masks import CONVENTIONS
from ris_ros.datasets.refer import ReferOptions
from ris_ros.datasets.registry import DATASETS, open_dataset
from ris_ros.evaluation.compare import compare, format_comparison
from ris_ros.evaluation.document import (
    build_document,
    format_table,
    read_document,
    to_json,
    write_document,
)
from ris_ros.evaluation.evaluate import SegmenterSpec
from ris_ros.evaluation.metrics import IOU_RULES
from ris_ros.evaluation.runner import RunOptions, check_workers
from ris_ros.evaluation.runner import run as run_evaluation
from ris_ros.files import check_writable, write_json
from ris_ros.types import BadInputError

RECORD_FOLDER = Path('ris_eval')
READER = 'expression'   # see SegmenterSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris eval`."""
    parser.add_argument('dataset', nargs='?', choices=tuple(DATASETS), metavar='DATASET',
                        help=', '.join(DATASETS))
    what = parser.add_argument_group('what to evaluate')
    what.add_argument('--root', type=Path, help='folder of the data set; the tabletop renders '
                                                'scenes by seed without one')
    what.add_argument('--split', help='val, test, testA, testB, train, miniv, unseen, all ...')
    what.add_argument('--split-by', choices=('unc', 'umd', 'google'),
                      help='which refs file (default: unc, umd for refcocog)')
    what.add_argument('--layout', choices=LAYOUTS, default='refer',
                      help='of RefCOCO data: as published (refer), or as other projects convert '
                           'it')
    what.add_argument('--sentence-field', choices=('sent', 'raw'), default='sent')
    what.add_argument('--sentences', choices=('all', 'first'), default='all',
                      help='first: only the first sentence of each reference (PCNet)')
    what.add_argument('--overlap', choices=CONVENTIONS, default='union',
                      help='what overlapping polygons of one object are (hole: LAVT, GL-CLIP, '
                           'TRIS, PCNet)')
    what.add_argument('--limit', type=int, help='only the first so many samples')
    what.add_argument('--scenes', type=int, help='only the first so many scenes or images')
    what.add_argument('--colour-only', action='store_true',
                      help='withhold depth where the data set has it, so that methods see colour '
                           'alone, as in the papers')
    what.add_argument('--strict', action='store_true',
                      help='stop at the first entry that cannot be used')
    what.add_argument('--leakage', action='store_true',
                      help='only report the pictures that training and test splits share')
    how = parser.add_argument_group('what with')
    add_method_options(how)
    how.add_argument('--workers', type=int, default=0, help='processes (default: this one alone)')
    how.add_argument('--ray', metavar='ADDRESS', help='spread over a Ray cluster; "local" starts '
                                                      'one here, --workers says how wide')
    out = parser.add_argument_group('results')
    out.add_argument('--json', nargs='?', const='-', metavar='FILE',
                     help='write all figures as JSON (without FILE: to standard output)')
    out.add_argument('--report', type=Path, metavar='DIR', help='write DIR/index.html')
    out.add_argument('--record', type=Path, metavar='FILE',
                     help='per-sample record (default: beside --json, or in ./ris_eval)')
    out.add_argument('--fresh', action='store_true', help='start over instead of continuing')
    out.add_argument('--reuse', action='store_true',
                     help='also continue a record that has ended (greater --limit, new figures)')
    out.add_argument('--iou-rule', choices=tuple(IOU_RULES), default='plain',
                     help='; '.join(f'{k}: {v}' for k, v in IOU_RULES.items()))
    out.add_argument('--quiet', action='store_true', help='no progress bar')
    out.add_argument('--compare', nargs=2, type=Path, metavar=('A.json', 'B.json'),
                     help='paired differences of two results instead of an evaluation')


def run(args: argparse.Namespace) -> int:
    """Run `ris eval`."""
    if args.compare:
        return _compare(args)
    if args.dataset is None:
        raise BadInputError(f'name a data set ({", ".join(DATASETS)}) or use --compare A B')
    if args.leakage:
        return _leakage(args)
    for name in ('limit', 'scenes'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise BadInputError(f'--{name} {value} must be at least 1')
    check_workers(args.workers)
    _check_places(args)
    chosen = method_options(args)
    options = ReferOptions(args.split_by, args.sentence_field, args.sentences, args.overlap)
    dataset = open_dataset(args.dataset, args.root, args.split, options, args.scenes, args.strict,
                           args.layout)
    if args.colour_only:
        dataset = dataset.without_depth()
    for note in dataset.notes:
        _say(f'note: {note}')
    for problem in dataset.problems.entries:
        _say(f'left out: {problem}')
    header = {
        **networks_said(chosen), 'reader': READER, 'dataset': args.dataset, 'split': dataset.split,
        'root': args.root.resolve().name if args.root else None,
        'colour_only': args.colour_only,
        'reading': {**asdict(options), 'layout': args.layout}}
    record_path = _record_path(args, header)
    record = run_evaluation(dataset, SegmenterSpec(**chosen, reader=READER), header, RunOptions(
        record=record_path, limit=args.limit, workers=args.workers, ray=args.ray,
        strict=args.strict, fresh=args.fresh, reuse=args.reuse, progress=not args.quiet,
        say=_say))
    document = build_document(header, dataset, record, record_path, args.iou_rule)
    _deliver(args, document)
    if args.report:
        from ris_ros.evaluation.report import write_report
        page = write_report(args.report, document, dataset, record)
        _say(f'report: {page}')
    return 0


def _check_places(args: argparse.Namespace) -> None:
    """Raise BadInputError for results that could not be written after hours of work."""
    places = [args.record, args.report and args.report / 'index.html',
              None if args.json == '-' else args.json]
    for place in places:
        if place:
            check_writable(place)


def _deliver(args: argparse.Namespace, document: dict[str, Any]) -> None:
    if args.json == '-':
        sys.stdout.write(to_json(document))
        return
    if args.json:
        write_document(Path(args.json), document)
    print(format_table(document))


def _leakage(args: argparse.Namespace) -> int:
    from ris_ros.datasets.leakage import leakage_report
    if args.root is None:
        raise BadInputError('--leakage needs --root, the folder that holds refcoco and the others')
    print(json.dumps(leakage_report(args.root), indent=1))
    return 0


def _compare(args: argparse.Namespace) -> int:
    first, second = (read_document(path) for path in args.compare)
    result = compare(first, second)
    if args.json == '-':
        print(json.dumps(result, indent=1))
        return 0
    if args.json:
        write_json(args.json, result, durable=True)
    print(format_comparison(result))
    return 0


def _record_path(args: argparse.Namespace, header: dict[str, Any]) -> Path:
    if args.record:
        return args.record
    if args.json and args.json != '-':
        path = Path(args.json)
        return path.with_name(f'{path.stem}.samples.jsonl')
    if args.report:
        return args.report / 'samples.jsonl'
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:8]
    name = '-'.join(str(header[k]) for k in ('dataset', 'split', 'method', 'profile'))
    return RECORD_FOLDER / f'{name}-{digest}.samples.jsonl'


def _say(text: str) -> None:
    print(text, file=sys.stderr)
