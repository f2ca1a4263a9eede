"""What the node does with commands and frames, from arrival to the one result; no ROS here.

The node's callbacks hand in what arrives and nothing else; when to start, what to say and how
a command ends is decided here.  All calls come from one thread (the ROS executor's); the
models work on the worker's.  None of them raises: what fails ends the command it is about.
"""
from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from ris_ros.service.careful import CarefulPublisher
from ris_ros.service.commands import CommandBoard, CommandRecord, Ending, State
from ris_ros.service.frames import FrameSet, FrameStore, Stamped, StreamName
from ris_ros.service.health import Check
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.placing import Placing
from ris_ros.service.ports import Clock, Intake, Models, Publisher, Surroundings
from ris_ros.service.results import Result, answered, result_of
from ris_ros.service.runs import Held, Run, failed
from ris_ros.service.sight import Converter, Sight
from ris_ros.service.standing import Standing
from ris_ros.service.switching import Choice
from ris_ros.service.text import shortened
from ris_ros.service.timekeeping import Timekeeper
from ris_ros.service.waiting import choose_frame, no_frame
from ris_ros.service.worker import Job, Reply, SegmenterLike
from ris_ros.types import BadInputError, Outcome

REFUSED = 'the node could not be configured'
REPORT_EVERY_S = 10.0  # the same fault of the node's own is logged so often


class Session:
    """The node's state machine: every command that arrives ends in exactly one result.

    models: works the jobs off; whoever owns it calls `on_replies` when there are any.
    """

    def __init__(self, models: Models, converter: Converter, clock: Clock, intake: Intake,
                 surroundings: Surroundings, publisher: Publisher) -> None:
        self._models, self._converter, self._intake = models, converter, intake
        self._surroundings, self._publisher = surroundings, CarefulPublisher(publisher)
        self._time = Timekeeper(clock)
        self._board = CommandBoard(self._tell)
        self._frames = FrameStore()
        self._running: Run | None = None
        self._held: Held | None = None
        self._standing = Standing(self._surroundings, intake, self._frames, self._time,
                                  self._board)
        self._last_status: tuple[float, str] = (0.0, '')
        self._warned: set[str] = set()  # kinds of warnings that were given
        self._reported: dict[str, float] = {}
        self._last_text = ''            # of the last command that was taken
        self._told: Result | None = None
        self._watchers: dict[CommandRecord, Callable[[Result], None]] = {}
        self._diagnosed = self._collected = 0.0

    # ---- lifecycle -----------------------------------------------------------------------

    def begin_loading(self) -> None:
        """Say that the models are on their way."""
        self._standing.reason, self._standing.failed = 'the models are loading', False
        self.publish_status()

    def load(self, factory: Callable[[], SegmenterLike], warm_up: bool) -> Future[float]:
        """Build the models on their thread; `loaded` or `refuse` is to follow."""
        return self._models.load(factory, warm_up)

    def loaded(self, choice: Choice) -> None:
        """Note that models are there, the first ones or others than before."""
        standing = self._standing
        if standing.choice is None:
            standing.reason = 'the node is configured but not active'
        standing.choice, standing.coming, standing.refused = choice, None, ''
        self.publish_status()

    def expect(self, coming: Choice | None, refused: str = '') -> None:
        """Note which models are being built, or why others could not be."""
        standing = self._standing
        if coming != standing.coming or refused:
            standing.coming, standing.refused = coming, refused
            self.publish_status()

    def refuse(self, reason: str) -> None:
        """Say why there are no models."""
        self._standing.reason, self._standing.failed = f'{REFUSED}: {reason}', True
        self.publish_status()

    def activate(self) -> None:
        """Begin to take commands."""
        self._standing.active = True
        self.publish_status()

    def stop(self, reason: str) -> None:
        """Take no more commands; open ones end as CANCELED, images are forgotten."""
        self._standing.active = False
        self._standing.reason = reason
        self._frames.clear()
        self._board.end_all(Ending(Outcome.CANCELED, reason), self._time.now)
        self._listen()
        self.publish_status()

    def unload(self, reason: str = 'the node is not configured') -> None:
        """Let go of the models; commands that come are told the reason."""
        self._models.unload()
        self._standing.choice = self._standing.coming = None
        self._standing.reason = reason
        self.publish_status()

    # ---- what arrives --------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a command is open, so that time has to be watched closely."""
        return bool(self._board.open)

    def on_frame(self, stream: StreamName, message: Stamped) -> None:
        """Store a camera message; a command that waits for it begins."""
        self._safely(lambda: self._take_frame(stream, message))

    def repeat(self, then: Callable[[Result], None]) -> None:
        """Answer the last command again, or the parameter `default_command` where there is none.

        then(result) is called once, at the latest when the command's time is over.  Raises
        BadInputError where there is nothing to answer.
        """
        text = self._last_text or self._surroundings.parameters().default_command
        if not text.strip():
            raise BadInputError('no command has been given yet; give one, or set the parameter '
                                'default_command')
        record = self.on_command(json.dumps({'text': text}))
        if record.state is State.DONE and self._told is not None:
            then(self._told)
        else:
            self._watchers[record] = then

    def on_command(self, raw: str) -> CommandRecord:
        """Take in one command message; return its record, which may have ended already."""
        try:
            self._watch_clock()
            p = self._surroundings.parameters()
        except Exception as error:
            self._report(error)
            return self._board.refuse(raw, self._time.now, failed(error))
        if not self._standing.active:
            return self._board.refuse(raw, self._time.now,
                                      Ending(Outcome.NOT_ACTIVE, self._standing.reason))
        record = self._board.submit(raw, self._time.now, p.command_timeout_s, p.busy_policy,
                                    p.queue_size, self._time.stamp)
        if record.state is not State.DONE:
            self._last_text = record.text
            self._publisher.note(f'command {record.id}: {record.text}')
        self.publish_status()  # the id is known before the models begin
        self._safely(self._advance)
        return record

    def on_cancel(self) -> int:
        """End every open command as CANCELED; return how many there were."""
        count = self._board.end_all(Ending(Outcome.CANCELED, 'canceled on request'),
                                    self._time.now)
        self._safely(self._advance)
        return count

    def on_replies(self) -> None:
        """Fetch what the models have done, publish it, and go on with the next command."""
        self._safely(self._watch_clock)
        for reply in self._models.fetch():
            run: Run = reply.token
            self._running = run
            self._held = Held(run, reply, self._time.now + run.parameters.tf_timeout_s)
            self._hand_over()
        self._safely(self._advance)

    def on_tick(self) -> None:
        """Look after what time alone brings about.

        To be called some twenty times a second while `busy`, twice a second otherwise.
        """
        self._safely(self._watch_clock)
        self._safely(self._expire)
        self._hand_over()
        self._safely(self._advance)
        self._safely(self._beat)
        self._safely(self._diagnose)

    def _take_frame(self, stream: StreamName, message: Stamped) -> None:
        self._watch_clock()
        self._store(stream, message)
        if self._board.current is not None:
            self._advance(collect=False)

    def _expire(self) -> None:
        now, trouble = self._time.now, self._time.trouble()
        for record in self._board.expired(now):
            why = f'; {trouble}' if trouble else self._whereabouts(record)
            self._board.end(record, Ending(
                Outcome.TIMEOUT, f'no result within {record.timeout_s:g} s{why}'), now)

    def _whereabouts(self, record: CommandRecord) -> str:
        if record.state is State.RUNNING:
            return ' (the models are at it still)'
        if self._running is not None:
            return f' (the models are still at command {self._running.record.id})'
        return ' (it waited for an image)' if record.state is State.WAITING else ''

    # ---- frames and time -----------------------------------------------------------------

    def _watch_clock(self) -> None:
        jump = self._time.look()
        if jump is None:
            return
        self._publisher.warn(f'{jump}; images are forgotten')
        self._frames.clear_but_lasting()
        self._models.forget()
        self._surroundings.clock_jumped()
        self._board.end_all(Ending(Outcome.CANCELED, jump), self._time.now)

    def _collect(self) -> None:
        self._collected = self._time.now
        for stream, message in self._intake.collect():
            self._store(stream, message)

    def _store(self, stream: StreamName, message: Stamped) -> None:
        item = replace(message, arrived=self._time.now - message.waited_s,
                       arrived_stamp=self._time.stamp - message.waited_s)
        self._frames.add(stream, item)
        p = self._surroundings.parameters()
        if stream == 'image' and item.lead_s > p.max_image_lead_s:
            self._standing.ahead += 1
            self._warn_once('ahead', f'an image is stamped {item.lead_s:.4g} s ahead of the '
                            "node's clock; such images are not taken")

    def _listen(self) -> None:
        """Have images handed over as they come only while a command waits for one."""
        record = self._board.current
        self._intake.listen(self._running is None and record is not None
                            and record.state is State.WAITING)

    # ---- commands ------------------------------------------------------------------------

    def _advance(self, collect: bool = True) -> None:
        """Start the current command if its image is there and the models are free."""
        record = self._board.current
        if record is not None and record.state is State.WAITING and self._running is None:
            try:
                if collect:
                    self._collect()
                self._begin(record)
            except Exception as error:  # whatever failed, its command must end
                self._report(error)
                self._board.end(record, failed(error), self._time.now)
        self._listen()

    def _begin(self, record: CommandRecord) -> None:
        now, p, trouble = self._time.now, self._surroundings.parameters(), self._time.trouble()
        want_depth = self._wants_depth(p)
        simulated = self._time.word() != 'system'
        frames = None if trouble else choose_frame(
            self._frames, record, now, want_depth, p, simulated)
        topic = self._surroundings.image_topic()
        if frames is not None:
            self._start(record, Sight(frames, want_depth, p, self._converter, topic,
                                      want_depth and self._surroundings.wants_detail(p)))
        elif now - record.waiting_since > p.image_timeout_s:
            self._board.end(record, no_frame(self._frames, record, topic, p, trouble), now)

    def _wants_depth(self, p: NodeParameters) -> bool:
        if p.use_depth != 'auto':
            return p.use_depth == 'true'
        return bool(self._frames.depth.items) or self._surroundings.depth_is_offered()

    def _start(self, record: CommandRecord, sight: Sight) -> None:
        now = self._time.now
        self._board.start(record, sight.frames, now, sight.frames.image.age_s(now))
        placing = Placing(self._surroundings, sight.parameters.target_frame if sight.want_depth
                          else '', sight.frames.image)
        record.method = self._standing.method
        self._running = Run(record, sight.parameters, placing)
        self._models.submit(Job(self._running, record.text, sight, record.id,
                                record.in_reply_to))
        # The next tick says so in the status; now the models have the word.

    def _hand_over(self) -> None:
        """End the command whose answer is there, unless the transform of its image is not.

        It is looked for from the command's start on: when the models are done, tf2 may have
        forgotten it.
        """
        if self._running is None:
            return
        run, held = self._running, self._held
        done = run.record.state is State.DONE   # superseded, canceled, out of time
        complete = done
        try:
            complete = done or run.placing.look()
        except Exception as error:
            self._report(error)
            run.placing.reason = f'{type(error).__name__}: {shortened(str(error))}'
        if held is None or not (complete or self._time.now >= held.end
                                or not run.placing.concerns(held.reply)):
            return
        self._running = self._held = None
        if not done:
            ending = self._deliver(run, held.reply)
            self._board.end(run.record, ending, self._time.now)

    def _deliver(self, run: Run, reply: Reply) -> Ending:
        """Publish an answered command's outputs and return how it ends."""
        if reply.failure is not None:
            return Ending(*reply.failure, details={'infer_ms': 1e3 * reply.infer_s})
        about: Run = reply.about or run  # an answer is about what the question was about
        frames: FrameSet | None = about.record.frames
        try:
            assert frames is not None
            if about is not run:
                run.record.frames = frames
                run.record.image_age_s = frames.image.age_s(run.record.started or self._time.now)
            reply = about.placing.placed(reply, run.parameters.pose_orientation)
            ending = answered(reply, frames)
            self._publisher.outputs(reply, frames, run.parameters)
        except Exception as error:  # whatever a method returned, its command must end
            return Ending(Outcome.MODEL_ERROR, f'the output cannot be published: {error}')
        for note in reply.notes:
            self._warn_once(note, note)
        return ending

    def _tell(self, record: CommandRecord, ending: Ending) -> None:
        try:
            p = self._surroundings.parameters()
            method = record.method or self._standing.method
            result = result_of(record, ending, self._time.now, method, p.max_candidates)
        except Exception as error:
            self._report(error)
            result = Result(record, ending, {}, 0)
        self._publisher.result(result)
        self._told = result
        self._standing.health.note(result)
        watcher = self._watchers.pop(record, None)
        if watcher is not None:
            self._safely(lambda: watcher(result))

    # ---- failures ------------------------------------------------------------------------

    def _safely(self, step: Callable[[], None]) -> None:
        """Do something that must not end the node."""
        try:
            step()
        except Exception as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        """Log a fault with its place, each once in a while."""
        text, now = ''.join(traceback.format_exception(error)), self._time.now
        if now - self._reported.get(text, -REPORT_EVERY_S) >= REPORT_EVERY_S:
            self._reported[text] = now
            self._publisher.warn(f'the node failed at something and goes on:\n{text}')

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._publisher.warn(text)

    # ---- status and health ---------------------------------------------------------------

    def checks(self) -> list[Check]:
        """Return how each part of the node fares, as far as it can be told at once."""
        return self._standing.checks()

    def _diagnose(self) -> None:
        period = self._surroundings.parameters().diagnostics_period_s
        if period and self._time.now - self._diagnosed >= 0.9 * period:
            self._diagnosed = self._time.now
            if self._time.now - self._collected > period / 2:   # the heartbeat may have done so
                self._collect()
            self._publisher.diagnostics(self.checks())

    def _beat(self) -> None:
        since, state = self._last_status
        period = self._surroundings.parameters().status_period_s
        # A tick that comes a little early must not put it off by a whole one.
        if self._time.now - since >= 0.9 * period or self._standing.state != state:
            self._collect()  # so that it tells what has come
            self.publish_status()

    def publish_status(self) -> None:
        """Say how the node stands; done by itself at every change and as a heartbeat."""
        self._safely(self._publish_status)

    def _publish_status(self) -> None:
        self._publisher.status(self._standing.status())
        self._last_status = (self._time.now, self._standing.state)
