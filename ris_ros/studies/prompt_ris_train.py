"""Training and measuring one row of Prompt-RIS's tables; scenes are loaded once for all."""
from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ris_ros.evaluation.records import Record
from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.methods.prompt_ris.model import PromptRisModel
from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.models.weights import WeightStore
from ris_ros.settings import from_mapping, parse_assignments
from ris_ros.simulation.spec import SPLITS, VALIDATION_FROM
from ris_ros.studies.prompt_ris_rows import FULL, SUBSETS, PromptRisRow
from ris_ros.studies.trained_rows import facts_of
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.runtime import Runtime, start
from ris_ros.training.prompt_ris.calibrate import calibrate, judge
from ris_ros.training.prompt_ris.command import add_arguments
from ris_ros.training.prompt_ris.examine import examine
from ris_ros.training.prompt_ris.frames import TableFrames
from ris_ros.training.prompt_ris.names import NameTable
from ris_ros.training.prompt_ris.settings import TabletopTraining, check_training
from ris_ros.training.prompt_ris.start import TABLETOP, Base, base_of, network_of
from ris_ros.training.prompt_ris.tabletop import TabletopSource, tables
from ris_ros.training.prompt_ris.tabletop_run import (
    TabletopQuestions,
    tokenizer_of,
)
from ris_ros.training.prompt_ris.task import PromptRisTask
from ris_ros.training.tabletop.shards import SceneStore, render_shards

SIZE = (480, 640)


@dataclass(eq=False)
class Bench:
    """Scenes on the device, and what all rows share."""

    work: Path
    settings: TabletopTraining
    config: NetworkConfig
    runtime: Runtime
    stores: Mapping[str, SceneStore]
    frames: TableFrames | None = None
    names: NameTable | None = None
    outcome: Outcome | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Bench:
        """Check the settings, render what is missing, load the scenes."""
        given = parse_assignments(TabletopTraining, args.settings)
        settings = from_mapping(TabletopTraining, {
            **given, 'minutes': args.minutes_per_row, 'steps': args.steps_per_row,
            'device': args.device})
        check_training(settings)
        config = from_mapping(NetworkConfig, parse_assignments(NetworkConfig, args.network),
                              TABLETOP)
        runtime = start(settings)
        folder = args.scenes_dir or args.work
        wanted = {'train': (0, args.scenes), 'val': (VALIDATION_FROM, args.val_scenes),
                  'test': (0, args.test_scenes), 'unseen': (0, args.unseen_scenes)}
        stores = {split: SceneStore(render_shards(folder / split, SPLITS[split].start + skipped,
                                                  number, args.render_workers))
                  for split, (skipped, number) in wanted.items()}
        return cls(args.work, settings, config, runtime, stores)

    def facts(self, row: PromptRisRow) -> dict[str, Any]:
        """Return what the document says of a row that was just measured."""
        assert self.outcome is not None, 'measure comes first'
        seeds = self.stores['test'].truths
        return facts_of(row, self.settings, self.config, self.runtime, self.outcome,
                        len(self.stores['train']), (seeds[0].seed, seeds[-1].seed))

    def measure(self, row: PromptRisRow) -> dict[str, list[Record]]:
        """Train a row's network from the seed and return its records by variant."""
        config = dataclasses.replace(self.config, **row.network)
        settings = dataclasses.replace(self.settings, **row.training)
        torch.manual_seed(settings.seed)
        base = base_of(_arguments(), config, WeightStore())
        network = network_of(base, config, settings.seed).to(self.runtime.device)
        task = PromptRisTask(network, self._source(base, config), self._frames(network), settings,
                             base.mean, base.std, identity={'row': row.key},
                             names=self._names(network) if settings.names_part else None)
        self.outcome = fit(task, settings, self.work / 'train' / row.key, self.runtime)
        model = PromptRisModel(network, base.clip_config, device=str(self.runtime.device))
        plain = PromptRisSettings(answer='coarse' if row.coarse else 'final', max_objects=1)
        model.calibration, _ = calibrate(judge(model, TabletopQuestions(self.stores['val']),
                                               plain))
        variants = {row.key: plain}
        if row.key == FULL:
            variants |= {name: dataclasses.replace(plain, mask_prompt=mask, point_prompt=point,
                                                   text_prompt=text)
                         for name, (mask, point, text) in SUBSETS.items()}
        found = examine(model, self.stores['test'], variants)
        unseen = examine(model, self.stores['unseen'], {f'{row.key}/unseen': plain})
        return {**found, **unseen}

    def _source(self, base: Base, config: NetworkConfig) -> TabletopSource:
        settings = self.settings
        return TabletopSource(self.stores['train'].truths, tokenizer_of(base, config),
                              settings.images, settings.sentences, settings.mirror)

    def _names(self, network: PromptRis) -> NameTable:
        """Return what every patch shows, made for the first row."""
        if self.names is None:
            self.names = NameTable(self.stores['train'], network.layout(SIZE).grid,
                                   self.runtime.device)
        return self.names

    def _frames(self, network: PromptRis) -> TableFrames:
        """Return the tables, made for the first row; SAM's encoder is that of each row."""
        if self.frames is None:
            self.frames = tables(self.stores['train'], network.layout(SIZE),
                                 self.settings.loss_scale, self.runtime.device, network.embed,
                                 self.settings.embeddings != 'compute', self.settings.mirror)
        self.frames.embed = network.embed
        return self.frames


def _arguments() -> argparse.Namespace:
    """Return the defaults of `ris train prompt_ris` on the tabletop."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([])

