"""spaCy without its command line, which is half of what it takes to import it.

spaCy's package imports its commands (typer, requests, a project tool) for one function,
`spacy.info`.  Here they come when somebody asks for them.
"""
from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ris_ros.lazy import require

COMMANDS = 'spacy.cli'
_lock = threading.Lock()


def require_spacy() -> ModuleType:
    """Return spaCy; raises MissingDependencyError without it."""
    with _lock:
        if 'spacy' in sys.modules or COMMANDS in sys.modules or not _wants_info_alone():
            return require('spacy', 'language')
        with _placeholder():
            spacy = require('spacy', 'language')
        spacy.__getattr__ = _commands   # type: ignore[method-assign]
        return spacy


def _wants_info_alone() -> bool:
    """Return whether the package takes nothing but that function from its commands."""
    found = importlib.util.find_spec('spacy')
    if found is None or not found.origin:
        return False
    text = Path(found.origin).read_text(encoding='utf-8')
    asking = [line.partition('#')[0].strip() for line in text.splitlines()
              if re.search(r'\bcli\b', line)]
    return asking == ['from .cli.info import info']


@contextmanager
def _placeholder() -> Iterator[None]:
    """Let a module with that function stand for the commands while spaCy is imported."""
    names = (COMMANDS, f'{COMMANDS}.info')
    for name in names:
        sys.modules[name] = module = ModuleType(name)
        module.__path__ = []
        module.info = _info   # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _info(*args: Any, **kwargs: Any) -> Any:
    """As `spacy.info`, whose module is imported now."""
    return importlib.import_module(f'{COMMANDS}.info').info(*args, **kwargs)


def _commands(name: str) -> ModuleType:
    """Give `spacy.cli` to whoever asks the package for it."""
    if name == 'cli':
        return importlib.import_module(COMMANDS)
    raise AttributeError(f"module 'spacy' has no attribute {name!r}")
