"""The command board: every command ends exactly once."""
from __future__ import annotations

import json

import numpy as np
import pytest

from ris_ros.service.commands import (
    MAX_TEXT,
    CommandBoard,
    Ending,
    State,
    parse_request,
    request_id,
)
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
    '{"a":' * 3000, 'x' * 5_000_000, '{"text": "a", "timeout_s": 1' + '0' * 400 + '}',
    '{"text": "a", "timeout_s": -1e999}', '{"text": "a", "id": "a\\ud83d"}',
    '{"text": "a", "id": "a\\u0000b"}', '{"text": "a", "text": "b"}', '{"text": "\\u0000"}',
    '{"text": "a", "mode": ' + '[' * 300 + ']' * 300 + '}',
    '{"text": "a", "' + 'k' * 3000 + '": 1}',
    '\ufeff', '\x00 \x1b',
])
def test_what_is_refused(raw):
    with pytest.raises(BadInputError) as caught:
        parse_request(raw)
    assert 10 < len(str(caught.value)) < 300


def test_id_of_a_wrong_message():
    assert request_id('{"id": "a", "text": 5}') == 'a'
    for raw in ('', 'text', '{"id": []}', '[1]', '"s"', '{"id"', '[' * 7000):
        assert request_id(raw) is None


# What Python holds and ROS cannot carry: half a pair of surrogates, NUL, control characters.
@pytest.mark.parametrize(('raw', 'text'), [
    ('{"text": "the red box \\ud83d"}', 'the red box \ufffd'),
    ('{"text": "\\udc00\\ud800 box"}', '\ufffd\ufffd box'),
    ('{"text": "the red\\u0000box"}', 'the red box'),
    ('the \x1b[31mred\x07 box', 'the [31mred box'),
    ('\ufeff{"text": "the red box"}', 'the red box'),
    ('\ufeffthe red box', 'the red box'),
])
def test_text_that_ros_cannot_carry_is_replaced_and_told(raw, text):
    request = parse_request(raw)
    assert request.text == text
    request.text.encode('utf-8')
    assert bool(request.note) is not raw.startswith('\ufeff')   # such a mark says nothing


def test_good_text_of_any_language_stays_as_it_is():
    for text in ('die rote Tasse', 'la taza roja', '赤いマグカップ', 'the 🍎', 'קפה'):
        assert parse_request(json.dumps({'text': text})) == parse_request(text)
        assert parse_request(text).text == text and not parse_request(text).note


def test_an_id_that_ros_cannot_carry_comes_back_as_near_as_can_be(endings):
    board = CommandBoard(lambda record, ending: endings.append((record, ending)))
    board.submit('{"text": "a", "id": "s\\ud83d1"}', 1.0, 10.0)
    (record, ending), = endings
    assert record.id == 's\ufffd1' and ending.outcome is Outcome.INVALID_COMMAND
    assert 'cannot carry' in ending.message


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
