"""`ris profiles`: which profiles there are, and what one of them says."""
from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from ris_ros.methods.profile_settings import check_settings
from ris_ros.methods.registry import methods
from ris_ros.profiles import Profile, all_profiles, get_profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ris profiles`."""
    parser.add_argument('profile', nargs='?', metavar='NAME|FILE',
                        help='check this one and show all that it says')
    parser.add_argument('--json', action='store_true', help='print one JSON document')


def run(args: argparse.Namespace) -> int:
    """Print all profiles, or one, after checking it against networks and methods."""
    chosen = [get_profile(args.profile)] if args.profile else list(all_profiles().values())
    for profile in chosen:
        check_settings(profile, methods())
    documents = [_document(profile) for profile in chosen]
    if args.json:
        print(json.dumps(documents[0] if args.profile else documents))
    elif args.profile:
        print('\n'.join(_lines(documents[0])))
    else:
        print('\n'.join(f'{p.name}: {p.help}\n    {p.origin}' for p in chosen))
    return 0


def _document(profile: Profile) -> dict[str, Any]:
    values = dataclasses.asdict(profile)
    return {**values, 'entries': list(values['entries'].values()), 'digest': profile.digest}


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f'{document["name"]}: {document["help"]}', f'  file: {document["origin"]}',
             f'  sentence_threads: {document["sentence_threads"]}']
    for part in ('networks', 'devices', 'precisions'):
        lines += [f'  {part}.{name}: {value}' for name, value in document[part].items()]
    return lines + [f'  settings.{method}.{name}: {value!r}' for method, values in
                    document['settings'].items() for name, value in values.items()]
