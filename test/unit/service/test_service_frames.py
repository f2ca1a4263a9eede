"""Which frame a command gets: the newest that is fresh, with the depth that belongs to it."""
from __future__ import annotations

import pytest

from ris_ros.service.commands import CommandRecord
from ris_ros.service.frames import FrameStore, Freshness, Stamped
from ris_ros.service.parameters import NodeParameters
from ris_ros.service.waiting import choose_frame, no_frame
from ris_ros.types import Outcome


def add(store, stream, stamp, message=None, arrived=None, arrived_stamp=None, **more):
    """Store a message that comes as it is stamped, unless it is said when."""
    message = message or f'{stream} {stamp}'
    at = stamp if arrived is None else arrived
    store.add(stream, Stamped(stamp, message, message, arrived=at,
                              arrived_stamp=at if arrived_stamp is None else arrived_stamp,
                              **more))


def since(stamp):
    return Freshness(stamp, None, 0.2)


def test_newest_fresh_frame_with_its_depth():
    store = FrameStore(size=3)
    assert store.newest() is None and store.select(since(0.0), 0.02, False) is None
    for stamp in (1.0, 2.0, 3.0):
        add(store, 'image', stamp)
        add(store, 'info', stamp)
    add(store, 'depth', 2.01)
    assert store.select(since(0.0), 0.02, False).image.message == 'image 3.0'
    frame = store.select(since(0.0), 0.02, True)
    assert frame.image.stamp == 2.0 and frame.depth.message == 'depth 2.01'
    assert frame.info.message == 'info 2.0'
    assert store.select(since(2.5), 0.02, True) is None
    late = store.select(since(2.5), 0.02, True, complete=False)
    assert late.image.stamp == 3.0 and late.depth is None
    assert store.select(since(3.5), 0.02, False) is None and store.newest().stamp == 3.0
    store.clear()
    assert store.newest() is None and store.image.received == 3


def test_old_messages_are_dropped():
    store = FrameStore(size=2)
    for stamp in range(5):
        add(store, 'image', float(stamp))
    assert [item.stamp for item in store.image.items] == [3.0, 4.0]
    assert store.image.received == 5


def test_of_equal_stamps_the_last_that_came_counts():
    store = FrameStore()
    for name in ('first', 'second', 'third'):
        for stream in ('image', 'depth', 'info'):
            add(store, stream, 1.0, f'{name} {stream}')
    frame = store.select(since(0.0), 0.02, True)
    assert [part.message for part in (frame.image, frame.depth, frame.info)] == [
        'third image', 'third depth', 'third info']


def test_messages_that_were_passed_over_count_as_received():
    store = FrameStore()
    add(store, 'image', 1.0)
    add(store, 'image', 2.0, passed_over=29)
    assert store.image.received == 31 and len(store.image.items) == 2


def test_intrinsics_that_were_sent_once_fit_every_image():
    store = FrameStore()
    add(store, 'info', 1.0, 'once', lasting=True)
    add(store, 'info', 1.0, 'once', lasting=True)  # told again to a second subscription
    assert store.info.received == 1
    add(store, 'image', 500.0)
    add(store, 'depth', 500.0)
    frame = store.select(since(499.0), 0.02, True)
    assert frame.info.message == 'once'
    add(store, 'info', 500.01, 'anew')   # one of this very image is better
    assert store.select(since(499.0), 0.02, True).info.message == 'anew'
    store.clear_but_lasting()
    assert [item.message for item in store.info.items] == ['once']
    assert not store.image.items and not store.depth.items


# ---- waiting for it ----------------------------------------------------------------------

PARAMETERS = NodeParameters()   # sync 0.02 s, waits 0.5 s for depth, images may be 0.5 s old


def record(received=10.0):
    return CommandRecord('1', 'the mug', received, 60.0, received_stamp=received,
                         waiting_since=received)


def test_an_image_that_is_too_old_is_not_taken():
    store, command = FrameStore(), record()
    add(store, 'image', 9.4)
    assert choose_frame(store, command, 10.0, False, PARAMETERS) is None
    add(store, 'image', 9.6)
    assert choose_frame(store, command, 10.0, False, PARAMETERS).image.stamp == 9.6


@pytest.mark.parametrize(('lead', 'taken'), [(0.1, True), (0.3, False), (4e8, False)])
def test_an_image_of_the_future_is_not_taken(lead, taken):
    store, command = FrameStore(), record()
    add(store, 'image', 10.0 + lead, arrived=10.0)
    frame = choose_frame(store, command, 10.0, False, PARAMETERS)
    assert (frame is not None) is taken
    # Nor does one such image hide the good ones.
    add(store, 'image', 9.9)
    assert choose_frame(store, command, 10.0, False, PARAMETERS) is not None


def test_a_stamp_ahead_of_the_clock_keeps_no_image_fresh():
    """The camera's clock is ahead a little, and the camera has stopped."""
    store, command = FrameStore(), record(received=10.65)
    add(store, 'image', 10.19, arrived=10.0)
    assert choose_frame(store, command, 10.65, False, PARAMETERS) is None
    # Of simulated time only stamps count: a simulation that is paused shows what it shows.
    assert choose_frame(store, command, 10.65, False, PARAMETERS, simulated=True) is not None


def test_the_age_of_an_image_goes_on_by_the_steady_clock():
    image = Stamped(99.9, None, None, arrived=5.0, arrived_stamp=100.0)
    assert image.lead_s == pytest.approx(-0.1) and image.age_s(7.0) == pytest.approx(2.1)


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
    ((7.0, 8.0), Outcome.STALE_IMAGE, '2.0 s older'),
    ((0.0,), Outcome.STALE_IMAGE, 'carry no stamp'),
    ((-3.5,), Outcome.STALE_IMAGE, 'carry no stamp'),
])
def test_what_is_said_when_none_comes(stamps, outcome, said):
    store = FrameStore()
    for stamp in stamps:
        add(store, 'image', stamp)
    ending = no_frame(store, record(), '/camera/image', PARAMETERS)
    assert ending.outcome is outcome and said in ending.message


def test_what_is_said_of_images_from_the_future():
    store = FrameStore()
    add(store, 'image', 13.25, arrived=10.0)
    ending = no_frame(store, record(), '/camera/image', PARAMETERS)
    assert ending.outcome is Outcome.STALE_IMAGE and '3.25 s ahead' in ending.message
    assert no_frame(store, record(), '/i', PARAMETERS, 'no clock').message == 'no clock'
