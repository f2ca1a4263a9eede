"""What the node does with commands and frames, from arrival to the one result; no ROS here.

The node's callbacks hand in what arrives and nothing else; when to start, what to say and how
a command ends is decided here.  All calls come from one thread (the ROS executor's); the
models work on the worker's.
"""
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from ris_ros.service.commands import CommandBoard, CommandRecord, Ending, State
from ris_ros.service.frames import FrameSet, FrameStore, Stamped, StreamName
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.ports import Clock, Models, Publisher, Surroundings
from ris_ros.service.results import Status, answered, result_of
from ris_ros.service.sight import Converter, Sight
from ris_ros.service.waiting import choose_frame, no_frame
from ris_ros.service.worker import Job, Reply, SegmenterLike
from ris_ros.types import Outcome

REFUSED = 'the node could not be configured'
JUMP_S = 0.01  # the clock went back by more than its own jitter


@dataclass(frozen=True)
class Run:
    """The command that the models work on, with the parameters that held at its start."""

    record: CommandRecord
    parameters: NodeParameters


class Session:
    """The node's state machine: every command that arrives ends in exactly one result.

    models: works the jobs off; whoever owns it calls `on_replies` when there are any.
    """

    def __init__(self, models: Models, converter: Converter, clock: Clock,
                 surroundings: Surroundings, publisher: Publisher) -> None:
        self._models, self._converter, self._clock = models, converter, clock
        self._surroundings, self._publisher = surroundings, publisher
        self._board = CommandBoard(self._tell)
        self._frames = FrameStore()
        self._running: Run | None = None
        self._active = False
        self._inactive_reason = 'the node is not active yet'
        self._last_time = 0.0
        self._last_status: tuple[float, str] = (0.0, '')

    # ---- lifecycle -----------------------------------------------------------------------

    def begin_loading(self) -> None:
        """Say that the models are on their way."""
        self._inactive_reason = 'the models are loading'
        self.publish_status()

    def load(self, factory: Callable[[], SegmenterLike], warm_up: bool) -> Future[float]:
        """Build the models on their thread; `loaded` or `refuse` is to follow."""
        return self._models.load(factory, warm_up)

    def loaded(self) -> None:
        """Note that the models are there."""
        self._inactive_reason = 'the node is configured but not active'

    def refuse(self, reason: str) -> None:
        """Say why there are no models."""
        self._inactive_reason = f'{REFUSED}: {reason}'
        self.publish_status()

    def activate(self) -> None:
        """Begin to take commands."""
        self._active = True
        self.publish_status()

    def stop(self, reason: str) -> None:
        """Take no more commands; open ones end as CANCELED, images are forgotten."""
        self._active = False
        self._inactive_reason = reason
        self._frames.clear()
        self._board.end_all(Ending(Outcome.CANCELED, reason), self._clock.ros_s())
        self.publish_status()

    def unload(self) -> None:
        """Let go of the models."""
        self._models.unload()
        self._inactive_reason = 'the node is not configured'

    # ---- what arrives --------------------------------------------------------------------

    def on_frame(self, stream: StreamName, message: Stamped) -> None:
        """Store a camera message; a command that waits for it begins."""
        self._frames.add(stream, message)
        if self._board.current is not None:
            self._advance()

    def on_command(self, raw: str) -> None:
        """Take in one command message."""
        now = self._clock.ros_s()
        if not self._active:
            self._board.refuse(raw, now, Ending(Outcome.NOT_ACTIVE, self._inactive_reason))
            return
        p = self._surroundings.parameters()
        record = self._board.submit(raw, now, p.command_timeout_s, p.busy_policy, p.queue_size)
        if record.state is not State.DONE:
            self._publisher.note(f'command {record.id}: {record.text}')
        self.publish_status()  # the id is known before the models begin
        self._advance()

    def on_cancel(self) -> int:
        """End every open command as CANCELED; return how many there were."""
        return self._board.end_all(Ending(Outcome.CANCELED, 'canceled on request'),
                                   self._clock.ros_s())

    def on_replies(self) -> None:
        """Fetch what the models have done, publish it, and go on with the next command."""
        for reply in self._models.fetch():
            run: Run = reply.token
            self._running = None
            if run.record.state is not State.DONE:  # else superseded or canceled: dropped
                ending = self._deliver(run, reply)
                self._board.end(run.record, ending, self._clock.ros_s())
        self._advance()

    def on_tick(self) -> None:
        """Look after what time alone brings about; to be called some twenty times a second."""
        self._watch_clock()
        now = self._clock.ros_s()
        for record in self._board.expired(now):
            self._board.end(record, Ending(
                Outcome.TIMEOUT, f'no result within {record.timeout_s:g} s'), now)
        self._advance()
        since, state = self._last_status
        period = self._surroundings.parameters().status_period_s
        if self._clock.steady_s() - since >= period or self._state_text() != state:
            self.publish_status()

    def _watch_clock(self) -> None:
        now = self._clock.ros_s()
        if now < self._last_time - JUMP_S:
            self._publisher.warn('the clock jumped back; images are forgotten')
            self._frames.clear()
            self._board.end_all(Ending(Outcome.CANCELED, 'the clock jumped back'), now)
        self._last_time = now

    # ---- commands ------------------------------------------------------------------------

    def _advance(self) -> None:
        """Start the current command if its image is there and the models are free."""
        record = self._board.current
        if record is None or record.state is not State.WAITING or self._running is not None:
            return
        now, p = self._clock.ros_s(), self._surroundings.parameters()
        want_depth = self._wants_depth(p)
        frames = choose_frame(self._frames, record, now, want_depth, p)
        if frames is not None:
            self._start(record, Sight(frames, want_depth, p, self._converter))
        elif now - record.waiting_since > p.image_timeout_s:
            topic = self._surroundings.image_topic()
            self._board.end(record, no_frame(self._frames, record, topic, p), now)

    def _wants_depth(self, p: NodeParameters) -> bool:
        if p.use_depth != 'auto':
            return p.use_depth == 'true'
        return bool(self._frames.depth.items) or self._surroundings.depth_is_offered()

    def _start(self, record: CommandRecord, sight: Sight) -> None:
        age_s = self._clock.ros_s() - sight.frames.image.stamp
        self._board.start(record, sight.frames, age_s)
        self._running = Run(record, sight.parameters)
        self._models.submit(Job(self._running, record.text, sight))
        self.publish_status()

    def _deliver(self, run: Run, reply: Reply) -> Ending:
        """Publish an answered command's outputs and return how it ends."""
        if reply.failure is not None:
            return Ending(*reply.failure, details={'infer_ms': 1e3 * reply.infer_s})
        frames: FrameSet | None = run.record.frames
        try:
            assert frames is not None
            self._publisher.outputs(reply, frames, run.parameters)
        except Exception as error:  # whatever a method returned, its command must end
            return Ending(Outcome.MODEL_ERROR, f'the output cannot be published: {error}')
        return answered(reply, frames)

    def _tell(self, record: CommandRecord, ending: Ending) -> None:
        p = self._surroundings.parameters()
        self._publisher.result(result_of(record, ending, self._clock.ros_s(), p.method,
                                         p.max_candidates))

    # ---- status --------------------------------------------------------------------------

    def _state_text(self) -> str:
        current = self._board.current
        if not self._active:
            return 'INACTIVE'
        return current.state.value if current is not None else 'IDLE'

    def publish_status(self) -> None:
        """Say how the node stands; done by itself at every change and as a heartbeat."""
        p, current = self._surroundings.parameters(), self._board.current
        state, newest = self._state_text(), self._frames.newest_stamp()
        age_ms = None if newest is None else 1e3 * (self._clock.ros_s() - newest)
        self._publisher.status(Status(
            active=self._active,
            message=self._inactive_reason if state == 'INACTIVE' else state.lower(),
            values={
                'state': state, 'command_id': current.id if current else None,
                'command': current.text if current else None, 'open': len(self._board.open),
                'method': p.method, 'profile': p.profile,
                'images_received': self._frames.image.received,
                'depth_received': self._frames.depth.received,
                'camera_info_received': self._frames.info.received,
                'image_age_ms': age_ms,
            }))
        self._last_status = (self._clock.steady_s(), state)
