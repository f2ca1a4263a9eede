"""Training and measuring one row of PCNet's tables; scenes and proposals are loaded once."""
from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ris_ros.evaluation.metrics import intersection_union, peak, point_in_mask
from ris_ros.evaluation.records import Record
from ris_ros.methods.pcnet.method import PCNetMethod
from ris_ros.methods.pcnet.model import PCNetModel
from ris_ros.methods.pcnet.network import PCNet
from ris_ros.methods.registry import settings_for
from ris_ros.profiles import Networks, get_profile
from ris_ros.settings import from_mapping, parse_assignments
from ris_ros.studies.pcnet_rows import ANSWERS, FULL, MAIN, STAGES
from ris_ros.studies.trained_rows import TrainedRow, facts_of
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.runtime import Runtime, start
from ris_ros.training.pcnet import material
from ris_ros.training.pcnet import run as stages
from ris_ros.training.pcnet.calibrate import answers
from ris_ros.training.pcnet.command import add_arguments
from ris_ros.training.pcnet.drawing import PairsSource
from ris_ros.training.pcnet.settings import (
    NetworkSettings,
    TabletopPCNet,
    check_training,
    tabletop_network,
)
from ris_ros.training.pcnet.showing import Shown
from ris_ros.training.pcnet.start import network_of, own_clip, read_clip
from ris_ros.training.pcnet.task import PCNetTask
from ris_ros.training.pcnet.validation import Question
from ris_ros.types import Grounding, Scene


@dataclass(eq=False)
class Bench:
    """What all rows share: sentences, pictures, proposals, and the questions of the test split."""

    args: argparse.Namespace
    work: Path
    settings: TabletopPCNet
    network: NetworkSettings
    runtime: Runtime
    stuff: material.Training
    shown: Shown
    proposals: torch.Tensor
    held: material.Held
    outcome: Outcome | None = None
    _seen: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, args: argparse.Namespace, train: argparse.Namespace, test: argparse.Namespace
           ) -> Bench:
        """Check the settings, then load what `ris train pcnet` made.

        args: of the study.  train, test: of `ris train pcnet`, for the training material and for
        the questions of the test split.
        """
        settings = from_mapping(TabletopPCNet, {
            **parse_assignments(TabletopPCNet, args.settings), 'minutes': args.minutes_per_row,
            'steps': args.steps_per_row, 'device': args.device})
        network = from_mapping(NetworkSettings, parse_assignments(NetworkSettings, args.network),
                               tabletop_network())
        check_training(settings, network.stages)
        runtime = start(settings)
        stuff = material.training(train)
        bits = stages.proposals_of(train, get_profile('tabletop'), stuff, str(runtime.device),
                                   make=True)
        shown = stages.shown_of(settings, stuff, network.image_size, runtime)
        return cls(args, args.work, settings, network, runtime, stuff, shown,
                   torch.from_numpy(bits).to(runtime.device), material.held(test))

    def facts(self, row: TrainedRow) -> dict[str, Any]:
        """Return what the document says of a row that was just measured."""
        assert self.outcome is not None, 'measure comes first'
        keys = [int(k) for k in self.held.pictures.keys]
        return facts_of(row, self.settings, self.network, self.runtime, self.outcome,
                        len(self.stuff.pictures), (min(keys), max(keys)))

    def measure(self, row: TrainedRow) -> dict[str, list[Record]]:
        """Train a row's network from the seed and return its records by answer."""
        network = dataclasses.replace(self.network, **row.network)
        settings = dataclasses.replace(self.settings, **row.training)
        check_training(settings, network.stages)
        clip, state = (read_clip(self.args.backbone) if self.args.backbone else
                       (own_clip(network.image_size), None))
        made = network_of(clip, state, network, settings.seed)
        source = PairsSource(self.stuff.pairs, self.stuff.pictures, stages.tokens_of_texts(
            made.config, self.stuff.pairs.texts()), stages.drawing_of(settings, network))
        task = PCNetTask(made, source, self.shown, self.proposals, settings,
                         identity={'row': row.key, 'pairs': self.stuff.pairs.digest})
        self.outcome = fit(task, settings, self.work / 'train' / row.key, self.runtime)
        given_to = {row.key: ANSWERS[MAIN]}
        if row.key == FULL:
            given_to |= {f'answer_{name}': given for name, given in ANSWERS.items()
                        if name != MAIN}
            given_to |= {name: {**ANSWERS[MAIN], **given} for name, given in STAGES.items()}
        return {name: self._records(made, given) for name, given in given_to.items()}

    def _records(self, network: PCNet, given: Mapping[str, Any]) -> list[Record]:
        """Return the records of one kind of answer over the answerable questions."""
        profile, device = get_profile('tabletop'), str(self.runtime.device)
        settings = settings_for('pcnet', profile, given)
        method = PCNetMethod(PCNetModel(network, device=device),
                             Networks(profile, device).proposer(settings), settings)
        answerable = [q for q in self.held.questions if q.kind == 'answerable']
        return [record_of(number, question, self.held.truth(question), scene, grounding)
                for scene, asked, found in answers(method, self.held.pictures, answerable,
                                                   'measuring')
                for number, (question, grounding) in enumerate(zip(asked, found, strict=True))]


def record_of(number: int, question: Question, truth: np.ndarray, scene: Scene,
              grounding: Grounding) -> Record:
    """Return the record of one answer: overlap of its best mask, and where the peak lies.

    number: of the question among those about its picture.
    """
    regions = grounding.regions(scene)
    mask = (regions.masks[grounding.order[0]] if len(grounding.order)
            else np.zeros_like(truth))
    heat = grounding.heatmap
    point = None if heat is None else point_in_mask(peak(heat, *truth.shape), truth)
    both, either = intersection_union(mask, truth)
    probability = float(grounding.probabilities[grounding.order[0]]) if len(
        grounding.order) else 0.0
    return Record(
        key=f'{question.row}/{number}', image_id=str(question.row),
        object_id=f'{question.row}:{question.targets[0]}',
        expression=question.text, kind='answerable', tags=(question.tag,), unseen=None,
        category=None, outcome='', score=probability, margin=0.0, i=both, u=either,
        oracle_i=both, oracle_u=either, candidates=len(grounding.order),
        proposals=len(regions), point=point, point_box=None, prepare_s=0.0, ground_s=0.0,
        first=number == 0)


def train_arguments(given: list[str]) -> argparse.Namespace:
    """Return the arguments of `ris train pcnet` that a study reads its material by."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(given)
