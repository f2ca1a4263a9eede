"""Reading the files that datasets are made of, with errors that name the file."""
from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ris_ros.types import BadInputError

# The only globals a refs file may name: containers without behaviour.
ALLOWED_GLOBALS = {('builtins', 'set'): set, ('builtins', 'frozenset'): frozenset,
                   ('__builtin__', 'set'): set, ('__builtin__', 'frozenset'): frozenset}


class _ContainerUnpickler(pickle.Unpickler):
    """Unpickler for lists, dicts, strings and numbers; refuses any other class."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED_GLOBALS[module, name]
        except KeyError:
            raise _ForeignClassError(f'{module}.{name}') from None


class _ForeignClassError(pickle.UnpicklingError):
    """The pickle names a class or function that is no plain container."""


def load_pickle(path: Path) -> Any:
    """Load a pickle of plain containers; nothing in it is ever called.

    Strings written by Python 2 are tried as ASCII, then as latin-1.  Raises BadInputError
    for a missing or truncated file and for one that names any other class.
    """
    data = _read_bytes(path)
    try:
        try:
            return _ContainerUnpickler(io.BytesIO(data)).load()
        except UnicodeDecodeError:
            return _ContainerUnpickler(io.BytesIO(data), encoding='latin1').load()
    except _ForeignClassError as error:
        raise BadInputError(f'{path} names the class {error}; only plain lists, dicts, strings '
                            'and numbers are read, so take the original file') from error
    except Exception as error:   # a damaged pickle raises nearly anything
        raise BadInputError(f'{path} is truncated or no pickle ({error}); '
                            'copy or download it again') from error


def load_json(path: Path, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Load a JSON file.  Raises BadInputError for a missing, truncated or foreign file."""
    try:
        # the bytes are let go before parsing: big files would be held twice
        text = _read_bytes(path).decode('utf-8-sig')
        return json.loads(text, object_hook=object_hook)
    except BadInputError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadInputError(f'{path} is truncated or no JSON ({error}); '
                            'copy or download it again') from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInputError(f'{path} is missing; check --root') from None
    except OSError as error:
        raise BadInputError(f'{path} cannot be read ({error.strerror})') from error
