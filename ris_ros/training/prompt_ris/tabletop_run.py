"""The tabletop as training material: scenes rendered where missing, tables on the device."""
from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.models.clip import tokenizer_for
from ris_ros.simulation import SPLITS
from ris_ros.simulation.expressions import sample_expressions
from ris_ros.training.engine.runtime import Runtime
from ris_ros.training.prompt_ris.calibrate import Question
from ris_ros.training.prompt_ris.material import Material
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.training.prompt_ris.start import Base
from ris_ros.training.prompt_ris.tabletop import TabletopSource, tables, validation_of
from ris_ros.training.tabletop.shards import SceneStore, render_shards

# Evaluation reads the first 500 validation seeds; what is chosen or fitted is so on later ones.
VALIDATION_FROM = 500
SIZE = (480, 640)


def material(args: argparse.Namespace, settings: PromptRisTraining, network: PromptRis,
             base: Base, runtime: Runtime) -> Material:
    """Return what a run on the tabletop needs."""
    with runtime.main_first():
        train = render_shards(args.work / 'train', SPLITS['train'].start, args.scenes,
                              args.render_workers)
        val = render_shards(args.work / 'val', SPLITS['val'].start + VALIDATION_FROM,
                            args.val_scenes, args.render_workers)
    store, held = SceneStore(train), SceneStore(val)
    layout, device = network.layout(SIZE), runtime.device

    def embed(pixels: Tensor) -> Tensor:
        return network.embed(pixels)

    cached = settings.embeddings != 'compute'
    frames = tables(store, layout, settings.loss_scale, device, embed, cached, settings.mirror)
    shown = tables(held, layout, 1, device, embed, cached, False)
    tokenizer = tokenizer_for({**base.clip_config, 'text_cfg': {
        **base.clip_config['text_cfg'], 'context_length': network.config.text_length}})
    source = TabletopSource(store.truths, tokenizer, settings.images, settings.sentences,
                            settings.mirror)
    return Material(source, frames, validation_of(held, shown, tokenizer, device),
                    {'scenes': len(store), 'first_seed': store.truths[0].seed},
                    TabletopQuestions(held))


class TabletopQuestions:
    """The sentences of evaluation about the scenes of a store, one question a scene."""

    def __init__(self, store: SceneStore) -> None:
        self.store = store

    def __iter__(self) -> Iterator[Question]:
        """Go through the scenes; pictures are read one at a time."""
        for scene, truth in enumerate(self.store.truths):
            made = sample_expressions(truth)
            instances = np.asarray(self.store.instances(scene))
            if made:
                yield Question(np.array(self.store.color(scene)), [e.text for e in made],
                               [visible_masks(instances, e.targets) for e in made])


def visible_masks(instances: np.ndarray, targets: tuple[int, ...]) -> np.ndarray:
    """Return (F, H, W) bool, each of the objects of an instance picture that is in view."""
    masks = [mask for mask in (instances == t for t in targets) if mask.any()]
    return np.stack(masks) if masks else np.zeros((0, *instances.shape), bool)
