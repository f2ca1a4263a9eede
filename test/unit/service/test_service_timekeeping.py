"""The clock that stamps are of: jumps, silence, and what is said of them."""
from __future__ import annotations

import pytest
from service_fakes import FakeClock

from ris_ros.service.timekeeping import Timekeeper


def keeper(**clock):
    clock = FakeClock(**clock)
    return Timekeeper(clock), clock


@pytest.mark.parametrize(('moved', 'passed', 'said'), [
    (1.0, 1.0, None), (0.0, 30.0, None), (-0.005, 0.05, None), (0.9, 0.05, None),
    (-0.05, 0.05, 'back by 0.05 s'), (-100.0, 0.05, 'back by 100 s'),
    (3600.0, 0.05, 'ahead by 3600 s'), (2.0, 0.5, 'ahead by 1.5 s'),
    (600.0, 600.0, None),    # a long pause of the process
])
def test_jumps_of_the_real_clock(moved, passed, said):
    time, clock = keeper()
    clock.ros += moved
    clock.steady += passed
    jump = time.look()
    assert jump is None if said is None else said in jump
    assert time.look() is None   # each is told once


@pytest.mark.parametrize(('moved', 'passed', 'jumped'), [
    (0.0, 5.0, False), (0.01, 1.0, False), (20.0, 1.0, False), (300.0, 1.0, True),
    (-0.1, 1.0, True)])
def test_simulated_time_may_run_at_another_rate(moved, passed, jumped):
    time, clock = keeper(is_simulated=True)
    clock.ros += moved
    clock.steady += passed
    assert (time.look() is not None) is jumped


def test_the_first_time_of_a_simulation_is_no_jump():
    time, clock = keeper(ros=0.0, is_simulated=True)
    clock.ros = 5000.0
    assert time.look() is None
    clock.ros = 0.5
    assert 'back' in time.look()


def test_the_clock_is_changed_for_another():
    time, clock = keeper()
    clock.ros, clock.is_simulated = 3.0, True
    assert 'simulated' in time.look()
    clock.ros, clock.is_simulated = 100.0, False
    assert 'real' in time.look()


def test_trouble_with_a_simulated_clock():
    time, clock = keeper(ros=0.0, is_simulated=True, offered=False)
    assert 'no time has come on /clock' in time.trouble() and time.word() == 'silent'
    clock.advance(7.0)
    time.look()
    assert time.trouble() is None and time.word() == 'simulated'
    clock.steady += 3.0
    time.look()
    assert 'silent for 3 s' in time.trouble() and time.word() == 'silent'
    clock.offered = True   # a paused simulation goes on saying what time it is
    assert time.trouble() is None and time.word() == 'paused'


def test_no_trouble_with_the_real_clock():
    time, clock = keeper(offered=False)
    clock.steady += 100.0
    assert time.trouble() is None and time.word() == 'system'
