"""A node that is told to stop still says how every open command ended."""
from __future__ import annotations

import signal

import pytest
import ros_support as ros

from ris_ros.nodes.messages import status_values


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_open_commands_end_as_canceled(tmp_path, number):
    process = ros.fixture_node(tmp_path, 'busy_policy:=queue')
    client = None
    try:
        client = ros.Client()
        client.wait_until_ready()
        running = client.say('slowly the red box')
        client.spin(0.05)
        client.send_frame()
        assert client.wait(lambda: client.state() == 'RUNNING')
        queued = [client.say('the green box'), client.say('the red box')]
        assert client.wait(lambda: client.received['status'] and status_values(
            client.received['status'][-1].status[0])['open'] == '3')
        process.popen.send_signal(number)
        for identity in (running, *queued):
            assert client.result(identity)['outcome'] == 'CANCELED', process.output()
        assert 'going down' in client.results(running)[0].status[0].message
        client.spin(0.5)
        assert [len(client.results(identity)) for identity in (running, *queued)] == [1, 1, 1]
        assert client.received['mask'] == []
        process.popen.wait(ros.TIMEOUT)
    finally:
        if client:
            client.close()
        code = process.stop()
    assert code == 0 and 'Traceback' not in process.output(), process.output()


def test_a_network_that_runs_on_does_not_hold_up_the_end(tmp_path):
    process = ros.fixture_node(tmp_path)
    client = None
    try:
        client = ros.Client()
        client.wait_until_ready()
        identity = client.say('endlessly the red box')
        client.spin(0.05)
        client.send_frame()
        assert client.wait(lambda: client.state() == 'RUNNING')
        process.popen.send_signal(signal.SIGINT)
        assert client.result(identity)['outcome'] == 'CANCELED'
        process.popen.wait(ros.TIMEOUT)
    finally:
        if client:
            client.close()
        code = process.stop()
    assert code == 0 and 'Traceback' not in process.output(), process.output()


def test_signal_while_the_models_load(tmp_path):
    process = ros.fixture_node(tmp_path, 'warmup:=false', script='slow_node.py')
    try:
        client = ros.Client()
        try:
            assert client.wait(lambda: 'loading method' in process.output(),
                               ros.START_TIMEOUT), process.output()
            assert client.wait(client.command.get_subscription_count)
            client.spin(0.3)
            waiting = client.say('the red box')
            client.spin(0.2)
            process.popen.send_signal(signal.SIGINT)
            assert client.result(waiting)['outcome'] == 'NOT_ACTIVE'
            process.popen.wait(10.0)   # loading would take a minute
        finally:
            client.close()
    finally:
        code = process.stop()
    assert code == 0 and 'Traceback' not in process.output(), process.output()
