"""A profile's settings held against the methods: nothing in the file is dropped in silence."""
from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ris_ros.profiles.profile import EVERY_METHOD, Profile
from ris_ros.settings import FieldInfo, check, describe
from ris_ros.types import BadInputError, RisError

if TYPE_CHECKING:
    from ris_ros.methods.registry import MethodInfo


def check_settings(profile: Profile, methods: Mapping[str, MethodInfo], asked: str = '') -> None:
    """Raise BadInputError, with file and key, for settings that no method would take.

    That is an unknown method, a name that the method does not have (under '*': no method at
    all), or a value of a wrong type or outside its range.  methods: all there are, by name.
    asked: the method that is wanted.  Another package's method is imported for its settings
    only where it is this one, or where a name under '*' is no built-in method's.
    """
    ready = [m for m in methods.values() if m.settings_location or m.name == asked]
    others = [m for m in methods.values() if m not in ready]
    for method, values in profile.settings.items():
        if method == EVERY_METHOD:
            chosen, further = ready, others
        elif method in methods:
            chosen, further = [m for m in ready if m.name == method], []
            if not chosen:
                continue  # another package's, not asked for now
        else:
            raise profile.wrong(f'settings.{method}', f'unknown method{_hint(method, methods)}')
        for name, value in values.items():
            key = f'settings.{method}.{name}'
            try:
                infos = _named(name, chosen) or _named(name, further)
            except RisError:
                continue  # that package does not load here, so what it takes is not known
            if not infos:
                known = {info for m in chosen for info in _described(m)}
                raise profile.wrong(key, f'unknown setting{_hint(name, known)}')
            for info in infos:
                _check(profile, key, info, value)


def _named(name: str, methods: Iterable[MethodInfo]) -> list[FieldInfo]:
    """Return what the methods that have a setting of this name say of it."""
    return [_described(m)[name] for m in methods if name in _described(m)]


@lru_cache(maxsize=64)
def _described(method: MethodInfo) -> dict[str, FieldInfo]:
    return {info.name: info for info in describe(method.settings_class())}


def _check(profile: Profile, key: str, info: FieldInfo, value: Any) -> None:
    try:
        check(info, value)
    except BadInputError as error:
        hint = ''
        if info.type is str and isinstance(value, bool):
            hint = '; YAML reads on, off, yes and no as true and false: put the word in quotes'
        elif info.type is float and isinstance(value, str):
            hint = '; YAML reads 1e-3 as text: write 1.0e-3'
        raise profile.wrong(key, f'{error}{hint}') from error


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean {close[0]}?' if close else f'; there are: {", ".join(sorted(known))}'
