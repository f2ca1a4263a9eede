"""Typed settings: one frozen dataclass per method, from which YAML, flags and parameters follow.

A field is made by `option(default, help, ...)`.  Everything that takes settings from outside
(YAML files, the command line, ROS parameters) goes through `from_mapping`, so that a wrong
name, type or value gives the same one-sentence error everywhere.
"""
from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ris_ros.lazy import require
from ris_ros.types import BadInputError

T = TypeVar('T')
Scalar = bool | int | float | str


@dataclass(frozen=True)
class FieldInfo:
    """One setting: name, type (bool, int, float or str), default and what is allowed.

    paper: the paper's value, as text, where it has one.  source: section, equation or
    "released code".  unit: empty for pure numbers.
    """

    name: str
    type: type
    default: Scalar
    help: str
    unit: str = ''
    source: str = ''
    paper: str = ''
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None


def option(default: Any, help: str, *, unit: str = '', source: str = '', paper: Any = '',
           minimum: float | None = None, maximum: float | None = None,
           choices: tuple[str, ...] | None = None) -> Any:
    """Return a dataclass field with what `describe` reports; see FieldInfo for the meanings."""
    return dataclasses.field(default=default, metadata={
        'help': help, 'unit': unit, 'source': source, 'paper': str(paper),
        'minimum': minimum, 'maximum': maximum, 'choices': choices})


def describe(settings_cls: type) -> list[FieldInfo]:
    """Return the settings of a dataclass in the order of their definition."""
    hints = get_type_hints(settings_cls)
    found = []
    for f in dataclasses.fields(settings_cls):
        default: Any = f.default
        found.append(FieldInfo(name=f.name, type=hints[f.name], default=default, **f.metadata))
    return found


def from_mapping(settings_cls: type[T], values: Mapping[str, Any], base: T | None = None) -> T:
    """Return settings with `values` put over `base` (default: the defaults).

    Raises BadInputError for an unknown name, a wrong type, a value outside its range.
    """
    infos = {info.name: info for info in describe(settings_cls)}
    for name in values:
        if name not in infos:
            close = difflib.get_close_matches(name, infos, n=1)
            hint = f'; did you mean {close[0]}?' if close else f'; there are: {", ".join(infos)}'
            raise BadInputError(f'unknown setting {name!r}{hint}')
    checked = {name: check(infos[name], value) for name, value in values.items()}
    return dataclasses.replace(base if base is not None else settings_cls(),  # type: ignore
                               **checked)


def check(info: FieldInfo, value: Any) -> Scalar:
    """Return `value` as the field's type; raises BadInputError where it does not fit."""
    ok = isinstance(value, info.type) and (info.type is bool or not isinstance(value, bool))
    if info.type is float and isinstance(value, int) and not isinstance(value, bool):
        value, ok = float(value), True
    if not ok:
        raise BadInputError(f'setting {info.name} must be of type {info.type.__name__}, '
                            f'not {value!r}')
    if info.choices is not None and value not in info.choices:
        raise BadInputError(f'setting {info.name} must be one of {", ".join(info.choices)}, '
                            f'not {value!r}')
    too_low = info.minimum is not None and not value >= info.minimum
    too_high = info.maximum is not None and not value <= info.maximum
    if too_low or too_high:
        low = '-inf' if info.minimum is None else f'{info.minimum:g}'
        high = 'inf' if info.maximum is None else f'{info.maximum:g}'
        raise BadInputError(f'setting {info.name} must lie in [{low}, {high}], not {value!r}')
    return value


def parse_assignments(settings_cls: type, assignments: Iterable[str]) -> dict[str, Scalar]:
    """Return what `name=value` texts of a command line say, each value as its field's type."""
    infos = {info.name: info for info in describe(settings_cls)}
    values: dict[str, Scalar] = {}
    for text in assignments:
        name, equals, value = text.partition('=')
        if not equals:
            raise BadInputError(f'write settings as NAME=VALUE, not {text!r}')
        info = infos.get(name.strip())
        values[name.strip()] = parse_value(info, value.strip()) if info else value
    from_mapping(settings_cls, values)
    return values


def parse_value(info: FieldInfo, text: str) -> Scalar:
    """Return one value written as text; raises BadInputError where it does not parse."""
    if info.type is bool:
        words = {'true': True, 'on': True, 'yes': True, '1': True,
                 'false': False, 'off': False, 'no': False, '0': False}
        if text.lower() not in words:
            raise BadInputError(f'setting {info.name} must be true or false, not {text!r}')
        return words[text.lower()]
    try:
        return check(info, info.type(text))
    except (TypeError, ValueError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f'setting {info.name} must be of type {info.type.__name__}, '
                            f'not {text!r}') from error


def to_mapping(settings: Any) -> dict[str, Scalar]:
    """Return settings as a plain dict, ready for JSON, YAML or ROS parameters."""
    return dataclasses.asdict(settings)


def load_yaml(settings_cls: type[T], path: str | Path, base: T | None = None) -> T:
    """Return settings from a YAML file with one mapping of names to values.

    Raises BadInputError where the file is missing, is no mapping or does not fit.
    """
    yaml = require('yaml', 'models')
    try:
        data = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f'cannot read settings from {path}: {error}') from error
    if data is not None and not isinstance(data, Mapping):
        raise BadInputError(f'{path} must hold one mapping of setting names to values')
    return from_mapping(settings_cls, data or {}, base)


def to_yaml(settings_cls: type, title: str) -> str:
    """Return a YAML file that shows every setting at its default, with help and source."""
    lines = [f'# {title}']
    for info in describe(settings_cls):
        notes = [info.help.rstrip('.') + '.']
        if info.unit:
            notes.append(f'Unit: {info.unit}.')
        if info.choices:
            notes.append(f'One of: {", ".join(info.choices)}.')
        elif info.minimum is not None or info.maximum is not None:
            low = '-inf' if info.minimum is None else f'{info.minimum:g}'
            high = 'inf' if info.maximum is None else f'{info.maximum:g}'
            notes.append(f'Range: [{low}, {high}].')
        if info.paper:
            notes.append(f'Paper: {info.paper}.')
        if info.source:
            notes.append(f'Source: {info.source}.')
        lines += ['', *_wrapped(' '.join(notes)), f'{info.name}: {_yaml_scalar(info.default)}']
    return '\n'.join(lines) + '\n'


def _wrapped(text: str, width: int = 95) -> list[str]:
    import textwrap
    return [f'# {line}' for line in textwrap.wrap(text, width)]


def _yaml_scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
