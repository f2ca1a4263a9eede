"""Florence-2 (CVPR 2024): a small network that writes outlines or boxes as text.

Asked for an outline it draws what a referring expression means by itself; asked for boxes it
finds the phrases of the sentence and the profile's SAM draws in them.  It writes something for
every sentence: only how sure it was of its words hints that nothing fits.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.zoo.common import ZooMethod, masks_in_boxes, sam_of, within
from ris_ros.methods.zoo.settings import Florence2Settings
from ris_ros.methods.zoo.writing import MOST_BOXES, write
from ris_ros.models.device import seconds_now
from ris_ros.types import Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.pretrained import Pretrained
    from ris_ros.models.proposals import SamProposer
    from ris_ros.profiles import Networks

OUTLINE, PHRASES = '<REFERRING_EXPRESSION_SEGMENTATION>', '<CAPTION_TO_PHRASE_GROUNDING>'


class Florence2(ZooMethod):
    """The method over a Florence-2, and a SAM where boxes are asked for."""

    name = 'florence2'
    role = 'florence2'
    what = 'Florence-2'
    settings_class = Florence2Settings
    settings: Florence2Settings

    def __init__(self, network: Pretrained, sam: SamProposer | None = None,
                 settings: Florence2Settings | None = None) -> None:
        self.network, self.sam, self.device = network, sam, network.device
        self.settings = settings or Florence2Settings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: Florence2Settings) -> Florence2:
        """Build the method; BadInputError without a Florence-2, or a SAM for answer=box."""
        sam = sam_of(networks) if settings.answer == 'box' else None
        return cls(cls.network_of(networks), sam, settings)

    def prepare(self, view: View) -> Scene:
        """Run SAM's tower where boxes are asked for; the rest depends on the sentence."""
        start = seconds_now(self.device)
        cache = {'sam': self.sam.embed(view)} if self.sam is not None else {}
        return Scene.without_proposals(self.name, view, cache,
                                       {'sam': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Draw what a sentence means.  Raises BadInputError where it names no object."""
        text, start = self.expression(analysis), seconds_now(self.device)
        task = OUTLINE if self.sam is None else PHRASES
        answer, sure = self.ask(scene.view, task, text)
        if self.sam is None:
            masks = outlines(answer.get('polygons', []), scene.view.size)
        else:
            boxes, inside = within(np.array(answer.get('bboxes', [])[:MOST_BOXES]),
                                   scene.view.size)
            masks = masks_in_boxes(self.sam, scene.cache['sam'], boxes[inside], scene.view.size)
        return self.answers(scene, masks, np.full(len(masks), sure),
                            {'write': seconds_now(self.device) - start})

    def ask(self, view: View, task: str, text: str) -> tuple[dict[str, Any], float]:
        """Return what the library reads of the network's answer, and how sure it was."""
        processor = self.network.processor
        inputs = processor(text=f'{task}{text}', images=view.rgb, return_tensors='pt',
                           truncation=True)
        ids, sure = write(self.network, inputs, self.settings.max_new_tokens, self.settings.beams)
        written = processor.tokenizer.decode(ids, skip_special_tokens=False)
        height, width = view.size
        answer = processor.post_process_generation(written, task=task, image_size=(width, height))
        return answer[task], sure


def outlines(answers: list[list[list[float]]], size: tuple[int, int]) -> np.ndarray:
    """Return the masks of answers, each of polygons x1, y1, x2, y2, ..., (n, H, W) bool."""
    image, draw = require('PIL.Image', 'models'), require('PIL.ImageDraw', 'models')
    masks = np.zeros((min(len(answers), MOST_BOXES), *size), dtype=bool)
    for mask, polygons in zip(masks, answers[:MOST_BOXES], strict=True):
        sheet = image.new('L', (size[1], size[0]))
        for polygon in polygons:
            if len(polygon) >= 6 and np.isfinite(polygon).all():
                draw.Draw(sheet).polygon([float(v) for v in polygon[:len(polygon) // 2 * 2]],
                                         fill=1)
        mask |= np.asarray(sheet) > 0
    return masks
