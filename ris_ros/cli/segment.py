"""`ris segment`: one image, one expression, one mask."""
from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from ris_ros.target import Measurement, Missing, measure_target, place_of_target
from ris_ros.types import BadInputError, Camera, Candidate, Outcome, Segmentation

if TYPE_CHECKING:
    from ris_ros.dialogue import Dialogue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris segment`."""
    parser.add_argument('image', type=Path, help='picture file')
    parser.add_argument('expression', help='what to segment, or a whole command')
    add_method_options(parser)
    add_depth_options(parser)
    parser.add_argument('-o', '--overlay', type=Path, metavar='PNG',
                        help='write the image with the mask over it')
    parser.add_argument('--mask', type=Path, metavar='PNG', help='write the mask, 0 and 255')
    parser.add_argument('--answer', action='append', default=[], metavar='TEXT',
                        help='answer to what is asked back ("the yellow one"); several in turn. '
                             'At a terminal you are asked')
    parser.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Segment and print; exit code 0 also where nothing matches, the outcome says so."""
    from ris_ros.dialogue import Dialogue
    from ris_ros.segmenter import Segmenter
    check_depth_options(args)
    for path in (args.mask, args.overlay):
        if path:
            check_writable(path, parents=False)
    rgb = read_picture(args.image)
    depth, camera = depth_and_camera(args, rgb.shape[:2])
    dialogue = Dialogue(Segmenter.from_profile(**method_options(args)), window_s=math.inf)
    result = dialogue.segment(rgb, args.expression, depth, camera)
    result = _answered(dialogue, result, args.answer, not args.json and _at_a_terminal())
    if result.outcome is Outcome.INVALID_COMMAND:
        raise BadInputError(result.message)
    measured = measure_target(result, depth, camera or Missing('there is no camera'))
    if args.mask:
        write_png(args.mask, result.mask.astype(np.uint8) * 255)
    if args.overlay:
        from ris_ros.overlay import draw_overlay
        write_png(args.overlay, draw_overlay(
            rgb, result, args.expression, measured.geometry.pixel if measured.geometry else None))
    document = {**_document(result, measured), **_place(result, measured, depth, camera),
                'pipeline': pipeline_said(args.pipeline)}
    print(json.dumps(document) if args.json else _text(document))
    return 0


def _at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _answered(dialogue: Dialogue, result: Segmentation, answers: Sequence[str], ask: bool
              ) -> Segmentation:
    """Return the result once its questions are answered, by `answers` and then at the terminal.

    Raises BadInputError for an answer to which there is no question, or that is none.
    """
    waiting = list(answers)
    while result.question is not None and (waiting or ask):
        given = bool(waiting)
        if given:
            text = waiting.pop(0)
        else:
            print(f'{result.question.text} (Enter: none) ', end='', file=sys.stderr, flush=True)
            text = sys.stdin.readline().strip()
            if not text:
                return result
        reply = dialogue.reply(text)
        if reply is None and given:
            raise BadInputError(f'"{text}" does not answer "{result.question.text}"; say for '
                                f'example "{result.question.options[0].words}"')
        result = result if reply is None else reply
    if waiting:
        raise BadInputError(f'there is no question that "{waiting[0]}" could answer; leave '
                            '--answer out')
    return result


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
        'confidence': round(result.confidence, 4),
        'counts': None if result.counts is None else dict(zip(
            ('none', 'one', 'several'), (round(p, 4) for p in result.counts), strict=True)),
        'candidates': [_listed(c) for c in result.candidates],
        'selected': [_listed(c) for c in result.selected],
        'question': None if result.question is None else {
            'text': result.question.text,
            'options': [{'words': o.words, **_listed(o.candidate)}
                        for o in result.question.options]},
        'notes': list(result.notes),
        'target_point': [round(float(v), 4) for v in geometry.point] if geometry else None,
        'depth_valid_ratio': None if ratio is None else round(ratio, 4),
        'timings': {name: round(seconds, 4) for name, seconds in result.timings.items()}}


def _listed(candidate: Candidate) -> dict[str, Any]:
    return {'rank': candidate.rank, 'score': round(candidate.score, 4),
            'box': list(candidate.box)}


def _place(result: Segmentation, measured: Measurement, depth: np.ndarray | None,
           camera: Camera | None) -> dict[str, Any]:
    """Return how the target stands in the room, None for all of it where that is not known."""
    place = None
    alone = len(result.selected) < 2   # a box around several things says nothing
    if alone and measured.geometry is not None and depth is not None and camera is not None:
        place = place_of_target(result.mask, measured.geometry, depth, camera)
    if place is None:
        return {'target_box': None, 'surroundings': None}

    def numbers(values: Any) -> list[float]:
        return [round(float(v), 4) for v in values]
    box, about = place.box, place.about
    return {'target_box': {'centre': numbers(box.centre), 'orientation': numbers(box.orientation),
                           'size': numbers(box.size)},
            'surroundings': {'height': round(about.height, 4), 'lifted': round(about.lifted, 4),
                             'clearance': round(about.clearance, 4),
                             'finger_room': numbers(about.finger_room),
                             'free_above': about.free_above}}


def _text(document: dict[str, Any]) -> str:
    lines = [f'{document["outcome"]}: {document["message"]}']
    if document['box']:
        lines.append(f'box (x, y, width, height): {document["box"]}, '
                     f'{document["area"]} pixels')
    if document['target_point']:
        lines.append(f'target point (m, optical frame): {document["target_point"]}')
    if len(document['selected']) > 1:
        lines += [f'object {k}, box: {chosen["box"]}'
                  for k, chosen in enumerate(document['selected'], start=1)]
    if document['question']:
        lines.append(f'question: {document["question"]["text"]} (--answer TEXT)')
    if document['surroundings']:
        about = document['surroundings']
        lines.append(f'top {about["height"]} m above the plane, nearest thing '
                     f'{about["clearance"]} m beside it, '
                     f'{"free" if about["free_above"] else "not free"} from above')
    lines += [f'note: {note}' for note in document['notes']]
    return '\n'.join(lines)
