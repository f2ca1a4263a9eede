"""Not a method: the best proposal by the truth, what a perfect choice would reach."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.baselines.settings import OracleSettings
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import grounding_of, scene_of
from ris_ros.types import BadInputError, Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks


class Oracle(ProposalMethod):
    """Ranks the proposals by their IoU with the true mask.

    For evaluation alone, which gives the scene the truth (`Scene.with_truth`): an (H, W) bool
    mask, or None for a sentence that has no answer.
    """

    name = 'oracle'
    settings_class = OracleSettings
    needs_truth = True

    def __init__(self, proposer: Proposer | None, settings: OracleSettings | None = None,
                 device: str = 'cpu') -> None:
        self.proposer, self.settings = proposer, settings or OracleSettings()
        self.device = device

    @classmethod
    def from_networks(cls, networks: Networks, settings: OracleSettings) -> Oracle:
        """Build it over a profile's proposer."""
        return cls(proposer_of(networks, settings), settings, networks.device)

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far."""
        return scene_of(self.name, view, proposals, {}, timings or {})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Rank by IoU with the truth.

        Raises BadInputError where nobody has given it, or the sentence names no object.
        """
        if analysis.command.target is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
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
