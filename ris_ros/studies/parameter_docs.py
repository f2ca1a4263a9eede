"""Put the table of the node's parameters into the README and all of them into config/ris.yaml.

usage: python -m ris_ros.studies.parameter_docs README.md [config/ris.yaml]
"""
from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ris_ros.files import write_text
from ris_ros.service.parameters import ParameterSpec, parameter_table
from ris_ros.settings import FieldInfo
from ris_ros.studies.pages import fill

MARKS = ('<!-- parameters -->', '<!-- /parameters -->')


def markdown_table(table: Sequence[ParameterSpec]) -> str:
    """Return the table of the README."""
    lines = ['| parameter | type | default | allowed | changes at run time | meaning |',
             '|---|---|---|---|---|---|']
    for spec in table:
        info = spec.info
        default = str(info.default).lower() if info.type is bool else info.default
        shown = f'`{default}`' if default != '' else '(empty)'
        unit = f' [{info.unit}]' if info.unit else ''
        lines.append(f'| `{spec.name}` | {info.type.__name__} | {shown} | {_allowed(info)} | '
                     f'{"no" if spec.read_only else "yes"} | {info.help}{unit} |')
    return '\n'.join(lines)


def _allowed(info: FieldInfo) -> str:
    if info.choices:
        return ', '.join(info.choices)
    if info.minimum is not None and info.maximum is not None:
        return f'{info.minimum:g} to {info.maximum:g}'
    return ''


def commented_yaml(table: Sequence[ParameterSpec]) -> str:
    """Return a parameter file with every parameter at its default, each with a comment."""
    lines = [
        '# All parameters of ris_node with their defaults; copy what you change.  Made by',
        '#   python -m ris_ros.studies.parameter_docs README.md config/ris.yaml',
        "# The method's own settings stand under its name: `ris methods hybridgl` shows them.",
        '/**:', '  ros__parameters:']
    group = ''
    for spec in table:
        name, indent = spec.name, '    '
        if '.' in name:
            of, name = name.split('.', 1)
            if of != group:
                lines.append(f'    {of}:')
            group, indent = of, '      '
        lines += [*_comment(spec, indent), f'{indent}{name}: {_scalar(spec.info.default)}']
    return '\n'.join(lines) + '\n'


def _comment(spec: ParameterSpec, indent: str) -> list[str]:
    info, allowed = spec.info, _allowed(spec.info)
    text = (f'{info.help[0].upper()}{info.help[1:]}'
            + (f' [{info.unit}]' if info.unit else '')
            + (f'; {allowed}' if allowed else '')
            + ('; fixed at start' if spec.read_only else ''))
    return textwrap.wrap(text, 99, initial_indent=f'{indent}# ',
                         subsequent_indent=f'{indent}# ')


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) and (
        not value or value in ('true', 'false')) else str(value)


def main(args: list[str] | None = None) -> int:
    """Rewrite the files named on the command line.

    BadInputError where the first has no such marks.
    """
    readme, *yaml = sys.argv[1:] if args is None else args
    fill(Path(readme), markdown_table(parameter_table()), MARKS)
    for name in yaml:
        write_text(Path(name), commented_yaml(parameter_table()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
