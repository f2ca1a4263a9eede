"""The real node with a segmenter that needs no weights; started as a process by tests."""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from colour_segmenter import ColourSegmenter

from ris_ros.nodes.ris_node import main

if __name__ == '__main__':
    sys.exit(main(segmenter_factory=lambda parameters, settings: ColourSegmenter()))
