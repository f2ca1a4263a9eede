"""Architectures by name: the shapes of published networks, as data.

One file each in ris_ros/data/architectures, NAME.json: {"kind", "source", "config"}.  A user's
own stand in the folder that RIS_ARCHITECTURE_DIR names or in ~/.config/ris_ros/architectures.
What a configuration may hold is up to the module that builds networks of that kind.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ris_ros.models.data_files import data_files, only_one
from ris_ros.settings import read_mapping
from ris_ros.types import BadInputError

ARCHITECTURE_DIR_VARIABLE = 'RIS_ARCHITECTURE_DIR'
KEYS = {'kind', 'source', 'config'}

T = TypeVar('T')


def architecture(name: str, kind: str) -> dict[str, Any]:
    """Return the configuration of a published (or a user's own) architecture.

    Raises BadInputError for an unknown name, one of another kind, or a file that is wrong.
    """
    files = data_files('architectures', ARCHITECTURE_DIR_VARIABLE)
    if name not in files:
        raise BadInputError(f'unknown architecture {name!r}; there are: '
                            f'{", ".join(sorted(files))}')
    only_one('architecture', name, [str(path) for path in files[name]])
    found, config = _read(files[name][0])
    if found != kind:
        raise BadInputError(f'the architecture {name} is of kind {found}, not {kind}')
    return config


def architectures(kind: str) -> list[str]:
    """Return the names of all architectures of a kind, such as 'clip' or 'sam'."""
    files = data_files('architectures', ARCHITECTURE_DIR_VARIABLE)
    return [name for name, paths in files.items() if _read(paths[0])[0] == kind]


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    data = read_mapping(path, 'an architecture')
    unknown = sorted(set(data) - KEYS)
    if unknown:
        raise BadInputError(f'{path}: unknown key {unknown[0]!r}; an architecture has '
                            f'{", ".join(sorted(KEYS))}')
    for key, wanted in (('kind', str), ('config', dict), ('source', str)):
        if not isinstance(data.get(key, '' if key == 'source' else None), wanted):
            raise BadInputError(f'{path}: {key} must be there and be of type {wanted.__name__}')
    return data['kind'], data['config']


def from_config(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Return a dataclass of sizes from a configuration, lists as tuples.

    where: what it is, for messages.  Raises BadInputError for an unknown field or one of a
    wrong type (bool, int, float, str, tuples of these and dataclasses are told apart).
    """
    if not isinstance(data, Mapping):
        raise BadInputError(f'{where} must be a mapping of its sizes, not {data!r}')
    hints = get_type_hints(cls)
    unknown = sorted(set(data) - {f.name for f in dataclasses.fields(cls)})  # type: ignore
    if unknown:
        raise BadInputError(f'unknown field in {where}: {unknown}')
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            shown = getattr(hints[name], '__name__', str(hints[name]))
            raise BadInputError(f'{name} in {where} must be of type {shown}, not {value!r}')
    return cls(**values)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, tuple) and all(_fits(v, inner) for v in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)
