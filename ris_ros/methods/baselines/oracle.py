"""Not a method: the best proposal by the truth, what a perfect choice would reach."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ris_ros.methods.baselines.settings import OracleSettings
from ris_ros.methods.regions import grounding_of, scene_of
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Scene

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.proposals import SamProposer
    from ris_ros.profiles import Networks


class Oracle:
    """Ranks the proposals by their IoU with the true mask.

    For evaluation alone, which puts the truth into the scene's cache under 'truth': an
    (H, W) bool mask, or None for a sentence that has no answer.
    """

    name = 'oracle'
    settings_class = OracleSettings
    needs_truth = True

    def __init__(self, proposer: SamProposer, settings: OracleSettings | None = None) -> None:
        self.proposer, self.settings = proposer, settings or OracleSettings()
        self.device = proposer.device

    @classmethod
    def from_networks(cls, networks: Networks, settings: OracleSettings) -> Oracle:
        """Build it over a profile's proposer."""
        return cls(networks.proposer(settings), settings)

    def prepare(self, image: np.ndarray) -> Scene:
        """Look at an (H, W, 3) uint8 RGB image once; the scene may have no proposals."""
        start = seconds_now(self.device)
        found = self.proposer.propose(image)
        return scene_of(self.name, image, found.masks, found.boxes, found.scores, {},
                        {'proposals': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Rank by IoU with the truth; raises BadInputError where nobody has given it."""
        if 'truth' not in scene.cache:
            raise BadInputError('the oracle chooses by the true mask and serves evaluation '
                                'alone; take another method, see `ris methods`')
        truth, n = scene.cache['truth'], len(scene.masks)
        if truth is None or not n:
            return grounding_of(np.zeros(n), np.zeros(0, np.int64), np.zeros(n), np.zeros(n),
                                None, {}, {})
        inside = np.count_nonzero(scene.masks & truth, axis=(1, 2))
        union = scene.areas + np.count_nonzero(truth) - inside
        iou = inside / np.maximum(union, 1)
        return grounding_of(iou, np.arange(n), iou, np.ones(n), None, {}, {})
