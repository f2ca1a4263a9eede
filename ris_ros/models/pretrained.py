"""Networks of the transformers library that answer sentences, with the library's processors.

A folder as published; nothing but what lies in it is read, and code that it may bring is not
run.  Pictures and texts are made ready, and answers read, by the processor that came with the
network, so that both fit.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.models.captioner import load_model, load_part
from ris_ros.models.device import autocast

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ris_ros.models.kinds import Source

# kind -> ("model_type" of config.json -> class, class of the processor, what it is)
KINDS: Mapping[str, tuple[dict[str, str], str, str]] = {
    'clipseg': ({'clipseg': 'CLIPSegForImageSegmentation'}, 'CLIPSegProcessor', 'CLIPSeg'),
    'detector': ({'grounding-dino': 'GroundingDinoForObjectDetection',
                  'owlv2': 'Owlv2ForObjectDetection'}, 'AutoProcessor',
                 'detector that takes sentences'),
    # The folder holds the video network; on single pictures its detector answers.
    'sam3': ({'sam3': 'Sam3Model', 'sam3_video': 'Sam3Model'}, 'Sam3Processor', 'SAM 3'),
    'florence2': ({'florence2': 'Florence2ForConditionalGeneration'}, 'Florence2Processor',
                  'Florence-2'),
    'vlm': ({'qwen2_vl': 'Qwen2VLForConditionalGeneration',
             'qwen2_5_vl': 'Qwen2_5_VLForConditionalGeneration',
             'qwen3_vl': 'Qwen3VLForConditionalGeneration'}, 'AutoProcessor',
            'vision-language model of the Qwen-VL family'),
}


@dataclass(frozen=True)
class Pretrained:
    """A network and its processor.

    device: where the network is.  precision: 'fp32', 'bf16' or 'fp16', what it computes in.
    """

    model: Any
    processor: Any
    device: str = 'cpu'
    precision: str = 'fp32'

    def autocast(self) -> AbstractContextManager[None]:
        """Run without gradients, and in reduced precision where asked for."""
        return autocast(self.device, self.precision)

    @property
    def kind(self) -> str:
        """The "model_type" of the network's configuration."""
        return str(self.model.config.model_type)


def load_network(source: Source) -> Pretrained:
    """Return the network of a manifest entry; see `ris_ros.models.kinds`."""
    return load_pretrained(source.path(), source.entry.kind, source.device, source.precision)


def load_pretrained(folder: Path, kind: str, device: str = 'cpu', precision: str = 'fp32'
                    ) -> Pretrained:
    """Return the network of a folder as published, for answers alone.

    Raises WeightsError for a folder that is damaged or holds something else, and
    MissingDependencyError without transformers.
    """
    torch = require('torch', 'models')
    classes, processor, what = KINDS[kind]
    # A model that writes text is held as it computes: in full precision it may not fit.
    writes = kind in ('vlm', 'florence2')
    dtype = {'bf16': torch.bfloat16, 'fp16': torch.float16}.get(precision) if writes else None
    model = load_model(folder, classes, what, dtype or torch.float32)
    return Pretrained(model.to(device).eval().requires_grad_(False),
                      load_part(folder, processor, what), device, 'fp32' if writes else precision)
