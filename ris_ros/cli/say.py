"""`ris say "COMMAND"`: give a command to a running node and show its answer."""
from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.types import BadInputError, Outcome

if TYPE_CHECKING:
    from ris_ros.client import Answer

FAILED, BAD_INPUT = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ris say`."""
    parser.add_argument('command', metavar='COMMAND', help='what to say, in quotes')
    parser.add_argument('--node', default='ris_node', metavar='NAME',
                        help='the node, with its namespace (/robot1/ris_node; '
                             'default %(default)s)')
    parser.add_argument('--timeout', type=float, metavar='S',
                        help="time limit of the command, seconds (default: the node's own)")
    parser.add_argument('--wait', type=float, default=60.0, metavar='S',
                        help='how long to wait for the node to be ready, seconds '
                             '(default %(default)g)')
    parser.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Print the answer; exit code 0 only where the object was found.

    1: it was not, the outcome says why.  2: what was said is no command.
    """
    if not args.wait >= 0:
        raise BadInputError(f'--wait must be 0 or more seconds, not {args.wait:g}')
    require('rclpy', 'ros')
    from ris_ros.client import RisClient
    with RisClient(args.node) as client:
        client.wait_until_ready(args.wait)
        answer = client.ask(args.command, args.timeout)
    print(json.dumps(as_document(answer), ensure_ascii=False) if args.json else as_text(answer))
    if answer.outcome is Outcome.INVALID_COMMAND:
        return BAD_INPUT
    return 0 if answer.succeeded else FAILED


def as_document(answer: Answer) -> dict[str, Any]:
    """Return the answer as JSON can hold it: what is typed, and the other keys as text."""
    stamp = answer.header.stamp
    return {
        'command_id': answer.command_id, 'command': answer.command,
        'outcome': answer.outcome.name, 'code': answer.code, 'message': answer.message,
        'point': answer.point, 'orientation': answer.orientation, 'frame_id': answer.frame_id,
        'score': answer.score, 'margin': answer.margin, 'total_ms': answer.total_ms,
        'stamp': {'sec': stamp.sec, 'nanosec': stamp.nanosec},
        'candidates': [{'rank': c.rank, 'score': c.score, 'roi': c.roi}
                       for c in answer.candidates],
        'values': dict(answer.values)}


def as_text(answer: Answer) -> str:
    """Return the answer for people."""
    lines = [f'{answer.outcome.name}: {answer.message}' if answer.message
             else answer.outcome.name]
    if answer.point is not None:
        x, y, z = answer.point
        lines.append(f'target point (m, {answer.frame_id}): {x:.3f} {y:.3f} {z:.3f}')
    if not answer.succeeded:
        lines += [f'candidate {c.rank}: score {c.score:.3f}, at x {c.roi[0]:.0f} y {c.roi[1]:.0f}'
                  f', {c.roi[2]:.0f} by {c.roi[3]:.0f} pixels' for c in answer.candidates]
    if notes := answer.values.get('notes'):
        lines.append(f'note: {notes}')
    return '\n'.join(lines)
