"""What the baselines over a CLIP vision transformer and mask proposals share."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import scene_of
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Scene, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks

C = TypeVar('C', bound='ClipMethod')


class ClipMethod(ProposalMethod):
    """Proposals, then whatever `look` keeps of the image.

    Raises BadInputError for a CLIP whose image tower is no plain vision transformer.
    """

    def __init__(self, clip: ClipModel, proposer: Proposer | None, settings: Any = None) -> None:
        from ris_ros.models.vit import check_tower
        check_tower(clip.visual)
        self.clip, self.proposer = clip, proposer
        self.settings = settings if settings is not None else self.settings_class()
        self.device = clip.device

    @classmethod
    def from_networks(cls: type[C], networks: Networks, settings: Any) -> C:
        """Build the method over a profile's networks."""
        return cls(networks.clip(), proposer_of(networks, settings), settings)

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far."""
        start = seconds_now(self.device)
        cache = self.look(view.rgb, proposals.masks, proposals.boxes)
        return scene_of(self.name, view, proposals, cache,
                        {**(timings or {}), 'features': seconds_now(self.device) - start})

    @abstractmethod
    def look(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> dict[str, Any]:
        """Return what `ground` needs of the image."""

    def expression(self, analysis: Analysis) -> str:
        """Return the referring expression; raises BadInputError where there is none."""
        target = analysis.command.target
        if target is None or analysis.doc is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        return target.expression.lower()
