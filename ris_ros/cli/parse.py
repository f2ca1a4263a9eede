"""`ris parse "COMMAND"`: show how a command is understood."""
from __future__ import annotations

import argparse
import json

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
    """Return the contract's document: action, target, destination, targets, and problem."""
    return {
        'action': command.action,
        'target': None if command.target is None else _target(command.target),
        'destination': None if command.destination is None else _relation(command.destination),
        'targets': [_target(t) for t in command.targets], 'problem': command.problem}


def _target(target: Target) -> dict:
    return {'expression': target.expression, 'head': target.head,
            'attributes': list(target.attributes), 'position': target.position,
            'relations': [_relation(r) for r in target.relations]}


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
    if command.destination:
        lines.append(f'destination: {command.destination.type} {command.destination.object}')
    if command.problem:
        lines.append(f'problem: {command.problem}')
    return '\n'.join(lines)
