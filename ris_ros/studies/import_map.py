"""Draw how the rooms of the package import each other, from the code itself.

usage: python -m ris_ros.studies.import_map docs/architecture.md

Puts the drawing between the marks of that file.  A room is a folder or a module right under
`ris_ros`.  Imports inside functions count too, those that only type checkers see do not.
"""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import ris_ros
from ris_ros.studies.pages import fill
from ris_ros.types import BadInputError

ROOT = Path(ris_ros.__file__).resolve().parent
START, END = '<!-- rooms -->', '<!-- /rooms -->'
PACKAGE = 'ris_ros'
# Imported by nearly every room: left out of the drawing, which would be all arrows.
BASE = ('types', 'lazy', 'settings', 'files', 'pictures')

Graph = dict[str, set[str]]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(root.rglob('*.py')):
        parts = (PACKAGE, *path.relative_to(root).with_suffix('').parts)
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imported(tree: ast.AST, runtime_only: bool = True) -> Iterator[str]:
    """Yield the absolute names that a module imports, `a.b.c` for `from a.b import c`.

    runtime_only: without what stands under `if TYPE_CHECKING`.
    """
    skipped: set[int] = set()
    if runtime_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
                skipped |= {id(n) for part in node.body for n in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def module_graph(root: Path = ROOT) -> Graph:
    """Return which modules of the package each module imports when it runs."""
    known = modules(root)
    graph: Graph = {}
    for name, path in known.items():
        graph[name] = set()
        for wanted in imported(ast.parse(path.read_text(encoding='utf-8'), str(path))):
            while wanted and wanted not in known:
                wanted = wanted.rpartition('.')[0]
            if wanted and wanted != name:
                graph[name].add(wanted)
    return graph


def room_of(module: str) -> str:
    """Return the room of a module, '' for the package itself.

    >>> room_of('ris_ros.methods.tas.method'), room_of('ris_ros.types'), room_of('ris_ros')
    ('methods', 'types', '')
    """
    return [*module.split('.'), ''][1]


def room_graph(graph: Mapping[str, set[str]]) -> Graph:
    """Return which rooms each room imports."""
    rooms: Graph = {}
    for module, wanted in graph.items():
        here = rooms.setdefault(room_of(module), set())
        here |= {room_of(name) for name in wanted} - {room_of(module)}
    return rooms


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other, smallest names first.

    >>> circles({'a': {'b'}, 'b': {'c'}, 'c': {'b'}})
    [['b', 'c']]
    """
    reach = {node: _reached(graph, node) for node in graph}
    groups = {tuple(sorted(n for n in reach[node] if node in reach.get(n, ())))
              for node in graph if node in reach[node]}
    return [list(group) for group in sorted(groups)]


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += graph.get(node, ())
    return seen


def needed_arrows(graph: Mapping[str, set[str]]) -> Graph:
    """Return the graph without arrows that a longer way implies (transitive reduction).

    >>> needed_arrows({'a': {'b', 'c'}, 'b': {'c'}, 'c': set()})
    {'a': {'b'}, 'b': {'c'}, 'c': set()}
    """
    return {node: {to for to in wanted
                   if not any(to in _reached(graph, other) for other in wanted - {to})}
            for node, wanted in graph.items()}


def drawing(root: Path = ROOT) -> str:
    """Return the drawing (Mermaid, which GitHub shows) and what each room is for."""
    rooms = room_graph(module_graph(root))
    shown = {room: {w for w in wanted if w not in BASE and w}
             for room, wanted in rooms.items() if room and room not in BASE}
    lines = ['```mermaid', 'flowchart TD']
    lines += [f'    {room} --> {to}' for room, wanted in sorted(needed_arrows(shown).items())
              for to in sorted(wanted)]
    alone = [room for room in sorted(shown) if not shown[room]
             and not any(room in wanted for wanted in shown.values())]
    lines += [f'    {room}' for room in alone] + ['```', '']
    lines += ['| room | what it is | imports |', '|---|---|---|']
    for room in sorted(shown):
        wanted = ', '.join(sorted(shown[room])) or '(the base alone)'
        lines.append(f'| `{room}` | {_first_line(root, room)} | {wanted} |')
    return '\n'.join(lines)


def _first_line(root: Path, room: str) -> str:
    path = root / room / '__init__.py'
    path = path if path.exists() else root / f'{room}.py'
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return text.partition('\n')[0].rstrip('.')


def main(argv: list[str] | None = None) -> int:
    """Fill the file; exit code 2 where it has no marks."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print((__doc__ or '').split('\n')[2], file=sys.stderr)
        return 2
    try:
        fill(Path(arguments[0]), drawing(), (START, END))
    except BadInputError as error:
        print(f'import_map: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
