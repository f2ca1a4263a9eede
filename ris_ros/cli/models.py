"""`ris models`: list, fetch, verify and export weights."""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ris_ros.models.data_files import SUFFIXES
from ris_ros.models.export import export
from ris_ros.models.fetch import fetch
from ris_ros.models.locking import check_space, megabytes
from ris_ros.models.weights import WeightStore
from ris_ros.profiles import all_profiles, get_profile
from ris_ros.types import BadInputError, RisError, WeightsError

ACTIONS = (('list', 'what there is and what is on this machine'),
           ('fetch', 'download weights that are not here, or take them from a folder'),
           ('verify', 'check the weights on this machine against their SHA-256'),
           ('export', 'copy checked weights into a folder, for a machine without a network'))
RETRIES = 4   # of a connection that is cut, before the user is asked to run it again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris models`."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    for name, text in ACTIONS:
        sub = actions.add_parser(name, help=text, description=text)
        sub.add_argument('--model-dir', type=Path, help='folder with weights')
        if name == 'list':
            sub.add_argument('--json', action='store_true', help='print one JSON document')
        else:
            sub.add_argument('names', nargs='*', help='networks or profiles')
        if name == 'fetch':
            sub.add_argument('--offline', action='store_true', help='do not use the network')
            sub.add_argument('--from', type=Path, dest='source', metavar='FOLDER',
                             help='take the files from here: brought by hand, or by export')
        if name == 'export':
            sub.add_argument('-o', '--output', type=Path, required=True, metavar='FOLDER',
                             help='where they go; `ris models fetch --from` reads it')


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    store = WeightStore(args.model_dir)
    if args.action == 'list':
        return _list(store, args.json)
    if args.action != 'verify' and not args.names:
        raise BadInputError(f'say what to {args.action}: names of networks or profiles, as '
                            '`ris models list` shows them')
    names = _networks(store, args.names)
    if args.action == 'fetch':
        return _fetch(store, names, args.offline, args.source)
    if args.action == 'export':
        for name in names:
            print(f'{name}: {export(store, name, args.output)}')
        return 0
    return _verify(store, names)


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
        size = sum(f.stat().st_size for f in files) or entry.size
        rows.append({
            'name': entry.name, 'kind': entry.kind, 'here': path is not None,
            'file': str(path) if path else None, 'bytes': size, 'url': entry.url or None,
            'repository': entry.repository or None, 'revision': entry.revision or None,
            'source': entry.source, 'sha256': entry.sha256 or None, 'checksum': entry.checksum,
            'licence': entry.licence, 'gated': entry.gated, 'parameters': entry.parameters,
            'gpu_bytes': {p: entry.gpu_bytes(p) for p in ('fp32', 'fp16')},
            'profiles': [p.name for p in profiles if entry.name in p.networks.values()]})
    if as_json:
        print(json.dumps(rows))
        return 0
    print(f'{"network":<20} {"kind":<11} {"":<8} {"size":>9}  {"GPU fp32":>9}  '
          f'{"checksum":<24} {"licence":<30} profiles')
    for row in rows:
        memory = row['gpu_bytes']['fp32']
        print(f'{row["name"]:<20} {row["kind"]:<11} {"here" if row["here"] else "missing":<8} '
              f'{megabytes(row["bytes"]) if row["bytes"] else "?":>9}  '
              f'{megabytes(memory) if memory else "?":>9}  {row["checksum"]:<24} '
              f'{row["licence"] + (" (log-in)" if row["gated"] else ""):<30} '
              f'{", ".join(row["profiles"])}')
    print('GPU: the weights alone. `--json` shows addresses, revisions and SHA-256.')
    return 0


def _fetch(store: WeightStore, names: list[str], offline: bool, source: Path | None) -> int:
    """Bring what is missing; one that fails does not keep the others from coming."""
    missing = [store.entry(n) for n in names if store.find(n) is None]
    if source is None and not offline:
        check_space(store.download_folder, sum(e.size for e in missing),
                    ', '.join(e.name for e in missing) or 'nothing')
    errors: list[RisError] = []
    for name in names:
        bar = _Bar(name)
        try:
            path = fetch(store, name, bar.show, offline, source=source, retries=RETRIES,
                         tell=lambda text: print(text, file=sys.stderr, flush=True))
        except (WeightsError, BadInputError) as error:
            errors.append(error)
            continue
        finally:
            bar.close()
        print(f'{name}: {path}')
    for earlier in errors[:-1]:
        print(f'ris: {earlier}', file=sys.stderr)
    if errors:
        raise errors[-1]
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
