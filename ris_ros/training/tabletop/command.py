"""`ris train tabletop`: render scenes, train the tabletop networks, package them."""
from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import NamedTuple

from ris_ros.training.engine.options import (
    add_engine_arguments,
    config_text,
    read_settings,
)
from ris_ros.training.tabletop.settings import (
    INIT_RATE,
    CaptionerSettings,
    ClipSettings,
    MatcherSettings,
    PlainClipSettings,
    SamSettings,
    TabletopSettings,
)
from ris_ros.types import BadInputError


class Trainer(NamedTuple):
    """Where a network's trainer is, "module:function", and its settings.

    The function takes a `job.Job` and writes the network's weights to its folder `out`.
    init: whether it can go on from finished weights.
    """

    place: str
    settings: type[TabletopSettings]
    init: bool = False


# In this order: later networks start from the towers of earlier ones.
TRAINERS: dict[str, Trainer] = {
    'sam': Trainer('ris_ros.training.tabletop.sam:train_sam', SamSettings, True),
    'clip': Trainer('ris_ros.training.tabletop.clip:train_clip', ClipSettings, True),
    'clip_plain': Trainer('ris_ros.training.tabletop.clip_plain:train_clip_plain',
                          PlainClipSettings, True),
    'matcher': Trainer('ris_ros.training.tabletop.matcher:train_matcher', MatcherSettings),
    'captioner': Trainer('ris_ros.training.tabletop.captioner:train_captioner',
                         CaptionerSettings),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the trainer's options; the README tells how long the shipped weights took."""
    parser.add_argument('--work', type=Path, default=Path('runs/tabletop'),
                        help='folder for rendered scenes and checkpoints; an interrupted run '
                             'goes on from there (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=None,
                        help='folder for the finished weights (default: WORK/weights)')
    parser.add_argument('--init', type=Path, default=None, metavar='DIR',
                        help='folder of finished weights that sam, clip and clip_plain go on from')
    parser.add_argument('--networks', nargs='+', choices=tuple(TRAINERS), default=list(TRAINERS))
    parser.add_argument('--scenes', type=int, default=5000, help='training scenes to render')
    parser.add_argument('--clutter-scenes', type=int, default=0, metavar='N',
                        help='cluttered ones beside --scenes (default: %(default)s)')
    parser.add_argument('--val-scenes', type=int, default=200)
    parser.add_argument('--clutter-val-scenes', type=int, default=0, metavar='N',
                        help='cluttered ones beside --val-scenes (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=2, help='processes that render')
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """
    Render what is missing, train what is asked for, write the weights.

    Settings, device and --init are checked first.  Raises BadInputError for what does not fit.
    """
    if args.show_config:
        print(config_text({name: t.settings for name, t in TRAINERS.items()},
                          'Settings of `ris train tabletop`'), end='')
        return 0
    from ris_ros.lazy import require
    settings = _checked_settings(args)
    for module in ('torch', 'cv2', 'tqdm'):
        require(module, 'training')
    from ris_ros.training.engine.runtime import start
    from ris_ros.training.tabletop.job import Job
    from ris_ros.training.tabletop.shards import render_splits
    runtimes = {name: start(own) for name, own in settings.items()}
    first = next(iter(runtimes.values()))
    with first.main_first():
        train = render_splits(args.work, {'train': args.scenes,
                                          'clutter_train': args.clutter_scenes}, args.workers)
        val = render_splits(args.work, {'val': args.val_scenes,
                                        'clutter_val': args.clutter_val_scenes}, args.workers)
    for name, own in settings.items():
        module, function = TRAINERS[name].place.split(':')
        job = Job(own, start(own), train, val, args.work, args.out or args.work / 'weights',
                  args.init if TRAINERS[name].init else None)
        getattr(importlib.import_module(module), function)(job)
    return 0


def _checked_settings(args: argparse.Namespace) -> dict[str, TabletopSettings]:
    """Return the settings of the chosen networks in the order of training."""
    for name in ('scenes', 'val_scenes', 'workers'):
        if getattr(args, name) < 1:
            raise BadInputError(f'--{name.replace("_", "-")} must be 1 or more')
    for name in ('clutter_scenes', 'clutter_val_scenes'):
        if getattr(args, name) < 0:
            raise BadInputError(f'--{name.replace("_", "-")} must be 0 or more')
    for text in args.settings:
        prefix = text.partition('=')[0].partition('.')[0].strip()
        if prefix in TRAINERS and prefix not in args.networks:
            raise BadInputError(f'--set {text}: {prefix} is not trained; name it in --networks')
    settings = {}
    for name in (name for name in TRAINERS if name in args.networks):
        trainer, defaults = TRAINERS[name], {}
        if args.init and trainer.init:
            path = args.init / f'tabletop_{name}.safetensors'
            if not path.is_file():
                raise BadInputError(f'--init: {path} is not there')
            defaults = {'rate': INIT_RATE}
        elif args.init:
            print(f'{name}: starts anew, --init is not for it', file=sys.stderr)
        settings[name] = read_settings(trainer.settings, args, name, tuple(TRAINERS),
                                       trainer.settings.figures, defaults)
    return settings
