"""Everything that can be set in IteRPrimE, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import ProposedOutcomeSettings
from ris_ros.models.options import Mask2FormerSettings, ProposalSettings
from ris_ros.settings import option


@dataclass(frozen=True)
class IterPrimeSettings(ProposedOutcomeSettings, Mask2FormerSettings, ProposalSettings):
    """Everything that can be set in IteRPrimE."""

    rules: str = option('paper', 'as the paper states it or as the released code does',
                        choices=('paper', 'released'))
    proposals: str = option('mask2former', 'what proposes masks: Mask2Former, SAM, objects from '
                            'depth and colour, both of the last, or by itself: depth where it '
                            'gives masks and SAM for what it leaves uncovered, SAM alone '
                            'elsewhere', paper='mask2former',
                            source='section "Implementation details"; depth is ours',
                            choices=('mask2former', 'auto', 'sam', 'depth', 'both'), builds=True)
    matcher: str = option('', 'image-text matcher, as `ris models list` names it; empty: the '
                          "profile's", paper='ALBEF, 14M', source='released code', builds=True)
    mode: int = option(0, 'how words are weighted: 0 local and global augmentation, 1 overall '
                       'mean, 2 effective words, 3 global augmentation, 4 local augmentation',
                       paper=0, source='table 3', minimum=0, maximum=4)
    layer: int = option(8, '0-based layer whose cross-attention is watched', paper=8,
                        source='figure 6', minimum=0, maximum=47)
    iterations: int = option(3, 'looks at the image at most, the first one included', paper=3,
                             source='figure 6', minimum=1, maximum=20)
    keep: float = option(0.8, 'weight of the old map (lambda)', paper=0.8, source='equation 5',
                         minimum=0.0, maximum=1.0)
    threshold: float = option(0.5, 'what lies above is hidden from the next look (theta)',
                              paper=0.5, source='equation 6', minimum=0.0, maximum=1.0)
    slope: float = option(20.0, 'steepness of the sigmoid', source='released code', minimum=0.1,
                          maximum=1000.0)
    center: float = option(0.5, 'centre of the sigmoid', source='released code', minimum=0.0,
                           maximum=1.0)
    smooth: str = option('rules', 'put the map through the sigmoid before it is added; paper: '
                         'on, released: off', source='equation 5',
                         choices=('rules', 'on', 'off'))
    stop: str = option('rules', 'when to stop looking; paper: the match times what was '
                       'overlooked falls, the map before counts; released: the match falls, '
                       'the last map counts', source='equation 7',
                       choices=('rules', 'paper', 'released', 'never'))
    hide: str = option('attention', 'what hides the places already seen: the attention mask of '
                       'the fusion layers, or grey patches in the image', paper='attention',
                       source='table 4', choices=('attention', 'image'))
    component_limit: int = option(12, 'masks of more parts are no candidates (kappa); 0: all '
                                  'are', paper=12, source='equation 8', minimum=0)
    peak_filter: bool = option(True, "candidates must hold the map's highest point", paper=True,
                               source='equation 8')
    sentence_batch: int = option(16, 'sentences looked at side by side', minimum=1, maximum=1024)
