"""Which frame a waiting command gets, and how it ends when none comes; no ROS calls."""
from __future__ import annotations

from ris_ros.service.commands import CommandRecord, Ending
from ris_ros.service.frames import FrameSet, FrameStore, Freshness, Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.types import Outcome


def freshness(record: CommandRecord, simulated: bool, p: NodeParameters) -> Freshness:
    """Return which images will do for a command.

    Of real time both the stamp and the arrival must be recent: a stamp ahead of the clock says
    nothing.  Simulated time may run at any rate or be paused, so there the stamp alone counts.
    """
    arrival = None if simulated else record.received - p.max_image_age_s
    return Freshness(record.received_stamp - p.max_image_age_s, arrival, p.max_image_lead_s)


def choose_frame(frames: FrameStore, record: CommandRecord, now: float, want_depth: bool,
                 p: NodeParameters, simulated: bool = False) -> FrameSet | None:
    """Return the frame to answer a command on, None while it should wait.

    now: seconds of the steady clock.  A colour image whose depth or intrinsics are missing
    waits `sync_timeout_s` for them and is then taken as it is.
    """
    fresh = freshness(record, simulated, p)
    frame = frames.select(fresh, p.sync_slop_s, want_depth)
    if frame is not None or not want_depth:
        return frame
    partial_frame = frames.select(fresh, p.sync_slop_s, True, complete=False)
    if partial_frame is None:
        return None
    if record.colour_since is None:
        record.colour_since = now
    return partial_frame if now - record.colour_since >= p.sync_timeout_s else None


def no_frame(frames: FrameStore, record: CommandRecord, topic: str, p: NodeParameters,
             trouble: str | None = None) -> Ending:
    """Return how a command ends for which no fresh image came on `topic`.

    trouble: why the clock cannot be trusted, where it cannot.
    """
    newest = frames.newest()
    outcome = Outcome.NO_IMAGE if newest is None else Outcome.STALE_IMAGE
    if trouble:
        return Ending(outcome, trouble)
    if newest is None:
        return Ending(outcome, f'no image has come on {topic} within '
                      f'{p.image_timeout_s:g} s; check the camera and the remapping')
    return Ending(outcome, _why_stale(newest, record, topic, p))


def _why_stale(image: Stamped, record: CommandRecord, topic: str, p: NodeParameters) -> str:
    if image.stamp <= 0.0:
        return (f'the images on {topic} carry no stamp ({image.stamp:g} s); their publisher '
                'must set header.stamp')
    if image.lead_s > p.max_image_lead_s:
        return (f"the images on {topic} are stamped {image.lead_s:.4g} s ahead of the node's "
                'clock; synchronise the clocks (chrony, PTP) or check use_sim_time')
    older = max(record.received_stamp - image.stamp, record.received - image.arrived)
    return (f'the newest image is {older:.1f} s older than the command; check the camera and '
            'use_sim_time')
