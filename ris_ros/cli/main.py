"""Entry point of the `ris` command: one module per subcommand, imported when it is used."""
from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import select
import sys
from typing import TextIO

from ris_ros import __version__

TRACEBACK_VARIABLE = 'RIS_TRACEBACK'

# name -> (module, one-line help).  A module offers add_arguments(parser) and run(args) -> int.
SUBCOMMANDS = {
    'segment': ('ris_ros.cli.segment', 'segment the object that an expression refers to'),
    'parse': ('ris_ros.cli.parse', 'analyse a spoken command'),
    'eval': ('ris_ros.cli.eval', 'evaluate a method on a dataset'),
    'bench': ('ris_ros.cli.bench', 'measure stage timings and memory'),
    'train': ('ris_ros.cli.train', 'train networks that ship with the package'),
    'models': ('ris_ros.cli.models', 'list, fetch and verify weights'),
    'profiles': ('ris_ros.cli.profiles', 'list the profiles, or check and show one'),
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

    0: done.  1: failure (missing weights or library, a full disk).  2: bad input.  130: ended
    by Ctrl-C, 141: by a reader that closed the pipe.  Errors are one sentence on standard error.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        _say('interrupted')
        return 130
    except MemoryError:
        _say('memory is exhausted; take a smaller picture, fewer workers or another profile')
        return 1
    except OSError as error:
        return _system_error(error)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        text = ' '.join(str(error).split())[:300]
        _say(f'failed unexpectedly ({type(error).__name__}: {text}); {TRACEBACK_VARIABLE}=1 '
             'before the command shows where')
        return 1


def _run(argv: list[str]) -> int:
    # Imports of numpy and more, during which Ctrl-C is answered too.
    from ris_ros.types import BadInputError, RisError
    try:
        args = build_parser(argv).parse_args(argv)
        code = int(args.run(args) or 0)
    except RisError as error:
        _say(str(error))
        return 2 if isinstance(error, BadInputError) else 1
    except ImportError as error:
        _say(f'{error}; install what is missing with: pip install "ris_ros[all]"')
        return 1
    if sys.stdout is not None:   # closed from the start
        sys.stdout.flush()   # here, where what goes wrong can still be told
    return code


def _system_error(error: OSError) -> int:
    """Tell what the system refused; a closed pipe (`ris ... | head`) is no error to speak of."""
    closed = isinstance(error, BrokenPipeError) and _nobody_reads(sys.stdout)
    with contextlib.suppress(OSError, ValueError):
        try:
            sys.stdout.flush()
        except (OSError, ValueError):   # Python flushes once more at its end and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if closed:
        return 141   # as the shell counts a program that SIGPIPE ended
    place = f'{error.filename}: ' if error.filename else ''
    advice = '; free some space and try again' if error.errno == errno.ENOSPC else ''
    _say(f'{place}{error.strerror or error}{advice}')
    return 1


def _nobody_reads(stream: TextIO) -> bool:
    """Return whether a stream is a pipe whose reader has gone.

    Pipes to worker processes break too, where one dies; that is worth a word.
    """
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))
    except (OSError, ValueError):
        return False


def _say(text: str) -> None:
    with contextlib.suppress(OSError):   # nobody may be reading that either
        print(f'ris: {text}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
