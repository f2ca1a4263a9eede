"""The tabletop as training material: scenes rendered where missing, tables on the device."""
from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.models.clip import tokenizer_for
from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.simulation.spec import SPLITS, VALIDATION_FROM
from ris_ros.training.engine.runtime import Runtime
from ris_ros.training.prompt_ris.calibrate import Question
from ris_ros.training.prompt_ris.material import Material
from ris_ros.training.prompt_ris.names import NameTable
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.training.prompt_ris.start import Base
from ris_ros.training.prompt_ris.tabletop import (
    TabletopSource,
    expressions_of,
    tables,
    validation_of,
)
from ris_ros.training.tabletop.shards import SceneStore, render_shards, scene_digest

SIZE = (480, 640)


def material(args: argparse.Namespace, settings: PromptRisTraining, network: PromptRis,
             base: Base, runtime: Runtime) -> Material:
    """Return what a run on the tabletop needs."""
    folder = args.scenes_dir or args.work
    with runtime.main_first():
        parts = {split: render_shards(folder / split, SPLITS[split].start + skipped, number,
                                      args.render_workers) if number else []
                 for split, skipped, number in (
                     ('train', 0, args.scenes), ('clutter_train', 0, args.clutter_scenes),
                     ('val', VALIDATION_FROM, args.val_scenes),
                     ('clutter_val', VALIDATION_FROM, args.clutter_val_scenes))}
    store = SceneStore([*parts['train'], *parts['clutter_train']])
    held = SceneStore([*parts['val'], *parts['clutter_val']])
    layout, device = network.layout(SIZE), runtime.device

    def embed(pixels: Tensor) -> Tensor:
        return network.embed(pixels)

    cached = settings.embeddings != 'compute'
    frames = tables(store, layout, settings.loss_scale, device, embed, cached, settings.mirror)
    shown = tables(held, layout, 1, device, embed, cached, False)
    names = NameTable(store, layout.grid, device) if settings.names_part else None
    tokenizer = tokenizer_of(base, network.config)
    source = TabletopSource(store.truths, tokenizer, settings.images, settings.sentences,
                            settings.mirror)
    return Material(source, frames, validation_of(held, shown, tokenizer, device),
                    {'scenes': len(store), 'digest': scene_digest(store)},
                    TabletopQuestions(held), names)


def tokenizer_of(base: Base, config: NetworkConfig) -> WordTokenizer:
    """Return the base's tokenizer at the network's text length."""
    text = {**base.clip_config['text_cfg'], 'context_length': config.text_length}
    made: WordTokenizer = tokenizer_for({**base.clip_config, 'text_cfg': text})
    return made


class TabletopQuestions:
    """The sentences of evaluation about the scenes of a store, one question a scene."""

    def __init__(self, store: SceneStore) -> None:
        self.store = store

    def __iter__(self) -> Iterator[Question]:
        """Go through the scenes; pictures are read one at a time."""
        for scene, truth in enumerate(self.store.truths):
            made = expressions_of(truth)
            instances = np.asarray(self.store.instances(scene))
            if made:
                yield Question(np.array(self.store.color(scene)), [e.text for e in made],
                               [visible_masks(instances, e.targets) for e in made])


def visible_masks(instances: np.ndarray, targets: tuple[int, ...]) -> np.ndarray:
    """Return (F, H, W) bool, each of the objects of an instance picture that is in view."""
    masks = [mask for mask in (instances == t for t in targets) if mask.any()]
    return np.stack(masks) if masks else np.zeros((0, *instances.shape), bool)
