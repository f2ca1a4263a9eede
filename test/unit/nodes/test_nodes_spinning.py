"""Callbacks that fail do not end the node, and clients get an answer in any case."""
from __future__ import annotations

import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from ris_ros.nodes.spinning import MOST_FAILURES, Spinner, answer_always


class Executor:
    """Raises what it is given, one after the other."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def spin_once(self, timeout_sec):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


def test_failures_are_reported_and_the_next_callback_runs():
    reports = []
    spinner = Spinner(Executor(ValueError('one'), None, KeyError('two')), reports.append)
    for _ in range(4):
        assert spinner.once(0.1)
    assert len(reports) == 2 and 'one' in reports[0] and 'Traceback' in reports[0]


def test_a_node_beyond_help_ends():
    errors = [RuntimeError(str(number)) for number in range(MOST_FAILURES)]
    spinner = Spinner(Executor(*errors[:-1], None, *errors), [].append)
    for _ in range(2 * MOST_FAILURES - 1):   # a success in between counts
        spinner.once(0.1)
    with pytest.raises(RuntimeError):
        spinner.once(0.1)


@pytest.mark.parametrize('error', [KeyboardInterrupt(), ExternalShutdownException()])
def test_what_ends_the_process_is_let_through(error):
    with pytest.raises(type(error)):
        Spinner(Executor(error), [].append).once(0.1)


def test_spinning_within_a_callback_where_that_cannot_be():
    reports = []
    spinner = Spinner(Executor(RuntimeError('Executor is already spinning')), reports.append)
    assert not spinner.once(0.1) and reports == []


class Request:
    pass


class Response:
    def __init__(self, success=False):
        self.success = success


class Service:
    callback_group = None

    def __init__(self, callback):
        self.callback = callback


def test_a_service_answers_though_its_callback_fails():
    reports, group = [], ReentrantCallbackGroup()
    good = Service(lambda request, response: Response(True))
    bad = Service(lambda request, response: 1 / 0)
    answer_always([good, bad], reports.append, group)
    assert good.callback(Request(), Response()).success and reports == []
    answer = bad.callback(Request(), Response())
    assert isinstance(answer, Response) and not answer.success and len(reports) == 1
    assert bad.callback_group is group and group.has_entity(bad)


def test_a_real_executor_goes_on_after_a_failure():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=97)
    try:
        node = rclpy.create_node('spinning_test', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        calls, reports = [], []

        def fail():
            calls.append(len(calls))
            raise ValueError('in a timer')
        node.create_timer(0.01, fail)
        spinner = Spinner(executor, reports.append)
        while len(calls) < 3:
            spinner.once(0.1)
        assert len(reports) == 3 and 'in a timer' in reports[0]
        # Within a callback the others go on.
        ticks = []
        node.create_timer(0.01, lambda: ticks.append(1))

        def wait_inside():
            inner = Spinner(executor, reports.append)
            start = len(ticks)
            while len(ticks) < start + 3:
                assert inner.once(0.1)
            outer.cancel()
            calls.append('done')
        outer = node.create_timer(0.01, wait_inside, callback_group=ReentrantCallbackGroup())
        for _ in range(400):
            if 'done' in calls:
                break
            spinner.once(0.1)
        assert 'done' in calls
    finally:
        rclpy.try_shutdown(context=context)
