"""SAM 3 (2025): the sentence itself is the prompt, every object that fits is an answer.

The picture's tower runs once per view; a sentence costs the text tower and the detector.  It
was trained on short noun phrases: relations are better left to `spatial_rerank` over it.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ris_ros.methods.zoo.common import ZooMethod
from ris_ros.methods.zoo.settings import Sam3Settings
from ris_ros.models.device import seconds_now
from ris_ros.types import Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.pretrained import Pretrained
    from ris_ros.profiles import Networks

TEXT_LENGTH = 32   # tokens of a prompt, padded: what the library's processor takes


class Sam3(ZooMethod):
    """The method over a SAM 3 of the transformers library."""

    name = 'sam3'
    role = 'sam3'
    what = 'SAM 3'
    settings_class = Sam3Settings
    settings: Sam3Settings

    def __init__(self, network: Pretrained, settings: Sam3Settings | None = None) -> None:
        self.network, self.device = network, network.device
        self.settings = settings or Sam3Settings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: Sam3Settings) -> Sam3:
        """Build the method over a profile's networks; BadInputError without a SAM 3."""
        return cls(cls.network_of(networks), settings)

    def prepare(self, view: View) -> Scene:
        """Run the picture's tower."""
        start = seconds_now(self.device)
        inputs = self.network.processor(images=view.rgb, return_tensors='pt')
        with self.network.autocast():
            seen = self.network.model.get_vision_features(
                pixel_values=inputs['pixel_values'].to(self.device))
        return Scene.without_proposals(self.name, view, {'seen': seen},
                                       {'tower': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Answer with every object that fits.  Raises BadInputError where none is named."""
        text, start = self.expression(analysis), seconds_now(self.device)
        tokens = self.network.processor.tokenizer(
            [text], padding='max_length', max_length=TEXT_LENGTH, truncation=True,
            return_tensors='pt').to(self.device)
        with self.network.autocast():
            out = self.network.model(vision_embeds=scene.cache['seen'],
                                     input_ids=tokens['input_ids'],
                                     attention_mask=tokens['attention_mask'])
            # The score is the object's own times that of the phrase's presence.
            found = self.network.processor.post_process_instance_segmentation(
                out, threshold=self.settings.least, mask_threshold=self.settings.mask_threshold,
                target_sizes=[scene.view.size])[0]
        masks = found['masks'].bool().cpu().numpy().reshape(-1, *scene.view.size)
        return self.answers(scene, masks, found['scores'].float().cpu().numpy(),
                            {'detect': seconds_now(self.device) - start})
