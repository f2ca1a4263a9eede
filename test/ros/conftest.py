from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip('rclpy', reason='ROS 2 is not installed (pip install "ris_ros[ros]")')
