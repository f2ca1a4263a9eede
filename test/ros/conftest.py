from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')

# After the check above: without ROS 2 these modules cannot be imported.
import ros_support as ros


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    """The node over the coloured boxes; modules that need other parameters have their own."""
    process = ros.fixture_node(tmp_path_factory.mktemp('ros'), 'image_timeout_s:=0.6',
                               'sync_timeout_s:=0.3', 'max_image_age_s:=0.2')
    yield process
    assert process.stop() == 0, process.output()


@pytest.fixture(scope='module')
def connection(node):
    """A client of the module's node, once that is ready."""
    client = ros.Client()
    try:
        client.wait_until_ready()
        yield client
    finally:
        client.close()


@pytest.fixture
def client(connection):
    """The same with nothing received yet."""
    for messages in connection.received.values():
        messages.clear()
    return connection


@pytest.fixture
def camera(connection):
    """Show frames while a test runs."""
    stop = threading.Event()

    def film():
        while not stop.wait(0.3):
            connection.send_frame()
            connection.executor.spin_once(timeout_sec=0.0)
    thread = threading.Thread(target=film)
    thread.start()
    yield
    stop.set()
    thread.join()
