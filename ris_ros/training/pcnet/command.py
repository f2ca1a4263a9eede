"""`ris train pcnet`: sentences, proposals, a small CLIP where one is wanted, and PCNet itself."""
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
from ris_ros.training.pcnet.settings import (
    FIGURES,
    BackboneTraining,
    NetworkSettings,
    PCNetTraining,
    TabletopPCNet,
    check_training,
    config_of,
    proposing,
    released_network,
    tabletop_network,
)
from ris_ros.types import BadInputError

STAGES = ('all', 'sentences', 'proposals', 'backbone', 'pcnet')
TABLETOP = 'tabletop'
SECTIONS = ('backbone', 'pcnet')
NETWORKS = ('paper', 'released', 'tabletop')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the trainer's options."""
    parser.add_argument('--stage', choices=STAGES, default='all',
                        help='sentences with cues (needs spaCy), proposals, the small CLIP '
                             '(backbone), PCNet itself; all: what is missing of them, in this '
                             'order (default: %(default)s)')
    data = parser.add_argument_group('data')
    data.add_argument('--dataset', default=TABLETOP, metavar='D',
                      help='a data set in the REFER layout below --root (refcoco, refcoco+, '
                           'refcocog, tabletop); tabletop without --root is rendered here '
                           '(default: %(default)s)')
    data.add_argument('--root', type=Path, help='folder of the data set, with images/')
    data.add_argument('--split', default='train')
    data.add_argument('--val-split', default='val')
    data.add_argument('--split-by', choices=('unc', 'umd', 'google'))
    data.add_argument('--scenes', type=int, default=5000, help='rendered training scenes')
    data.add_argument('--first-seed', type=int, default=0)
    data.add_argument('--val-scenes', type=int, default=150,
                      help='pictures that validation and calibration look at')
    data.add_argument('--val-first-seed', type=int,
                      help='first of the rendered ones (default: 500 scenes into the split val)')
    data.add_argument('--per-object', type=int, default=10,
                      help='sentences told of each object of a rendered scene')
    data.add_argument('--scenes-dir', type=Path, metavar='DIR',
                      help='rendered scenes in train/ and val/ there (default: WORK)')
    data.add_argument('--render-workers', type=int, default=2)
    data.add_argument('--pairs', type=Path, metavar='FILE', help='sentences (default: in WORK)')
    data.add_argument('--questions', type=Path, metavar='FILE',
                      help='validation sentences (default: in WORK)')
    data.add_argument('--proposals', type=Path, metavar='DIR', help='(default: in WORK)')
    data.add_argument('--propose', action='append', default=[], metavar='NAME=VALUE',
                      help="a setting of the method that proposals follow, in place of the "
                           "profile's (points_per_side); may be repeated")
    data.add_argument('--propose-shrink', type=int, default=1, metavar='N',
                      help='proposals are made of pictures N times smaller each way, which is '
                           'faster; they are kept at 32 x 32 anyway (default: %(default)s)')
    data.add_argument('--cue-model', default='', metavar='NAME',
                      help='a local chat model that makes the cues, in place of the rules')
    net = parser.add_argument_group('network')
    net.add_argument('--profile', default=TABLETOP,
                     help='whose CLIP to start from and whose SAM proposes (default: '
                          '%(default)s)')
    net.add_argument('--clip', default='', metavar='NAME',
                     help="in place of the profile's CLIP; own: a small one, untrained")
    net.add_argument('--backbone', type=Path, metavar='NAME.safetensors',
                     help='a CLIP of --stage backbone to start from')
    net.add_argument('--form', choices=NETWORKS,
                     help='what --network changes: the network of the paper, of the released '
                          'code, or of the tabletop (default: tabletop there, else paper)')
    add_network_arguments(net, '(the paper: 15)')
    out = add_file_arguments(parser, 'pcnet', 'sentences, proposals')
    out.add_argument('--no-calibration', action='store_true',
                     help='write the network without fitting probabilities')
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do the stages that are asked for; all settings are checked before anything is made."""
    training_cls = TabletopPCNet if args.dataset == TABLETOP else PCNetTraining
    network = network_settings(args)
    proposing(args.propose)
    if args.show_config:
        print(config_text({'backbone': BackboneTraining, 'pcnet': training_cls},
                          'Settings of `ris train pcnet`'))
        print(to_yaml(NetworkSettings, 'Its network (--network-config)'), end='')
        return 0
    check_data(args)
    needs_backbone = args.stage == 'backbone' or (args.stage == 'all' and starts_small(args))
    backbone: Any = None
    settings: Any = None
    if needs_backbone:
        from ris_ros.training.pcnet.backbone import FIGURES as BACKBONE_FIGURES
        backbone = read_settings(BackboneTraining, args, 'backbone', SECTIONS, BACKBONE_FIGURES)
    if args.stage in ('all', 'pcnet'):
        if args.epochs:
            args.steps = 1      # how many that is, is known when the data are read
        settings = read_settings(training_cls, args, 'pcnet', SECTIONS, FIGURES)
        check_training(settings, network.stages)
    _check_network(args, network)
    from ris_ros.models.device import pick_device
    pick_device(args.device or 'auto')
    _run_stages(args, network, backbone, settings)
    return 0


def _run_stages(args: argparse.Namespace, network: NetworkSettings, backbone: Any, settings: Any
                ) -> None:
    from ris_ros.training.pcnet import material, run
    if args.stage in ('all', 'sentences'):
        material.make_sentences(args)
    if args.stage == 'proposals':
        from ris_ros.models.device import pick_device
        from ris_ros.profiles import get_profile
        run.proposals_of(args, get_profile(args.profile), material.training(args),
                         pick_device(args.device or 'auto'), make=True)
    if backbone is not None:
        args.backbone = run.train_backbone(args, backbone, network)
        print(args.backbone)
    if settings is not None:
        print(run.train_pcnet(args, settings, network))


def starts_small(args: argparse.Namespace) -> bool:
    """Tell whether PCNet starts from a small CLIP that is trained here first."""
    return bool(args.profile == TABLETOP and not args.clip and args.backbone is None)


def check_data(args: argparse.Namespace) -> None:
    """Raise BadInputError for options that do not go together."""
    if args.dataset != TABLETOP and args.root is None:
        raise BadInputError('--root is missing: the folder with the data set and images/')
    if args.root is not None and not args.root.is_dir():
        raise BadInputError(f'{args.root} is no folder; check --root')
    if args.stage == 'pcnet' and starts_small(args):
        raise BadInputError('the profile tabletop has no residual CLIP: train one with --stage '
                            'backbone and name it with --backbone, or give --clip own')
    check_epochs(args)
    for name in ('scenes', 'val_scenes', 'per_object', 'propose_shrink'):
        if getattr(args, name) < 1:
            raise BadInputError(f'--{name.replace("_", "-")} must be 1 or more')


def network_settings(args: argparse.Namespace) -> NetworkSettings:
    """Return the network's settings: a form, then --network-config, then --network."""
    form = args.form or (TABLETOP if args.dataset == TABLETOP else 'paper')
    base = {'paper': NetworkSettings, 'released': released_network,
            'tabletop': tabletop_network}[form]()
    return read_network(NetworkSettings, args, base)


def _check_network(args: argparse.Namespace, network: NetworkSettings) -> None:
    """Raise BadInputError for a network that cannot be, before anything is made."""
    config_of(network, {'vision_cfg': {'layers': [1, 1, 1, 1]}, 'text_cfg': {}})
