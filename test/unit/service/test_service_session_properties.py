"""Whatever happens in whatever order: every command ends in exactly one result.

Random histories of commands, frames, ticks, replies, lifecycle, parameters and clocks drive
the session; nothing may raise, and no command may end twice or never.
"""
from __future__ import annotations

import json

import numpy as np
import pytest
from service_fakes import MEASURED, World

hypothesis = pytest.importorskip('hypothesis')

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ris_ros.geometry import RigidTransform
from ris_ros.service.commands import State
from ris_ros.service.switching import Choice
from ris_ros.types import BadInputError, Outcome

FIXED = settings(max_examples=300, deadline=None, derandomize=True, database=None)
# To find a fault is enough; nobody reads the smallest history of one that we made.
FIND = settings(FIXED, phases=[Phase.generate], report_multiple_bugs=False)

IDS = st.one_of(st.none(), st.sampled_from(['a', 'b', 7]),
                st.text(st.characters(), max_size=6))
TIMEOUTS = st.one_of(st.none(), st.floats(0.1, 5.0), st.sampled_from([0, -1, 'x', True, 4000]))
SAID = st.one_of(
    st.sampled_from(['the mug', 'the bowl', '', '{', '[1]', '{"text": 1}', '"x"']),
    st.text(st.characters(), max_size=30),   # lone surrogates and NUL among them
    st.builds(lambda i, t, s: json.dumps({
        key: value for key, value in (('id', i), ('text', t), ('timeout_s', s))
        if value is not None}), IDS, st.sampled_from(['the mug', 'the bowl', '']), TIMEOUTS))
ANSWERS = st.sampled_from([Outcome.SUCCEEDED, Outcome.SUCCEEDED_2D, Outcome.NO_MATCH,
                           Outcome.AMBIGUOUS, Outcome.NO_DEPTH, Outcome.UNCALIBRATED,
                           Outcome.DEPTH_MISMATCH])
OF_MODELS = [Outcome.MODEL_ERROR, Outcome.OUT_OF_MEMORY, Outcome.INVALID_IMAGE,
             Outcome.INVALID_COMMAND]
FAILURES = st.sampled_from(OF_MODELS)
POLICIES = st.sampled_from(['replace', 'reject', 'queue'])


def step(name, *arguments):
    return st.tuples(st.just(name), *arguments)


OFTEN = [
    step('say', SAID), step('say', SAID),
    step('see', st.sampled_from(['image', 'depth', 'info']),
         st.sampled_from([0.0, 0.1, 0.4, 3.0, -0.1, -1.0, -4e8])),
    step('see_all', st.booleans()), step('see_all', st.booleans()),
    step('answer', ANSWERS, st.sampled_from([False, False, True]), st.booleans()),
    step('answer', ANSWERS, st.just(False), st.just(True)),
    step('ask', ANSWERS), step('ask', ANSWERS), step('ask', FAILURES),
    step('wait_in_vain', st.booleans()),
    step('tick', st.sampled_from([0.05, 0.05, 0.6, 2.0, 6.0, 70.0])),
]
RARELY = st.one_of(
    step('jump', st.sampled_from([-1e9, -20.0, -0.1, -0.005, 0.0, 20.0, 1e9]), st.booleans()),
    step('simulate', st.booleans(), st.booleans()),
    step('stand_still', st.sampled_from([0.1, 3.0])),
    step('break_a_port', st.sampled_from([
        'result', 'status', 'note', 'warn', 'outputs', 'collect', 'listen', 'lost', 'topic'])),
    step('frame', st.sampled_from(['', 'base_link', 'base_link', 'camera']), st.booleans()),
    step('repeat'), step('fail', FAILURES), step('fetch'), step('cancel'), step('activate'),
    step('activate'),
    step('stop', st.sampled_from(['deactivated', 'going down'])), step('load_again'),
    step('change', POLICIES, st.integers(1, 3),
         st.sampled_from(['auto', 'true', 'false']), st.integers(0, 1),
         st.sampled_from([0.1, 5.0, 60.0]), st.sampled_from([0.0, 5.0])))
HISTORIES = st.lists(st.one_of(*OFTEN, RARELY, RARELY), min_size=5, max_size=50)


class History:
    """A session, what may happen to it, and what must hold all the time."""

    def __init__(self, policy):
        self.world = World(busy_policy=policy)
        self.session, self.models = self.world.session, self.world.models
        self.said = 0
        self.answered_of: set[int] = set()
        self.repeated = []
        self.session.activate()

    def run(self, steps):
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
            self.check()
        self.finish()

    # ---- what may happen -----------------------------------------------------------------

    def say(self, raw):
        self.said += 1
        self.session.on_command(raw)

    def see(self, stream, age):
        self.session.on_frame(stream, self.world.stamped(self.world.clock.ros - age, None))

    def see_all(self, depth):
        self.world.frame(depth=depth)

    def tick(self, seconds):
        self.world.tick(seconds)

    def jump(self, seconds, at_once):
        """The node's clock jumps; other things may happen before a tick notices."""
        self.world.clock.ros += seconds
        if at_once:
            self.session.on_tick()

    def simulate(self, simulated, offered):
        """The node's time becomes simulated or real, published or not."""
        self.world.clock.is_simulated, self.world.clock.offered = simulated, offered

    def stand_still(self, seconds):
        self.world.clock.steady += seconds
        self.session.on_tick()

    def break_a_port(self, name):
        """Something of the node fails once, while a command and a picture come."""
        world, error = self.world, RuntimeError('out of order')
        owner = {'collect': world.intake, 'listen': world.intake, 'lost': world.intake,
                 'topic': world.surroundings}.get(name)
        if owner is None:
            world.publisher.breaks[name] = error
        else:
            attribute = 'image_topic' if name == 'topic' else name

            def fail(*_):
                raise error
            setattr(owner, attribute, fail)
        try:
            if name != 'result':   # a result that cannot be published at all cannot be counted
                self.say('the mug')
            else:
                self.session.publish_status()
            self.session.on_tick()
        finally:
            world.publisher.breaks.clear()
            if owner is not None:
                delattr(owner, attribute)

    def answer(self, outcome, refuses, at_once):
        self.world.publisher.refuses = ValueError('no') if refuses else None
        if self.models.jobs:
            measured = {'measured': MEASURED} if outcome is Outcome.SUCCEEDED else {}
            self.answered_of.add(id(self.models.answer(outcome, **measured).token.record))
        if at_once:
            self.session.on_replies()

    def ask(self, outcome):
        """A command, its picture and its answer at once, if nothing is in their way."""
        self.say('the mug')
        self.see_all(True)
        self.tick(0.05)
        if outcome in OF_MODELS:
            self.fail(outcome)
        else:
            self.answer(outcome, False, True)

    def wait_in_vain(self, old):
        """A command for which no picture comes, or only an old one."""
        self.say('the mug')
        if old:
            self.see('image', 3.0)
        self.tick(6.0)

    def frame(self, target, known):
        """Targets are wanted in another frame, which is connected or not."""
        self.world.surroundings.set(target_frame=target)
        self.world.surroundings.transforms = {
            'base_link': RigidTransform.of(np.array([0, 0, 0, 1.0]), np.ones(3))} if known else {}

    def repeat(self):
        try:
            self.session.repeat(self.repeated.append)
        except BadInputError:
            return   # nothing has been said yet
        self.said += 1

    def fail(self, outcome):
        if self.models.jobs:
            self.models.fail(outcome)
        self.session.on_replies()

    def fetch(self):
        self.session.on_replies()

    def cancel(self):
        assert self.session.on_cancel() >= 0

    def activate(self):
        self.session.activate()

    def stop(self, reason):
        self.session.stop(reason)

    def load_again(self):
        self.session.stop('cleanup')
        self.session.unload()
        self.session.begin_loading()
        self.session.load(lambda: None, True)
        self.session.loaded(Choice('hybridgl', 'tabletop'))

    def change(self, policy, size, depth, offered, timeout, patience):
        self.world.surroundings.set(busy_policy=policy, queue_size=size, use_depth=depth,
                                    command_timeout_s=timeout, image_timeout_s=patience)
        self.world.surroundings.depth_publishers = offered

    # ---- what must hold ------------------------------------------------------------------

    def check(self):
        results, board = self.world.publisher.results, self.session._board
        ended = [id(result.record) for result in results]
        assert len(ended) == len(set(ended)), 'a command has two results'
        assert all(result.record.state is State.DONE for result in results)
        opened = [id(record) for record in board.open]
        assert len(opened) == len(set(opened)) and not set(opened) & set(ended)
        assert len(ended) + len(opened) == self.said, 'a command was lost'
        repeated = [id(result.record) for result in self.repeated]
        assert len(repeated) == len(set(repeated)) and set(repeated) <= set(ended)
        for reply, _, parameters in self.world.publisher.shown:
            if reply.measured.geometry is not None and parameters.target_frame == 'base_link':
                assert reply.frame_id == 'base_link', 'a target in the wrong frame'
        assert len(self.models.jobs) <= 1, 'the models have one job at a time'
        assert self.session._standing.active or not opened, 'an inactive node works on nothing'
        for result in results:
            if result.ending.outcome.code < 20:   # success must be told of what was answered
                assert id(result.record) in self.answered_of and result.record.frames is not None

    def finish(self):
        """While clocks run nobody waits for ever, whether models and camera answer or not."""
        for _ in range(2 + len(self.session._board.open)):
            self.world.tick(4000.0)
        self.check()
        assert self.session._board.open == (), 'a command never ends'
        assert len(self.world.publisher.results) == self.said


def test_every_command_ends_in_exactly_one_result():
    seen: set[Outcome] = set()

    @FIXED
    @given(POLICIES, HISTORIES)
    def hold(policy, steps):
        history = History(policy)
        history.run(steps)
        seen.update(outcome for _, outcome in history.world.publisher.outcomes)

    hold()
    # What the histories never reach they do not test.
    assert len(seen) >= 14, f'of 18 outcomes the histories reach only {seen}'


def break_end(history):
    history.session._board.end = lambda *_: True


def break_stop(history):
    history.session._board.end_all = lambda *_: 0


def break_reply(history):
    board = history.session._board
    end = board.end

    def twice(record, ending, now):
        end(record, ending, now)
        board._on_end(record, ending)
        return True
    board.end = twice


def break_busy(history):
    start = history.session._start

    def forget(record, sight):
        start(record, sight)
        history.session._running = None
    history.session._start = forget


@pytest.mark.parametrize('fault', [break_end, break_stop, break_reply, break_busy])
def test_faults_are_found(fault):
    @FIND
    @given(POLICIES, HISTORIES)
    def hold(policy, steps):
        history = History(policy)
        fault(history)
        history.run(steps)

    with pytest.raises(AssertionError):
        hold()
