"""The command board: every command ends exactly once."""
from __future__ import annotations

import json

import numpy as np
import pytest

from ris_ros.demo.plan import (
    Answer,
    html_page,
    intersection_over_union,
    plan_scene,
    report,
    summarise,
    table_line,
)
from ris_ros.service.commands import (
    MAX_TEXT,
    CommandBoard,
    Ending,
    State,
    parse_request,
    request_id,
)
from ris_ros.service.frames import FrameStore
from ris_ros.types import BadInputError, Outcome

DONE = Ending(Outcome.SUCCEEDED, 'done')


@pytest.fixture
def endings():
    return []


@pytest.fixture
def board(endings):
    return CommandBoard(lambda record, ending: endings.append((record.id, ending.outcome)))


# ---- parsing -----------------------------------------------------------------------------

def test_plain_text():
    request = parse_request('  pick up\tthe red   mug \n')
    assert request.text == 'pick up the red mug' and request.id is None


def test_json():
    request = parse_request('{"id": 7, "text": "the mug", "mode": "once", "timeout_s": 3}')
    assert (request.id, request.text, request.timeout_s) == ('7', 'the mug', 3.0)


@pytest.mark.parametrize('raw', [
    '', '  ', 'x' * (MAX_TEXT + 1), '{', '{}', '{"text": ""}', '{"text": null}', '{"text": 5}',
    '{"text": "a", "mode": "track"}', '{"text": "a", "timeout_s": 0}',
    '{"text": "a", "timeout_s": "1"}', '{"text": "a", "timeout_s": NaN}',
    '{"text": "a", "timeout_s": true}', '{"text": "a", "id": []}', '{"text": "a", "id": true}',
    '{"text": "a", "id": ""}', '{"text": "a", "id": "' + 'i' * 129 + '"}',
    '{"text": "a", "other": 1}', '{' * 100_000, json.dumps({'text': 'a ' * MAX_TEXT * 2}),
    '{"a":' * 3000,
])
def test_what_is_refused(raw):
    with pytest.raises(BadInputError) as caught:
        parse_request(raw)
    assert 10 < len(str(caught.value)) < 300


def test_id_of_a_wrong_message():
    assert request_id('{"id": "a", "text": 5}') == 'a'
    for raw in ('', 'text', '{"id": []}', '[1]', '"s"', '{"id"', '[' * 7000):
        assert request_id(raw) is None


# ---- the board ---------------------------------------------------------------------------

def test_one_command(board, endings):
    record = board.submit('the mug', 1.0, 10.0)
    assert board.current is record and record.state is State.WAITING and endings == []
    board.start(record)
    assert board.end(record, DONE, 2.0) and not board.end(record, DONE, 3.0)
    assert endings == [(record.id, Outcome.SUCCEEDED)] and board.current is None


def test_replace(board, endings):
    first = board.submit('the mug', 1.0, 10.0)
    board.start(first)
    second = board.submit('the bowl', 2.0, 10.0)
    assert endings == [(first.id, Outcome.SUPERSEDED)] and board.current is second
    assert not board.end(first, DONE, 3.0)  # its answer comes too late
    assert board.current is second and second.state is State.WAITING


def test_reject(board, endings):
    first = board.submit('the mug', 1.0, 10.0, 'reject')
    second = board.submit('the bowl', 2.0, 10.0, 'reject')
    assert endings == [(second.id, Outcome.REJECTED_BUSY)] and board.current is first


def test_queue(board, endings):
    records = [board.submit(f'mug {n}', 1.0, 10.0, 'queue', queue_size=2) for n in range(4)]
    assert endings == [(records[3].id, Outcome.REJECTED_BUSY)]
    assert [record.state for record in records[:3]] == [State.WAITING, State.QUEUED, State.QUEUED]
    board.end(records[0], DONE, 5.0)
    assert board.current is records[1] and records[1].state is State.WAITING
    assert records[1].waiting_since == 5.0
    board.end(records[2], DONE, 6.0)  # out of the middle of the queue
    board.end(records[1], DONE, 7.0)
    assert board.current is None and board.open == ()


def test_duplicate_and_made_up_ids(board, endings):
    board.submit('{"id": "1", "text": "a"}', 1.0, 10.0)
    plain = board.submit('b', 1.0, 10.0)
    assert plain.id != '1'  # the numbers given out pass over those that were sent
    board.submit('{"id": "1", "text": "c"}', 1.0, 10.0)
    assert endings == [('1', Outcome.SUPERSEDED), ('1', Outcome.INVALID_COMMAND)]
    assert board.current is plain


def test_invalid_commands_do_not_disturb(board, endings):
    current = board.submit('the mug', 1.0, 10.0)
    board.submit('{"id": "x", "text": 1}', 1.0, 10.0)
    assert endings == [('x', Outcome.INVALID_COMMAND)] and board.current is current


def test_expiry_and_the_end_of_all(board, endings):
    first = board.submit('a', 1.0, 10.0, 'queue')
    second = board.submit('{"text": "b", "timeout_s": 2}', 1.0, 10.0, 'queue')
    assert board.expired(2.9) == () and board.expired(3.1) == (second,)
    assert board.expired(11.5) == (first, second)
    assert board.end_all(Ending(Outcome.CANCELED, 'x'), 4.0) == 2
    assert [outcome for _, outcome in endings] == [Outcome.CANCELED] * 2
    assert board.end_all(Ending(Outcome.CANCELED, 'x'), 4.0) == 0


def test_refused_while_inactive(board, endings):
    board.refuse('{"id": "q", "text": "a"}', 1.0, Ending(Outcome.NOT_ACTIVE, 'asleep'))
    assert endings == [('q', Outcome.NOT_ACTIVE)] and board.current is None


@pytest.mark.parametrize('policy', ['replace', 'reject', 'queue'])
def test_any_history_ends_every_command_once(policy):
    rng = np.random.default_rng(11)
    ended: dict[int, int] = {}

    def count(record, _ending):
        ended[id(record)] = ended.get(id(record), 0) + 1

    board = CommandBoard(count)
    records = []
    for now in range(400):
        action = rng.integers(5)
        if action <= 1:
            raw = '' if rng.random() < 0.2 else json.dumps(
                {'text': 'a', 'id': int(rng.integers(60)), 'timeout_s': int(rng.integers(1, 30))})
            records.append(board.submit(raw, now, 10.0, policy, 3))
        elif action == 2 and board.current:
            board.start(board.current)
        elif action == 3 and records:
            board.end(records[int(rng.integers(len(records)))], DONE, now)
        else:
            for record in board.expired(now):
                board.end(record, Ending(Outcome.TIMEOUT, ''), now)
    board.end_all(Ending(Outcome.CANCELED, ''), 1000)
    assert len(records) > 100 and [ended[id(record)] for record in records] == [1] * len(records)


# ---- frames ------------------------------------------------------------------------------

def test_newest_fresh_frame_with_its_depth():
    store = FrameStore(size=3)
    assert store.newest_stamp() is None and store.select(0.0, 0.02, False) is None
    for stamp in (1.0, 2.0, 3.0):
        store.image.add(stamp, f'image {stamp}')
        store.info.add(stamp, f'info {stamp}')
    store.depth.add(2.01, 'depth')
    assert store.select(0.0, 0.02, False).image.message == 'image 3.0'
    frame = store.select(0.0, 0.02, True)
    assert frame.image.stamp == 2.0 and frame.depth.message == 'depth'
    assert frame.info.message == 'info 2.0'
    assert store.select(2.5, 0.02, True) is None
    late = store.select(2.5, 0.02, True, complete=False)
    assert late.image.stamp == 3.0 and late.depth is None
    assert store.select(3.5, 0.02, False) is None and store.newest_stamp() == 3.0
    store.clear()
    assert store.newest_stamp() is None and store.image.received == 3


def test_old_messages_are_dropped():
    store = FrameStore(size=2)
    for stamp in range(5):
        store.image.add(float(stamp), stamp)
    assert [item.message for item in store.image.items] == [3, 4] and store.image.received == 5


# ---- the demo's bookkeeping --------------------------------------------------------------

def answer(**changes):
    values = {'command': 'take the mug', 'tag': 'attribute', 'answerable': True,
              'outcome': 'SUCCEEDED', 'code': 0, 'iou': 0.9, 'target_error_mm': 3.0,
              'lifted_right': True, 'stamp_to_result_ms': 100.0, 'seed': 1}
    return Answer(**{**values, **changes})


def test_summary():
    absent = {'answerable': False, 'iou': None, 'target_error_mm': None, 'lifted_right': None}
    answers = [
        answer(), answer(iou=0.8, target_error_mm=20.0, lifted_right=False),
        answer(iou=0.1, target_error_mm=300.0, lifted_right=False),
        answer(outcome='AMBIGUOUS', iou=0.9, target_error_mm=None, lifted_right=False),
        answer(tag='absent', outcome='NO_MATCH', **absent),
        answer(tag='ambiguous', outcome='SUCCEEDED', stamp_to_result_ms=300.0, **absent)]
    summary = summarise(answers, 50, 49)
    assert summary['lifted_right_ratio'] == 0.25 and summary['answerable'] == 4
    assert summary['unanswerable_refused_ratio'] == 0.5
    assert summary['correct_masks'] == 2 and summary['point_within_15mm_ratio'] == 0.5
    assert summary['miou'] == pytest.approx(2.7 / 4) and summary['images_lost'] == 1
    assert summary['stamp_to_result_ms_p50'] == 100.0
    assert 'WRONG' in table_line(1, answers[5]) and 'right' in table_line(1, answers[0])
    document = json.loads(json.dumps(report(answers, summary)))
    assert {'command', 'answerable', 'outcome', 'code', 'iou', 'target_error_mm', 'lifted_right',
            'stamp_to_result_ms'} <= set(document['commands'][0])
    assert html_page([answer(command='<b>')], summary).count('&lt;b&gt;') == 1
    assert summarise([], 0, 0)['miou'] is None


def test_plan_keeps_to_the_shares():
    from ris_ros.demo.plan import SHARES, PlannedCommand

    class Expression:
        def __init__(self, tag):
            self.text, self.tag, self.answerable = f'the {tag}', tag, tag[0] != 'a'
            self.targets = (1,)

    used: dict[str, int] = {}
    planned: list[PlannedCommand] = []
    for seed in range(50):
        planned += plan_scene(seed, [Expression(tag) for tag in SHARES], used, 100)
    assert len(planned) == 100 == sum(used.values())
    assert all(abs(used[tag] - 100 * share) <= 1 for tag, share in SHARES.items())
    assert len({command.text.replace('the', '').split()[0] for command in planned}) > 1
    assert len(plan_scene(1, [Expression('size')] * 5, {}, 1)) == 1


def test_iou():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert intersection_over_union(a, b) == 0.0
    a[:2], b[1:3] = True, True
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)
