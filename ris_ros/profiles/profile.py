"""What a profile says, and the one reader of its keys; every wrong key is one clear error."""
from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from ris_ros.models import weights
from ris_ros.models.device import PRECISIONS, check_device
from ris_ros.models.kinds import kinds, kinds_of_role
from ris_ros.models.weights import FORMATS, Entry
from ris_ros.settings import Scalar, put_over
from ris_ros.types import BadInputError

KEYS = ('help', 'extends', 'networks', 'settings', 'devices', 'precisions', 'sentence_threads',
        'notes')
EVERY_METHOD = '*'


@dataclass(frozen=True)
class Profile:
    """Names of networks per role, and setting overrides per method ('*': every method).

    A setting that a method does not have is left out for it where it stands under '*', so that
    '*' can hold what belongs to the networks: thresholds of the proposer, block numbers of the
    tower.  sentence_threads: torch threads for a sentence on a CPU, 0: all.  Small networks
    spend more time on waking threads than these save.
    devices, precisions: per role or network, where it differs from what is asked for all.
    entries: networks that the profile itself brings, beside those of the weights manifest.
    origin: where it was read, empty for one made in Python.
    """

    name: str
    help: str
    networks: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sentence_threads: int = 0
    devices: Mapping[str, str] = field(default_factory=dict)
    precisions: Mapping[str, str] = field(default_factory=dict)
    entries: Mapping[str, Entry] = field(default_factory=dict)
    origin: str = ''

    def overrides(self, method: str, known: Iterable[str]) -> dict[str, Any]:
        """Return this profile's settings for a method whose setting names are `known`."""
        merged = put_over(self.settings.get(EVERY_METHOD, {}), self.settings.get(method, {}))
        known = set(known)
        return {name: value for name, value in merged.items() if name in known}

    @property
    def digest(self) -> str:
        """What the profile says of networks and settings, as 12 hexadecimal digits."""
        said = {key: value for key, value in asdict(self).items()
                if key not in ('name', 'help', 'origin')}
        for entry in said['entries'].values():
            del entry['folder']  # where a file lies changes nothing
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    def wrong(self, key: str, why: str) -> BadInputError:
        """Return the error for a key of this profile, such as 'settings.tas.alpha'."""
        return BadInputError(f'the profile {self.origin or self.name}: {key}: {why}')


def parse_profile(name: str, data: Mapping[str, Any], origin: str, folder: Path | None = None,
                  base: Profile | None = None) -> Profile:
    """Return the profile that a file's mapping describes.

    folder: where the files of the profile's own networks may be.  base: the profile that it
    extends; what both say is as `data` has it.
    Raises BadInputError for an unknown key, role, network or kind, or a value of a wrong type.
    Settings are checked against the methods where those are known, in
    `ris_ros.methods.profile_settings`.
    """
    return _Reader(name, data, origin, folder, base or Profile(name, '', {})).read()


class _Reader:
    """Reads one profile's mapping; `fail` says file and key."""

    def __init__(self, name: str, data: Mapping[str, Any], origin: str, folder: Path | None,
                 base: Profile) -> None:
        self.name, self.data, self.origin = name, data, origin
        self.folder, self.base = folder, base
        self.entries = dict(base.entries)

    def fail(self, key: str, why: str) -> NoReturn:
        raise Profile(self.name, '', {}, origin=self.origin).wrong(key, why)

    def read(self) -> Profile:
        for key in self.data:
            if key not in KEYS:
                self.fail(str(key), f'unknown key{_hint(key, KEYS)}')
        networks = self.networks()
        threads = self.value('sentence_threads', self.data.get(
            'sentence_threads', self.base.sentence_threads), int)
        if threads < 0:
            self.fail('sentence_threads', f'must be 0 (all) or more, not {threads}')
        self.value('notes', self.data.get('notes', {}), dict)
        return Profile(
            self.name, self.value('help', self.data.get('help', self.base.help), str), networks,
            self.settings(), threads, self.places('devices', networks),
            self.places('precisions', networks), self.entries, self.origin)

    def value(self, key: str, value: Any, wanted: type) -> Any:
        """Return a value of a type (a bool is no int)."""
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            names = {dict: 'a mapping', str: 'text', int: 'a whole number', bool: 'true or false'}
            self.fail(key, f'must be {names[wanted]}, not {_shown(value)}')
        return value

    def section(self, key: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a mapping whose keys are text."""
        found = self.value(key, data.get(key.rpartition('.')[2], {}), dict)
        for name in found:
            self.value(f'{key}.{name}', name, str)
        return found

    def networks(self) -> dict[str, str]:
        known, found = frozenset(kinds()), dict(self.base.networks)
        manifest = weights.read_manifest()
        for role, value in self.section('networks', self.data).items():
            key = f'networks.{role}'
            try:
                fitting = kinds_of_role(role, known)
            except BadInputError as error:
                self.fail(key, str(error))
            if isinstance(value, dict):
                value = self.own_network(key, role, value, known, manifest)
            name = self.value(key, value, str)
            every = {**manifest, **self.entries}
            if name not in every:
                self.fail(key, f'unknown network {name!r}{_hint(name, every)}')
            if every[name].kind not in fitting:
                self.fail(key, f'{name} is of kind {every[name].kind}, not '
                               f'{" or ".join(fitting)}')
            found[role] = name
        return found

    def own_network(self, key: str, role: str, data: Mapping[str, Any], known: frozenset[str],
                    manifest: Mapping[str, Entry]) -> str:
        """Add a network that the profile describes itself; return its name."""
        types = {name: kind for name, kind in get_type_hints(Entry).items() if name != 'shipped'}
        for name, value in data.items():
            if name not in types:
                self.fail(f'{key}.{name}', f'unknown key{_hint(name, types)}')
            self.value(f'{key}.{name}', value, types[name])
        values = {'name': f'{self.name}.{role}', **data}
        if self.folder is not None or 'folder' in data:
            values['folder'] = str((self.folder or Path()) / data.get('folder', ''))
        for name in ('kind', 'file', 'format'):
            if name not in values:
                self.fail(key, f'a network of its own needs {name}')
        if values['format'] not in FORMATS:
            self.fail(f'{key}.format', f'must be one of {", ".join(FORMATS)}')
        if values['kind'] not in known:
            self.fail(f'{key}.kind', f'unknown kind {values["kind"]!r}{_hint("", known)}')
        if values['name'] in manifest:
            self.fail(f'{key}.name', f'{values["name"]} is a network of the manifest already')
        self.entries[values['name']] = Entry(**values)
        return values['name']

    def settings(self) -> dict[str, dict[str, Scalar]]:
        found = {method: dict(values) for method, values in self.base.settings.items()}
        sections = self.section('settings', self.data)
        for method in sections:
            own = self.section(f'settings.{method}', sections)
            for name, value in own.items():
                if not isinstance(value, bool | int | float | str):
                    self.fail(f'settings.{method}.{name}',
                              f'must be a number, text, true or false, not {_shown(value)}')
            found[method] = put_over(found.get(method, {}), own)
        return found

    def places(self, key: str, networks: Mapping[str, str]) -> dict[str, str]:
        """Return 'devices' or 'precisions', per role or network of this profile."""
        found = dict(getattr(self.base, key))
        known = {*networks, *networks.values(), *weights.read_manifest()}
        for name, value in self.section(key, self.data).items():
            where = f'{key}.{name}'
            if name not in known:
                self.fail(where, f'no role or network of this name'
                                 f'{_hint(name, [*networks, *networks.values()])}')
            self.value(where, value, str)
            try:
                if key == 'devices':
                    check_device(value)
                elif value not in PRECISIONS:
                    raise BadInputError(f'must be one of {", ".join(PRECISIONS)}, not {value!r}')
            except BadInputError as error:
                self.fail(where, str(error))
            found[name] = value
        return found


def _hint(name: Any, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f'; did you mean {close[0]}?' if close else f'; there are: {", ".join(sorted(known))}'


def _shown(value: Any) -> str:
    """Return a short description; a value of a file may be deeply nested."""
    if value is None:
        return 'nothing'
    return repr(value)[:60] if isinstance(value, bool | int | float | str) else \
        f'a {type(value).__name__}'

