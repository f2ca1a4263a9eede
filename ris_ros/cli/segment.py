"""`ris segment`: one image, one expression, one mask."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.arguments import add_method_options, method_options
from ris_ros.cli.files import (
    add_depth_options,
    check_depth_options,
    depth_and_camera,
    write_png,
)
from ris_ros.files import check_writable
from ris_ros.language.pipelines import pipeline_said
from ris_ros.pictures import read_picture
from ris_ros.target import Measurement, Missing, measure_target
from ris_ros.types import BadInputError, Outcome, Segmentation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris segment`."""
    parser.add_argument('image', type=Path, help='picture file')
    parser.add_argument('expression', help='what to segment, or a whole command')
    add_method_options(parser)
    add_depth_options(parser)
    parser.add_argument('-o', '--overlay', type=Path, metavar='PNG',
                        help='write the image with the mask over it')
    parser.add_argument('--mask', type=Path, metavar='PNG', help='write the mask, 0 and 255')
    parser.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Segment and print; exit code 0 also where nothing matches, the outcome says so."""
    from ris_ros.segmenter import Segmenter
    check_depth_options(args)
    for path in (args.mask, args.overlay):
        if path:
            check_writable(path, parents=False)
    rgb = read_picture(args.image)
    depth, camera = depth_and_camera(args, rgb.shape[:2])
    segmenter = Segmenter.from_profile(**method_options(args))
    result = segmenter.segment(rgb, args.expression, depth, camera)
    if result.outcome is Outcome.INVALID_COMMAND:
        raise BadInputError(result.message)
    measured = measure_target(result, depth, camera or Missing('there is no camera'))
    if args.mask:
        write_png(args.mask, result.mask.astype(np.uint8) * 255)
    if args.overlay:
        from ris_ros.overlay import draw_overlay
        write_png(args.overlay, draw_overlay(
            rgb, result, args.expression, measured.geometry.pixel if measured.geometry else None))
    document = {**_document(result, measured), 'pipeline': pipeline_said(args.pipeline)}
    print(json.dumps(document) if args.json else _text(document))
    return 0


def _document(result: Segmentation, measured: Measurement) -> dict[str, Any]:
    rows = np.flatnonzero(result.mask.any(axis=1))
    columns = np.flatnonzero(result.mask.any(axis=0))
    box = ([int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
           if len(rows) else None)
    outcome, geometry, ratio = measured.outcome, measured.geometry, measured.depth_valid_ratio
    return {
        'outcome': outcome.name, 'code': outcome.code, 'message': measured.message,
        'score': round(result.score, 4), 'margin': round(result.margin, 4), 'box': box,
        'area': int(result.mask.sum()),
        'expression': result.command.target.expression
        if result.command and result.command.target else None,
        'candidates': [{'rank': c.rank, 'score': round(c.score, 4), 'box': list(c.box)}
                       for c in result.candidates],
        'notes': list(result.notes),
        'target_point': [round(float(v), 4) for v in geometry.point] if geometry else None,
        'depth_valid_ratio': None if ratio is None else round(ratio, 4),
        'timings': {name: round(seconds, 4) for name, seconds in result.timings.items()}}


def _text(document: dict[str, Any]) -> str:
    lines = [f'{document["outcome"]}: {document["message"]}']
    if document['box']:
        lines.append(f'box (x, y, width, height): {document["box"]}, '
                     f'{document["area"]} pixels')
    if document['target_point']:
        lines.append(f'target point (m, optical frame): {document["target_point"]}')
    lines += [f'note: {note}' for note in document['notes']]
    return '\n'.join(lines)
