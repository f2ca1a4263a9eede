"""Import optional heavy libraries at first use, with an error that says what to install.

Also: what other installed packages bring, by entry points.
"""
from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from types import ModuleType
from typing import Any

from ris_ros.types import MissingDependencyError


def require(module: str, extra: str) -> ModuleType:
    """Return the imported `module`.

    Raises MissingDependencyError, naming the pip extra, when it is absent or broken (a
    torchvision that does not fit torch raises RuntimeError at import, hence the width).
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingDependencyError(
            f'{module} cannot be imported ({error}); '
            f'install it with: pip install "ris_ros[{extra}]"') from error


def entry_points(group: str) -> Sequence[metadata.EntryPoint]:
    """Return the entry points of a group; installed packages are read once per search path."""
    return list(_installed(tuple(sys.path)).select(group=group))


@lru_cache(maxsize=4)
def _installed(search_path: tuple[str, ...]) -> Any:
    return metadata.entry_points()
