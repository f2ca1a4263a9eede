"""Import optional heavy libraries at first use, with an error that says what to install.

Also: what other installed packages bring, by entry points.
"""
from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from ris_ros.types import MissingDependencyError

ALONE = 'ris_ros_alone.'   # before the names of modules that stand here without their library
_lock = threading.RLock()


def require(module: str, extra: str) -> ModuleType:
    """Return the imported `module`.

    Raises MissingDependencyError, naming the pip extra, when it is absent or broken (a
    torchvision that does not fit torch raises RuntimeError at import, hence the width).
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        raise _missing(module, extra, error) from error


def require_part(module: str, extra: str) -> ModuleType:
    """Return one module of a library, or one package within it, without the rest of the library.

    Some libraries import seconds' worth of others in their `__init__`, for parts that nobody
    here asks for.  What is asked for may import what stands beside or below it, nothing above.
    Raises MissingDependencyError as `require` does.
    """
    alone = ALONE + module
    with _lock:
        if alone not in sys.modules:
            try:
                _load_alone(alone, module)
            except (ImportError, RuntimeError, OSError) as error:
                raise _missing(module, extra, error) from error
        return sys.modules[alone]


def _load_alone(alone: str, module: str) -> None:
    library, *inner = module.split('.')
    found = importlib.util.find_spec(library)   # looks, and runs nothing
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f'No module named {library!r}')
    place = Path(found.submodule_search_locations[0], *inner)
    folder = [str(place)] if place.is_dir() else None
    file = place / '__init__.py' if folder else place.with_suffix('.py')
    spec = importlib.util.spec_from_file_location(alone, file, submodule_search_locations=folder)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f'No module named {module!r}')
    sys.modules[alone] = made = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(made)
    except BaseException:
        for name in [n for n in sys.modules if n == alone or n.startswith(alone + '.')]:
            del sys.modules[name]
        raise


def is_a(thing: object, module: str, name: str) -> bool:
    """Return whether a thing is of just the class `name` of a module, imported either way."""
    kind = type(thing)
    return kind.__name__ == name and kind.__module__ in (module, ALONE + module)


def _missing(module: str, extra: str, error: BaseException) -> MissingDependencyError:
    return MissingDependencyError(f'{module} cannot be imported ({error}); '
                                  f'install it with: pip install "ris_ros[{extra}]"')


def entry_points(group: str) -> Sequence[metadata.EntryPoint]:
    """Return the entry points of a group; installed packages are read once per search path."""
    return list(_installed(tuple(sys.path)).select(group=group))


@lru_cache(maxsize=4)
def _installed(search_path: tuple[str, ...]) -> Any:
    return metadata.entry_points()
