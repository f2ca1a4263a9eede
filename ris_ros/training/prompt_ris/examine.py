"""A trained network on rendered scenes, sentence by sentence, without the language side.

What `ris eval` does for any method, here for a network in training: the sentence goes to the
network as it stands, so that neither a parser nor a profile is needed.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ris_ros.evaluation.metrics import intersection_union, peak, point_in_mask
from ris_ros.evaluation.records import Record
from ris_ros.methods.prompt_ris.model import Answers, PromptRisModel
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.training.prompt_ris.tabletop import expressions_of
from ris_ros.training.tabletop.shards import SceneStore


def examine(model: PromptRisModel, store: SceneStore,
            variants: Mapping[str, PromptRisSettings]) -> dict[str, list[Record]]:
    """Return records of the answerable sentences with one target, per variant of the settings.

    The best answer counts, whatever its probability.  Records of all variants stand in one
    order.
    """
    found: dict[str, list[Record]] = {name: [] for name in variants}
    for scene, truth in enumerate(store.truths):
        asked = [(k, e) for k, e in enumerate(expressions_of(truth))
                 if e.answerable and len(e.targets) == 1]
        if not asked:
            continue
        instances = np.asarray(store.instances(scene))
        with model.autocast():
            picture = model.look(np.array(store.color(scene)))
            tokens, _ = model.tokens([e.text.lower() for _, e in asked])
        for name, settings in variants.items():
            with model.autocast():
                answers = model.answer(picture, tokens, instances.shape, settings)
            match = model.calibration.probability(settings.presence, answers.features)
            for row, (k, expression) in enumerate(asked):
                found[name].append(_record(
                    answers, match, row, instances == expression.targets[0],
                    {'key': f'{truth.seed}/{k}', 'image_id': str(truth.seed),
                     'object_id': f'{truth.seed}:{expression.targets[0]}',
                     'expression': expression.text, 'unseen': expression.unseen,
                     'tags': (expression.tag, *expression.tags)}))
    return found


def _record(answers: Answers, match: np.ndarray, row: int, truth: np.ndarray,
            about: Mapping[str, Any]) -> Record:
    own = np.flatnonzero(answers.rows == row)
    best = own[int(np.argmax(match[own]))]
    i, u = intersection_union(answers.masks[best], truth)
    point = point_in_mask(peak(answers.heatmaps[row], *truth.shape), truth)
    return Record(
        **about, kind='answerable', category=None, outcome='', score=float(match[best]),
        margin=0.0, i=i, u=u, oracle_i=i, oracle_u=u, candidates=len(own), proposals=len(own),
        point=point, point_box=None, prepare_s=0.0, ground_s=0.0, first=False)
