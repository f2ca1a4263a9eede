"""Which proposer a method gets: SAM, objects from depth, or both.

Objects from depth know no gravity and no network; they are the product's own and no paper's.
"""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ris_ros.geometry.objects import objects_from_depth
from ris_ros.methods.base import Proposer
from ris_ros.types import View

if TYPE_CHECKING:
    from ris_ros.models.options import ProposalSettings
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks

SAME = 0.8  # mask IoU above which a network's proposal is one that depth made


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

    choice: 'depth': objects from depth alone; 'auto': the other's proposals where depth gives no
    mask; 'both': the other's beside them, twins left out.
    """

    def __init__(self, choice: str, other: Proposer | None = None) -> None:
        self.choice, self.other = choice, other

    def propose(self, view: View) -> Proposals:
        """Return the proposals of a view; where depth gives none their note says why."""
        found, problem = self._from_depth(view)
        if self.other is None:
            note = f'depth proposes nothing: {problem}; propose masks with SAM (proposals: auto)'
            return replace(found, note=note) if problem else found
        if self.choice == 'auto' and len(found):
            return found
        others = self.other.propose(view).to('cpu')
        if not problem:
            return _joined(found, others)
        note = f'masks come from colour alone: {problem}' if view.depth is not None else ''
        return replace(others, note=' '.join(filter(None, (others.note, note))))

    def _from_depth(self, view: View) -> tuple[Proposals, str]:
        """Return what depth proposes and, where that is nothing, why."""
        import torch

        from ris_ros.models.proposals import Proposals, no_proposals
        if view.depth is None or view.camera is None:
            missing = 'depth image' if view.depth is None else 'camera for the depth'
            return no_proposals(view.size, 'cpu'), f'there is no {missing}'
        found = objects_from_depth(view)
        return Proposals.of(torch.from_numpy(found.masks),
                            torch.from_numpy(found.scores)), found.problem


def _joined(first: Proposals, second: Proposals) -> Proposals:
    """Return all of the first, and of the second what is none of them."""
    import torch

    from ris_ros.models.proposals import Proposals, pixel_counts
    from ris_ros.models.suppression import intersections
    if not len(second):
        return first
    masks = torch.cat([first.masks, second.masks])
    count = len(first)
    shared = intersections(masks)[count:, :count]
    areas = pixel_counts(masks).float()
    union = areas[count:, None] + areas[None, :count] - shared
    fresh = (shared / union.clamp(min=1)).amax(dim=1) < SAME
    return Proposals(torch.cat([first.masks, second.masks[fresh]]),
                     torch.cat([first.boxes, second.boxes[fresh]]),
                     torch.cat([first.scores, second.scores[fresh].float()]),
                     torch.cat([first.stability, second.stability[fresh].float()]), second.note)
