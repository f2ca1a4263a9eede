"""`ris tabletop render|export`: scenes of the simulated tabletop on disk."""
from __future__ import annotations

import argparse
from pathlib import Path

from ris_ros.simulation.spec import SPLITS
from ris_ros.types import BadInputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    render = actions.add_parser('render', help='write one scene: colour, depth, masks, truth')
    render.add_argument('--seed', type=int, help='scene number, from 0 up')
    render.add_argument('--split', metavar='NAME[:K]', help='instead: scene K of a split '
                        f'({", ".join(SPLITS)}), from 0 up (default: its first)')
    render.add_argument('-o', '--out', type=Path, required=True, metavar='DIR')
    export = actions.add_parser('export', help='write scenes in the REFER layout')
    export.add_argument('--scenes', type=int, help='number of scenes from --first-seed on')
    export.add_argument('--first-seed', type=int, help='number of the first scene')
    export.add_argument('--split', nargs='+', metavar='NAME[:N]', help='instead: all or the '
                        'first N scenes of splits, such as clutter_train:2000 clutter_val:100')
    export.add_argument('--sentences', type=int, default=0, metavar='N',
                        help='describe every training scene in so many further sentences '
                             '(default: %(default)s)')
    export.add_argument('--out', type=Path, required=True, metavar='DIR')


def run(args: argparse.Namespace) -> int:
    """Render or export, and say what was written."""
    seeds = export_seeds(args) if args.action == 'export' else [render_seed(args)]
    from ris_ros.datasets.tabletop_export import export_refer, write_scene
    from ris_ros.simulation.world import TabletopWorld
    if args.action == 'export':
        print(export_refer(args.out, seeds, args.sentences))
        return 0
    with TabletopWorld(seeds[0]) as world:
        for path in write_scene(world, args.out):
            print(path)
        for expression in world.expressions:
            print(f'{expression.kind:10} {expression.tag:18} {expression.text!r} -> '
                  f'{list(expression.targets)}')
    return 0


def render_seed(args: argparse.Namespace) -> int:
    """Return the seed of the scene to render.  Raises BadInputError."""
    if (args.seed is None) == (args.split is None):
        raise BadInputError('name the scene to render by --seed or by --split')
    if args.split is None:
        return int(args.seed)
    name, given = _split_and_number(args.split)
    number = given or 0
    if number >= len(SPLITS[name]):
        raise BadInputError(f'the split {name} has the scenes 0 to {len(SPLITS[name]) - 1}, not '
                            f'{number}')
    return SPLITS[name][number]


def export_seeds(args: argparse.Namespace) -> list[int]:
    """Return the seeds of the scenes to export, each once.  Raises BadInputError."""
    by_number = args.first_seed is not None and args.scenes is not None
    if by_number == bool(args.split) or (args.split and (args.first_seed, args.scenes)
                                         != (None, None)):
        raise BadInputError('name the scenes to export by --first-seed and --scenes, or by '
                            '--split')
    if by_number:
        if args.first_seed < 0 or args.scenes < 1:
            raise BadInputError('an export needs a first seed from 0 up and at least one scene')
        return list(range(args.first_seed, args.first_seed + args.scenes))
    seeds: dict[int, None] = {}
    for text in args.split:
        name, number = _split_and_number(text)
        if number is not None and not 1 <= number <= len(SPLITS[name]):
            raise BadInputError(f'the split {name} has {len(SPLITS[name])} scenes; '
                                f'{number} cannot be exported')
        seeds |= dict.fromkeys(SPLITS[name][:number])
    return list(seeds)


def _split_and_number(text: str) -> tuple[str, int | None]:
    """Take NAME[:NUMBER] apart."""
    name, colon, number = text.partition(':')
    if name not in SPLITS:
        raise BadInputError(f'the tabletop has no split {name!r}; take one of '
                            f'{", ".join(SPLITS)}')
    if colon and not number.isdigit():
        raise BadInputError(f'{text!r}: after the colon belongs a whole number, not {number!r}')
    return name, int(number) if colon else None
