"""Put the table of the node's parameters into the README.

usage: python -m ris_ros.studies.parameter_docs README.md
"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

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


def main(args: list[str] | None = None) -> int:
    """Rewrite the file named on the command line; BadInputError where it has no such marks."""
    (name,) = sys.argv[1:] if args is None else args
    fill(Path(name), markdown_table(parameter_table()), MARKS)
    return 0


if __name__ == '__main__':
    sys.exit(main())
