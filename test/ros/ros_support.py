"""What the ROS tests share: a node in its own process, and a client that talks to it."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PoseStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, String

from ris_ros.demo.environment import private_environment, spare_domain_id
from ris_ros.nodes.messages import array_to_image, camera_to_info, status_values
from ris_ros.types import Camera

HERE = Path(__file__).parent
TIMEOUT = 20.0  # generous: the machine may be busy
START_TIMEOUT = 60.0  # for a process that has its libraries to import first
CAMERA = Camera(fx=600.0, fy=600.0, cx=319.5, cy=239.5, width=640, height=480)
BOXES = {'red': (slice(100, 200), slice(80, 200)), 'green': (slice(250, 380), slice(400, 560))}
DEPTHS = {'red': 0.8, 'green': 0.6}


def picture() -> np.ndarray:
    """Return (480, 640, 3) uint8: a red and a green box on grey."""
    image = np.full((480, 640, 3), 120, np.uint8)
    image[BOXES['red']] = (220, 20, 20)
    image[BOXES['green']] = (20, 200, 20)
    return image


def depth_mm() -> np.ndarray:
    """Return the (480, 640) uint16 depth that belongs to `picture`; the table is at 1 m."""
    depth = np.full((480, 640), 1000, np.uint16)
    for colour, box in BOXES.items():
        depth[box] = round(1000 * DEPTHS[colour])
    return depth


def true_mask(colour: str) -> np.ndarray:
    mask = np.zeros((480, 640), bool)
    mask[BOXES[colour]] = True
    return mask


def call(client, kind, name, request):
    """Call a service of the node and return its response."""
    service = client.node.create_client(kind, name)
    try:
        assert client.wait(service.service_is_ready), f'no service {name}'
        future = service.call_async(request)
        assert client.wait(future.done), f'no answer of {name}'
        return future.result()
    finally:
        client.node.destroy_client(service)


class Process:
    """A node in a process of its own, ended with a signal and never left behind."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open('w') as stream:
            self.popen = subprocess.Popen(command, env=environment, stdout=stream,
                                          stderr=subprocess.STDOUT)

    def stop(self) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
            try:
                self.popen.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(10.0)
        return self.popen.returncode

    def output(self) -> str:
        return self.log.read_text()


class Client:
    """Publishes images and commands; keeps all that the node publishes."""

    def __init__(self, node_name: str = 'ris_node') -> None:
        rclpy.init()
        self.node = rclpy.create_node('ris_test_client')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.received: dict[str, list] = {}
        make = self.node.create_publisher
        self.image = make(Image, 'image', qos_profile_sensor_data)
        self.depth = make(Image, 'depth/image', qos_profile_sensor_data)
        self.info = make(CameraInfo, 'camera_info', qos_profile_sensor_data)
        self.command = make(String, f'{node_name}/command', QoSProfile(depth=10))
        for kind, topic, qos in (
                (Image, 'mask', QoSProfile(depth=10)), (Image, 'labels', QoSProfile(depth=10)),
                (Image, 'overlay', QoSProfile(depth=10)),
                (Image, 'heatmap', QoSProfile(depth=10)),
                (PointStamped, 'target_point', QoSProfile(depth=10)),
                (PoseStamped, 'target_pose', QoSProfile(depth=10)),
                (PointCloud2, 'target_cloud', QoSProfile(depth=10)),
                (DiagnosticArray, 'result', QoSProfile(depth=50)),
                (DiagnosticArray, 'status', QoSProfile(
                    depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))):
            self.received[topic] = []
            self.node.create_subscription(kind, f'{node_name}/{topic}',
                                          self.received[topic].append, qos)
        self._next_id = 0

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def wait(self, condition: Callable[[], object], timeout: float = TIMEOUT) -> bool:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return True
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def spin(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    def let_frames_age(self) -> None:
        """Wait until no earlier frame is fresh (max_image_age_s is 0.2 in these tests)."""
        self.spin(0.25)

    def state(self) -> str:
        status = self.received['status']
        return status_values(status[-1].status[0])['state'] if status else ''

    def wait_until_ready(self, timeout: float = START_TIMEOUT) -> None:
        ready = self.wait(lambda: self.state() == 'IDLE' and all(
            publisher.get_subscription_count() for publisher in
            (self.image, self.depth, self.info, self.command)), timeout)
        assert ready, f'the node did not become ready (state {self.state()!r})'
        self.spin(0.3)  # the other side of the match may be a moment later

    def header(self, age: float = 0.0) -> Header:
        now = self.node.get_clock().now().nanoseconds - int(age * 1e9)
        header = Header(frame_id='camera_color_optical_frame')
        header.stamp.sec, header.stamp.nanosec = now // 10**9, now % 10**9
        return header

    def send_frame(self, header: Header | None = None, image: Image | None = None,
                   depth: Image | str | None = 'auto', info: CameraInfo | str | None = 'auto'
                   ) -> Header:
        """Publish one frame; None leaves a part out."""
        header = header or self.header()
        if info is not None:
            self.info.publish(camera_to_info(CAMERA, header) if info == 'auto' else info)
        if depth is not None:
            self.depth.publish(
                array_to_image(depth_mm(), '16UC1', header) if depth == 'auto' else depth)
        self.image.publish(image or array_to_image(picture(), 'rgb8', header))
        return header

    def say(self, text: str, **more: object) -> str:
        self._next_id += 1
        identity = str(more.pop('id', f'test-{self._next_id}'))
        self.command.publish(String(data=json.dumps({'id': identity, 'text': text, **more})))
        return identity

    def results(self, identity: str) -> list[DiagnosticArray]:
        return [message for message in self.received['result']
                if status_values(message.status[0])['command_id'] == identity]

    def result(self, identity: str, timeout: float = TIMEOUT) -> dict[str, str]:
        """Return the values of the one result of a command."""
        assert self.wait(lambda: self.results(identity), timeout), f'no result of {identity}'
        return status_values(self.results(identity)[0].status[0])

    def ask(self, text: str, **frame: object) -> tuple[dict[str, str], Header]:
        """Say something and show one frame after it; return the result and the header."""
        identity = self.say(text)
        self.spin(0.05)
        header = self.send_frame(**frame)  # type: ignore[arg-type]
        return self.result(identity), header


def environment(tmp: Path) -> dict[str, str]:
    """Return an environment of its own for the test's processes, and set it here too."""
    result = private_environment(spare_domain_id(), tmp)
    result.update(ROS_PYTHON_CHECK_FIELDS='1', OMP_NUM_THREADS='1')
    os.environ.update({key: result[key] for key in result
                       if key.startswith(('ROS_', 'FASTRTPS', 'FASTDDS', 'AMENT'))})
    return result


def fixture_node(tmp: Path, *parameters: str, script: str = 'fixture_node.py') -> Process:
    arguments = [part for text in parameters for part in ('-p', text)]
    command = [sys.executable, str(HERE / script)]
    if arguments:
        command += ['--ros-args', *arguments]
    return Process(command, environment(tmp), tmp / 'node.log')


def set_parameter(client: Client, name: str, value: float | bool) -> None:
    """Change a number or a switch of the running node."""
    content = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value) if isinstance(
        value, bool) else ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=content)])
    assert call(client, SetParameters, 'ris_node/set_parameters', request).results[0].successful
