"""`ris train tabletop`: render scenes, train the tabletop networks, package them."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ris_ros.training.tabletop_data import SceneStore

NETWORKS = ('sam', 'clip')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the trainer's options; every default is what the shipped weights were made with."""
    parser.add_argument('--work', type=Path, default=Path('runs/tabletop'),
                        help='folder for rendered scenes and checkpoints; an interrupted run '
                             'goes on from there (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=None,
                        help='folder for the finished weights (default: WORK/weights)')
    parser.add_argument('--networks', nargs='+', choices=NETWORKS, default=list(NETWORKS))
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
    from ris_ros.simulation import SPLITS
    from ris_ros.training.tabletop_data import SceneStore, render_shards
    train = render_shards(args.work / 'train', SPLITS['train'].start, args.scenes, args.workers)
    val = render_shards(args.work / 'val', SPLITS['val'].start, args.val_scenes, args.workers)
    stores = SceneStore(train), SceneStore(val)
    out = args.out or args.work / 'weights'
    if 'sam' in args.networks:
        _train_sam(args, *stores, out)
    if 'clip' in args.networks:
        from ris_ros.training.tabletop_clip import train_clip
        train_clip(args, *stores, out)
    return 0


def _train_sam(args: argparse.Namespace, train_store: SceneStore, val_store: SceneStore,
               out: Path) -> None:
    import numpy as np
    import torch

    from ris_ros.training.loop import Budget, pick_device, train
    from ris_ros.training.package import write_network
    from ris_ros.training.tabletop_sam import (
        IMAGES_PER_STEP,
        TABLETOP_SAM,
        SamSampler,
        SamTrainee,
        batch_loss,
        validate_masks,
    )
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    model = SamTrainee(TABLETOP_SAM).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02,
                                  betas=(0.9, 0.98))
    sampler = SamSampler(train_store, TABLETOP_SAM, np.random.default_rng(args.seed))

    def loss_of(_: float) -> torch.Tensor:
        return batch_loss(model, [sampler.draw() for _ in range(IMAGES_PER_STEP)], device)

    def validate() -> dict[str, float]:
        fixed = SamSampler(val_store, TABLETOP_SAM, np.random.default_rng(1))
        return validate_masks(model, fixed, 40, device)

    history = train('sam', model, optimiser, Budget(args.minutes), args.work / 'sam.ckpt', loss_of,
                    validate)
    write_network(out, 'tabletop_sam', model.sam.state_dict(), TABLETOP_SAM.to_dict(),
                  history[-1] if history else {})
