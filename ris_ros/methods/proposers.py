"""Which proposer a method gets: SAM, objects from depth, or both.

Objects from depth know no gravity and no network; they are the product's own and no paper's.
"""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ris_ros.geometry.objects import objects_from_depth
from ris_ros.geometry.uncovered import prompts
from ris_ros.methods.base import Proposer
from ris_ros.types import View

if TYPE_CHECKING:
    from ris_ros.models.options import ProposalSettings
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks

DEPTH = 'depth'  # see `Proposals.source`
SAME = 0.8    # mask IoU above which a network's proposal is one that depth made
WITHIN = 0.7  # share of a mask that must lie in what depth left uncovered


class PointProposer(Proposer, Protocol):
    """A proposer that can be asked at points."""

    def propose_at(self, view: View, points: np.ndarray) -> Proposals:
        """Return the proposals of point prompts, (n, 2) x, y in pixels of the view."""
        ...


def proposer_of(networks: Networks, settings: ProposalSettings) -> Proposer:
    """Return the proposer that `settings.proposals` asks for: auto, sam, depth or both.

    Raises BadInputError where it wants a SAM and the profile has none, WeightsError for missing
    or damaged weights.  For 'depth' no network is loaded.
    """
    if settings.proposals == 'sam':
        return networks.proposer(settings)
    if settings.proposals == 'depth':
        return DepthProposer(settings.proposals)
    return DepthProposer(settings.proposals, networks.proposer(settings))


class DepthProposer:
    """Objects from depth, with another proposer where they are not all that is wanted.

    choice: 'depth': objects from depth alone; 'auto': what depth leaves uncovered is asked of the
    other at points, all of the view where depth finds no plane to go by; 'both': the other's
    beside them, twins left out.
    """

    def __init__(self, choice: str, other: PointProposer | None = None) -> None:
        self.choice, self.other = choice, other

    def propose(self, view: View) -> Proposals:
        """Return the proposals of a view; where depth gives none their note says why."""
        import torch

        from ris_ros.models.proposals import Proposals, no_proposals
        if view.depth is None or view.camera is None:
            missing = 'depth image' if view.depth is None else 'camera for the depth'
            nothing = no_proposals(view.size, 'cpu', DEPTH)
            return self._alone(view, nothing, f'there is no {missing}')
        made = objects_from_depth(view)
        found = Proposals.of(torch.from_numpy(made.masks), torch.from_numpy(made.scores), DEPTH)
        found = replace(found, support=next(iter(made.planes), None))
        if self.other is None or not len(found):
            return self._alone(view, found, made.problem)
        if self.choice == 'auto':
            return self._filled(view, found, made.uncovered)
        return _joined(found, self.other.propose(view).to('cpu'))

    def _alone(self, view: View, found: Proposals, problem: str) -> Proposals:
        """Return what there is where only one of the two proposes."""
        if self.other is None:
            note = f'depth proposes nothing: {problem}; propose masks with SAM (proposals: auto)'
            return replace(found, note=note) if problem else found
        others = self.other.propose(view).to('cpu')
        note = f'masks come from colour alone: {problem}' if view.depth is not None else ''
        return replace(others, note=' '.join(filter(None, (others.note, note))),
                       support=found.support)

    def _filled(self, view: View, found: Proposals, regions: np.ndarray) -> Proposals:
        """Return depth's proposals and the other's of what they leave uncovered."""
        import torch

        from ris_ros.models.proposals import pixel_counts
        assert self.other is not None
        points = prompts(regions)
        if not len(points):   # then the other network does not even look
            return found
        others = self.other.propose_at(view, points).to('cpu')
        inside = pixel_counts(others.masks & torch.from_numpy(regions))
        fits = inside >= WITHIN * pixel_counts(others.masks).clamp(min=1)
        return _joined(found, others.some(fits))


def _joined(first: Proposals, second: Proposals) -> Proposals:
    """Return all of the first, and of the second what is none of them."""
    import torch

    from ris_ros.models.proposals import Proposals, pixel_counts
    from ris_ros.models.suppression import intersections
    if not len(second):
        return first
    shared = intersections(second.masks, first.masks)
    union = (pixel_counts(second.masks).float()[:, None]
             + pixel_counts(first.masks).float()[None] - shared)
    fresh = (shared / union.clamp(min=1)).amax(dim=1) < SAME
    if not fresh.any():
        return first
    second = second.some(fresh)
    return Proposals(torch.cat([first.masks, second.masks]),
                     torch.cat([first.boxes, second.boxes]),
                     torch.cat([first.scores, second.scores.float()]),
                     torch.cat([first.stability, second.stability.float()]), second.note,
                     f'{first.source}+{second.source}', first.support)
