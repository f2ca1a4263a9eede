"""Markdown files with parts that commands write: what stands between two marks."""
from __future__ import annotations

from pathlib import Path

from ris_ros.files import write_text
from ris_ros.types import BadInputError


def fill(path: Path, text: str, marks: tuple[str, str]) -> None:
    """Put `text` between the marks of a Markdown file.

    Raises BadInputError where the file is missing or has no such marks.
    """
    opening, closing = marks
    try:
        page = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        raise BadInputError(f'{path} is missing') from None
    before, start, rest = page.partition(opening)
    _, end, after = rest.partition(closing)
    if not start or not end:
        raise BadInputError(f'{path} needs the marks {opening} and {closing}')
    write_text(path, f'{before}{opening}\n\n{text}\n\n{closing}{after}', durable=True)


def filled(path: Path, marks: tuple[str, str]) -> str | None:
    """Return what stands between the marks of a Markdown file, None without marks."""
    _, start, rest = path.read_text(encoding='utf-8').partition(marks[0])
    text, end, _ = rest.partition(marks[1])
    return text.strip('\n') if start and end else None
