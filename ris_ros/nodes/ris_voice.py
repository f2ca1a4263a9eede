"""Node `ris_voice`: from recognised speech to commands of ris_node, and its answers to words.

Hears `speech` (std_msgs/String) and, where hri_msgs is installed, `live_speech`
(hri_msgs/LiveSpeech, of which only what is final counts); publishes what is to be said on `~/say`
(std_msgs/String).  The parameter `node` names the ris_node; the others are those of
`ris_ros.service.voice.VoiceParameters`.  Recognising and speaking are others' work.
"""
from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from ris_ros.client import Answer, Pending, RisClient
from ris_ros.nodes.parameters import declare, validator
from ris_ros.nodes.spinning import leave_at_once, spin_until_shutdown, start_ros
from ris_ros.service.parameters import ParameterSpec
from ris_ros.service.text import carriable
from ris_ros.service.voice import Ears, VoiceParameters, spoken_answer
from ris_ros.settings import describe, from_mapping
from ris_ros.types import BadInputError, RisError


class VoiceNode(Node):
    """See above; all callbacks run on the executor's thread and wait for nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('ris_voice', **kwargs)
        self._table = [ParameterSpec(info.name, info, False) for info in describe(VoiceParameters)]
        declare(self, self._table)
        self.add_on_set_parameters_callback(validator(self._table))
        name = str(self.declare_parameter('node', 'ris_node').value)
        self._ris = RisClient(name, node=self)
        self._ears = Ears()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._say = self.create_publisher(String, '~/say', QoSProfile(depth=10))
        self.create_subscription(String, 'speech', self._on_text, QoSProfile(depth=10))
        hri = live_speech_messages()
        if hri is not None:
            self.create_subscription(hri.LiveSpeech, 'live_speech', self._on_live_speech,
                                     QoSProfile(depth=10))

    @property
    def settings(self) -> VoiceParameters:
        """The parameters as they are now."""
        return from_mapping(VoiceParameters, {
            spec.name: self.get_parameter(spec.name).value for spec in self._table})

    def _on_text(self, message: String) -> None:
        self._hear(message.data, None)

    def _on_live_speech(self, message: Any) -> None:
        if message.final:   # else it is still being said
            self._hear(message.final, float(message.confidence))

    def _hear(self, text: str, confidence: float | None) -> None:
        p = self.settings
        heard = self._ears.hear(carriable(text), confidence, self._now(), p)
        if heard.command is None:
            self.get_logger().info(heard.reason)
            return
        self.get_logger().info(f'heard: {heard.command}')
        try:
            pending = self._ris.send(heard.command, p.command_timeout_s)
        except RisError as error:
            self.get_logger().error(str(error))
            self._speak('I cannot see at the moment.')
            return
        pending.add_done_callback(self._on_answer)

    def _on_answer(self, pending: Pending) -> None:
        try:
            answer: Answer = pending.result(0.0)
        except RisError as error:
            self.get_logger().error(str(error))
            self._speak('I have lost my eyes.')
            return
        words, asks = spoken_answer(answer.outcome, answer.message, answer.values)
        if asks:
            self._ears.asked(self._now(), self.settings)
        self._speak(words)

    def _speak(self, words: str) -> None:
        if words and rclpy.ok(context=self.context):
            self._say.publish(String(data=carriable(words)))

    def _now(self) -> float:
        return 1e-9 * self._steady.now().nanoseconds

    def close(self) -> None:
        """Let go of the ris_node."""
        self._ris.close()


def live_speech_messages() -> ModuleType | None:
    """Return the messages of hri_msgs, None where they are not installed."""
    try:
        return importlib.import_module('hri_msgs.msg')
    except ImportError:
        return None


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return 2 if it cannot start."""
    stop = start_ros(args)
    try:
        node = VoiceNode()
    except BadInputError as error:
        print(f'ris_voice: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    spin_until_shutdown(node, stop, close=node.close)
    leave_at_once(0)
    return 0


if __name__ == '__main__':
    sys.exit(main())
