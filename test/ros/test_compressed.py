"""Compressed images over real DDS."""
from __future__ import annotations

import array
import io

import numpy as np
import ros_support as ros
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage

from ris_ros.nodes.messages import image_to_array


def test_compressed_images(tmp_path):
    """A camera that sends JPEG and PNG alone; over raw images the node would wait for ever."""
    from PIL import Image as Pillow
    process = ros.fixture_node(tmp_path, 'image_transport:=compressed', 'use_depth:=false',
                               'max_image_age_s:=0.2')
    client = ros.Client()
    try:
        publisher = client.node.create_publisher(CompressedImage, 'image/compressed',
                                                 qos_profile_sensor_data)
        assert client.wait(lambda: client.state() == 'IDLE' and publisher.get_subscription_count()
                           and client.command.get_subscription_count(), ros.START_TIMEOUT)
        client.spin(0.3)
        stream = io.BytesIO()
        Pillow.fromarray(ros.picture()).save(stream, 'PNG')
        for data, outcome in ((stream.getvalue(), 'SUCCEEDED_2D'), (b'no picture',
                                                                    'INVALID_IMAGE')):
            message = CompressedImage(format='bgr8; png compressed bgr8')
            message.data = array.array('B', data)
            client.let_frames_age()
            identity = client.say('the red box')
            client.spin(0.1)
            message.header = client.header()
            publisher.publish(message)
            assert client.result(identity)['outcome'] == outcome
        assert client.wait(lambda: client.received['mask'])
        mask = image_to_array(client.received['mask'][0]) > 0
        assert np.array_equal(mask, ros.true_mask('red'))
    finally:
        client.close()
        assert process.stop() == 0, process.output()
