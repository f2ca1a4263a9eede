"""Baseline: CLIP's view of each proposal against the whole sentence, nothing spatial."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.baselines.settings import ClipOnlySettings
from ris_ros.methods.fitting import name_fits, name_texts, names_asked
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import chunks, cosines, grounding_of, match_probability, scene_of
from ris_ros.methods.spatial import softmax
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Scene, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks


class ClipOnly(ProposalMethod):
    """Choose the proposal whose view is most similar to the sentence."""

    name = 'clip_only'
    settings_class = ClipOnlySettings

    def __init__(self, clip: ClipModel, proposer: Proposer | None,
                 settings: ClipOnlySettings | None = None) -> None:
        self.clip, self.proposer = clip, proposer
        self.settings = settings or ClipOnlySettings()
        self.device = clip.device

    @classmethod
    def from_networks(cls, networks: Networks, settings: ClipOnlySettings) -> ClipOnly:
        """Build the method over a profile's networks."""
        return cls(networks.clip(), proposer_of(networks, settings), settings)

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far."""
        start = seconds_now(self.device)
        features = self._features(view.rgb, proposals.masks, proposals.boxes)
        return scene_of(self.name, view, proposals, {'features': features},
                        {**(timings or {}), 'regions': seconds_now(self.device) - start})

    def _features(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> Tensor:
        torch = require('torch', 'models')
        out = [torch.zeros(0, self.clip.embed_dim, device=self.device)]
        for part in chunks(len(masks), self.settings.region_batch):
            out.append(self.clip.encode_images(self.views(image, masks[part], boxes[part])))
        return torch.cat(out)

    def views(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> Tensor:
        """Return the normalised network inputs of N regions, (N, 3, s, s)."""
        s = self.settings
        return region_pictures(self.clip, image, masks, boxes, s.view, s.margin)

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals by cosine with the sentence."""
        target = analysis.command.target
        if target is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        start = seconds_now(self.device)
        names = names_asked(target, self.settings)
        texts = self.clip.encode_text([target.expression.lower(), *name_texts(names)])
        every = cosines(scene.cache['features'], texts)
        cosine = every[:, 0]
        scores = softmax(self.clip.logit_scale * cosine)
        relative = scores / scores.max() if len(scores) else scores
        return grounding_of(scores, np.arange(len(scores)),
                            match_probability(cosine, self.settings, scene.proposed_by),
                            relative, None, {},
                            {'score': seconds_now(self.device) - start},
                            name_fits(names, every[:, 1:], self.settings, scene.proposed_by))


def region_pictures(clip: ClipModel, image: np.ndarray, masks: Tensor, boxes: Tensor, view: str,
                    margin: float) -> Tensor:
    """Return normalised pictures of N regions, (N, 3, s, s).

    view: 'crop', 'masked_crop' or 'masked_frame'; outside the mask is black.  margin: added
    to the box on each side, in box sides, as far as the image goes.
    """
    torch = require('torch', 'models')
    from ris_ros.models import sampling
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(clip.device)
    base = sampling.normalise(pixels.permute(2, 0, 1).float() / 255, clip.mean, clip.std)
    fill = sampling.normalise(torch.zeros(3, 1, 1, device=clip.device), clip.mean, clip.std)
    if view == 'masked_frame':
        taps = sampling.Taps(image.shape[:2], (clip.image_size,) * 2, clip.device)
        return sampling.composite(taps, base, fill, masks)
    grow = boxes[:, 2:] * margin
    limit = boxes.new_tensor([image.shape[1], image.shape[0]])
    low = (boxes[:, :2] - grow).clamp(min=0)
    high = torch.minimum(boxes[:, :2] + boxes[:, 2:] + grow, limit)
    around = torch.cat([low, high - low], dim=1)
    shown = masks if view == 'masked_crop' else torch.ones_like(masks)
    return sampling.crops(base, shown, around, clip.image_size, fill)
