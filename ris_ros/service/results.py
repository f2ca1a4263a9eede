"""What is said of a command at its end, and of the node all the time; no ROS here."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.frames import FrameSet
from ris_ros.service.worker import Reply


@dataclass(frozen=True)
class Result:
    """The one terminal message of a command.

    details: key-value pairs in the order in which they are told, times in milliseconds.
    max_candidates: how many of the ending's candidates are told.  What it was answered on
    stands in `record.frames`.
    """

    record: CommandRecord
    ending: Ending
    details: Mapping[str, Any]
    max_candidates: int


@dataclass(frozen=True)
class Status:
    """How the node stands: whether it takes commands, one sentence, key-value pairs."""

    active: bool
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)


def answered(reply: Reply, frames: FrameSet) -> Ending:
    """Return the ending of a command that the models have answered."""
    segmentation, measured = reply.segmentation, reply.measured
    assert segmentation is not None and measured is not None
    geometry = measured.geometry
    return Ending(measured.outcome, measured.message, {
        'candidates': len(segmentation.candidates), 'score': segmentation.score,
        'margin': segmentation.margin, 'infer_ms': 1e3 * reply.infer_s,
        'reused_scene': reply.reused_scene, 'depth_valid_ratio': measured.depth_valid_ratio,
        'notes': ' '.join(segmentation.notes) or None,
        'point_xyz': geometry.point if geometry else None,
        'frame_id': frames.image.frame_id,
        **{f'{stage}_ms': 1e3 * seconds for stage, seconds in reply.timings.items()},
    }, segmentation.candidates)


def result_of(record: CommandRecord, ending: Ending, now: float, method: str,
              max_candidates: int) -> Result:
    """Return the result of a command that ends at `now`, seconds of the node's clock."""
    details: dict[str, Any] = {'method': method, 'total_ms': 1e3 * (now - record.received),
                               **ending.details}
    if record.frames is not None and record.image_age_s is not None:
        details['image_age_ms'] = 1e3 * record.image_age_s
        details['stamp_to_result_ms'] = 1e3 * (now - record.frames.image.stamp)
    return Result(record, ending, details, max_candidates)
