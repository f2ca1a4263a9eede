"""Settings of Prompt-RIS at work, importable without torch; the network's own are in config."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import OutcomeSettings
from ris_ros.settings import option

PRESENCES = ('both', 'head', 'mask')


@dataclass(frozen=True)
class PromptRisSettings(OutcomeSettings):
    """Which prompts SAM gets, and how its masks become an answer."""

    network: str = option('', 'network to use in place of the one of the profile, a name that '
                          '`ris models list` shows', source='ours', builds=True)
    answer: str = option('final', "SAM's masks, or the coarse ones that CLIP's side makes",
                         source='table 3', paper='final', choices=('final', 'coarse'))
    mask_prompt: bool = option(True, 'SAM gets the mask prompt', source='table 5', paper='true')
    point_prompt: bool = option(True, 'SAM gets the point prompt', source='table 5',
                                paper='true')
    text_prompt: bool = option(True, 'SAM gets the text prompts', source='table 5', paper='true')
    mask_threshold: float = option(0.0, 'a mask is where its logit lies above this',
                                   source='open: ours', minimum=-20.0, maximum=20.0)
    max_objects: int = option(4, 'separate regions of the coarse map that become answers of '
                              'their own; 1: the one answer of the paper', source='ours',
                              paper='1', minimum=1, maximum=32)
    region_logit: float = option(0.0, 'coarse logit above which cells make up such a region',
                                 source='ours', minimum=-20.0, maximum=20.0)
    presence: str = option('both', 'what tells whether an answer fits: the presence head, the '
                           'masks themselves, or both together', source='ours',
                           choices=PRESENCES)
    sentences: int = option(16, 'sentences worked off side by side', source='ours', minimum=1,
                            maximum=256)
    score_threshold: float = option(0.5, 'below this score nothing matches', source='ours',
                                    minimum=0.0, maximum=1.0)
    ambiguity_margin: float = option(0.35, 'with less than this between the best and another '
                                     'object the command is ambiguous', source='ours',
                                     minimum=0.0, maximum=1.0)
