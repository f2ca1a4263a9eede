"""The SROS2 policy names every topic and service that the node has."""
from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / 'config' / 'sros2' / 'ris.policy.xml'


def allowed(enclave, kind, what):
    """Return the names that an enclave may `what` ('publish', 'subscribe', 'reply', ...)."""
    (found,) = [e for e in ET.parse(POLICY).getroot().iter('enclave') if e.get('path') == enclave]
    return {name.text for group in found.iter(f'{kind}s') if group.get(what) == 'ALLOW'
            for name in group.iter(kind)}


def used(pattern, voice=False):
    """Return the names that match in the code of the node, or in that of ris_voice."""
    code = '\n'.join(path.read_text() for path in (ROOT / 'ris_ros' / 'nodes').glob('*.py')
                     if (path.name == 'ris_voice.py') == voice)
    return set(re.findall(pattern, code))


def test_every_output_and_input_of_the_node_is_allowed():
    outputs = used(r"(?:make|create_publisher)\(\s*[\w.]+,\s*'([^']+)'")
    assert {'~/mask', '~/result', '~/status', '~/target_point', '~/detections',
            '/diagnostics'} <= outputs
    assert outputs <= allowed('/ris/ris_node', 'topic', 'publish')
    inputs = {'image', 'image/compressed', 'depth/image', 'camera_info', 'tf', 'tf_static'} | used(
        r"create_subscription\(\s*String,\s*'([^']+)'")
    assert '~/command' in inputs and inputs <= allowed('/ris/ris_node', 'topic', 'subscribe')
    services = used(r"create_service\(\s*\w+,\s*'([^']+)'")
    assert services and services <= allowed('/ris/ris_node', 'service', 'reply')


def test_the_voice():
    outputs = used(r"create_publisher\(\s*[\w.]+,\s*'([^']+)'", voice=True)
    inputs = used(r"create_subscription\(\s*[\w.]+,\s*'([^']+)'", voice=True)
    assert outputs == {'~/say'} and inputs == {'speech', 'live_speech'}
    assert {*outputs, 'ris_node/command'} <= allowed('/ris/voice', 'topic', 'publish')
    assert {*inputs, 'ris_node/result', 'ris_node/status'} <= allowed('/ris/voice', 'topic',
                                                                      'subscribe')


def test_only_the_commander_and_the_voice_give_commands():
    for enclave in ('/ris/ris_node', '/ris/camera'):
        assert not {name for name in allowed(enclave, 'topic', 'publish') if 'command' in name}
        assert not allowed(enclave, 'service', 'request')
    assert 'ris_node/command' in allowed('/ris/commander', 'topic', 'publish')
    heard = {f'~/{name.partition("/")[2]}' for name in allowed(
        '/ris/commander', 'topic', 'subscribe') if name.startswith('ris_node/')}
    assert heard <= allowed('/ris/ris_node', 'topic', 'publish')
