"""The typed answer and what `ris say` prints of it; no ROS."""
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ris_ros.cli import say
from ris_ros.client.answer import answer_of
from ris_ros.types import Outcome, RisError


def status(message='', **values):
    return SimpleNamespace(message=message, values=[
        SimpleNamespace(key=key, value=value) for key, value in values.items()])


def result(*more, said='', **values):
    header = SimpleNamespace(stamp=SimpleNamespace(sec=5, nanosec=7), frame_id='camera')
    first = {'command_id': 'a', 'command': 'the mug', 'outcome': 'SUCCEEDED', **values}
    return SimpleNamespace(header=header, status=[status(said, **first), *more])


FOUND = {'frame_id': 'base', 'point_xyz': '0.1 -0.2 0.8', 'orientation_xyzw': '0 0 0 1',
         'score': '0.75', 'margin': '', 'total_ms': '12.5', 'extra': 'kept'}


def test_what_was_found():
    answer = answer_of(result(
        status(rank='1', score='0.75', roi='1 2 30 40', phrase='the mug'),
        status(later='thing'), **FOUND))
    assert answer.succeeded and answer.outcome is Outcome.SUCCEEDED and answer.code == 0
    assert answer.target() == answer.point == (0.1, -0.2, 0.8) and answer.frame_id == 'base'
    assert answer.orientation == (0.0, 0.0, 0.0, 1.0)
    assert (answer.score, answer.margin, answer.total_ms) == (0.75, None, 12.5)
    assert answer.values['extra'] == 'kept'
    (candidate,) = answer.candidates
    assert (candidate.rank, candidate.score, candidate.roi) == (1, 0.75, (1.0, 2.0, 30.0, 40.0))


@pytest.mark.parametrize('values', [
    {'outcome': 'AMBIGUOUS'},   # a guess under ambiguity_policy best
    {'outcome': 'SUCCEEDED_2D', 'point_xyz': ''},
    {'outcome': 'NO_MATCH', 'point_xyz': ''}])
def test_what_is_no_target_is_not_handed_out(values):
    answer = answer_of(result(said='why not', **{**FOUND, **values}))
    assert answer.succeeded == (values['outcome'] == 'SUCCEEDED_2D')
    with pytest.raises(RisError, match=f'{values["outcome"]}, why not'):
        answer.target()


@pytest.mark.parametrize('broken', [
    {'outcome': 'WON'}, {'point_xyz': '1 2'}, {'point_xyz': 'a b c'}, {'score': 'high'}])
def test_what_is_no_result_is_told(broken):
    with pytest.raises(RisError, match='no result of ris_node'):
        answer_of(result(**broken))
    with pytest.raises(RisError, match='no result of ris_node'):
        answer_of(SimpleNamespace(header=None, status=[]))


def test_what_is_printed():
    found = answer_of(result(**FOUND, notes='Doubtful.'))
    assert say.as_text(found).splitlines() == [
        'SUCCEEDED', 'target point (m, base): 0.100 -0.200 0.800', 'note: Doubtful.']
    document = json.loads(json.dumps(say.as_document(found)))
    assert document['outcome'] == 'SUCCEEDED' and document['point'] == [0.1, -0.2, 0.8]
    assert document['stamp'] == {'sec': 5, 'nanosec': 7} and document['values']['extra'] == 'kept'
    several = answer_of(result(status(rank='1', score='0.5', roi='1 2 3 4'),
                               said='two fit', outcome='AMBIGUOUS'))
    assert say.as_text(several).splitlines() == [
        'AMBIGUOUS: two fit', 'candidate 1: score 0.500, at x 1 y 2, 3 by 4 pixels']
