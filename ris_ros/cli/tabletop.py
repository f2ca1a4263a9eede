"""`ris tabletop render|export`: scenes of the simulated tabletop on disk."""
from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    render = actions.add_parser('render', help='write one scene: colour, depth, masks, truth')
    render.add_argument('--seed', type=int, required=True, help='scene number, from 0 up')
    render.add_argument('-o', '--out', type=Path, required=True, metavar='DIR')
    export = actions.add_parser('export', help='write scenes in the REFER layout')
    export.add_argument('--scenes', type=int, required=True, help='number of scenes')
    export.add_argument('--first-seed', type=int, required=True, help='number of the first scene')
    export.add_argument('--out', type=Path, required=True, metavar='DIR')


def run(args: argparse.Namespace) -> int:
    """Render or export, and say what was written."""
    from ris_ros.datasets.tabletop_export import export_refer, write_scene
    from ris_ros.simulation.world import TabletopWorld
    if args.action == 'export':
        print(export_refer(args.out, args.first_seed, args.scenes))
        return 0
    with TabletopWorld(args.seed) as world:
        for path in write_scene(world, args.out):
            print(path)
        for expression in world.expressions:
            print(f'{expression.tag:10} {expression.text!r} -> {list(expression.targets)}')
    return 0
