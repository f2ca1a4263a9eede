"""Typed settings: one frozen dataclass per method, from which YAML, flags and parameters follow.

A field is made by `option(default, help, ...)`.  Everything that takes settings from outside
(YAML files, the command line, ROS parameters) goes through `from_mapping`, so that a wrong
name, type or value gives the same one-sentence error everywhere.
"""
from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ris_ros.files import read_text
from ris_ros.lazy import require
from ris_ros.types import BadInputError

T = TypeVar('T')
Scalar = bool | int | float | str
MAX_FILE_BYTES = 1 << 20  # of a file of settings or of a profile
TWIN = 'depth_'   # before a setting's name: its value where depth proposed the masks


@dataclass(frozen=True)
class FieldInfo:
    """One setting: name, type (bool, int, float or str), default and what is allowed.

    paper: the paper's value, as text, where it has one.  source: section, equation or
    "released code".  unit: empty for pure numbers.  builds: whether it chooses or builds
    networks and proposers, so that it takes effect where a method is made and not afterwards.
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
    builds: bool = False


def option(default: Any, help: str, *, unit: str = '', source: str = '', paper: Any = '',
           minimum: float | None = None, maximum: float | None = None,
           choices: tuple[str, ...] | None = None, builds: bool = False) -> Any:
    """Return a dataclass field with what `describe` reports; see FieldInfo for the meanings."""
    return dataclasses.field(default=default, metadata={
        'help': help, 'unit': unit, 'source': source, 'paper': str(paper),
        'minimum': minimum, 'maximum': maximum, 'choices': choices, 'builds': builds})


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


def put_over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `own` over those of `base`; one that is changed takes its twin along.

    A twin is the setting of the same name behind `TWIN`.  Where `own` says one and not its twin,
    the twin of `base` goes, and by its default is "as the other": else what somebody sets would
    be without effect wherever the twin counts.

    >>> put_over({'margin': 0.1, 'depth_margin': 0.2}, {'margin': 0.3})
    {'margin': 0.3}
    >>> put_over({'margin': 0.1, 'depth_margin': 0.2}, {'depth_margin': 0.3})
    {'margin': 0.1, 'depth_margin': 0.3}
    """
    return {**{name: value for name, value in base.items()
               if not (name.startswith(TWIN) and name[len(TWIN):] in own)}, **own}


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
    """Return settings from a YAML (or JSON) file with one mapping of names to values.

    Raises BadInputError where the file is missing, is no mapping or does not fit.
    """
    return from_mapping(settings_cls, read_mapping(path, 'settings'), base)


def read_mapping(path: str | Path, what: str) -> dict[str, Any]:
    """Return the one mapping that a file holds, {} for an empty file.

    A name that ends in .json is read as JSON, every other as YAML.  what: the file's content,
    for messages.  Raises BadInputError for a file that is missing, over 1 MiB, broken, holds no
    mapping, or says the same key twice (of which one would be dropped in silence).
    """
    path = Path(path)
    try:
        text = read_text(path, MAX_FILE_BYTES)
    except BadInputError as error:
        raise BadInputError(f'cannot read {what}: {error}') from error
    try:
        values = _from_json(text) if path.suffix == '.json' else _from_yaml(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f'cannot read {what} from {path}: {error}') from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise BadInputError(f'{path} must hold one mapping of names to values')
    return values


def _from_json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _refuse_twins([key for key, _ in pairs])
        return dict(pairs)
    return json.loads(text, object_pairs_hook=once) if text.strip() else None


def _from_yaml(text: str) -> Any:
    yaml = require('yaml', 'models')
    seen: set[int] = set()

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined, misc]
        def flatten_mapping(self, node: Any) -> None:
            if id(node) not in seen:  # afterwards it holds what it merges ("<<") as well
                seen.add(id(node))
                _refuse_twins([key.value for key, _ in node.value
                               if isinstance(key, yaml.ScalarNode)])
            super().flatten_mapping(node)

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(' '.join(str(error).split())) from error


def _refuse_twins(keys: list[str]) -> None:
    twins = [key for i, key in enumerate(keys) if key in keys[:i]]
    if twins:
        raise ValueError(f'{twins[0]!r} stands there twice')


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
    text = repr(value)
    # YAML reads 1e-09 as text, for its numbers have a point.
    return text.replace('e', '.0e') if isinstance(value, float) and 'e' in text \
        and '.' not in text else text
