"""Baselines that compare one feature per proposal with the text; none reasons about space."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.baselines.clip_method import ClipMethod
from ris_ros.methods.baselines.clip_only import region_pictures
from ris_ros.methods.baselines.settings import RegionBaselineSettings
from ris_ros.methods.fitting import name_fits, name_texts, names_asked
from ris_ros.methods.hybridgl.text import head_phrase
from ris_ros.methods.regions import chunks, cosines, grounding_of, match_probability
from ris_ros.methods.spatial import softmax
from ris_ros.models.device import seconds_now
from ris_ros.types import Grounding, Scene

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis


class GlobalLocal(ClipMethod):
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
        from ris_ros.models import region_streams
        s = self.settings
        everything = torch.ones_like(masks)
        frame = region_pictures(self.clip, image, everything[:1], boxes, 'masked_frame', 0.0)
        tokens = region_streams.token_grid(masks, self.clip.grid, 'binary')
        fusion = region_streams.Fusion('global', s.start_block, attention_mask=False,
                                       token_mask=True)
        with self.clip.autocast():
            whole = region_streams.hybrid_features(
                self.clip.visual, frame, frame.expand(len(masks), -1, -1, -1), tokens, fusion)
        if not self.local_share:
            return whole
        crop = region_pictures(self.clip, image, masks, boxes, 'masked_crop', s.margin)
        local = self.clip.encode_images(crop)
        return s.global_weight * whole + (1 - s.global_weight) * local

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals by cosine with the text feature."""
        sentence, start = self.expression(analysis), seconds_now(self.device)
        names = names_asked(analysis.command.target, self.settings)
        texts = self.clip.encode_text(
            [sentence, head_phrase(analysis.doc), *name_texts(names)])  # type: ignore
        w = self.settings.phrase_weight
        mixed = (1 - w) * texts[0] + w * texts[1]
        torch = require('torch', 'models')
        every = cosines(scene.cache['features'], torch.cat([mixed[None], texts[2:]]))
        cosine = every[:, 0]
        scores = softmax(self.clip.logit_scale * cosine)
        relative = scores / scores.max() if len(scores) else scores
        return grounding_of(scores, np.arange(len(scores)),
                            match_probability(cosine, self.settings, scene.proposed_by),
                            relative, None, {},
                            {'score': seconds_now(self.device) - start},
                            name_fits(names, every[:, 1:], self.settings, scene.proposed_by))


class RegionToken(GlobalLocal):
    """The token-masked frame alone ("G(tok_mask)" without a blur)."""

    name = 'region_token'
    local_share = False
