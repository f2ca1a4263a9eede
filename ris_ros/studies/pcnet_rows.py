"""PCNet's tables 1 to 5 and 9, and settings of ours, as networks to train and answers."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ris_ros.studies.trained_rows import TrainedRow

FULL = 'full'

_NO_RAS, _NO_IAD = {'ras': 'off'}, {'iad': 'off'}
_NO_AGREEMENT = {'references': 0, 'agree_weight': 0.0, 'paint_weight': 0.0}

TRAINED: tuple[TrainedRow, ...] = (
    TrainedRow('cls', 'classification alone, N = 1', {'stages': 1},
             {**_NO_RAS, **_NO_IAD, **_NO_AGREEMENT}),
    TrainedRow('cls_crm', 'classification, CRM', {}, {**_NO_RAS, **_NO_IAD, **_NO_AGREEMENT}),
    TrainedRow('no_iad', 'classification, CRM, RaS', {}, _NO_IAD),
    TrainedRow('no_ras', 'classification, CRM, IaD', {}, _NO_RAS),
    TrainedRow('stages_1', 'N = 1', {'stages': 1}),
    TrainedRow('stages_2', 'N = 2', {'stages': 2}),
    TrainedRow('stages_4', 'N = 4', {'stages': 4}),
    TrainedRow('add', 'ADD', {'modulation': 'add'}),
    TrainedRow('tta', 'TTA', {'modulation': 'tta'}),
    TrainedRow('vta_add', 'VTA + ADD', {'modulation': 'vta_add'}),
    TrainedRow('extra_0', 'N_d = 0', {}, {'extra': 0, 'iad': 'off'}),
    TrainedRow('extra_2', 'N_d = 2', {}, {'extra': 2}),
    TrainedRow('extra_3', 'N_d = 3', {}, {'extra': 3}),
    TrainedRow('iad_paper', 'IaD as equation 9', {}, {'iad': 'paper'}),
    TrainedRow('iad_hinge', 'IaD as a hinge (ours)', {}, {'iad': 'hinge'}),
    TrainedRow('pixels', 'classification over pixels, as the paper', {},
             {'cls': 'pixels', 'cls_form': 'sigmoid', 'outside_weight': 0.0, 'iad': 'hinge'}),
    TrainedRow('batch', 'texts read one another, as the paper', {'rows': 'batch', 'sees': 'own'}),
    TrainedRow('sentence', 'the first stage reads the sentence, as the paper',
             {'start': 'sentence'}),
    TrainedRow('no_contrary', 'without contraries', {}, {'contrary_weight': 0.0}),
    TrainedRow('no_agreement', 'sentences about one thing need not agree', {}, _NO_AGREEMENT),
    TrainedRow(FULL, 'full: N = 3, VTA + TTA, N_d = 1'))

# Answers that each network gives, as settings of the method; table 1 shows all of the whole's.
ANSWERS: dict[str, Mapping[str, Any]] = {
    'map': {'mask_from': 'map', 'max_objects': 1},
    'sam': {'mask_from': 'sam', 'max_objects': 1},
    'proposals': {'mask_from': 'proposals'},
    'mean': {'mask_from': 'proposals', 'rank': 'mean'}}
ANSWER_LABELS = {'map': 'the map alone', 'sam': 'SAM at the peak (paper)',
                 'proposals': 'the proposal that holds the peak (released)',
                 'mean': 'the proposal of the highest mean (ours)'}
STAGES = {'stage_1': {'stage': 1}, 'stage_2': {'stage': 2}}
STAGE_LABELS = {'stage_1': 'map of stage 1', 'stage_2': 'map of stage 2'}
# What rows are compared by; of the whole, every answer is measured.
MAIN = 'sam'

TABLES = (
    {'title': 'From the peak to the mask (twin of table 1)', 'against': FULL,
     'rows': ('answer_map', 'answer_proposals', 'answer_mean', FULL)},
    {'title': 'Components (twin of table 2)', 'against': FULL,
     'rows': ('cls', 'cls_crm', 'no_iad', 'no_ras', FULL)},
    {'title': 'Stages (twin of table 3)', 'against': FULL,
     'rows': ('stages_1', 'stages_2', FULL, 'stages_4')},
    {'title': 'Modulation (twin of table 4)', 'against': FULL,
     'rows': ('add', 'tta', 'vta_add', FULL)},
    {'title': 'Further texts (twin of table 5)', 'against': FULL,
     'rows': ('extra_0', FULL, 'extra_2', 'extra_3')},
    {'title': 'Maps of the stages (twin of table 9)', 'against': FULL,
     'rows': ('stage_1', 'stage_2', FULL)},
    {'title': 'Readings and settings of ours', 'against': FULL,
     'rows': ('iad_paper', 'iad_hinge', 'pixels', 'batch', 'sentence', 'no_contrary',
              'no_agreement', FULL)})


def labels() -> dict[str, str]:
    """Return the label of every row, trained or answered."""
    return {**{row.key: row.label for row in TRAINED},
            **{f'answer_{name}': label for name, label in ANSWER_LABELS.items() if name != MAIN},
            **STAGE_LABELS}
