"""The demo with the node that needs no weights; started as a process by a test."""
from __future__ import annotations

import signal
import sys
from pathlib import Path

from ris_ros.demo import run as demo

FIXTURE = Path(__file__).parent / 'fixture_node.py'


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, interrupt)
    options = demo.build_parser().parse_args()
    sys.exit(demo.run(options, [sys.executable, str(FIXTURE), '--ros-args', '-p',
                                'max_image_age_s:=0.3', '-p', 'image_timeout_s:=20.0']))
