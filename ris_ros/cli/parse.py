"""`ris parse "COMMAND"`: show how a command is understood."""
from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ris_ros.types import Command, Relation, Target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ris parse`."""
    parser.add_argument('command', metavar='COMMAND', help='what is said, in quotes')
    parser.add_argument('--pipeline', default='auto',
                        help='auto, shipped, or an installed spaCy package '
                             '(default %(default)s)')
    parser.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Print the analysis; an incomplete command is an answer too, so the exit code is 0."""
    from ris_ros.language import parse
    command = parse(args.command, args.pipeline)
    if args.json:
        print(json.dumps(as_document(command), ensure_ascii=False))
    else:
        print(as_text(command))
    return 0


def as_document(command: Command) -> dict:
    """Return the contract's document: action, target, destination, targets, problem, ignored."""
    return {
        'action': command.action,
        'target': None if command.target is None else _target(command.target),
        'destination': None if command.destination is None else _relation(command.destination),
        'targets': [_target(t) for t in command.targets], 'problem': command.problem,
        'ignored': [asdict(i) for i in command.ignored]}


def _target(target: Target) -> dict:
    return {'expression': target.expression, 'head': target.head,
            'attributes': list(target.attributes), 'position': target.position,
            'relations': [_relation(r) for r in target.relations],
            'negations': [{'kind': n.kind, 'words': n.words, 'excluded': _target(n.excluded)}
                          for n in target.negations],
            'ordinal': None if target.ordinal is None else asdict(target.ordinal),
            'count': target.count, 'view': target.view}


def _relation(relation: Relation) -> dict:
    return {'type': relation.type, 'object': relation.object}


def as_text(command: Command) -> str:
    """Return the analysis as a few lines for people."""
    lines = [f'action: {command.action or "-"}']
    for target in command.targets:
        lines.append(f'target: {target.expression}')
        lines.append(f'  head: {target.head or "-"}')
        if target.attributes:
            lines.append('  attributes: ' + ', '.join(target.attributes))
        if target.position:
            lines.append(f'  position: {target.position}')
        lines += [f'  {r.type}: {r.object}' for r in target.relations]
        lines += [f'  not ({n.kind}): {n.words}' for n in target.negations]
        if target.ordinal:
            side = f' from the {target.ordinal.side}' if target.ordinal.side else ''
            lines.append(f'  in a row: {target.ordinal.n}{side}')
        if target.count is not None:
            lines.append(f'  how many: {target.count}')
        if target.view:
            lines.append(f'  {target.view} to the viewer' if target.view == 'nearest'
                         else '  farthest from the viewer')
    if command.destination:
        lines.append(f'destination: {command.destination.type} {command.destination.object}')
    lines += [f'ignored: {i.words} ({i.reason})' for i in command.ignored]
    if command.problem:
        lines.append(f'problem: {command.problem}')
    return '\n'.join(lines)
