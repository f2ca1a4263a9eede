"""`ris methods`: what can be asked for, and every setting."""
from __future__ import annotations

import argparse
import dataclasses
import json

from ris_ros.methods.registry import find_method, methods
from ris_ros.settings import FieldInfo, describe, to_yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris methods`."""
    parser.add_argument('method', nargs='?', help='show the settings of this method')
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--yaml', action='store_true',
                      help='print a settings file with every default (needs METHOD)')
    form.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Print the methods, or one method's settings."""
    chosen = [find_method(args.method)] if args.method else list(methods().values())
    if args.yaml and not args.method:
        from ris_ros.types import BadInputError
        raise BadInputError('say which method: ris methods METHOD --yaml')
    if args.yaml:
        print(to_yaml(chosen[0].settings_class(), f'Settings of {chosen[0].name}: '
                                                  f'{chosen[0].help}.'), end='')
    elif args.json:
        print(json.dumps([{'name': m.name, 'help': m.help, 'settings': [
            {**dataclasses.asdict(f), 'type': f.type.__name__}
            for f in describe(m.settings_class())]} for m in chosen]))
    else:
        for method in chosen:
            print(f'{method.name}: {method.help}')
            if args.method:
                print('\n'.join(_line(f) for f in describe(method.settings_class())))
    return 0


def _line(f: FieldInfo) -> str:
    unit = f' {f.unit}' if f.unit else ''
    notes = [f.help]
    if f.choices:
        notes.append(f'one of {", ".join(f.choices)}')
    if f.paper:
        notes.append(f'paper: {f.paper}')
    if f.source:
        notes.append(f'source: {f.source}')
    return f'  {f.name} = {f.default}{unit}\n      {"; ".join(notes)}'
