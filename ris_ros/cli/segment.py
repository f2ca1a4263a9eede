"""`ris segment`: one image, one expression, one mask."""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.cli.files import check_upright, read_camera, read_depth, write_png
from ris_ros.pictures import read_picture
from ris_ros.settings import parse_assignments
from ris_ros.types import BadInputError, Outcome, Segmentation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris segment`."""
    parser.add_argument('image', type=Path, help='picture file')
    parser.add_argument('expression', help='what to segment, or a whole command')
    parser.add_argument('--method', default='hybridgl', help='see `ris methods`')
    parser.add_argument('--profile', default='tabletop', help='tabletop, paper or robot')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    parser.add_argument('--precision', default='fp32', help='fp32, bf16 or fp16')
    parser.add_argument('--model-dir', type=Path, help='folder with weights')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        dest='settings', help='a setting of the method; may be repeated')
    parser.add_argument('--depth', type=Path,
                        help='depth picture, 16 bit in mm (PNG) or float in m (.npy)')
    parser.add_argument('--camera-info', type=Path,
                        help='intrinsics as JSON or YAML: fx fy cx cy width height, or k and size')
    parser.add_argument('-o', '--overlay', type=Path, metavar='PNG',
                        help='write the image with the mask over it')
    parser.add_argument('--mask', type=Path, metavar='PNG', help='write the mask, 0 and 255')
    parser.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Segment and print; exit code 0 also where nothing matches, the outcome says so."""
    from ris_ros.segmenter import Segmenter, method_settings
    if (args.depth is None) != (args.camera_info is None):
        raise BadInputError('--depth and --camera-info go together; give both or none')
    rgb = read_picture(args.image)
    if args.depth:
        check_upright(args.image)
    depth = read_depth(args.depth, rgb.shape[:2]) if args.depth else None
    camera = read_camera(args.camera_info, rgb.shape[:2]) if args.camera_info else None
    settings = parse_assignments(method_settings(args.method), args.settings)
    segmenter = Segmenter.from_profile(
        args.profile, method=args.method, device=args.device, precision=args.precision,
        model_dir=args.model_dir, settings=settings)
    result = segmenter.segment(rgb, args.expression)
    if result.outcome is Outcome.INVALID_COMMAND:
        raise BadInputError(result.message)
    geometry = None
    if depth is not None and camera is not None \
            and result.outcome is Outcome.SUCCEEDED_2D:
        from ris_ros.geometry import target_geometry
        geometry = target_geometry(result.mask, depth, camera)
    if args.mask:
        write_png(args.mask, result.mask.astype(np.uint8) * 255)
    if args.overlay:
        from ris_ros.overlay import draw_overlay
        write_png(args.overlay, draw_overlay(rgb, result, args.expression,
                                             geometry.pixel if geometry else None))
    document = _document(result, geometry)
    print(json.dumps(document) if args.json else _text(document), file=sys.stdout)
    return 0


def _document(result: Segmentation, geometry: Any) -> dict[str, Any]:
    rows = np.flatnonzero(result.mask.any(axis=1))
    columns = np.flatnonzero(result.mask.any(axis=0))
    box = ([int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
           if len(rows) else None)
    # With depth the point belongs to the success, so it is the full one.
    outcome = Outcome.SUCCEEDED if geometry is not None else result.outcome
    return {
        'outcome': outcome.name, 'code': outcome.code, 'message': result.message,
        'score': round(result.score, 4), 'margin': round(result.margin, 4), 'box': box,
        'area': int(result.mask.sum()),
        'expression': result.command.target.expression
        if result.command and result.command.target else None,
        'candidates': [{'rank': c.rank, 'score': round(c.score, 4), 'box': list(c.box)}
                       for c in result.candidates],
        'notes': list(result.notes),
        'target_point': [round(float(v), 4) for v in geometry.point] if geometry else None,
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


