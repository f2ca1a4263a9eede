"""Which frame a waiting command gets, and how it ends when none comes; no ROS calls."""
from __future__ import annotations

from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.frames import FrameSet, FrameStore
from ris_ros.service.parameters import NodeParameters
from ris_ros.types import Outcome


def choose_frame(frames: FrameStore, record: CommandRecord, now: float, want_depth: bool,
                 p: NodeParameters) -> FrameSet | None:
    """Return the frame to answer a command on, None while it should wait.

    now: seconds of the node's clock.  A colour image whose depth or intrinsics are missing
    waits `sync_timeout_s` for them and is then taken as it is.
    """
    oldest = record.received - p.max_image_age_s
    frame = frames.select(oldest, p.sync_slop_s, want_depth)
    if frame is not None or not want_depth:
        return frame
    partial_frame = frames.select(oldest, p.sync_slop_s, True, complete=False)
    if partial_frame is None:
        return None
    if record.colour_since is None:
        record.colour_since = now
    return partial_frame if now - record.colour_since >= p.sync_timeout_s else None


def no_frame(frames: FrameStore, record: CommandRecord, topic: str, p: NodeParameters) -> Ending:
    """Return how a command ends for which no fresh image came on `topic`."""
    newest = frames.newest_stamp()
    if newest is None:
        return Ending(Outcome.NO_IMAGE, f'no image has come on {topic} within '
                      f'{p.image_timeout_s:g} s; check the camera and the remapping')
    return Ending(Outcome.STALE_IMAGE, f'the newest image is {record.received - newest:.1f} '
                  's older than the command; check the camera and use_sim_time')
