"""Which frame a command gets: the newest that is fresh, with the depth that belongs to it."""
from __future__ import annotations

import pytest

from ris_ros.service.commands import CommandRecord
from ris_ros.service.frames import FrameStore, Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.waiting import choose_frame, no_frame
from ris_ros.types import Outcome


def add(store, stream, stamp, message=None):
    store.add(stream, Stamped(stamp, message or f'{stream} {stamp}', (stream, stamp)))


def test_newest_fresh_frame_with_its_depth():
    store = FrameStore(size=3)
    assert store.newest_stamp() is None and store.select(0.0, 0.02, False) is None
    for stamp in (1.0, 2.0, 3.0):
        add(store, 'image', stamp)
        add(store, 'info', stamp)
    add(store, 'depth', 2.01)
    assert store.select(0.0, 0.02, False).image.message == 'image 3.0'
    frame = store.select(0.0, 0.02, True)
    assert frame.image.stamp == 2.0 and frame.depth.message == 'depth 2.01'
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
        add(store, 'image', float(stamp))
    assert [item.stamp for item in store.image.items] == [3.0, 4.0]
    assert store.image.received == 5


# ---- waiting for it ----------------------------------------------------------------------

PARAMETERS = NodeParameters()   # sync 0.02 s, waits 0.5 s for depth, images may be 0.5 s old


def record(received=10.0):
    return CommandRecord('1', 'the mug', received, 60.0, waiting_since=received)


def test_an_image_that_is_too_old_is_not_taken():
    store, command = FrameStore(), record()
    add(store, 'image', 9.4)
    assert choose_frame(store, command, 10.0, False, PARAMETERS) is None
    add(store, 'image', 9.6)
    assert choose_frame(store, command, 10.0, False, PARAMETERS).image.stamp == 9.6


def test_a_colour_image_waits_for_its_depth_but_not_for_ever():
    store, command = FrameStore(), record()
    add(store, 'image', 10.0)
    add(store, 'info', 7.0)
    assert choose_frame(store, command, 10.1, True, PARAMETERS) is None
    assert choose_frame(store, command, 10.5, True, PARAMETERS) is None
    assert command.colour_since == 10.1
    taken = choose_frame(store, command, 10.61, True, PARAMETERS)
    assert taken.image.stamp == 10.0 and taken.depth is None
    assert taken.info.stamp == 7.0   # the intrinsics seldom change: the nearest will do
    add(store, 'depth', 10.015)
    add(store, 'info', 10.0)
    complete = choose_frame(store, record(), 10.1, True, PARAMETERS)
    assert (complete.depth.stamp, complete.info.stamp) == (10.015, 10.0)


@pytest.mark.parametrize(('stamps', 'outcome', 'said'), [
    ((), Outcome.NO_IMAGE, '/camera/image within 5 s'),
    ((8.0, 7.0), Outcome.STALE_IMAGE, '2.0 s older'),
])
def test_what_is_said_when_none_comes(stamps, outcome, said):
    store = FrameStore()
    for stamp in stamps:
        add(store, 'image', stamp)
    ending = no_frame(store, record(), '/camera/image', PARAMETERS)
    assert ending.outcome is outcome and said in ending.message
