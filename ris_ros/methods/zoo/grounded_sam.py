"""A detector that takes sentences, then a SAM in each of its boxes ("Grounded SAM", 2024).

Grounding DINO (ECCV 2024) and OWLv2 (2023) read picture and words together, so that a sentence
costs a pass of the detector; SAM's picture tower runs once per view.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.methods.zoo.common import ZooMethod, masks_in_boxes, sam_of, within
from ris_ros.methods.zoo.settings import GroundedSamSettings
from ris_ros.models.device import seconds_now
from ris_ros.types import Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.pretrained import Pretrained
    from ris_ros.models.proposals import SamProposer
    from ris_ros.profiles import Networks


class GroundedSam(ZooMethod):
    """The method over a detector and a SAM of any family."""

    name = 'grounded_sam'
    role = 'detector'
    what = 'detector that takes sentences'
    settings_class = GroundedSamSettings
    settings: GroundedSamSettings

    def __init__(self, network: Pretrained, sam: SamProposer,
                 settings: GroundedSamSettings | None = None) -> None:
        self.network, self.sam, self.device = network, sam, network.device
        self.settings = settings or GroundedSamSettings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: GroundedSamSettings) -> GroundedSam:
        """Build the method; BadInputError where the profile lacks the detector or a SAM."""
        return cls(cls.network_of(networks, settings.detector), sam_of(networks), settings)

    def prepare(self, view: View) -> Scene:
        """Run SAM's tower; the detector reads the picture anew with every sentence."""
        start = seconds_now(self.device)
        embedded = self.sam.embed(view)
        return Scene.without_proposals(self.name, view, {'sam': embedded},
                                       {'sam': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Detect what a sentence means.  Raises BadInputError where it names no object."""
        text, start = self.expression(analysis), seconds_now(self.device)
        boxes, scores = self.detect(scene.view, text)
        boxes, inside = within(boxes, scene.view.size)
        best = np.flatnonzero(inside)
        best = best[np.argsort(-scores[best], kind='stable')][:self.settings.max_objects]
        middle = seconds_now(self.device)
        masks = masks_in_boxes(self.sam, scene.cache['sam'], boxes[best], scene.view.size)
        return self.answers(scene, masks, scores[best], {
            'detect': middle - start, 'masks': seconds_now(self.device) - middle},
            details={'boxes': boxes[best].tolist()})

    def detect(self, view: View, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (n, 4), corners in pixels, and scores (n,) in [0, 1]."""
        dino = self.network.kind == 'grounding-dino'
        processor = self.network.processor
        # Grounding DINO was trained on phrases that end with a full stop, OWLv2 on lists.
        said: Any = f'{text.rstrip(" .")}.' if dino else [[text]]
        inputs = processor(images=view.rgb, text=said, return_tensors='pt',
                           truncation=True).to(self.device)
        with self.network.autocast():
            out = self.network.model(**inputs)
            more = {'input_ids': inputs['input_ids'],
                    'text_threshold': self.settings.text_threshold} if dino else {}
            found = processor.post_process_grounded_object_detection(
                out, threshold=self.settings.least, target_sizes=[view.size], **more)[0]
        return (found['boxes'].float().cpu().numpy().reshape(-1, 4),
                found['scores'].float().cpu().numpy())
