"""The rows of Prompt-RIS's tables 3 to 5, as networks to train and prompts to use."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ris_ros.studies.trained_rows import TrainedRow

FULL = 'full'
WITHOUT_ICL = 'cmp_sam'


@dataclass(frozen=True)
class PromptRisRow(TrainedRow):
    """A row of these tables; coarse: it has no SAM."""

    coarse: bool = False


_COARSE = {'coarse_part': 1.0}
TRAINED: tuple[PromptRisRow, ...] = (
    PromptRisRow('clip', 'CLIP', {'v2l': False, 'l2v': False}, {**_COARSE, 'icl': False}, True),
    PromptRisRow('v2l', 'CLIP + V2L', {'l2v': False}, {**_COARSE, 'icl': False}, True),
    PromptRisRow('l2v', 'CLIP + L2V', {'v2l': False}, {**_COARSE, 'icl': False}, True),
    PromptRisRow('cmp', 'CLIP + CMP', {}, {**_COARSE, 'icl': False}, True),
    PromptRisRow('cmp_icl', 'CLIP + CMP + ICL', {}, _COARSE, True),
    PromptRisRow(WITHOUT_ICL, 'CLIP + CMP + SAM', {}, {'icl': False}),
    PromptRisRow(FULL, 'CLIP + CMP + ICL + SAM'))

# Table 5: which of mask, point and text SAM gets, over the whole network.
SUBSETS: dict[str, tuple[bool, bool, bool]] = {
    '_'.join(name for name, on in (('mask', mask), ('point', point), ('text', text)) if on)
    or 'none': (mask, point, text)
    for mask, point, text in product((False, True), repeat=3) if not (mask and point and text)}

TABLES = (
    {'title': 'Components (twin of table 3)', 'against': FULL,
     'rows': ('clip', 'cmp', 'cmp_icl', WITHOUT_ICL, FULL)},
    {'title': 'Directions of prompting (twin of table 4)', 'against': 'clip',
     'rows': ('clip', 'v2l', 'l2v', 'cmp')},
    {'title': 'Prompts given to SAM (twin of table 5)', 'against': FULL,
     'rows': (*sorted(SUBSETS, key=lambda name: sum(SUBSETS[name])), FULL)})
