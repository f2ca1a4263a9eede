"""Entry point of the `ris` command: one module per subcommand, imported when it is used."""
from __future__ import annotations

import argparse
import importlib
import sys

from ris_ros import __version__
from ris_ros.types import BadInputError, RisError

# name -> (module, one-line help).  A module offers add_arguments(parser) and run(args) -> int.
SUBCOMMANDS = {
    'segment': ('ris_ros.cli.segment', 'segment the object that an expression refers to'),
    'parse': ('ris_ros.cli.parse', 'analyse a spoken command'),
    'eval': ('ris_ros.cli.eval', 'evaluate a method on a dataset'),
    'bench': ('ris_ros.cli.bench', 'measure stage timings and memory'),
    'train': ('ris_ros.cli.train', 'train networks that ship with the package'),
    'models': ('ris_ros.cli.models', 'list, fetch and verify weights'),
    'methods': ('ris_ros.cli.methods', 'list the methods and their settings'),
    'tabletop': ('ris_ros.cli.tabletop', 'render and export simulated tabletop scenes'),
}


def build_parser(argv: list[str]) -> argparse.ArgumentParser:
    """Return the parser; only the subcommand named in `argv` is imported and filled in."""
    parser = argparse.ArgumentParser(
        prog='ris', description='Referring image segmentation for robots.')
    parser.add_argument('--version', action='version', version=f'ris_ros {__version__}')
    subparsers = parser.add_subparsers(dest='subcommand', required=True, metavar='COMMAND')
    wanted = next((a for a in argv if not a.startswith('-')), None)
    for name, (module_name, help_text) in SUBCOMMANDS.items():
        sub = subparsers.add_parser(name, help=help_text, description=help_text)
        if name == wanted:
            module = importlib.import_module(module_name)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit code.

    0: done.  1: failure (missing weights or library, a crash of the model).  2: bad input.
    Errors are one sentence on standard error.
    """
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser(argv).parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except BadInputError as error:
        print(f'ris: {error}', file=sys.stderr)
        return 2
    except RisError as error:
        print(f'ris: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('ris: interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
