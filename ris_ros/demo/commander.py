"""Gives the demo's commands, waits for their results and judges them in the simulation.

Talks to the node and to the camera by topics alone; knows the truth from its own copy of
each scene, which is a function of the seed.
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from ris_ros.demo.plan import (
    Answer,
    PlannedCommand,
    html_page,
    intersection_over_union,
    plan_scene,
    report,
    summarise,
    summary_lines,
    table_line,
    table_lines,
)
from ris_ros.files import atomic_path, write_json, write_text
from ris_ros.lazy import require
from ris_ros.nodes.messages import image_to_array, stamp_to_seconds, status_values
from ris_ros.service.session import REFUSED
from ris_ros.types import RisError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Commander(Node):
    """Node `commander`; keeps the newest message of each output of the ris node."""

    def __init__(self, patience_s: float) -> None:
        super().__init__('commander')
        self._patience = patience_s
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._command = self.create_publisher(String, 'ris_node/command', QoSProfile(depth=10))
        self._scene = self.create_publisher(String, 'tabletop_camera/scene', QoSProfile(depth=10))
        self.camera: dict[str, Any] = {}
        self.status: dict[str, str] = {}
        self.status_text = ''
        self.results: dict[str, DiagnosticArray] = {}
        self.arrived: dict[str, float] = {}
        self.outputs: dict[str, Any] = {}
        subscribe = self.create_subscription
        subscribe(String, 'tabletop_camera/state', self._on_camera, LATCHED)
        subscribe(DiagnosticArray, 'ris_node/status', self._on_status, LATCHED)
        subscribe(DiagnosticArray, 'ris_node/result', self._on_result, QoSProfile(depth=20))
        for topic, kind in (('mask', Image), ('overlay', Image), ('target_point', PointStamped)):
            subscribe(kind, f'ris_node/{topic}', self._keeper(topic), QoSProfile(depth=5))

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float | None = None
             ) -> None:
        """Spin until the condition holds; raises RisError naming `what` if it never does."""
        if not self.settle(condition, timeout_s or self._patience):
            raise RisError(f'{what} did not happen within {timeout_s or self._patience:g} s; '
                           'see the logs of the other processes')

    def settle(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        """Spin until the condition holds or the time is over; say whether it holds."""
        end = time.monotonic() + timeout_s
        while rclpy.ok() and time.monotonic() < end:
            if condition():
                return True
            self._executor.spin_once(timeout_sec=0.05)
        return bool(condition())

    def wait_for_peers(self) -> None:
        """Wait until the node is active and sees the camera."""
        # Loading the models may take minutes on a slow or busy machine.
        self.wait(self._node_is_active, 'activation of ris_node', 5 * self._patience)
        self.wait(lambda: self.camera.get('subscribers', 0) >= 1, 'discovery of the camera')
        self.settle(lambda: False, 1.0)  # the other side of each match may come a little later

    def _node_is_active(self) -> bool:
        if REFUSED in self.status_text:
            raise RisError(self.status_text)
        return self.status.get('state') == 'IDLE'

    def show(self, seed: int, fresh_s: float) -> None:
        """Let the camera show a scene, and wait until older images no longer count."""
        self._scene.publish(String(data=str(seed)))
        self.wait(lambda: self.camera.get('seed') == seed
                  and self.camera.get('first_stamp_ns') is not None, f'scene {seed}')
        first = 1e-9 * self.camera['first_stamp_ns']
        self.wait(lambda: self._seconds() > first + fresh_s, 'passing of time')

    def pause_and_count(self) -> tuple[int, int]:
        """Stop the camera; return how many images it sent and how many of them were not lost.

        The node takes images when it needs one: those it left lying are not lost, those that
        the middleware tells it are.
        """
        self._scene.publish(String(data='pause'))
        self.wait(lambda: self.camera.get('paused'), 'pause of the camera', 10.0)
        sent = int(self.camera['images_sent'])
        self.settle(lambda: int(self.status.get('images_received', 0)) >= sent, 3.0)
        lost = int(self.status.get('images_lost', 0))
        return sent, sent - min(lost, sent)

    def ask(self, identity: str, text: str) -> tuple[DiagnosticArray, float, dict[str, Any]]:
        """Send a command; return its result, the time it came, and outputs of its stamp."""
        self.outputs.clear()
        self._command.publish(String(data=json.dumps({'id': identity, 'text': text})))
        self.wait(lambda: identity in self.results, f'the result of command {identity}')
        result = self.results[identity]
        wanted = {'mask', 'overlay'}
        if status_values(result.status[0])['point_xyz'] if len(result.status) else False:
            wanted.add('target_point')
        self.settle(lambda: wanted <= set(self._outputs_of(result.header)), 2.0)
        return result, self.arrived[identity], self._outputs_of(result.header)

    def _outputs_of(self, header: Header) -> dict[str, Any]:
        return {topic: message for topic, message in self.outputs.items()
                if message.header == header}

    def _seconds(self) -> float:
        return 1e-9 * self.get_clock().now().nanoseconds

    def _on_camera(self, message: String) -> None:
        self.camera = json.loads(message.data)

    def _on_status(self, message: DiagnosticArray) -> None:
        self.status = status_values(message.status[0])
        self.status_text = message.status[0].message

    def _on_result(self, message: DiagnosticArray) -> None:
        identity = status_values(message.status[0])['command_id']
        if identity in self.results:
            raise RisError(f'command {identity} has a second result')
        self.results[identity] = message
        self.arrived[identity] = self._seconds()

    def _keeper(self, topic: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            self.outputs[topic] = message
        return keep


def judge(planned: PlannedCommand, world: Any, result: DiagnosticArray, arrived: float,
          outputs: dict[str, Any], overlay: str | None) -> Answer:
    """Return the row of one command; lets the gripper go to the target point, if any."""
    values = status_values(result.status[0])
    iou = error = lifted = None
    point_message = outputs.get('target_point')
    if planned.answerable:
        (target,) = planned.targets
        mask = outputs.get('mask')
        truth = world.frame.instances == target
        iou = 0.0 if mask is None else intersection_over_union(image_to_array(mask) > 0, truth)
        lifted = False
        if point_message is not None:
            point = point_message.point
            xyz = np.array([point.x, point.y, point.z])
            error = 1e3 * world.surface_distance(xyz, target)
            lifted = world.suck(xyz) == target
    has_image = bool(result.header.frame_id)
    return Answer(
        command=planned.text, tag=planned.tag, answerable=planned.answerable,
        outcome=values['outcome'], code=int(values['code']), iou=iou, target_error_mm=error,
        lifted_right=lifted, seed=planned.seed, overlay=overlay,
        stamp_to_result_ms=1e3 * (arrived - stamp_to_seconds(result.header.stamp))
        if has_image else None, message=result.status[0].message)


def run(commander: Commander, options: argparse.Namespace) -> tuple[list[Answer], dict[str, Any]]:
    """Give all commands; return the rows and the summary.  Prints each row as it comes."""
    from ris_ros.simulation import TabletopWorld
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    print('waiting for the camera and for the models to load ...', flush=True)
    commander.wait_for_peers()
    print(next(table_lines([])), flush=True)
    answers: list[Answer] = []
    used: dict[str, int] = {}
    seed = options.first_seed
    while len(answers) < options.commands:
        with TabletopWorld(seed) as world:
            planned = plan_scene(seed, world.expressions, used, options.commands - len(answers))
            if planned:
                commander.show(seed, options.max_image_age)
            for command in planned:
                number = len(answers) + 1
                result, arrived, outputs = commander.ask(f'demo-{number}', command.text)
                picture = save_overlay(output, number, outputs.get('overlay'))
                answers.append(judge(command, world, result, arrived, outputs, picture))
                print(table_line(number, answers[-1]), flush=True)
        seed += 1
    return answers, summarise(answers, *commander.pause_and_count())


def save_overlay(folder: Path, number: int, message: Image | None) -> str | None:
    """Write one overlay picture; return its file name, None where there is no picture."""
    if message is None:
        return None
    pillow = require('PIL.Image', 'simulation')
    name = f'{number:03d}.png'
    with atomic_path(folder / name) as temporary:
        pillow.fromarray(image_to_array(message)).save(temporary)
    return name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that the demo hands on to this process."""
    parser.add_argument('--commands', type=int, default=24, metavar='N',
                        help='how many commands to give (default 24)')
    parser.add_argument('--first-seed', type=int, default=100000, metavar='S',
                        help='seed of the first scene; the test split begins at 100000')
    parser.add_argument('--output', default='demo_output', metavar='DIR',
                        help='folder for the overlay pictures and index.html')
    parser.add_argument('--json', metavar='FILE', help='write all rows and the summary')
    parser.add_argument('--max-image-age', type=float, default=0.3, help=argparse.SUPPRESS)
    parser.add_argument('--patience', type=float, default=120.0, help=argparse.SUPPRESS)


def main(args: list[str] | None = None) -> int:
    """Run the commander; return 0 when every command got its result."""
    arguments = sys.argv if args is None else ['commander', *args]
    parser = argparse.ArgumentParser(prog='commander', description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(remove_ros_args(arguments)[1:])
    rclpy.init(args=arguments)
    commander = Commander(options.patience)
    try:
        answers, summary = run(commander, options)
    except RisError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        commander.destroy_node()
        rclpy.try_shutdown()
    print(*summary_lines(summary), sep='\n', flush=True)
    write_text(Path(options.output) / 'index.html', html_page(answers, summary))
    if options.json:
        write_json(options.json, report(answers, summary))
    return 0


if __name__ == '__main__':
    sys.exit(main())
