"""What the node's benchmarks and campaigns share: the node as a process, and its peer.

The peer is camera and user in one: it publishes frames of a red box at a rate, gives commands
and keeps when each result came.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from ris_ros.demo.environment import private_environment, spare_domain_id
from ris_ros.evaluation.bench import machine
from ris_ros.nodes.messages import (
    array_to_image,
    camera_to_info,
    image_to_array,
    stamp_to_seconds,
    status_values,
)
from ris_ros.types import Camera

HERE = Path(__file__).resolve().parent
FRAME_ID = 'camera_color_optical_frame'
PATIENCE_S = 60.0


def surroundings() -> dict[str, Any]:
    """Return what the figures were measured on, and how busy it was."""
    return {**machine(), 'load': round(os.getloadavg()[0], 1)}


class NodeProcess:
    """The node in a process of its own, with all that it prints."""

    def __init__(self, environment: dict[str, str], *parameters: str,
                 options: Sequence[str] = ()) -> None:
        ros = [part for text in parameters for part in ('-p', text)]
        self._command = [sys.executable, str(HERE / 'node_under_test.py'), *options,
                         '--ros-args', *ros]
        self._environment = environment
        self._log = Path(environment['ROS_LOG_DIR']) / 'node.txt'
        self.start()

    def start(self) -> None:
        """Start the process (again)."""
        with self._log.open('a') as stream:
            self.popen = subprocess.Popen(self._command, env=self._environment, stdout=stream,
                                          stderr=subprocess.STDOUT)

    def kill_and_respawn(self, delay_s: float = 2.0) -> None:
        """End the process as nothing can be ended harder, and start it again.

        Two seconds later, as `ros2 launch` does with `respawn:=true` and our launch file.
        """
        self.popen.kill()
        self.popen.wait()
        time.sleep(delay_s)
        self.start()

    def stop(self) -> int:
        """Ask the process to end; kill it if it does not within 20 s."""
        self.popen.send_signal(signal.SIGINT)
        try:
            self.popen.wait(20.0)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        return self.popen.returncode

    @property
    def log(self) -> str:
        """Everything that the node has printed."""
        return self._log.read_text(errors='replace')

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.popen.poll() is None

    def resources(self) -> dict[str, float]:
        """Return resident memory (MB), open files, threads and seconds of processor time."""
        root = Path(f'/proc/{self.popen.pid}')
        status = dict(line.split(':', 1) for line in (root / 'status').read_text().splitlines()
                      if ':' in line)
        times = (root / 'stat').read_text().rpartition(')')[2].split()
        return {'rss_mb': int(status['VmRSS'].split()[0]) / 1024,
                'files': len(list((root / 'fd').iterdir())),
                'threads': int(status['Threads']),
                'cpu_s': (int(times[11]) + int(times[12])) / os.sysconf('SC_CLK_TCK')}


@dataclass
class Scene:
    """What the camera sees: a red box on grey, its depth in millimetres, its intrinsics."""

    height: int = 480
    width: int = 640
    rgb: np.ndarray = field(init=False)
    depth: np.ndarray = field(init=False)
    camera: Camera = field(init=False)

    def __post_init__(self) -> None:
        """Draw it."""
        self.rgb = np.full((self.height, self.width, 3), 120, np.uint8)
        self.depth = np.full((self.height, self.width), 1000, np.uint16)
        self.rgb[self.box] = (220, 20, 20)
        self.depth[self.box] = 800
        focal = 0.9375 * self.width
        self.camera = Camera(focal, focal, (self.width - 1) / 2, (self.height - 1) / 2,
                             self.width, self.height)

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the red box."""
        return (slice(self.height // 4, self.height // 2), slice(self.width // 8, self.width // 3))

    @property
    def truth(self) -> np.ndarray:
        """The box as (H, W) bool."""
        mask = np.zeros((self.height, self.width), bool)
        mask[self.box] = True
        return mask


@dataclass
class Answer:
    """A result with the time it came, seconds of the clock that stamps are of."""

    message: DiagnosticArray
    came: float

    @property
    def values(self) -> dict[str, str]:
        """The command's key-value pairs."""
        return status_values(self.message.status[0])

    @property
    def outcome(self) -> str:
        """The outcome's name."""
        return self.values['outcome']

    @property
    def code(self) -> int:
        """The outcome's code."""
        return int(self.values['code'])

    @property
    def said(self) -> str:
        """The message for people."""
        return self.message.status[0].message

    @property
    def stamp_to_result_ms(self) -> float:
        """From the stamp of the image to the arrival of the result."""
        return 1e3 * (self.came - stamp_to_seconds(self.message.header.stamp))


class Peer:
    """Camera and user of the node; all on the thread that calls `wait`."""

    def __init__(self, scene: Scene | None = None) -> None:
        rclpy.init()
        self.scene = scene or Scene()
        self.node = rclpy.create_node('peer')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        make = self.node.create_publisher
        self.image = make(Image, 'image', qos_profile_sensor_data)
        self.depth = make(Image, 'depth/image', qos_profile_sensor_data)
        self.info = make(CameraInfo, 'camera_info', qos_profile_sensor_data)
        self.command = make(String, 'ris_node/command', QoSProfile(depth=1000))
        self.answers: dict[str, list[Answer]] = {}
        self.masks: list[Image] = []
        self.points: list[PointStamped] = []
        self.status: dict[str, str] = {}
        listen = self.node.create_subscription
        listen(DiagnosticArray, 'ris_node/result', self._on_result, QoSProfile(depth=1000))
        listen(DiagnosticArray, 'ris_node/status', self._on_status, QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        listen(Image, 'ris_node/mask', self.masks.append, QoSProfile(depth=50))
        listen(PointStamped, 'ris_node/target_point', self.points.append, QoSProfile(depth=50))
        self._sent, self._camera = 0, None
        # Made once: what the camera costs is not the node's.
        header = Header(frame_id=FRAME_ID)
        self._frame = (camera_to_info(self.scene.camera, header),
                       array_to_image(self.scene.depth, '16UC1', header),
                       array_to_image(self.scene.rgb, 'rgb8', header))

    @property
    def picture(self) -> Image:
        """The colour image that is shown."""
        return self._frame[2]

    @property
    def depth_image(self) -> Image:
        """The depth image that is shown."""
        return self._frame[1]

    @property
    def intrinsics(self) -> CameraInfo:
        """A CameraInfo as it is shown, to be changed."""
        return camera_to_info(self.scene.camera, Header(frame_id=FRAME_ID))

    def close(self) -> None:
        """Leave ROS."""
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    # ---- time ----------------------------------------------------------------------------

    def wait(self, condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> bool:
        """Spin until the condition holds; say whether it did in time."""
        end = time.monotonic() + timeout_s
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.executor.spin_once(timeout_sec=min(left, 0.05))
        return True

    def spin(self, seconds: float) -> None:
        """Spin for so long."""
        self.wait(lambda: False, seconds)

    def wait_until_ready(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the node is idle and everything is connected; raises TimeoutError."""
        ends = (self.image, self.depth, self.info, self.command)
        self.status.clear()
        if not self.wait(lambda: self.status.get('state') == 'IDLE' and all(
                end.get_subscription_count() for end in ends), timeout_s):
            raise TimeoutError(f'the node did not become ready: {self.status}')
        self.spin(0.3)

    # ---- camera --------------------------------------------------------------------------

    def show(self, header: Header | None = None, image: Image | None = None,
             depth: Image | None = None, info: CameraInfo | None = None) -> Header:
        """Publish one frame, with parts of it replaced."""
        header = header or self.header()
        frame = [part if given is None else given
                 for part, given in zip(self._frame, (info, depth, image), strict=True)]
        for publisher, message in zip((self.info, self.depth, self.image), frame, strict=True):
            message.header = header
            publisher.publish(message)
        return header

    def header(self) -> Header:
        """Return a header of this moment."""
        return Header(stamp=self.node.get_clock().now().to_msg(), frame_id=FRAME_ID)

    def film(self, rate_hz: float) -> None:
        """Show frames at a rate from now on; 0 stops."""
        if self._camera is not None:
            self.node.destroy_timer(self._camera)
            self._camera = None
        if rate_hz:
            self._camera = self.node.create_timer(1 / rate_hz, self.show)

    # ---- commands ------------------------------------------------------------------------

    def say(self, text: str, **more: Any) -> str:
        """Send a command; return its id."""
        self._sent += 1
        identity = str(more.pop('id', f'c{self._sent}'))
        self.command.publish(String(data=json.dumps({'id': identity, 'text': text, **more})))
        return identity

    def answer(self, identity: str, timeout_s: float = PATIENCE_S) -> Answer:
        """Wait for the result of a command; raises TimeoutError."""
        if not self.wait(lambda: identity in self.answers, timeout_s):
            raise TimeoutError(f'no result of command {identity} within {timeout_s:g} s; the '
                               f'node says {self.status}')
        return self.answers[identity][0]

    def ask(self, text: str = 'the red box', timeout_s: float | None = None, **frame: Any
            ) -> Answer:
        """Say something and show one frame after it; return the result.

        On a busy machine the frame may come to the node before the command and be too old for
        it: then both are sent again.
        """
        for _ in range(3):
            identity = self.say(text, **({} if timeout_s is None else {'timeout_s': timeout_s}))
            self.spin(0.01)
            self.show(**frame)
            answer = self.answer(identity)
            if answer.outcome not in ('STALE_IMAGE', 'NO_IMAGE'):
                break
        return answer

    def works(self) -> bool:
        """Give a good command; say whether the answer is right in every part."""
        self.masks.clear()
        self.points.clear()
        answer = self.ask()
        if answer.outcome != 'SUCCEEDED' or not self.wait(
                lambda: self.masks and self.points, 5.0):
            return False
        point = self.points[-1].point
        return bool(np.array_equal(image_to_array(self.masks[-1]) > 0, self.scene.truth)
                    and abs(point.z - 0.8) < 0.002)

    def _on_result(self, message: DiagnosticArray) -> None:
        answer = Answer(message, 1e-9 * self.node.get_clock().now().nanoseconds)
        self.answers.setdefault(answer.values['command_id'], []).append(answer)

    def _on_status(self, message: DiagnosticArray) -> None:
        self.status = status_values(message.status[0])


@contextmanager
def session(*parameters: str, options: Sequence[str] = (), scene: Scene | None = None
            ) -> Iterator[tuple[NodeProcess, Peer]]:
    """Start a node and its peer, ready; end both."""
    with tempfile.TemporaryDirectory(prefix='ris_node_') as folder:
        environment = private_environment(spare_domain_id(), folder)
        environment['OMP_NUM_THREADS'] = '1'
        os.environ.update({name: environment[name] for name in environment if name.startswith(
            ('ROS_', 'FASTRTPS', 'FASTDDS', 'AMENT'))})
        node, peer = NodeProcess(environment, *parameters, options=options), Peer(scene)
        try:
            peer.wait_until_ready()
            yield node, peer
        except TimeoutError as error:
            state = 'runs' if node.alive else f'has ended ({node.popen.poll()})'
            raise TimeoutError(
                f'{error}; it {state}; its last words:\n{node.log[-1500:]}') from error
        finally:
            peer.close()
            with suppress(ProcessLookupError):
                node.stop()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return count, median, 95 and 99 percent and the largest."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {'n': len(values), 'p50': round(float(p50), 2), 'p95': round(float(p95), 2),
            'p99': round(float(p99), 2), 'max': round(float(max(values)), 2)}


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much the values rise per unit of time, by least squares."""
    return float(np.polyfit(times, values, 1)[0]) if len(times) > 1 else 0.0
