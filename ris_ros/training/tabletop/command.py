"""`ris train tabletop`: render scenes, train the tabletop networks, package them."""
from __future__ import annotations

import argparse
import importlib
from pathlib import Path

# Network -> "module:function"; each is called with (args, train_store, val_store, out) and
# writes its weights to `out`.  In this order: later networks start from the towers of earlier.
TRAINERS: dict[str, str] = {
    'sam': 'ris_ros.training.tabletop.sam:train_sam',
    'clip': 'ris_ros.training.tabletop.clip:train_clip',
    'matcher': 'ris_ros.training.tabletop.matcher:train_matcher',
    'captioner': 'ris_ros.training.tabletop.captioner:train_captioner',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the trainer's options; the README tells how long the shipped weights took."""
    parser.add_argument('--work', type=Path, default=Path('runs/tabletop'),
                        help='folder for rendered scenes and checkpoints; an interrupted run '
                             'goes on from there (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=None,
                        help='folder for the finished weights (default: WORK/weights)')
    parser.add_argument('--init', type=Path, default=None, metavar='DIR',
                        help='folder of finished weights that sam and clip go on from')
    parser.add_argument('--networks', nargs='+', choices=tuple(TRAINERS), default=list(TRAINERS))
    parser.add_argument('--scenes', type=int, default=5000, help='training scenes to render')
    parser.add_argument('--val-scenes', type=int, default=200)
    parser.add_argument('--minutes', type=float, default=70.0, help='budget per network')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda[:N]')
    parser.add_argument('--workers', type=int, default=2, help='processes that render')
    parser.add_argument('--threads', type=int, default=None, help='torch threads')
    parser.add_argument('--seed', type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Render what is missing, train what is asked for, write the weights."""
    from ris_ros.lazy import require
    for module in ('torch', 'cv2', 'tqdm'):
        require(module, 'training')
    import torch

    from ris_ros.simulation import SPLITS
    from ris_ros.training.tabletop.shards import SceneStore, render_shards
    train = render_shards(args.work / 'train', SPLITS['train'].start, args.scenes, args.workers)
    val = render_shards(args.work / 'val', SPLITS['val'].start, args.val_scenes, args.workers)
    stores = SceneStore(train), SceneStore(val)
    out = args.out or args.work / 'weights'
    if args.threads:
        torch.set_num_threads(args.threads)
    for name, place in TRAINERS.items():
        if name in args.networks:
            module, function = place.split(':')
            getattr(importlib.import_module(module), function)(args, *stores, out)
    return 0
