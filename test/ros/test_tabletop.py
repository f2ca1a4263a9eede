"""The real node with the shipped networks, on pictures of the simulated tabletop."""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import ros_support as ros

from ris_ros.nodes.messages import array_to_image, camera_to_info, image_to_array

WEIGHTS = Path(__file__).resolve().parents[2] / 'ris_ros' / 'data' / 'weights'
MISSING = [name for name in ('torch', 'open_clip', 'segment_anything', 'spacy', 'mujoco')
           if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f'not installed: {", ".join(MISSING)}'),
    pytest.mark.skipif(not (WEIGHTS / 'tabletop_clip.safetensors').is_file()
                       or not (WEIGHTS / 'tabletop_sam.safetensors').is_file(),
                       reason='the networks of the profile tabletop are not there '
                              '(ris train tabletop)'),
]


def test_real_networks_over_real_topics(tmp_path):
    from ris_ros.simulation import TabletopWorld
    command = [sys.executable, '-m', 'ris_ros.nodes.ris_node', '--ros-args',
               '-p', 'image_timeout_s:=20.0']
    process = ros.Process(command, ros.environment(tmp_path), tmp_path / 'node.log')
    client, right, asked = None, 0, 0
    try:
        client = ros.Client()
        assert client.wait(lambda: client.state() == 'IDLE', 300.0), process.output()
        client.wait_until_ready()
        for seed in (100000, 100001, 100002):
            with TabletopWorld(seed) as world:
                frame = world.frame
                chosen = [e for e in world.expressions if e.tag == 'attribute'][:2]
                for expression in chosen:
                    client.spin(0.6)  # the last frame is not fresh any more
                    identity = client.say(f'pick up {expression.text}')
                    client.spin(0.1)
                    header = client.header()
                    client.send_frame(
                        header, array_to_image(frame.color, 'rgb8', header),
                        array_to_image(frame.depth, '16UC1', header),
                        camera_to_info(frame.camera, header))
                    values = client.result(identity, 60.0)
                    asked += 1
                    assert values['outcome'] in ('SUCCEEDED', 'AMBIGUOUS', 'NO_MATCH',
                                                 'NO_DEPTH'), values
                    if values['outcome'] != 'SUCCEEDED':
                        continue
                    assert client.wait(lambda header=header: any(
                        m.header == header for m in client.received['target_point']))
                    point = client.received['target_point'][-1].point
                    mask = image_to_array(client.received['mask'][-1]) > 0
                    truth = frame.instances == expression.targets[0]
                    iou = (mask & truth).sum() / (mask | truth).sum()
                    if iou >= 0.5:
                        right += 1
                        xyz = np.array([point.x, point.y, point.z])
                        assert world.surface_distance(xyz, expression.targets[0]) < 0.015
                    assert len(client.results(identity)) == 1
        assert asked >= 5 and right >= asked // 2, f'{right} of {asked}'
    finally:
        if client:
            client.close()
        assert process.stop() == 0, process.output()
