"""What is said of a command at its end, and of the node all the time; no ROS here."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.frames import FrameSet
from ris_ros.service.worker import Reply

# What a stage's time may not be called.
RESERVED = ('total_ms', 'image_age_ms', 'stamp_to_result_ms')


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
    """How the node stands: whether it takes commands, one sentence, key-value pairs.

    warning: whether somebody should look at it though it takes commands.
    """

    active: bool
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)
    warning: bool = False


def answered(reply: Reply, frames: FrameSet) -> Ending:
    """Return the ending of a command that the models have answered."""
    segmentation, measured = reply.segmentation, reply.measured
    assert segmentation is not None and measured is not None
    geometry = measured.geometry
    details: dict[str, Any] = {
        'candidates': len(segmentation.candidates), 'score': segmentation.score,
        'margin': segmentation.margin, 'infer_ms': 1e3 * reply.infer_s,
        'reused_scene': reply.reused_scene, 'depth_valid_ratio': measured.depth_valid_ratio,
        'notes': ' '.join((*segmentation.notes, *map(_sentence, reply.notes))) or None,
        'point_xyz': geometry.point if geometry else None,
        'orientation_xyzw': geometry.orientation if geometry else None,
        'frame_id': reply.frame_id or frames.image.frame_id,
    }
    box = reply.detail.box
    if box is not None:
        details.update(box_xyz=box.centre, box_xyzw=box.orientation, box_size=box.size)
    about = reply.detail.about
    if about is not None:
        details.update(height_m=about.height, lifted_m=about.lifted, clearance_m=about.clearance,
                       finger_room_m=about.finger_room, free_above=about.free_above)
    details.update(_told_besides(reply))
    for stage, seconds in reply.timings.items():
        # The segmenter's own total is not the command's.
        name = 'segmenter_ms' if stage == 'total' else f'{stage}_ms'
        details[f'stage_{name}' if name in (*details, *RESERVED) else name] = 1e3 * seconds
    return Ending(measured.outcome, measured.message, details, segmentation.candidates,
                  reply.detail.points)


def _told_besides(reply: Reply) -> dict[str, Any]:
    """Return what is asked back, answered, and found of further objects and the destination."""
    segmentation = reply.segmentation
    assert segmentation is not None
    out: dict[str, Any] = {}
    if segmentation.question is not None:
        out['question'] = segmentation.question.text
        out['options'] = '; '.join(o.words for o in segmentation.question.options)
    if reply.in_reply_to is not None:
        out['in_reply_to'] = reply.in_reply_to
    if len(segmentation.selected) > 1:
        out['selected'] = len(segmentation.selected)
        for number, measured in enumerate(reply.others, start=2):
            if measured.geometry is not None:
                out[f'point_{number}_xyz'] = measured.geometry.point
    goal = segmentation.command.destination if segmentation.command else None
    if goal is not None:
        out['destination'] = f'{goal.type} {goal.expression or goal.object}'.strip()
    if reply.destination is not None:
        out['destination_outcome'] = reply.destination.outcome.name
        geometry = reply.destination.geometry
        out['destination_xyz'] = geometry.point if geometry else None
    return out


def result_of(record: CommandRecord, ending: Ending, now: float, method: str,
              max_candidates: int) -> Result:
    """Return the result of a command that ends at `now`, seconds of the steady clock."""
    details: dict[str, Any] = {'method': method, 'total_ms': 1e3 * (now - record.received),
                               **ending.details}
    if record.note:
        details['notes'] = ' '.join(filter(None, (_sentence(record.note), details.get('notes'))))
    if record.frames is not None and record.image_age_s is not None:
        since = now - (now if record.started is None else record.started)
        details['image_age_ms'] = 1e3 * record.image_age_s
        details['stamp_to_result_ms'] = 1e3 * (record.image_age_s + since)
    return Result(record, ending, details, max_candidates)


def _sentence(text: str) -> str:
    return f'{text[:1].upper()}{text[1:]}.'
