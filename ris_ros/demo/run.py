"""The whole line in one go: camera, node and commander as separate processes.

They talk over real DDS topics in a domain of their own and are always ended again.
"""
from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ris_ros.arguments import add_method_options, method_options
from ris_ros.demo.commander import add_arguments as add_commander_arguments
from ris_ros.demo.environment import private_environment, spare_domain_id
from ris_ros.settings import Scalar
from ris_ros.types import BadInputError, RisError

PYTHON_NODE = (sys.executable, '-m')
PR_SET_PDEATHSIG = 1


class Group:
    """Processes that live and end together, each with its log."""

    def __init__(self, environment: dict[str, str], log_dir: Path) -> None:
        self._environment = environment
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], show: bool = False
              ) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to the terminal with `show`, else to a log."""
        stream = None if show else (self._log_dir / f'{name}.log').open('wb')
        self._running[name] = subprocess.Popen(
            list(command), env=self._environment, stdout=stream,
            stderr=None if show else subprocess.STDOUT, preexec_fn=_end_with_parent)
        return self._running[name]

    def ended(self) -> str | None:
        """Return the name of a process that has ended, if any has."""
        return next((name for name, process in self._running.items()
                     if process.poll() is not None), None)

    def log(self, name: str, lines: int = 15) -> str:
        """Return the last lines that a process wrote."""
        path = self._log_dir / f'{name}.log'
        text = path.read_text(errors='replace') if path.exists() else ''
        return '\n'.join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """End all processes: ask, then insist."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        end = time.monotonic() + 8.0
        for process in self._running.values():
            try:
                process.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    """Have the kernel end this child when its parent dies in whatever way (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def node_command(options: argparse.Namespace) -> list[str]:
    """Return the command that starts the ris node for the demo.

    Raises BadInputError for options that the node could not work with.
    """
    values = method_options(options)
    values |= {f'{options.method}.{name}': value for name, value in values.pop('settings').items()}
    values |= {'max_image_age_s': float(options.max_image_age), 'image_timeout_s': 20.0,
               'command_timeout_s': 0.9 * options.patience}
    parameters = [part for name, value in values.items() if value is not None
                  for part in ('-p', f'{name}:={ros_value(value)}')]
    return [*PYTHON_NODE, 'ris_ros.nodes.ris_node', '--ros-args', *parameters]


def ros_value(value: Scalar) -> str:
    """Return a parameter's value as the command line of ROS reads it: YAML, typed.

    >>> [ros_value(v) for v in (True, 3, 0.5, 1e-7, 'off')]
    ['true', '3', '0.5', '0.0000001', '"off"']
    """
    if isinstance(value, float):   # without a point it would arrive as a whole number
        text = f'{value:.17f}'.rstrip('0') if abs(value) < 1e-4 else repr(value)
        return text + '0' if text.endswith('.') else text
    return json.dumps(value)


def commander_command(options: argparse.Namespace) -> list[str]:
    """Return the command that starts the commander."""
    command = [*PYTHON_NODE, 'ris_ros.demo.commander', '--commands', str(options.commands),
               '--first-seed', str(options.first_seed), '--output', options.output,
               '--max-image-age', str(options.max_image_age),
               '--patience', str(options.patience)]
    return [*command, '--json', options.json] if options.json else command


def run(options: argparse.Namespace, ris_node: Sequence[str] | None = None) -> int:
    """Run the demo; return the commander's exit code, 1 where another process fails.

    ris_node: the command of the node, where it is not the package's own.
    """
    log_dir = Path(tempfile.mkdtemp(prefix='ris_demo_'))
    group = Group(private_environment(spare_domain_id(), log_dir), log_dir)
    try:
        group.start('tabletop_camera', [*PYTHON_NODE, 'ris_ros.demo.tabletop_camera'])
        group.start('ris_node', ris_node or node_command(options))
        commander = group.start('commander', commander_command(options), show=True)
        while commander.poll() is None:
            time.sleep(0.2)
            name = group.ended()
            if name not in (None, 'commander'):
                print(f'demo: {name} ended unexpectedly:\n{group.log(str(name))}',
                      file=sys.stderr)
                return 1
        if commander.returncode != 0:
            for name in ('ris_node', 'tabletop_camera'):
                print(f'--- last lines of {name} ---\n{group.log(name)}', file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    finally:
        group.stop()
    if commander.returncode == 0:
        page = Path(options.output) / 'index.html'
        print(f'pictures: {page}   logs: {log_dir}')
        if not options.headless and os.environ.get('DISPLAY'):
            webbrowser.open(page.resolve().as_uri())
    return int(commander.returncode)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `scripts/demo`."""
    parser = argparse.ArgumentParser(
        prog='demo', description='Simulated camera, ris_node and commands over real ROS 2 '
        'topics; a simulated suction gripper lifts what is meant.')
    parser.add_argument('--headless', action='store_true', help='open no window at the end')
    add_method_options(parser)
    add_commander_arguments(parser)
    return parser


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(args: list[str] | None = None) -> int:
    """Run the demo from the command line."""
    options = build_parser().parse_args(args)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(options, node_command(options))
    except RisError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 2 if isinstance(error, BadInputError) else 1


if __name__ == '__main__':
    sys.exit(main())
