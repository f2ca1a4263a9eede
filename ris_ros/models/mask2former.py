"""Mask proposals of Mask2Former through transformers: all queries, no class filter.

The published panoptic network has 200 queries, for things and stuff.  Its training images
include those of RefCOCO's test splits, with their masks; say so where results are compared.
"""
from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.models.device import autocast
from ris_ros.models.options import Mask2FormerSettings
from ris_ros.models.proposals import CHUNK_VALUES, Proposals, boxes_of
from ris_ros.models.sampling import IMAGENET_MEAN, IMAGENET_STD, normalise
from ris_ros.types import BadInputError, View, WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    from ris_ros.models.kinds import Source
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

STRIDE = 32  # the input is padded to a multiple of it

def network_config(config: Mapping[str, Any]) -> Any:
    """Return transformers' Mask2FormerConfig of a configuration in its field names.

    Raises BadInputError for an unknown field, or another backbone than Swin.
    """
    transformers = require('transformers', 'models')
    values = dict(config)
    backbone = dict(values.pop('backbone_config', {}))
    if backbone.pop('model_type', 'swin') != 'swin':
        raise BadInputError('Mask2Former is built over a Swin backbone here; '
                            "set backbone_config.model_type to 'swin'")
    _refuse_unknown(backbone, transformers.SwinConfig, {'out_features'})
    _refuse_unknown(values, transformers.Mask2FormerConfig, {'num_labels'})
    return transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(**backbone), **values)


def _refuse_unknown(values: Mapping[str, Any], cls: type, more: set[str]) -> None:
    """Raise BadInputError for a field that transformers would take and never look at."""
    unknown = sorted(set(values) - set(inspect.signature(cls).parameters) - more)
    if unknown:
        raise BadInputError(f'unknown field in the Mask2Former configuration: {unknown}')


def load_network(source: Source) -> nn.Module:
    """Return the Mask2Former of a manifest entry, on the CPU; see `ris_ros.models.kinds`.

    What proposes masks with it is a `Mask2FormerProposer`, which brings it to its device.
    """
    return load_mask2former(*source.weights())


def load_mask2former(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> nn.Module:
    """Return the network with weights in the published names.

    transformers itself reads the state: it knows what its older versions called the layers.
    Raises WeightsError where tensors are missing or of another shape.
    """
    transformers = require('transformers', 'models')
    logging = transformers.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, report = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(
            None, config=network_config(config), state_dict=dict(state), dtype=torch.float32,
            output_loading_info=True, ignore_mismatched_sizes=True)
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
    # The last is a constant of the training loss, which old checkpoints may lack.
    absent = sorted(set(report['missing_keys']) - {'criterion.empty_weight'})
    wrong = sorted(str(key) for key in report['mismatched_keys'])
    if absent or wrong:
        raise WeightsError('the weights do not fit this Mask2Former configuration: '
                           f'{len(absent)} tensors are missing, {len(wrong)} of another shape, '
                           f'the first is {(absent or wrong)[0]}')
    return model


class Mask2FormerProposer:
    """Every query's mask of an image, in the queries' order."""

    def __init__(self, model: nn.Module, settings: Mask2FormerSettings | None = None,
                 device: str = 'cpu', precision: str = 'fp32') -> None:
        self.model: Any = model.to(device).eval().requires_grad_(False)
        self.settings = settings or Mask2FormerSettings()
        self.device, self.precision = device, precision

    def propose(self, view: View) -> Proposals:
        """Return the queries' masks of a view, by its colours alone.

        All queries stay, empty masks too.  scores: the mean probability inside a mask, 0
        where it is empty; stability: 1 for all, Mask2Former has no such estimate.
        """
        image = view.rgb
        pixels, size = self.pixels(image)
        with autocast(self.device, self.precision):
            logits = self.model(pixel_values=pixels).masks_queries_logits[0].float()
            step = max(1, CHUNK_VALUES // max(pixels.shape[-2] * pixels.shape[-1],
                                              image.shape[0] * image.shape[1]))
            parts = [self.decode(chunk, pixels.shape[-2:], size, image.shape[:2])
                     for chunk in logits.split(step)]
            masks, scores = (torch.cat(found) for found in zip(*parts, strict=True))
        return Proposals(masks, boxes_of(masks), scores, torch.ones_like(scores),
                         source='mask2former')

    def pixels(self, image: np.ndarray) -> tuple[Tensor, tuple[int, int]]:
        """Return the padded input, (1, 3, h, w), and the rows and columns the image fills."""
        pil = require('PIL.Image', 'models')
        size = input_size(image.shape[:2], self.settings.shortest_side,
                          self.settings.longest_side)
        small = pil.fromarray(image).resize(size[::-1], pil.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(small)).to(self.device).permute(2, 0, 1).float()
        tensor = normalise(tensor / 255, IMAGENET_MEAN, IMAGENET_STD)
        pad = [0, -size[1] % STRIDE, 0, -size[0] % STRIDE]
        return functional.pad(tensor, pad)[None], size

    def decode(self, logits: Tensor, padded: tuple[int, ...], filled: tuple[int, int],
               size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return masks (n, H, W) bool and mean probabilities (n,) of (n, h, w) logits."""
        full = functional.interpolate(logits[:, None], size=tuple(padded), mode='bilinear',
                                      align_corners=False)[..., :filled[0], :filled[1]]
        full = functional.interpolate(full, size=tuple(size), mode='bilinear',
                                      align_corners=False)[:, 0].sigmoid()
        masks = full > self.settings.mask_threshold
        inside = (full * masks).flatten(1).sum(1) / masks.flatten(1).sum(1).clamp(min=1)
        return masks, inside


def input_size(size: tuple[int, ...], shortest: int, longest: int) -> tuple[int, int]:
    """Return rows and columns after scaling the shorter side to `shortest`.

    The longer side stays within `longest` (detectron2's rule, halves rounded up).
    """
    height, width = size[0], size[1]
    scale = min(shortest / min(height, width), longest / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
