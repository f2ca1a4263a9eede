"""Baselines that make a map of the image for the sentence and average it over each proposal."""
from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.baselines.clip_method import ClipMethod
from ris_ros.methods.baselines.settings import DenseBaselineSettings
from ris_ros.methods.regions import flat_masks, grounding_of
from ris_ros.models.device import autocast, seconds_now
from ris_ros.types import Grounding, Scene

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis


class MapMethod(ClipMethod):
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

    @abstractmethod
    def patches(self, pixels: Tensor) -> Tensor:
        """Return what the map is made of."""

    @abstractmethod
    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return one value per patch, (P,)."""

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


class ScoreMap(MapMethod):
    """MaskCLIP (ECCV 2022): the last block passes values on in place of attending."""

    name = 'score_map'

    def patches(self, pixels: Tensor) -> Tensor:
        """Return unit-norm patch embeddings of the value path."""
        from ris_ros.models import vit
        return vit.value_features(self.clip.visual, pixels)[0]

    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return cosines of patches and text."""
        return scene.cache['patches'] @ self.unit_text(text)


class ClipSurgery(MapMethod):
    """CLIP Surgery: value-value attention, and the empty sentence's similarity taken away."""

    name = 'clip_surgery'

    def patches(self, pixels: Tensor) -> Tensor:
        """Return unit-norm patch embeddings of the value-value path."""
        from ris_ros.models import vit
        return vit.value_attention_features(self.clip.visual, pixels, self.settings.gem_blocks)[0]

    def similarity(self, scene: Scene, text: str) -> Tensor:
        """Return the similarity that the sentence has and an empty one has not."""
        return scene.cache['patches'] @ (self.unit_text(text) - self.unit_text(''))


class GradCam(MapMethod):
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
