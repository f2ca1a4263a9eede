"""The self-test: does what is loaded work, on a picture of its own; no ROS here.

It tells broken from well: a synthetic picture cannot say whether the answers are good ones.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ris_ros.service.health import Check
from ris_ros.service.worker import SegmenterLike, checked, warm_up_image
from ris_ros.target import measure_target
from ris_ros.types import Camera, Level, Outcome, Segmentation, View

T = TypeVar('T')
HEIGHT, WIDTH, DEPTH_M = 480, 640, 0.75
NEAR_M = 0.001   # the measured point of a flat square is on it


def examine_models(segmenter: SegmenterLike | None) -> list[Check]:
    """Return how preparing a picture and grounding a sentence in it went, stage by stage."""
    if segmenter is None:
        return [Check('prepare', Level.ERROR, 'no model is loaded; configure the node')]
    view = View(warm_up_image(HEIGHT, WIDTH))
    checks: list[Check] = []
    scene = _timed(checks, 'prepare', lambda: segmenter.prepare(view))
    if scene is None:
        return checks
    answer = _timed(checks, 'ground', lambda: checked(
        segmenter.ground(scene, 'the red box', max_candidates=10), view))
    return checks if answer is None else [*checks, examine_target()]


def examine_target() -> Check:
    """Measure a square whose place is known."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[200:280, 300:380] = True
    depth = np.full((HEIGHT, WIDTH), 2 * DEPTH_M, np.float32)
    depth[mask] = DEPTH_M
    camera = Camera(600.0, 600.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT)
    start = time.perf_counter()
    measured = measure_target(
        Segmentation(mask, 1.0, 1.0, Outcome.SUCCEEDED_2D, ''), depth, camera)
    values = {'ms': 1e3 * (time.perf_counter() - start)}
    expected = np.array([20.0 / 600 * DEPTH_M, 0.0, DEPTH_M])
    if measured.geometry is None or np.abs(measured.geometry.centre - expected).max() > NEAR_M:
        return Check('target', Level.ERROR, f'a square at {expected.tolist()} m was measured as '
                     f'{measured.outcome.name}', values)
    return Check('target', Level.OK, 'measured where it is', values)


def _timed(checks: list[Check], name: str, work: Callable[[], T]) -> T | None:
    """Return what the work gives, None where it failed; note which and how long it took."""
    start = time.perf_counter()
    try:
        result = work()
    except BaseException as error:   # a library may end the process with SystemExit
        checks.append(Check(name, Level.ERROR, f'{type(error).__name__}: {error}',
                            {'ms': 1e3 * (time.perf_counter() - start)}))
        return None
    checks.append(Check(name, Level.OK, 'works', {'ms': 1e3 * (time.perf_counter() - start)}))
    return result
