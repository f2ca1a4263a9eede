"""Settings of the tabletop trainers; nothing heavy is imported here."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ris_ros.settings import option
from ris_ros.training.engine.settings import OURS, EngineSettings, changed

# The rate of a network that goes on from finished weights (`--init`), where none is given.
INIT_RATE = 5e-4


@dataclass(frozen=True)
class TabletopSettings(EngineSettings):
    """What the tabletop trainers share."""

    figures: ClassVar[tuple[str, ...]] = ()

    minutes: float = changed(EngineSettings, 'minutes', 70.0)
    optimiser: str = changed(EngineSettings, 'optimiser', 'muon')


@dataclass(frozen=True)
class SamSettings(TabletopSettings):
    """The small SAM."""

    figures: ClassVar[tuple[str, ...]] = ('iou', 'best_iou')

    weight_decay: float = changed(EngineSettings, 'weight_decay', 0.02)
    images: int = option(4, 'pictures per batch', source=OURS, minimum=1)
    prompts: int = option(6, 'prompts per picture', source=OURS, minimum=1)
    validation_images: int = option(40, 'pictures of a validation', source=OURS, minimum=1)


@dataclass(frozen=True)
class ClipSettings(TabletopSettings):
    """
    The small CLIP.

    The numbers of views are those of a step on few patches; a step on more patches has fewer
    of them, see `clip_draws.KEPT`.
    """

    figures: ClassVar[tuple[str, ...]] = (
        *(f'{view}_{what}' for view in ('local', 'hybrid')
          for what in ('kind', 'colour', 'both', 'whole_first')),
        'text_related', 'text_table', 'text_nearer', 'peak_coloured', 'peak_bare')

    local: int = option(80, 'masked frames per batch', source=OURS, minimum=2)
    hybrid: int = option(48, 'pairs of HybridGL streams per batch', source=OURS, minimum=2)
    crop: int = option(40, 'crops per batch', source=OURS, minimum=2)
    whole: int = option(6, 'whole pictures per batch', source=OURS, minimum=2)
    dense: int = option(2, 'pictures per batch whose dense features are trained', source=OURS,
                        minimum=1)
    dense_patches: int = option(8, 'single patches of each of them, half of the bare table',
                                source=OURS, minimum=2, maximum=64)
    texts: int = option(64, 'captions per batch beside those of what is shown', source=OURS,
                        minimum=0)
    text_weight: float = option(0.5, 'weight of the loss that brings captions together one of '
                                'which follows from the other', source=OURS, minimum=0)
    text_scale: float = option(15.0, 'factor on the cosines of captions in that loss',
                               source=OURS, minimum=1, maximum=100)
    full_from: float = option(0.65, 'part of the run after which most steps are on all patches',
                              source=OURS, minimum=0, maximum=1)
    proposed_scenes: int = option(450, 'scenes whose proposals by the small SAM are shown',
                                  source=OURS, minimum=1)
    validation_scenes: int = option(40, 'the same, of a validation', source=OURS, minimum=1)


@dataclass(frozen=True)
class PlainClipSettings(TabletopSettings):
    """The small CLIP of frames, windows and sentences alone."""

    figures: ClassVar[tuple[str, ...]] = ('window_kind', 'window_colour', 'text_related',
                                          'text_table', 'text_nearer', 'peak_coloured',
                                          'peak_bare')

    windows: int = option(96, 'windows of frames per batch', source=OURS, minimum=2)
    frames: int = option(16, 'whole frames per batch', source=OURS, minimum=2)
    kept: int = option(98, 'patches kept of a picture in most steps', source=OURS, minimum=16,
                       maximum=196)
    full_from: float = option(0.65, 'part of the run after which most steps keep all patches',
                              source=OURS, minimum=0, maximum=1)
    texts: int = changed(ClipSettings, 'texts', 64)
    text_weight: float = changed(ClipSettings, 'text_weight', 0.5)
    text_scale: float = changed(ClipSettings, 'text_scale', 15.0)
    validation_windows: int = option(200, 'windows of a validation', source=OURS, minimum=1)


@dataclass(frozen=True)
class MatcherSettings(TabletopSettings):
    """The small image-text matcher; in float32, for its losses read attention weights."""

    figures: ClassVar[tuple[str, ...]] = (
        'itm', 'first', 'peak', 'peak_attribute', 'peak_position', 'peak_relation', 'peak_size')

    precision: str = changed(EngineSettings, 'precision', 'fp32')
    scenes: int = option(4, 'pictures per batch', source=OURS, minimum=1)
    statements: int = option(10, 'statements per picture', source=OURS, minimum=1)
    kept: int = option(128, 'patches kept of a picture in most steps', source=OURS, minimum=1)
    all_patches_from: float = option(0.85, 'part of the run after which some steps keep all',
                                     source=OURS, minimum=0, maximum=1)
    all_patches_odds: float = option(0.25, 'how often they do then, with half the pictures',
                                     source=OURS, minimum=0, maximum=1)
    smoothing: float = option(0.1, 'label smoothing of the match', source=OURS, minimum=0,
                              maximum=0.5)
    hidden: float = option(0.4, 'largest part of the patches that is hidden at random',
                           source=OURS, minimum=0, maximum=0.9)
    hidden_odds: float = option(0.5, 'how often some are', source=OURS, minimum=0, maximum=1)
    meant_above: int = option(1, 'layers above the watched one in which the phrase is shown the '
                              'object meant', source=OURS, minimum=0, maximum=2)
    validation_scenes: int = option(30, 'scenes of a validation', source=OURS, minimum=1)


@dataclass(frozen=True)
class CaptionerSettings(TabletopSettings):
    """The small captioner."""

    figures: ClassVar[tuple[str, ...]] = ('region_kind', 'region_colour', 'region_both',
                                          'frame_precision', 'frame_recall')

    precision: str = changed(EngineSettings, 'precision', 'fp32')
    optimiser: str = changed(EngineSettings, 'optimiser', 'adamw')
    small_regions: int = option(20, 'regions of a step at half the size', source=OURS, minimum=1)
    small_windows: int = option(8, 'parts of frames of a step at half the size', source=OURS,
                                minimum=1)
    full_regions: int = option(5, 'regions of a step at the full size', source=OURS, minimum=1)
    full_frames: int = option(5, 'frames of a step at the full size', source=OURS, minimum=1)
    full_early: float = option(0.25, 'how often a step is one at the full size at first',
                               source=OURS, minimum=0, maximum=1)
    full_late: float = option(0.75, 'the same after full_from', source=OURS, minimum=0,
                              maximum=1)
    full_from: float = option(0.65, 'part of the run after which most steps are at the full size',
                              source=OURS, minimum=0, maximum=1)
    frozen_until: float = option(0.04, 'part of the run in which the decoder learns to read the '
                                 'tower as it is', source=OURS, minimum=0, maximum=1)
    validation_regions: int = option(150, 'regions of a validation', source=OURS, minimum=1)
    validation_frames: int = option(40, 'frames of a validation', source=OURS, minimum=1)
