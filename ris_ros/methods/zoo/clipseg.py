"""CLIPSeg (CVPR 2022): a small decoder over CLIP that draws a map for a text.

The picture's tower runs once per view; a sentence costs CLIP's text tower and the decoder.
Every separate region of the map is an answer of its own, its probability the map's mean inside.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.zoo.common import ZooMethod
from ris_ros.methods.zoo.settings import ClipSegSettings
from ris_ros.models.device import seconds_now
from ris_ros.types import Grounding, Scene, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.pretrained import Pretrained
    from ris_ros.profiles import Networks


class ClipSeg(ZooMethod):
    """The method over a CLIPSeg of the transformers library."""

    name = 'clipseg'
    role = 'clipseg'
    what = 'CLIPSeg'
    settings_class = ClipSegSettings
    settings: ClipSegSettings

    def __init__(self, network: Pretrained, settings: ClipSegSettings | None = None) -> None:
        self.network, self.device = network, network.device
        self.settings = settings or ClipSegSettings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: ClipSegSettings) -> ClipSeg:
        """Build the method over a profile's networks; BadInputError without a CLIPSeg."""
        return cls(cls.network_of(networks), settings)

    def prepare(self, view: View) -> Scene:
        """Run the picture's tower and keep what the decoder reads of it."""
        start, model = seconds_now(self.device), self.network.model
        pixels = self.network.processor(images=view.rgb, return_tensors='pt')['pixel_values']
        with self.network.autocast():
            seen = model.clip.vision_model(
                pixel_values=pixels.to(self.device), output_hidden_states=True,
                interpolate_pos_encoding=True).hidden_states
        # The states begin with the embedding, before the first layer.
        activations = [seen[i + 1] for i in model.extract_layers]
        return Scene.without_proposals(self.name, view, {'activations': activations},
                                       {'tower': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Draw the map of a sentence.  Raises BadInputError where it names no object."""
        text, start = self.expression(analysis), seconds_now(self.device)
        heat = self.map_of(scene, text).cpu().numpy()
        masks = regions_of(heat > self.settings.map_threshold)
        scores = np.array([float(heat[mask].mean()) for mask in masks])
        return self.answers(scene, masks, scores, {'map': seconds_now(self.device) - start},
                            heat.astype(np.float32))

    def map_of(self, scene: Scene, text: str) -> Tensor:
        """Return the probability of each pixel, (H, W) float32 in [0, 1]."""
        functional = require('torch.nn.functional', 'models')
        model = self.network.model
        tokens = self.network.processor.tokenizer(
            [text], padding=True, truncation=True, return_tensors='pt').to(self.device)
        with self.network.autocast():
            asked = model.get_conditional_embeddings(
                batch_size=1, input_ids=tokens['input_ids'],
                attention_mask=tokens['attention_mask'])
            logits = model.decoder(scene.cache['activations'], asked).logits.float()
            side = logits.shape[-1]
            full = functional.interpolate(logits.reshape(1, 1, side, side), scene.view.size,
                                          mode='bilinear', align_corners=False)
        return full[0, 0].sigmoid()


def regions_of(mask: np.ndarray) -> np.ndarray:
    """Return the separate regions of an (H, W) bool mask, (n, H, W) bool, largest first."""
    cv2 = require('cv2', 'models')
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel(), minlength=count)[1:]
    order = np.argsort(-sizes, kind='stable')[:100] + 1   # a map of noise has thousands
    return labels[None] == order[:, None, None]
