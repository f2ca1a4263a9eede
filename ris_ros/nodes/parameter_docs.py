"""Put the table of parameters into a README.

usage: python -m ris_ros.nodes.parameter_docs README.md
"""
from __future__ import annotations

import sys
from pathlib import Path

from ris_ros.files import write_text
from ris_ros.nodes.parameters import markdown_table, parameter_table
from ris_ros.types import BadInputError

START, END = '<!-- parameters -->', '<!-- /parameters -->'


def with_table(text: str) -> str:
    """Return the text with the table of today's parameters between the two marks."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise BadInputError(f'the file has no {START} ... {END} to put the table into')
    return f'{before}{START}\n{markdown_table(parameter_table())}\n{END}{after}'


def main(args: list[str] | None = None) -> int:
    """Rewrite the file named on the command line."""
    (name,) = sys.argv[1:] if args is None else args
    path = Path(name)
    write_text(path, with_table(path.read_text(encoding='utf-8')))
    return 0


if __name__ == '__main__':
    sys.exit(main())
