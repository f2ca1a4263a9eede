"""Baselines of the papers' tables, each a few lines over shared pieces.

Region methods compare one feature per proposal with the text; dense methods make a map of the
image and average it over each proposal.  None of them reasons about space.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.baselines.clip_only import region_pictures
from ris_ros.methods.baselines.settings import DenseBaselineSettings, RegionBaselineSettings
from ris_ros.methods.hybridgl.text import head_phrase
from ris_ros.methods.regions import (
    chunks,
    cosines,
    flat_masks,
    grounding_of,
    match_probability,
    scene_of,
)
from ris_ros.methods.spatial import softmax
from ris_ros.models.device import autocast, seconds_now
from ris_ros.types import BadInputError, Grounding, Scene

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.proposals import SamProposer
    from ris_ros.profiles import Networks


class _Baseline:
    """Proposals, then whatever `look` keeps of the image."""

    name = ''
    settings_class: type

    def __init__(self, clip: ClipModel, proposer: SamProposer, settings: Any = None) -> None:
        from ris_ros.models.vit import check_tower
        check_tower(clip.visual)
        self.clip, self.proposer = clip, proposer
        self.settings = settings if settings is not None else self.settings_class()
        self.device = clip.device

    @classmethod
    def from_networks(cls, networks: Networks, settings: Any) -> _Baseline:
        """Build the method over a profile's networks."""
        return cls(networks.clip(), networks.proposer(settings), settings)

    def prepare(self, image: np.ndarray) -> Scene:
        """Look at an (H, W, 3) uint8 RGB image once; the scene may have no proposals."""
        t0 = seconds_now(self.device)
        found = self.proposer.propose(image)
        t1 = seconds_now(self.device)
        cache = self.look(image, found.masks, found.boxes)
        return scene_of(self.name, image, found.masks, found.boxes, found.scores, cache,
                        {'proposals': t1 - t0, 'features': seconds_now(self.device) - t1})

    def look(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> dict[str, Any]:
        """Return what `ground` needs of the image."""
        raise NotImplementedError

    def expression(self, analysis: Analysis) -> str:
        """Return the referring expression; raises BadInputError where there is none."""
        target = analysis.command.target
        if target is None or analysis.doc is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        return target.expression.lower()


class GlobalLocal(_Baseline):
    """Global-Local CLIP (CVPR 2023): masked crop plus token-masked frame, sentence plus phrase.

    In HybridGL's table 3 this is "G + L [41]".
    """

    name = 'global_local'
    settings_class = RegionBaselineSettings
    local_share: bool = True

    def look(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> dict[str, Any]:
        """Return one feature per region, not normalised."""
        torch = require('torch', 'models')
        out = [torch.zeros(0, self.clip.embed_dim, device=self.device)]
        for part in chunks(len(masks), self.settings.region_batch):
            out.append(self._features(image, masks[part], boxes[part]))
        return {'features': torch.cat(out)}

    def _features(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> Tensor:
        torch = require('torch', 'models')
        from ris_ros.models import region_streams as hybrid
        s = self.settings
        everything = torch.ones_like(masks)
        frame = region_pictures(self.clip, image, everything[:1], boxes, 'masked_frame', 0.0)
        tokens = hybrid.token_grid(masks, self.clip.grid, 'binary')
        fusion = hybrid.Fusion('global', s.start_block, attention_mask=False, token_mask=True)
        with self.clip.autocast():
            whole = hybrid.hybrid_features(
                self.clip.visual, frame, frame.expand(len(masks), -1, -1, -1), tokens, fusion)
        if not self.local_share:
            return whole
        crop = region_pictures(self.clip, image, masks, boxes, 'masked_crop', s.margin)
        local = self.clip.encode_images(crop)
        return s.global_weight * whole + (1 - s.global_weight) * local

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals by cosine with the text feature."""
        sentence, start = self.expression(analysis), seconds_now(self.device)
        texts = self.clip.encode_text([sentence, head_phrase(analysis.doc)])  # type: ignore
        w = self.settings.phrase_weight
        cosine = cosines(scene.cache['features'], ((1 - w) * texts[0] + w * texts[1])[None])[:, 0]
        scores = softmax(self.clip.logit_scale * cosine)
        relative = scores / scores.max() if len(scores) else scores
        return grounding_of(scores, np.arange(len(scores)),
                            match_probability(cosine, self.settings), relative, None, {},
                            {'score': seconds_now(self.device) - start})


class RegionToken(GlobalLocal):
    """The token-masked frame alone ("G(tok_mask)" without a blur)."""

    name = 'region_token'
    local_share = False


class _Dense(_Baseline):
    """A map per sentence, averaged over each mask."""

    settings_class = DenseBaselineSettings

    @property
    def size(self) -> int:
        """Side of the network input, pixels."""
        return self.settings.map_size or 2 * self.clip.image_size

    def look(self, image: np.ndarray, masks: Tensor, boxes: Tensor) -> dict[str, Any]:
        """Return the patches' features, (P, D), and the masks ready for products."""
        from ris_ros.models.gem import gem_input
        from ris_ros.models.proposals import pixel_counts
        pixels = gem_input(image, self.size, self.clip.mean, self.clip.std, self.device)
        with self.clip.autocast():
            patches = self.patches(pixels)
        return {'patches': patches, 'masks': flat_masks(masks), 'areas': pixel_counts(masks)}

    def patches(self, pixels: Tensor) -> Tensor:
        """Return what the map is made of."""
        raise NotImplementedError

    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return one value per patch, (P,)."""
        raise NotImplementedError

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals by the map's mean inside them.

        No cosine of a region exists here, so the mean of the map, stretched to [0, 1], stands
        for the probability.
        """
        from ris_ros.models import gem, vit
        functional = require('torch.nn.functional', 'models')
        text, start = self.expression(analysis), seconds_now(self.device)
        values = self.similarity(scene, text)
        with autocast(self.device, 'fp32'):
            grid = vit.grid_of(self.clip.visual, self.size, self.size)
            full = functional.interpolate(values.reshape(1, 1, *grid), scene.image.shape[:2],
                                          mode='bilinear', align_corners=False)[0, 0]
            heat = gem.min_max(full)
            inside, _ = gem.means_inside_and_outside(heat, scene.cache['masks'],
                                                     scene.cache['areas'])
            scores = inside.double().cpu().numpy()
        relative = scores / max(scores.max(), 1e-12) if len(scores) else scores
        return grounding_of(scores, np.arange(len(scores)), scores, relative, heat.cpu().numpy(),
                            {}, {'score': seconds_now(self.device) - start})

    def unit_text(self, text: str) -> Tensor:
        """Return the unit-norm text feature, (D,)."""
        functional = require('torch.nn.functional', 'models')
        return functional.normalize(self.clip.encode_text([text])[0], dim=-1)


class ScoreMap(_Dense):
    """MaskCLIP (ECCV 2022): the last block passes values on in place of attending."""

    name = 'score_map'

    def patches(self, pixels: Tensor) -> Tensor:
        """Return unit-norm patch embeddings of the value path."""
        from ris_ros.models import vit
        return vit.value_features(self.clip.visual, pixels)[0]

    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return cosines of patches and text."""
        return scene.cache['patches'] @ self.unit_text(text)


class ClipSurgery(_Dense):
    """CLIP Surgery: value-value attention, and the empty sentence's similarity taken away."""

    name = 'clip_surgery'

    def patches(self, pixels: Tensor) -> Tensor:
        """Return unit-norm patch embeddings of the value-value path."""
        from ris_ros.models import vit
        return vit.value_attention_features(self.clip.visual, pixels, self.settings.gem_blocks)[0]

    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return the similarity that the sentence has and an empty one has not."""
        return scene.cache['patches'] @ (self.unit_text(text) - self.unit_text(''))


class GradCam(_Dense):
    """Grad-CAM on the tokens before the last block, of the image-sentence cosine."""

    name = 'grad_cam'

    def patches(self, pixels: Tensor) -> Tensor:
        """Return all tokens before the last block, (1, 1 + P, width)."""
        from ris_ros.models import vit
        x = vit.tokens_of(self.clip.visual, pixels)
        for block in self.clip.visual.transformer.resblocks[:-1]:
            x = vit.run_block(block, x)
        return x.float()

    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return the positive part of activation times mean gradient, per patch."""
        torch = require('torch', 'models')
        from ris_ros.models import vit
        wanted, visual = self.unit_text(text).clone(), self.clip.visual
        with torch.inference_mode(False), torch.enable_grad():
            x = scene.cache['patches'].clone().requires_grad_(True)
            out = vit.run_block(visual.transformer.resblocks[-1], x, cls_only=True)
            feature = torch.nn.functional.normalize(vit.head(visual, out[:, 0]), dim=-1)
            gradient, = torch.autograd.grad((feature @ wanted.clone()).sum(), x)
        channel = gradient[0, 1:].mean(dim=0)
        return (x[0, 1:].detach() @ channel).clamp(min=0)
