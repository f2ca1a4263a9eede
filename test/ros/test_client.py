"""RisClient and `ris say` over real DDS: one call, one answer."""
from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest
import rclpy
import ros_support as ros
from rclpy.executors import SingleThreadedExecutor

from ris_ros.client import RisClient
from ris_ros.types import BadInputError, Outcome, RisError


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    process = ros.fixture_node(tmp_path_factory.mktemp('ros'), 'image_timeout_s:=0.6',
                               'sync_timeout_s:=0.3', 'busy_policy:=queue', 'queue_size:=50',
                               'max_image_age_s:=30.0', 'command_timeout_s:=50.0')
    yield process
    assert process.stop() == 0, process.output()


@pytest.fixture
def ris(node):
    with RisClient() as client:
        client.wait_until_ready(ros.START_TIMEOUT)
        yield client


def test_one_call_one_answer(ris, camera):
    answer = ris.ask('the red box')
    assert answer.outcome is Outcome.SUCCEEDED and answer.message == ''
    assert abs(answer.target()[2] - 0.8) < 0.002
    assert answer.frame_id == answer.header.frame_id == 'camera_color_optical_frame'
    assert answer.orientation is not None and answer.candidates[0].rank == 1
    assert 0 < answer.total_ms < 50_000
    assert ris.status['state'] and float(ris.status['command_timeout_s']) == 50.0


def test_what_is_not_found_is_an_answer_too(ris, camera):
    assert ris.ask('a yellow box').outcome is Outcome.AMBIGUOUS
    assert ris.ask('').outcome is Outcome.INVALID_COMMAND
    answer = ris.ask('the red box', unknown_key=1)
    assert answer.outcome is Outcome.INVALID_COMMAND and 'unknown_key' in answer.message
    with pytest.raises(BadInputError, match='is a text'):
        ris.ask(None)


def test_many_at_once_each_with_its_own_answer(ris, camera):
    texts = ['the red box', 'the green box'] * 5
    pending = [ris.send(text) for text in texts]
    answers = [p.result(ros.START_TIMEOUT) for p in pending]
    assert [a.command for a in answers] == texts
    assert [a.command_id for a in answers] == [p.command_id for p in pending]
    depths = {'the red box': 0.8, 'the green box': 0.6}
    assert all(abs(a.target()[2] - depths[a.command]) < 0.002 for a in answers)


def test_awaited_in_asyncio(ris, camera):
    async def both():
        return await asyncio.gather(ris.send('the red box'), ris.send('the green box'))
    red, green = asyncio.run(both())
    assert abs(red.target()[2] - 0.8) < 0.002 and abs(green.target()[2] - 0.6) < 0.002


def test_awaited_in_a_callback_of_ones_own_node(connection, camera):
    mine = rclpy.create_node('mine')
    executor = SingleThreadedExecutor()
    executor.add_node(mine)
    client = RisClient(node=mine)
    heard = []

    async def act():
        timer.cancel()
        heard.append(await client.send('the red box'))
    timer = mine.create_timer(1.0, act)
    try:
        deadline = mine.get_clock().now().nanoseconds + int(1e9 * ros.START_TIMEOUT)
        while not heard and mine.get_clock().now().nanoseconds < deadline:
            executor.spin_once(timeout_sec=0.1)
        assert heard and heard[0].outcome is Outcome.SUCCEEDED
    finally:
        client.close()
        executor.shutdown()
        mine.destroy_node()


def test_a_node_of_ones_own_that_nobody_spins(connection, camera):
    mine = rclpy.create_node('idle')
    try:
        with RisClient(node=mine) as client:
            assert client.ask('the red box').outcome is Outcome.SUCCEEDED
    finally:
        mine.destroy_node()


def test_canceling(ris, camera):
    assert ris.cancel() is False
    pending = ris.send('slowly the red box')
    assert ris.cancel() is True
    assert pending.result(ros.START_TIMEOUT).outcome is Outcome.CANCELED


def test_no_answer_will_come(ris, camera):
    pending = ris.send('slowly the red box')
    ris.close()
    with pytest.raises(RisError, match='client was closed'):
        pending.result(1.0)
    with pytest.raises(RisError, match='client was closed'):
        ris.send('the red box')


def test_an_answer_that_is_lost_is_told(ris, camera, monkeypatch):
    monkeypatch.setattr('ris_ros.client.client.GRACE_S', 0.1)
    monkeypatch.setattr(ris, '_results', None)
    monkeypatch.setattr(ris._command, 'publish', lambda message: None)
    pending = ris.send('the red box', timeout_s=0.2)
    with pytest.raises(RisError, match='no answer came in time'):
        pending.result(ros.START_TIMEOUT)


def test_nobody_is_there(node):
    with RisClient('/elsewhere/ris_node') as client:
        with pytest.raises(RisError, match='no ris_node listens to /elsewhere/ris_node/command'):
            client.send('the red box')
        with pytest.raises(RisError, match='ROS_DOMAIN_ID'):
            client.wait_until_ready(0.3)
    with pytest.raises(BadInputError, match='node_name is empty'):
        RisClient('')


def say(*words):
    run = subprocess.run([sys.executable, '-m', 'ris_ros.cli.main', 'say', *words],
                         env=dict(os.environ), capture_output=True, text=True, timeout=180)
    return run.returncode, run.stdout, run.stderr


def test_on_the_command_line(connection, camera):
    code, out, err = say('the red box', '--json')
    assert (code, err) == (0, '')
    document = json.loads(out)
    assert document['outcome'] == 'SUCCEEDED' and abs(document['point'][2] - 0.8) < 0.002
    code, out, err = say('a box')
    assert code == 1 and out.startswith('AMBIGUOUS: ') and 'candidate 2' in out
    code, out, err = say('the red box', '--timeout', '-1')
    assert code == 2 and 'timeout_s' in out


def test_on_the_command_line_without_a_node(node):
    code, out, err = say('the red box', '--node', 'nobody', '--wait', '0.5')
    assert (code, out) == (1, '') and err.startswith('ris: no ris_node listens to /nobody/command')
