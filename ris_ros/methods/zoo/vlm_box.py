"""A vision-language model of the Qwen-VL family that answers with boxes, then a SAM in them.

The model is asked for a JSON list of every object that fits, an empty one where there is none,
so that absence and doubt can be told.  A sentence costs the whole model.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.zoo.common import ZooMethod, masks_in_boxes, sam_of, within
from ris_ros.methods.zoo.settings import VlmBoxSettings
from ris_ros.methods.zoo.writing import read_boxes, write
from ris_ros.models.device import seconds_now
from ris_ros.types import Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.pretrained import Pretrained
    from ris_ros.models.proposals import SamProposer
    from ris_ros.profiles import Networks

PROMPT = ('Which objects in the picture are meant by "{said}"? Answer with nothing but a JSON '
          'list of them, each as {{"bbox_2d": [x1, y1, x2, y2], "label": "..."}}. If none fits, '
          'answer [].')
# Where a model's boxes lie: in pixels of the picture as it was resized, else in thousandths.
ABSOLUTE = ('qwen2_5_vl',)


class VlmBox(ZooMethod):
    """The method over a vision-language model and a SAM of any family."""

    name = 'vlm_box'
    role = 'vlm'
    what = 'vision-language model'
    settings_class = VlmBoxSettings
    settings: VlmBoxSettings

    def __init__(self, network: Pretrained, sam: SamProposer,
                 settings: VlmBoxSettings | None = None) -> None:
        self.network, self.sam, self.device = network, sam, network.device
        self.settings = settings or VlmBoxSettings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: VlmBoxSettings) -> VlmBox:
        """Build the method; BadInputError where the profile lacks the model or a SAM."""
        return cls(cls.network_of(networks), sam_of(networks), settings)

    def prepare(self, view: View) -> Scene:
        """Run SAM's tower; the model reads picture and words together."""
        start = seconds_now(self.device)
        return Scene.without_proposals(self.name, view, {'sam': self.sam.embed(view)},
                                       {'sam': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Answer one sentence.  Raises BadInputError where it names no object."""
        said, start = self.expression(analysis), seconds_now(self.device)
        boxes, sure, written = self.ask(scene.view, said)
        middle = seconds_now(self.device)
        notes = () if boxes is not None else (
            'the model answered with something that is no list of boxes',)
        cut, inside = within(np.zeros((0, 4)) if boxes is None else boxes, scene.view.size)
        masks = masks_in_boxes(self.sam, scene.cache['sam'], cut[inside], scene.view.size)
        return self.answers(scene, masks, np.full(len(masks), sure), {
            'write': middle - start, 'masks': seconds_now(self.device) - middle},
            details={'answer': written[:500], 'boxes': cut[inside].tolist()}, notes=notes)

    def ask(self, view: View, said: str) -> tuple[np.ndarray | None, float, str]:
        """Return boxes (n, 4) in pixels of the view, None for an answer that cannot be read, how
        sure the model was, and what it wrote.
        """
        processor = self.network.processor
        image = require('PIL.Image', 'models').fromarray(view.rgb)
        asked = processor.apply_chat_template([{'role': 'user', 'content': [
            {'type': 'image'}, {'type': 'text', 'text': PROMPT.format(said=said[:500])}]}],
            add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[asked], images=[image], return_tensors='pt')
        ids, sure = write(self.network, inputs, self.settings.max_new_tokens)
        written = processor.tokenizer.decode(ids, skip_special_tokens=True)
        boxes = read_boxes(written)
        if boxes is None:
            return None, sure, written
        height, width = view.size
        rows, columns = self._input_size(inputs['image_grid_thw'][0].tolist())
        return boxes * np.array([width / columns, height / rows] * 2), sure, written

    def _input_size(self, grid: list[int]) -> tuple[float, float]:
        """Return what the model's coordinates go up to, down and across.

        grid: pictures, rows and columns of patches, as its processor made them.
        """
        if self.network.kind not in ABSOLUTE:
            return 1000.0, 1000.0
        patch = int(self.network.model.config.vision_config.patch_size)
        return float(grid[1] * patch), float(grid[2] * patch)
