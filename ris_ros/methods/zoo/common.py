"""What the modern methods share: they bring masks of their own for every sentence."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.methods.base import Method
from ris_ros.types import BadInputError, Grounding, Regions, Scene

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.methods.zoo.settings import ZooSettings
    from ris_ros.models.pretrained import Pretrained
    from ris_ros.models.proposals import SamProposer
    from ris_ros.profiles import Networks


class ZooMethod(Method):
    """A network that answers a sentence about a picture with masks or boxes.

    role: behind which the profile has the network.  what: it is, for messages.
    """

    role: str
    what: str
    settings: ZooSettings

    @classmethod
    def network_of(cls, networks: Networks, name: str = '') -> Pretrained:
        """Return the network behind this method's role, or the one named.

        Raises BadInputError where the profile has none or it is of another kind.
        """
        if not name and not networks.has(cls.role):
            raise BadInputError(f'the profile {networks.profile.name} has no {cls.what}; use the '
                                f'profile modern, or put a network behind the role {cls.role}')
        if name and networks.kind_of(name) != cls.role:
            raise BadInputError(f'{name} is no {cls.what}; take one of kind {cls.role}, as '
                                '`ris models list` shows them')
        loaded: Pretrained = networks.load(name or cls.role)
        return loaded

    @staticmethod
    def expression(analysis: Analysis) -> str:
        """Return the referring expression in lower case; BadInputError where none is named."""
        target = analysis.command.target
        if target is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        return target.expression.lower()

    def answers(self, scene: Scene, masks: np.ndarray, scores: np.ndarray,
                timings: Mapping[str, float], heatmap: np.ndarray | None = None,
                details: Mapping[str, Any] | None = None, notes: tuple[str, ...] = ()
                ) -> Grounding:
        """Return the grounding of (n, H, W) bool masks with probabilities (n,) in [0, 1].

        The likeliest `max_objects` of at least `min_area` pixels are candidates; the others are
        left out, so that none of them answers.
        """
        regions = Regions.of(masks)
        keep = np.flatnonzero((regions.areas >= max(self.settings.min_area, 1))
                              & np.isfinite(scores))
        best = keep[np.argsort(-scores[keep], kind='stable')][:self.settings.max_objects]
        values = scores[best].astype(np.float32)
        return Grounding(values, np.arange(len(best), dtype=np.int64), values.clip(0, 1), heatmap,
                         dict(details or {}), dict(timings), regions.some(best), notes)


def sam_of(networks: Networks) -> SamProposer:
    """Return the profile's SAM, which draws masks in boxes; BadInputError where it has none."""
    from ris_ros.models.options import ProposalSettings
    return networks.proposer(ProposalSettings())   # nothing is proposed with them


def masks_in_boxes(sam: SamProposer, embedded: Any, boxes: np.ndarray, size: tuple[int, int]
                   ) -> np.ndarray:
    """Return SAM's mask in each of (n, 4) boxes (corners in pixels), (n, H, W) bool."""
    import torch
    if not len(boxes):
        return np.zeros((0, *size), dtype=bool)
    masks, _ = sam.at_boxes(embedded, torch.from_numpy(boxes.astype(np.float32)), size)
    return masks.cpu().numpy()


def within(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 4) corners cut to the picture, and (n,) which of them hold a pixel of it."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    height, width = size
    finite = np.asarray(np.isfinite(boxes).all(axis=1))
    cut = np.clip(np.where(finite[:, None], boxes, 0), 0, [width, height, width, height])
    return cut, finite & (cut[:, 2] - cut[:, 0] >= 1) & (cut[:, 3] - cut[:, 1] >= 1)
