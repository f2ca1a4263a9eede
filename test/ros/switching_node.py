"""The real node whose methods are `hybridgl` (by colour), `slow` to build, and `broken`."""
from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from colour_segmenter import ColourSegmenter

from ris_ros.nodes.ris_node import main
from ris_ros.types import WeightsError


def build(parameters, settings):
    if parameters.method == 'broken':
        raise WeightsError('weights of broken are missing; fetch them')
    if parameters.method == 'slow':
        time.sleep(3.0)
    return ColourSegmenter()


if __name__ == '__main__':
    sys.exit(main(segmenter_factory=build))
