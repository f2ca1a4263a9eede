"""The options by which commands choose a method, its networks and where they are computed.

Every command that segments takes them from here, so that none lacks one.
"""
from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.methods.registry import find_method, settings_for
from ris_ros.models.device import PRECISIONS
from ris_ros.settings import parse_assignments


def add_network_options(parser: argparse._ActionsContainer) -> None:
    """Add --profile, --device, --precision and --model-dir: which networks, computed how."""
    parser.add_argument('--profile', default='tabletop', metavar='NAME|FILE',
                        help='which networks: tabletop, paper, robot, or one of your own by name '
                             'or path, see `ris profiles` (default %(default)s)')
    parser.add_argument('--device', default='auto',
                        help='auto, cpu, cuda or cuda:N; for single networks after commas: '
                             'cpu,sam=cuda:0 (default %(default)s)')
    parser.add_argument('--precision', default='fp32', metavar='P',
                        help=f'of the networks: {", ".join(PRECISIONS)}; of single ones after '
                             'commas: fp32,sam=bf16 (default %(default)s)')
    parser.add_argument('--model-dir', type=Path, metavar='DIR',
                        help='folder with weights, in place of the shipped and fetched ones')
    parser.add_argument('--pipeline', default='auto', metavar='NAME|FOLDER',
                        help='of language: auto, shipped, or an installed spaCy pipeline '
                             '(default %(default)s)')


def add_method_options(parser: argparse._ActionsContainer, named: bool = True) -> None:
    """Add the networks' options, --rules, --set and, unless it is named otherwise, --method."""
    if named:
        parser.add_argument('--method', default='hybridgl',
                            help='see `ris methods` (default %(default)s)')
    add_network_options(parser)
    parser.add_argument('--rules', choices=('paper', 'released'),
                        help='where the paper and the released code differ')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        dest='settings', help='a setting of the method; may be repeated')


def network_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_network_options` asked for: profile, device, precision, model_dir,
    pipeline (what `auto` stands for here).

    Raises BadInputError for an unknown profile, a device or precision that is not to be had
    here, and a folder that is none, so that nothing long begins before that is known.
    """
    from ris_ros.segmenter import networks_of
    networks = networks_of(args.profile, args.device, args.precision, args.model_dir)
    folder = networks.store.model_dir   # --model-dir, or what the environment names
    from ris_ros.language.pipelines import resolve_pipeline
    return {'pipeline': resolve_pipeline(args.pipeline),
            'profile': args.profile, 'device': args.device, 'precision': args.precision,
            'model_dir': None if folder is None else str(folder.resolve())}


def networks_said(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a result shows them: the profile by its name, and what stood in it.

    profile_digest: tells results under another content of the same profile apart.  pipeline:
    the language pipeline that parses, with its version.  proposals: the setting of a method over
    proposals, wherever it was made, None for any other.
    """
    from ris_ros.language.pipelines import pipeline_said
    from ris_ros.profiles import get_profile
    profile = get_profile(options['profile'])
    said = {**options, 'profile': profile.name, 'profile_digest': profile.digest,
            'pipeline': pipeline_said(options.get('pipeline', 'auto'))}
    if 'method' in options:
        settings = settings_for(options['method'], profile, options.get('settings'))
        said['proposals'] = getattr(settings, 'proposals', None)
    return said


def method_options(args: argparse.Namespace, method: str | None = None) -> dict[str, Any]:
    """Return the arguments of `Segmenter.from_profile` that the options say.

    method: where the command names it otherwise than by --method.  `settings` holds what --rules
    and --set change, as their own types.  Raises BadInputError as `network_options` does, and
    for an unknown method, or a setting that it does not have or whose value does not fit.
    """
    name = args.method if method is None else method
    changes = [*args.settings, *([f'rules={args.rules}'] if args.rules else ())]
    settings = parse_assignments(find_method(name).settings_class(), changes)
    return {'method': name, **network_options(args), 'settings': settings}
