"""Entry point of the `ris` command: one module per subcommand, imported when it is used."""
from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib
import logging
import os
import select
import sys
from typing import TextIO

from ris_ros import __version__

# Commands that start no thread or process and whose garbage can lie until they end.
SHORT = ('segment', 'parse', 'methods')
TRACEBACK_VARIABLE = 'RIS_TRACEBACK'
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3   # of malloc.h

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
    'say': ('ris_ros.cli.say', 'give a command to a running node and show its answer'),
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
    argv: by default the process's own, which then ends soon after.
    """
    if argv is not None:
        return _guarded(argv)
    short = next(iter(sys.argv[1:]), None) in SHORT
    if short:
        # Libraries make half a million objects that stay: the collector of circular garbage
        # looking through them again and again is a tenth of the work.  (`gc.disable` holds only
        # until a library enables it again.)
        gc.set_threshold(0)
        _keep_memory()
    code = _guarded(sys.argv[1:])
    if short:
        _end(code)
    gc.freeze()   # the same for the last look, when the interpreter ends
    return code


def _keep_memory() -> None:
    """Let glibc keep freed blocks at once, as it does by itself after some time.

    Its limits for memory that goes back to the system grow to these with the blocks that are
    freed; until then the same pages are fetched again and again, 70,000 of them.
    """
    with contextlib.suppress(AttributeError, OSError):   # another C library
        import ctypes
        c_library = ctypes.CDLL(None)
        c_library.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        c_library.mallopt(M_TRIM_THRESHOLD, 64 << 20)


def _guarded(argv: list[str]) -> int:
    try:
        return _run(argv)
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


def _end(code: int) -> None:
    """End the process without taking thousands of modules down one by one.

    For commands that start no process or thread and have closed what they wrote.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


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
