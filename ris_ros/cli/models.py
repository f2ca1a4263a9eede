"""`ris models`: list, fetch and verify weights."""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ris_ros.models.data_files import SUFFIXES
from ris_ros.models.fetch import fetch
from ris_ros.models.weights import WeightStore
from ris_ros.profiles import all_profiles, get_profile
from ris_ros.types import BadInputError, WeightsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris models`."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    for name, text in (('list', 'what there is and what is on this machine'),
                       ('fetch', 'download weights that are not here'),
                       ('verify', 'check the weights on this machine against their SHA-256')):
        sub = actions.add_parser(name, help=text, description=text)
        sub.add_argument('--model-dir', type=Path, help='folder with weights')
        if name == 'list':
            sub.add_argument('--json', action='store_true', help='print one JSON document')
        else:
            sub.add_argument('names', nargs='*', help='networks or profiles')
        if name == 'fetch':
            sub.add_argument('--offline', action='store_true', help='do not use the network')


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    store = WeightStore(args.model_dir)
    if args.action == 'list':
        return _list(store, args.json)
    if args.action == 'fetch':
        if not args.names:
            raise BadInputError('say what to fetch: names of networks or profiles, as '
                                '`ris models list` shows them')
        return _fetch(store, _networks(store, args.names), args.offline)
    return _verify(store, _networks(store, args.names))


def _networks(store: WeightStore, names: list[str]) -> list[str]:
    """Return network names; a profile (by name or path) stands for all of its networks."""
    out: list[str] = []
    for name in names:
        if name in store.entries:
            out.append(name)
        elif name in all_profiles() or Path(name).suffix in SUFFIXES:
            profile = get_profile(name)
            store.entries.update(profile.entries)
            out += profile.networks.values()
        else:
            raise BadInputError(f'{name!r} is neither a network nor a profile; `ris models list` '
                                'shows both')
    return list(dict.fromkeys(out))


def _list(store: WeightStore, as_json: bool) -> int:
    rows: list[dict[str, Any]] = []
    profiles = all_profiles().values()
    for profile in profiles:
        store.entries.update(profile.entries)
    for entry in store.entries.values():
        path = store.find(entry.name)
        files = path.rglob('*') if path and path.is_dir() else [path] if path else []
        size = sum(f.stat().st_size for f in files) or entry.bytes
        rows.append({
            'name': entry.name, 'kind': entry.kind, 'here': path is not None,
            'file': str(path) if path else None, 'bytes': size, 'url': entry.url or None,
            'licence': entry.licence,
            'profiles': [p.name for p in profiles if entry.name in p.networks.values()]})
    if as_json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        shown = f'{row["bytes"] / 1e6:7.1f} MB' if row['bytes'] else '      ? MB'
        state = 'here' if row['here'] else 'missing'
        print(f'{row["name"]:<16} {row["kind"]:<5} {state:<8} {shown}  '
              f'{row["licence"]:<11} {", ".join(row["profiles"])}')
    return 0


def _fetch(store: WeightStore, names: list[str], offline: bool) -> int:
    for name in names:
        bar = _Bar(name)
        path = fetch(store, name, bar.show, offline)
        bar.close()
        print(f'{name}: {path}')
    return 0


def _verify(store: WeightStore, names: list[str]) -> int:
    """Check those that are here; with names given, a missing one is an error too."""
    chosen = names or [n for n in store.entries if store.find(n) is not None]
    bad = 0
    for name in chosen:
        try:
            store.verify(name)
            print(f'{name}: whole')
        except WeightsError as error:
            bad += 1
            print(f'ris: {error}', file=sys.stderr)
    return 1 if bad else 0


class _Bar:
    """A progress bar on standard error; one line at the end where that is no terminal."""

    def __init__(self, name: str) -> None:
        self.name, self.shown = name, False

    def show(self, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        self.shown = True
        share = f'{100 * done / total:5.1f} %' if total else ''
        width = int(30 * done / total) if total else 0
        print(f'\r{self.name} [{"#" * width:<30}] {done / 1e6:.1f} MB {share}', end='',
              file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.shown:
            print(file=sys.stderr)
