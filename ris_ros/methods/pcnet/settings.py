"""Everything that can be set in PCNet at work, importable without torch.

How the network itself is built and trained is part of a checkpoint, see `network.PCNetConfig` and
`ris train pcnet --show-config`.
"""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import OutcomeSettings, by_rules
from ris_ros.models.options import ProposalSettings
from ris_ros.settings import option


@dataclass(frozen=True)
class PCNetSettings(OutcomeSettings, ProposalSettings):
    """How a response map becomes an answer."""

    network: str = option('', 'network to use in place of the one of the profile, a name that '
                          '`ris models list` shows', source='ours', builds=True)
    proposals: str = option('sam', 'what proposes masks: PCNet asks its SAM at points, and takes '
                            'no others', paper='sam', source='section 4.2',
                            choices=('auto', 'sam', 'depth', 'both'), builds=True)
    rules: str = option('paper', 'how the peak becomes a mask, as the paper states it or as the '
                        'released code does', choices=('paper', 'released'))
    mask_from: str = option(
        'rules', 'the mask: SAM prompted at the peak (paper), the stored proposal that holds '
        'the peak (released), or the map itself above a threshold', source='section 4.2',
        paper='sam', choices=('rules', 'sam', 'proposals', 'map'))
    rank: str = option('peak', 'proposals by the highest value of the map inside, or (ours) by '
                       'its mean inside', source='released code', choices=('peak', 'mean'))
    most_proposals: int = option(40, 'largest proposals that are kept, P; 0: all', unit='masks',
                                 source='appendix D', paper=40, minimum=0, maximum=10000)
    sam_output: str = option('best', "of SAM's masks for a point: of the three for ambiguous "
                             'prompts the one with the best predicted IoU, or the single one',
                             source='paper: not given', choices=('best', 'single'))
    map_threshold: float = option(1e-9, 'mask_from map: the mask is where the map lies above '
                                  'this part of its maximum', source='released code',
                                  minimum=0.0, maximum=1.0)
    normalise: str = option('relu', 'the map is cut at 0 and divided by its maximum, or (ours) '
                            'brought from its minimum and maximum to 0 and 1', paper='relu',
                            source='equation 4', choices=('relu', 'minmax'))
    stage: int = option(0, 'the stage whose map answers, from 1; 0: the last', paper='last',
                        source='table 9', minimum=0, maximum=4)
    context: str = option('alone', 'a sentence is asked by itself, or (ours) among texts of '
                          'training that the network keeps', paper='alone',
                          source='released code', choices=('alone', 'companions'))
    max_objects: int = option(4, 'separate peaks of the map that become answers of their own, '
                              'mask_from sam or map; 1: the one answer of the paper',
                              source='ours', paper=1, minimum=1, maximum=32)
    peak_share: float = option(0.5, 'a further peak counts from this part of the highest one on',
                               source='ours', minimum=0.0, maximum=1.0)
    cue_model: str = option('', 'name or folder of a local chat model that takes sentences '
                            'apart into cues; empty: rules over the parse', paper='Mistral 7B',
                            source='section 3.1', builds=True)
    min_mask_region_area: int = option(1000, 'islands and holes below this are removed, and '
                                       'smaller masks dropped', unit='pixels', paper=1000,
                                       source='appendix D', minimum=0)
    box_nms_thresh: float = option(0.8, 'box IoU above which the weaker mask is dropped (paper: '
                                   'IoU of masks)', paper=0.8, source='appendix D',
                                   minimum=0.0, maximum=1.0)

    def mask_source(self) -> str:
        """Return where masks come from: 'sam', 'proposals' or 'map'."""
        return by_rules(self.mask_from, self.rules, 'sam', 'proposals')
