"""Settings of the baselines, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import DecisionSettings, ProposedOutcomeSettings
from ris_ros.models.options import ProposalSettings
from ris_ros.settings import option


@dataclass(frozen=True)
class ClipOnlySettings(DecisionSettings, ProposalSettings):
    """Settings of the baseline that compares masked crops with the sentence."""

    view: str = option('crop', 'what CLIP sees of a region', choices=('crop', 'masked_crop',
                                                                    'masked_frame'))
    margin: float = option(0.1, 'crop margin per side', unit='box sides', minimum=0.0,
                           maximum=2.0)
    region_batch: int = option(32, 'regions in the tower at once', minimum=1, maximum=1024)


@dataclass(frozen=True)
class TextOnlySettings(ProposedOutcomeSettings, ProposalSettings):
    """Settings of the baseline that compares captions of the regions with the sentence."""

    scorer: str = option('', "network whose text tower compares, as `ris models list` names it; "
                         "empty: the profile's", source='TAS section 4.3', builds=True)
    captioner: str = option('', "network that describes regions; empty: the profile's",
                            paper='BLIP-2 OPT-2.7B', source='TAS section 4.2', builds=True)
    caption_view: str = option('blur', 'what the captioner sees around a region', paper='blur',
                               source='TAS table 5', choices=('crop', 'blur'))
    blur_kernel: int = option(75, 'side of the Gaussian kernel, odd', unit='pixels',
                              source="TAS's released code", minimum=3, maximum=199)
    beams: int = option(5, 'beams of the captioner; 1 is faster', source="TAS's released code",
                        minimum=1, maximum=20, builds=True)
    max_new_tokens: int = option(30, 'longest caption', unit='tokens',
                                 source="TAS's released code", minimum=1, maximum=64,
                                 builds=True)
    caption_batch: int = option(16, 'regions in the captioner at once', minimum=1, maximum=256)


@dataclass(frozen=True)
class OracleSettings(ProposedOutcomeSettings, ProposalSettings):
    """Settings of the choice by the truth: those of the proposals."""


@dataclass(frozen=True)
class RegionBaselineSettings(DecisionSettings, ProposalSettings):
    """Settings of global_local and region_token."""

    start_block: int = option(9, '0-based block from which on patches outside the region are '
                              'set to zero in the global view', source='as HybridGL table 3',
                              minimum=0, maximum=47)
    global_weight: float = option(0.5, 'share of the global feature (global_local)',
                                  source='the best weight is chosen per data set in HybridGL '
                                  'table 3, not given', minimum=0.0, maximum=1.0)
    phrase_weight: float = option(0.5, 'share of the noun phrase beside the whole sentence',
                                  paper=0.5, source='Global-Local', minimum=0.0, maximum=1.0)
    margin: float = option(0.1, 'crop margin per side', unit='box sides', minimum=0.0,
                           maximum=2.0)
    region_batch: int = option(32, 'regions in the tower at once', minimum=1, maximum=1024)


@dataclass(frozen=True)
class DenseBaselineSettings(DecisionSettings, ProposalSettings):
    """Settings of score_map, clip_surgery and grad_cam: a map, averaged over each mask."""

    map_size: int = option(0, "side of the network input; 0: twice the network's",
                           unit='pixels', minimum=0, maximum=2048)
    gem_blocks: int = option(6, 'last blocks with value-value attention (clip_surgery)',
                             source='CLIP Surgery: from the middle on', minimum=1, maximum=48)
