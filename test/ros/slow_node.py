"""The real node whose models take a minute to load; started as a process by tests."""
from __future__ import annotations

import sys
import time

from ris_ros.nodes.ris_node import main

if __name__ == '__main__':
    sys.exit(main(segmenter_factory=lambda parameters, settings: time.sleep(60)))
