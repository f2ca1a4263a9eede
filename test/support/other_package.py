"""Writes a distribution as pip would install it: modules, and a .dist-info with entry points."""
from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, files: Mapping[str, str],
            entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write `files` (path: text) and what the package registers (group: name: value)."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text), encoding='utf-8')
    info = folder / f'{name}-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(''.join(
        f'[{group}]\n' + ''.join(f'{k} = {v}\n' for k, v in points.items())
        for group, points in entry_points.items()))
