"""Settings of trainers from the command line and YAML; nothing heavy is imported here."""
from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ris_ros.settings import from_mapping, load_yaml, parse_assignments, read_mapping, to_yaml
from ris_ros.training.engine.settings import EngineSettings, check_keep_best, check_length
from ris_ros.types import BadInputError

S = TypeVar('S', bound=EngineSettings)
N = TypeVar('N')
FLAGS = ('device', 'seed', 'steps', 'minutes', 'threads')


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every trainer on the engine takes; `read_settings` reads it."""
    group = parser.add_argument_group('training')
    group.add_argument('--config', type=Path, metavar='FILE',
                       help='YAML or JSON file of settings, see --show-config')
    group.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                       dest='settings',
                       help='a setting; may be repeated, wins over flags and --config')
    group.add_argument('--show-config', action='store_true',
                       help='print every setting with its default as YAML, and stop')
    group.add_argument('--device', help='auto, cpu or cuda[:N]')
    group.add_argument('--seed', type=int)
    group.add_argument('--steps', type=int, help='length of the run in steps')
    group.add_argument('--minutes', type=float, help='length of the run in minutes')
    group.add_argument('--threads', type=int, help='torch threads')


def add_network_arguments(group: Any, epochs: str) -> None:
    """Add what trainers of a configurable network take, to a group of a parser's arguments.

    `read_network` and `check_epochs` read it.  epochs: what else is to be said of them.
    """
    group.add_argument('--network-config', type=Path, metavar='FILE',
                       help="YAML file of the network's configuration")
    group.add_argument('--network', action='append', default=[], metavar='NAME=VALUE',
                       help='a field of it; may be repeated')
    group.add_argument('--epochs', type=float, default=0.0,
                       help=f'length of the run in epochs {epochs}, in place of --steps or '
                            '--minutes')


def add_file_arguments(parser: argparse.ArgumentParser, name: str, holds: str) -> Any:
    """Add where such a trainer keeps its files; return the group.

    name: of the network, without `tabletop_`.  holds: what lies in --work.
    """
    group = parser.add_argument_group('files')
    group.add_argument('--work', type=Path, default=Path('runs', name),
                       help=f'{holds}, checkpoints and logs; an interrupted run goes on from '
                            'there (default: %(default)s)')
    group.add_argument('--out', type=Path, help='finished weights (default: WORK/weights)')
    group.add_argument('--name', default='',
                       help=f'of the weights (default: tabletop_{name}, or {name})')
    return group


def read_network(network_cls: type[N], args: argparse.Namespace, base: N) -> N:
    """Return a network's fields: a base, then --network-config, then --network."""
    if args.network_config is not None:
        base = load_yaml(network_cls, args.network_config, base)
    return from_mapping(network_cls, parse_assignments(network_cls, args.network), base)


def check_epochs(args: argparse.Namespace) -> None:
    """Raise BadInputError where --epochs and another length are given."""
    if args.epochs < 0 or (args.epochs and (args.steps or args.minutes)):
        raise BadInputError('say how long to train by --epochs, --steps or --minutes, one of '
                            'them, above zero')


def read_settings(settings_cls: type[S], args: argparse.Namespace, section: str = '',
                  sections: Sequence[str] = (), figures: tuple[str, ...] = (),
                  defaults: Mapping[str, Any] | None = None) -> S:
    """
    Return a trainer's settings: defaults, then --config, then flags, then --set.

    section: of this trainer where one command trains several, named in `sections`; a name or
    YAML mapping under SECTION is for it alone, others are for all.  figures: of the
    validation, for `keep_best`.  defaults: in place of those of the class.  A length by steps
    replaces a default by minutes and the other way round.  Raises BadInputError for whatever
    does not fit.
    """
    values = dict(defaults or {})
    values |= _from_file(args.config, section, sections) if args.config else {}
    values |= {name: getattr(args, name) for name in FLAGS
               if getattr(args, name, None) is not None}
    values |= parse_assignments(settings_cls, _own(args.settings, section, sections))
    for one, other in (('steps', 'minutes'), ('minutes', 'steps')):
        if values.get(one) and other not in values:
            values[other] = 0
    settings = from_mapping(settings_cls, values)
    check_length(settings)
    check_keep_best(settings.keep_best, figures)
    return settings


def _own(assignments: Sequence[str], section: str, sections: Sequence[str]) -> list[str]:
    """Return the assignments for all and for one section; SECTION. is left out."""
    own = []
    for text in assignments:
        name = text.partition('=')[0].strip()
        prefix, dot, _ = name.partition('.')
        if dot and prefix not in sections:
            raise BadInputError(f'--set {text}: there is no {prefix!r}; '
                                f'there are: {", ".join(sections) or "none"}')
        if not dot:
            own.append(text)
        elif prefix == section:
            own.append(text.strip()[len(prefix) + 1:])
    return own


def _from_file(path: Path, section: str, sections: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for name, value in read_mapping(path, 'settings').items():
        if name not in sections:
            values[name] = value
        elif not isinstance(value, Mapping):
            raise BadInputError(f'{path}: {name} must hold a mapping of setting names to values')
        elif name == section:
            inner = {str(k): v for k, v in value.items()}
    return values | inner


def config_text(classes: Mapping[str, type[EngineSettings]], title: str) -> str:
    """Return YAML with every setting of the trainers at its default, one mapping a trainer.

    classes: section to settings class; one alone under the name '' is written without section.
    """
    if list(classes) == ['']:
        return to_yaml(classes[''], title)
    parts = [f'# {title}']
    for name, settings_cls in classes.items():
        body = to_yaml(settings_cls, name)
        lines = [f'  {line}' if line else '' for line in body.splitlines()[1:]]
        parts += ['', f'{name}:', *lines]
    return '\n'.join(parts) + '\n'
