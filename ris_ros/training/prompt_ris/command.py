"""`ris train prompt_ris`: on the tabletop, or on data sets in the REFER layout."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ris_ros.settings import to_yaml
from ris_ros.training.engine.options import (
    add_engine_arguments,
    add_file_arguments,
    add_network_arguments,
    check_epochs,
    config_text,
    read_network,
    read_settings,
)
from ris_ros.types import BadInputError

TABLETOP = 'tabletop'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the trainer's options."""
    data = parser.add_argument_group('data')
    data.add_argument('--dataset', default=TABLETOP, metavar='tabletop|DATASET[,DATASET...]|all',
                      help='tabletop: rendered here; else data sets in the REFER layout below '
                           '--root, merged, all: those of the RefCOCO family that are there '
                           '(default: %(default)s)')
    data.add_argument('--root', type=Path, help='folder of the data sets, with images/')
    data.add_argument('--seen-only', action='store_true',
                      help='open vocabulary: train on the 48 seen categories alone')
    data.add_argument('--scenes', type=int, default=5000,
                      help='tabletop: training scenes, rendered where they are missing')
    data.add_argument('--clutter-scenes', type=int, default=0,
                      help='tabletop: cluttered training scenes beside them')
    data.add_argument('--val-scenes', type=int, default=150,
                      help='pictures that validation and calibration look at')
    data.add_argument('--clutter-val-scenes', type=int, default=0,
                      help='tabletop: cluttered ones beside them')
    data.add_argument('--scenes-dir', type=Path, metavar='DIR',
                      help='tabletop: where scenes are and are rendered to, as the --work of '
                           '`ris train tabletop` (default: WORK)')
    data.add_argument('--render-workers', type=int, default=2, help='processes that render')
    net = parser.add_argument_group('network')
    net.add_argument('--profile', default=TABLETOP,
                     help='whose CLIP and SAM to stand on (default: %(default)s)')
    net.add_argument('--clip', default='', metavar='NAME',
                     help="in place of the profile's CLIP; own: a small one that is trained "
                          'along from nothing, the default on the tabletop')
    net.add_argument('--sam', default='', metavar='NAME', help="in place of the profile's SAM")
    net.add_argument('--init', type=Path, metavar='NAME.safetensors',
                     help='go on from a trained Prompt-RIS network; what stays frozen is still '
                          "the profile's")
    add_network_arguments(net, 'over the pictures of --root (the paper: 50)')
    out = add_file_arguments(parser, 'prompt_ris', 'scenes, embeddings')
    out.add_argument('--parts-only', action='store_true',
                     help='leave CLIP and SAM out of the file where nothing of them was trained')
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train a network and write it; all settings are checked before anything is made."""
    from ris_ros.methods.prompt_ris.config import NetworkConfig
    from ris_ros.training.prompt_ris.settings import (
        PromptRisTraining,
        TabletopTraining,
        check_training,
    )
    from ris_ros.training.prompt_ris.validation import FIGURES
    tabletop = args.dataset == TABLETOP
    settings_cls = TabletopTraining if tabletop else PromptRisTraining
    config = network_config(args, tabletop)
    if args.show_config:
        print(config_text({'': settings_cls}, 'Settings of `ris train prompt_ris`'))
        print(to_yaml(NetworkConfig, 'Its network (--network-config)'), end='')
        return 0
    check_data(args, tabletop)
    if args.epochs:
        # How many steps that is, is known when the pictures are counted.
        args.steps = 1
    settings = read_settings(settings_cls, args, figures=FIGURES)
    check_training(settings)
    from ris_ros.training.prompt_ris.run import train
    train(args, settings, config)
    return 0


def check_data(args: argparse.Namespace, tabletop: bool) -> None:
    """Raise BadInputError for options that do not go together."""
    if tabletop and (args.seen_only or args.root is not None or args.epochs):
        raise BadInputError('--root, --seen-only and --epochs are for data sets in the REFER '
                            'layout; the tabletop is rendered and drawn anew at every step, and '
                            'never places its held-out kinds in training')
    if not tabletop and args.root is None:
        raise BadInputError('--root is missing: the folder with the data sets and images/')
    check_epochs(args)
    if min(args.scenes, args.val_scenes) < 1 or min(args.clutter_scenes,
                                                    args.clutter_val_scenes) < 0:
        raise BadInputError('--scenes and --val-scenes must be 1 or more, those of cluttered '
                            'scenes 0 or more')


def network_config(args: argparse.Namespace, tabletop: bool) -> Any:
    """Return the network's configuration: defaults, then --network-config, then --network."""
    from ris_ros.methods.prompt_ris.config import NetworkConfig
    from ris_ros.training.prompt_ris.start import TABLETOP as OURS
    return read_network(NetworkConfig, args, OURS if tabletop else NetworkConfig())
