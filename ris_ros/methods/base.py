"""What every method offers; the segmenter and the evaluation know methods by this alone."""
from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from ris_ros.language import Analysis
from ris_ros.types import Grounding, Scene


@runtime_checkable
class Method(Protocol):
    """A referring image segmentation system.

    `settings` is a frozen dataclass of this method's own; every field has a default.
    `prepare` does all that depends on the image alone, `ground` the rest.
    """

    name: str
    settings: Any

    def prepare(self, image: np.ndarray) -> Scene:
        """Look at an (H, W, 3) uint8 RGB image once; never raises for lack of proposals."""
        ...

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the scene's proposals for one analysed sentence."""
        ...
