"""`ris bench`: stage timings and memory of a method, or of the language part."""
from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ris_ros.arguments import add_method_options, method_options, networks_said
from ris_ros.cli.files import add_depth_options, check_depth_options, depth_and_camera
from ris_ros.files import check_writable, write_json
from ris_ros.pictures import read_picture
from ris_ros.types import BadInputError, View


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris bench`."""
    parser.add_argument('subject', metavar='SUBJECT',
                        help='a method (see `ris methods`), or: language')
    add_method_options(parser, named=False)
    parser.add_argument('--image', type=Path, help='a picture (default: scenes of the tabletop)')
    parser.add_argument('--expression', action='append', default=[],
                        help='what to ask about --image; may be repeated')
    add_depth_options(parser)
    parser.add_argument('--scenes', type=int, default=5, help='scenes to look at')
    parser.add_argument('--colour-only', action='store_true',
                        help='withhold the depth of the scenes')
    parser.add_argument('--repeats', type=int, default=3, help='rounds over all images')
    parser.add_argument('--json', nargs='?', const='-', metavar='FILE',
                        help='write JSON (without FILE: to standard output)')


def run(args: argparse.Namespace) -> int:
    """Run `ris bench`."""
    for name in ('scenes', 'repeats'):
        if getattr(args, name) < 1:
            raise BadInputError(f'--{name} {getattr(args, name)} must be at least 1')
    check_depth_options(args)
    if args.json not in (None, '-'):
        check_writable(args.json)
    result = _language(args) if args.subject == 'language' else _method(args)
    if args.json == '-':
        print(json.dumps(result, indent=1))
        return 0
    if args.json:
        write_json(args.json, result, durable=True)
    if args.subject == 'language':
        print(json.dumps(result, indent=1))
    else:
        from ris_ros.evaluation.bench import format_bench
        print(format_bench(result))
    return 0


def _language(args: argparse.Namespace) -> dict[str, Any]:
    from ris_ros.evaluation.bench_language import run_language_bench
    from ris_ros.language.pipelines import pipeline_said
    return {'subject': 'language', 'pipeline': pipeline_said(args.pipeline),
            **run_language_bench(args.repeats, args.pipeline)}


def _method(args: argparse.Namespace) -> dict[str, Any]:
    from ris_ros.evaluation.bench import BenchImage, run_bench, tabletop_images
    from ris_ros.evaluation.evaluate import SegmenterSpec
    options = method_options(args, args.subject)
    if args.image is not None:
        if not args.expression:
            raise BadInputError('--image needs at least one --expression')
        rgb = read_picture(args.image)
        view = View(rgb, *depth_and_camera(args, rgb.shape[:2]))
        images = [BenchImage(view, tuple(args.expression))]
    else:
        images = tabletop_images(args.scenes)
        if args.colour_only:
            images = [replace(image, view=View(image.view.rgb)) for image in images]
    said = {name: value for name, value in networks_said(options).items()
            if name != 'method'}
    return {'subject': args.subject, **said,
            'depth': any(image.view.depth is not None for image in images),
            **run_bench(SegmenterSpec(**options), images, args.repeats)}
