"""Settings of the modern methods, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import OutcomeSettings
from ris_ros.settings import option


@dataclass(frozen=True)
class ZooSettings(OutcomeSettings):
    """What all of them share."""

    max_objects: int = option(8, 'answers to one sentence at most, the likeliest first',
                              source='ours', minimum=1, maximum=100)
    min_area: int = option(64, 'answers below this are left out', unit='pixels', source='ours',
                           minimum=0)


@dataclass(frozen=True)
class ClipSegSettings(ZooSettings):
    """Settings of CLIPSeg."""

    map_threshold: float = option(0.4, 'a pixel belongs to an answer above this probability',
                                  source='ours', minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class Sam3Settings(ZooSettings):
    """Settings of SAM 3."""

    least: float = option(0.1, 'answers of less are left out before the decision',
                          source='ours', minimum=0.0, maximum=1.0)
    mask_threshold: float = option(0.5, 'a pixel belongs to a mask above this probability',
                                   source="the library's default", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class GroundedSamSettings(ZooSettings):
    """Settings of detector and SAM."""

    detector: str = option('', 'the detector, as `ris models list` names it; empty: the '
                           "profile's", builds=True)
    least: float = option(0.15, 'boxes of less are left out before the decision',
                          source='ours', minimum=0.0, maximum=1.0)
    text_threshold: float = option(0.15, 'Grounding DINO: words of less do not name a box',
                                   source='ours', minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class Florence2Settings(ZooSettings):
    """Settings of Florence-2."""

    answer: str = option('polygons', 'what is asked for: outlines of what is meant, or boxes of '
                         'its phrases, from which the SAM of the profile draws',
                         choices=('polygons', 'box'), builds=True)
    max_new_tokens: int = option(512, 'longest answer', unit='tokens', minimum=16, maximum=4096)
    beams: int = option(1, 'width of the beam search', minimum=1, maximum=8)
    score_threshold: float = option(0.5, 'below this score nothing matches; the score is how sure '
                                    'the network was of what it wrote', source='ours',
                                    minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class VlmBoxSettings(ZooSettings):
    """Settings of the vision-language model."""

    max_new_tokens: int = option(256, 'longest answer', unit='tokens', minimum=16, maximum=4096)
    score_threshold: float = option(0.5, 'below this score nothing matches; the score is how sure '
                                    'the network was of what it wrote', source='ours',
                                    minimum=0.0, maximum=1.0)
