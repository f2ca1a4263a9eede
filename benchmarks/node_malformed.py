"""Strategies for hypothesis: messages and commands that no node may accept."""
from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from node_rig import Scene

from ris_ros.nodes.encodings import COLOUR_ENCODINGS
from ris_ros.service.commands import KEYS, MAX_ID, MAX_TEXT

UINT32 = st.integers(0, 2**32 - 1)
ANY_TEXT = st.text(st.characters(), max_size=40)   # lone surrogates and NUL among them
SAYABLE = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=40)


def _sendable(raw: str) -> bool:
    """Say whether ROS can carry a text as it is, so that it arrives as it was meant."""
    return '\0' not in raw and all(not '\ud800' <= c <= '\udfff' for c in raw)


def commands() -> st.SearchStrategy[str]:
    """Return commands that are blank, too long, no JSON, or of wrong keys or values."""
    blank = st.text(st.sampled_from(' \t\n\r\x0b\x1b\ufeff'), max_size=20)
    long = st.integers(MAX_TEXT + 1, 9000).map(lambda n: 'x' * n)
    cut = st.integers(1, 40).map(
        lambda n: '{"id": "a", "text": "the red box", "mode": "once"}'[:n])
    garbage = SAYABLE.map(lambda t: '{' + t).filter(_is_no_json)
    deep = st.integers(1, 1900).map(lambda n: '{"a":' * n + '1' + '}' * n)
    return st.one_of(blank, long, cut, garbage, deep, _objects()).filter(_sendable)


def _is_no_json(raw: str) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return True
    return False


def _objects() -> st.SearchStrategy[str]:
    """Return JSON objects in which one thing is wrong."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
        max_leaves=6)
    good = {'text': 'the red box'}
    not_text = values.filter(lambda v: not isinstance(v, str))
    bad_id = st.one_of(
        st.booleans(), st.floats(), st.lists(values, max_size=2), st.just(''),
        st.integers(MAX_ID + 1, 500).map(lambda n: 'i' * n),
        ANY_TEXT.map(lambda t: t + '\0'), ANY_TEXT.map(lambda t: '\ud83d' + t))
    bad_time = st.one_of(
        st.booleans(), ANY_TEXT, st.floats(max_value=0.0), st.floats(min_value=3601.0),
        st.just(float('nan')), st.integers(max_value=0), st.integers(min_value=3601))
    wrong = st.one_of(
        not_text.map(lambda v: {'text': v}), st.just({}),
        bad_id.map(lambda v: {**good, 'id': v}),
        bad_time.map(lambda v: {**good, 'timeout_s': v}),
        values.filter(lambda v: v != 'once').map(lambda v: {**good, 'mode': v}),
        st.tuples(ANY_TEXT.filter(lambda k: k not in KEYS), values).map(
            lambda pair: {**good, pair[0]: pair[1]}),
        st.text(st.sampled_from(' \t\0\x1b'), max_size=9).map(lambda t: {'text': t}))
    return wrong.map(json.dumps)


def images(scene: Scene) -> st.SearchStrategy[dict[str, Any]]:
    """Return what to change in an rgb8 image so that it is none."""
    return _pictures(scene, 3, COLOUR_ENCODINGS)


def depths(scene: Scene) -> st.SearchStrategy[dict[str, Any]]:
    """Return what to change in a 16UC1 image so that it is no depth of the colour image."""
    return _pictures(scene, 2, ('16UC1', 'mono16', '32FC1'))


def _pictures(scene: Scene, pixel_bytes: int, known: tuple[str, ...]
              ) -> st.SearchStrategy[dict[str, Any]]:
    height, width = scene.height, scene.width
    size, row = height * width * pixel_bytes, width * pixel_bytes
    other = st.integers(0, 4 * max(height, width))
    return st.one_of(
        SAYABLE.filter(lambda name: name not in known).map(lambda name: {'encoding': name}),
        st.integers(0, row - 1).map(lambda step: {'step': step}),
        st.integers(row + 1, 2**32 - 1).map(lambda step: {'step': step}),
        st.integers(0, 2 * size).filter(lambda n: n != size).map(lambda n: {'bytes': n}),
        UINT32.filter(lambda n: n != height).map(lambda n: {'height': n}),
        st.integers(width + 1, 2**32 - 1).map(lambda n: {'width': n}),
        st.just({'width': 0}), st.just({'height': 0, 'width': 0, 'step': 0, 'bytes': 0}),
        st.tuples(other, other).map(lambda hw: {'height': hw[0], 'width': hw[1]}).filter(
            lambda c: c['width'] * pixel_bytes > row or c['height'] != height))


def infos(scene: Scene) -> st.SearchStrategy[dict[str, Any]]:
    """Return what to change in a CameraInfo so that it is not that of the image."""
    height, width = scene.height, scene.width
    number = st.floats(allow_nan=True, allow_infinity=True)
    wild = st.one_of(st.floats(max_value=0.0), st.floats(min_value=100.0 * width),
                     st.just(float('nan')), st.just(float('inf')), st.floats(0.0, 1.0))
    # Without a focal length P is not filled in, and K counts.
    focal = wild.filter(lambda f: f != 0.0).map(lambda f: {'p': _row(f, width, height)})
    return st.one_of(
        focal, st.just({'k': [0.0] * 9, 'p': [0.0] * 12}),
        st.lists(number, min_size=9, max_size=9).map(
            lambda k: {'k': [0.0, *k[1:]], 'p': [0.0] * 12}),
        UINT32.filter(lambda n: n != width).map(lambda n: {'width': n}),
        UINT32.filter(lambda n: n != height).map(lambda n: {'height': n}),
        st.tuples(st.integers(1, width), st.integers(1, height)).filter(
            lambda wh: wh != (width, height)).map(
                lambda wh: {'roi.width': wh[0], 'roi.height': wh[1]}),
        st.tuples(UINT32, UINT32).filter(lambda xy: xy != (0, 0)).map(
            lambda xy: {'roi.x_offset': xy[0], 'roi.y_offset': xy[1], 'roi.width': width,
                        'roi.height': height}),
        st.integers(2, 2**32 - 1).map(lambda n: {'binning_x': n}),
        st.just({'distortion_model': 'plumb_bob', 'd': [float('nan')] * 5}))


def _row(focal: float, width: int, height: int) -> list[float]:
    return [focal, 0.0, (width - 1) / 2, 0.0, 0.0, focal, (height - 1) / 2, 0.0,
            0.0, 0.0, 1.0, 0.0]


def raw_bytes() -> st.SearchStrategy[tuple[str, bytes]]:
    """Return a topic and bytes that are no message of its type, or by chance one.

    Never no bytes at all: with Fast DDS what a reliable writer sends after these never arrives,
    from that writer, whoever reads.
    """
    body = st.one_of(st.binary(min_size=1, max_size=400), st.binary(max_size=60).map(
        lambda b: b'\x00\x01\x00\x00' + b))
    return st.tuples(st.sampled_from(['image', 'depth', 'info', 'command']), body)
