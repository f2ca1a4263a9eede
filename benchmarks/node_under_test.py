"""The real node with a method that does what it is told; started as a process by the benchmarks.

The method finds saturated red and works as long as `--work-ms` says.  A command `fault CALL KIND
and then ...` makes one call of the node's insides fail once, in the given way, before the rest
of the command is worked on.
"""
from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from rclpy.utilities import remove_ros_args

from ris_ros.nodes import ris_node
from ris_ros.nodes.intake import CameraIntake
from ris_ros.nodes.ports import MessageConverter, RosPublisher, RosSurroundings
from ris_ros.service.session import Session
from ris_ros.types import Candidate, Outcome, Scene, Segmentation, View


class RedSegmenter:
    """Finds the red pixels; `timings` tell how long it worked."""

    def __init__(self, work_s: float = 0.0) -> None:
        self._work_s = work_s
        self._kept: tuple[Hashable, Scene] | None = None

    def prepare(self, view: View, key: Hashable = None) -> Scene:
        """Look for red in a view."""
        start = time.perf_counter()
        if self._work_s:
            time.sleep(self._work_s)
        red, green, blue = (view.rgb[:, :, channel] for channel in range(3))
        mask = (red > 150) & (green < 90) & (blue < 90)
        scene = Scene('red', view, mask[None], np.zeros((1, 4), np.float32),
                      np.array([np.count_nonzero(mask)]), np.ones(1, np.float32),
                      timings={'prepare': time.perf_counter() - start})
        self._kept = key, scene
        return scene

    def kept(self, key: Hashable) -> Scene | None:
        """Return the scene of a key if it is the last."""
        return self._kept[1] if self._kept is not None and self._kept[0] == key else None

    def forget(self) -> None:
        """Let go of the scene."""
        self._kept = None

    def ground(self, scene: Scene, text: str, max_candidates: int) -> Segmentation:
        """Answer with the red pixels, whatever the text."""
        start = time.perf_counter()
        mask, found = scene.masks[0], bool(scene.areas[0])
        candidates = (Candidate(1, 0, 1.0, mask, (0.0, 0.0, 0.0, 0.0)),) if found else ()
        return Segmentation(
            mask, float(found), float(found),
            Outcome.SUCCEEDED_2D if found else Outcome.NO_MATCH, '', candidates,
            timings={'ground': time.perf_counter() - start})


# name -> (class, method): what the node calls on the worker's thread, and on the executor's.
OF_WORKER: dict[str, tuple[type, str]] = {
    'segmenter.kept': (RedSegmenter, 'kept'), 'segmenter.prepare': (RedSegmenter, 'prepare'),
    'segmenter.ground': (RedSegmenter, 'ground'), 'converter.rgb': (MessageConverter, 'rgb'),
    'converter.depth': (MessageConverter, 'depth'),
    'converter.camera': (MessageConverter, 'camera'),
    'converter.calibration': (MessageConverter, 'calibration')}
OF_EXECUTOR: dict[str, tuple[type, str]] = {
    'publisher.outputs': (RosPublisher, 'outputs'), 'publisher.result': (RosPublisher, 'result'),
    'publisher.status': (RosPublisher, 'status'), 'publisher.note': (RosPublisher, 'note'),
    'publisher.diagnostics': (RosPublisher, 'diagnostics'),
    'intake.collect': (CameraIntake, 'collect'),
    'surroundings.parameters': (RosSurroundings, 'parameters'),
    'surroundings.image_topic': (RosSurroundings, 'image_topic'),
    'surroundings.wants_detail': (RosSurroundings, 'wants_detail')}
HANG_S = 10.0


def _raise(error: BaseException) -> Callable[..., Any]:
    def fail(_call: Callable[..., Any], *_: Any, **__: Any) -> Any:
        raise error
    return fail


def _not_a_number(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Return what the call returns with its numbers spoilt."""
    result = call(*arguments, **named)
    if isinstance(result, Segmentation):
        object.__setattr__(result, 'score', float('nan'))
    elif isinstance(result, np.ndarray) and result.dtype.kind == 'f':
        result = np.full_like(result, np.nan)
    else:
        raise FloatingPointError('the result holds no number')
    return result


def _hang(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    time.sleep(HANG_S)
    return call(*arguments, **named)


KINDS: dict[str, Callable[..., Any]] = {
    'exception': _raise(RuntimeError('made to fail')), 'memory': _raise(MemoryError('no room')),
    'exit': _raise(SystemExit(1)), 'nan': _not_a_number, 'hang': _hang}


def arm(name: str, kind: str) -> None:
    """Make the next call of that name fail in that way, and the ones after it as ever."""
    owner, attribute = {**OF_WORKER, **OF_EXECUTOR}[name]
    original = getattr(owner, attribute)

    def once(*arguments: Any, **named: Any) -> Any:
        setattr(owner, attribute, original)
        return KINDS[kind](original, *arguments, **named)
    setattr(owner, attribute, once)


def listen_for_faults() -> None:
    """Have commands `fault CALL KIND and then TEXT` arm a fault before TEXT is worked on."""
    on_command = Session.on_command

    def with_faults(self: Session, raw: str) -> None:
        before, mark, _ = raw.partition(' and then ')
        if mark and 'fault ' in before:
            name, kind = before.partition('fault ')[2].split()
            arm(name, kind)
        on_command(self, raw)
    Session.on_command = with_faults  # type: ignore[method-assign]


def main() -> int:
    """Run the node."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--work-ms', type=float, default=0.0)
    parser.add_argument('--load-s', type=float, default=0.0)
    options = parser.parse_args(remove_ros_args(sys.argv)[1:])
    faulthandler.register(signal.SIGUSR1)  # shows where a node stands that seems to hang
    listen_for_faults()

    def factory(_parameters: Any, _settings: Any) -> RedSegmenter:
        time.sleep(options.load_s)
        return RedSegmenter(options.work_ms / 1000)
    # ROS takes its own arguments from sys.argv and leaves the others alone.
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    return ris_node.main(segmenter_factory=factory)


if __name__ == '__main__':
    sys.exit(main())
