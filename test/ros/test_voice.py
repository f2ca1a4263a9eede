"""Speech to commands and answers to words, over real DDS."""
from __future__ import annotations

import os
import sys

import ros_support as ros
from std_msgs.msg import String

from ris_ros.nodes.messages import status_values


def test_speech_becomes_a_command_and_the_answer_is_said(tmp_path):
    process = ros.fixture_node(tmp_path, 'max_image_age_s:=30.0')
    voice = ros.Process([sys.executable, '-m', 'ris_ros.nodes.ris_voice', '--ros-args', '-p',
                         'wake_word:=computer'], dict(os.environ), tmp_path / 'voice.log')
    client = ros.Client()
    said = []
    try:
        client.wait_until_ready()
        client.node.create_subscription(String, 'ris_voice/say', lambda m: said.append(m.data), 10)
        speech = client.node.create_publisher(String, 'speech', 10)
        assert client.wait(lambda: speech.get_subscription_count()
                           and client.node.count_publishers('ris_voice/say'), ros.START_TIMEOUT)
        assert client.wait(lambda: client.command.get_subscription_count()
                           and client.node.count_publishers('ris_node/command') == 2)
        client.spin(1.0)
        client.send_frame()
        client.spin(0.1)
        speech.publish(String(data='the red box'))           # to somebody else
        speech.publish(String(data='Computer, the red box!'))
        assert client.wait(lambda: said)
        assert said == ['I see it.']
        speech.publish(String(data='computer, a box'))
        assert client.wait(lambda: len(said) == 2) and said[1].startswith('Which one?')
        client.send_frame()
        speech.publish(String(data='green'))                 # the answer needs no wake word
        assert client.wait(lambda: len(said) == 3) and said[2] == 'I see it.'
        commands = [status_values(m.status[0])['command'] for m in client.received['result']]
        assert commands == ['the red box', 'a box', 'green']
    finally:
        client.close()
        assert voice.stop() == 0, voice.output()
        assert process.stop() == 0, process.output()


def test_a_parameter_that_does_not_fit(tmp_path):
    voice = ros.Process([sys.executable, '-m', 'ris_ros.nodes.ris_voice', '--ros-args', '-p',
                         'min_confidence:=2.0'], ros.environment(tmp_path), tmp_path / 'v.log')
    assert voice.popen.wait(ros.START_TIMEOUT) == 2
    assert 'min_confidence' in voice.output()
