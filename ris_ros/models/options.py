"""Settings of the networks, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ris_ros import settings

# All of these are built into a proposer.
option = partial(settings.option, builds=True)


@dataclass(frozen=True)
class ProposalSettings:
    """Automatic mask generation.  Defaults: what HybridGL and TAS use on RefCOCO."""

    points_per_side: int = option(8, 'grid of point prompts per image side', paper=8,
                                  source='HybridGL section 4.2', minimum=1, maximum=64)
    pred_iou_thresh: float = option(0.7, 'least predicted IoU, exclusive', paper=0.7,
                                    source='HybridGL section 4.2', minimum=0.0, maximum=1.0)
    stability_score_thresh: float = option(0.7, 'least stability score', paper=0.7,
                                           source='HybridGL section 4.2', minimum=0.0,
                                           maximum=1.0)
    box_nms_thresh: float = option(0.7, 'box IoU above which the weaker mask is dropped',
                                   source='SAM default', minimum=0.0, maximum=1.0)
    overlap_nms_thresh: float = option(1.0, 'part of the smaller of two masks above which only '
                                       'the one of higher predicted IoU times stability is kept; '
                                       '1: all are', source='ours', minimum=0.0, maximum=1.0)
    min_mask_region_area: int = option(800, 'islands and holes below this are removed',
                                       unit='pixels', source='released code', minimum=0)
    points_per_batch: int = option(64, 'prompts decoded at once', source='SAM default',
                                   minimum=1, maximum=4096)
    proposals: str = option('auto', 'what proposes masks: SAM, objects from depth and colour, '
                            'both, or by itself: depth where it gives masks and SAM for what it '
                            'leaves uncovered, SAM alone elsewhere',
                            paper='sam', source='depth is ours',
                            choices=('auto', 'sam', 'depth', 'both'))


@dataclass(frozen=True)
class Mask2FormerSettings:
    """Mask proposals of Mask2Former: every query's mask, whatever its class."""

    mask_threshold: float = option(0.35, "a query's pixel belongs to its mask above this "
                                   'probability', source='IteRPrimE released code; not in the '
                                   'paper', minimum=0.0, maximum=1.0)
    shortest_side: int = option(800, "Mask2Former's input, shorter side", unit='pixels',
                                source='detectron2 default', minimum=32, maximum=4096)
    longest_side: int = option(1333, 'the same, longer side at most', unit='pixels',
                               source='detectron2 default', minimum=32, maximum=8192)
