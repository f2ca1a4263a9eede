"""SAM 2 and 2.1 on single pictures, through transformers: a folder as published.

It stands behind the role `sam` like any SAM and is asked by a proposer of its own: the picture
is stretched to a square rather than padded, and the decoder reads three feature levels.
"""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.models.captioner import PictureFormat, load_model, picture_format
from ris_ros.models.device import autocast
from ris_ros.models.proposals import Decoder, SamProposer
from ris_ros.models.sampling import normalise

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn, functional = torch.nn, torch.nn.functional

# "model_type" of config.json -> class; a video model's memory is left out for single pictures.
CLASSES = {'sam2': 'Sam2Model', 'sam2_video': 'Sam2Model'}


class Sam2(nn.Module):
    """A SAM 2 with what `SamProposer` reads of every SAM: input size, threshold, enlarging."""

    mask_threshold = 0.0

    def __init__(self, model: nn.Module, picture: PictureFormat) -> None:
        super().__init__()
        self.model, self.picture = model, picture
        self.image_encoder = SimpleNamespace(img_size=picture.image_size)

    def postprocess_masks(self, logits: Tensor, input_size: tuple[int, int],
                          size: tuple[int, int]) -> Tensor:
        """Return (n, 1, h, w) logits at the picture's size; the input has no padding."""
        return functional.interpolate(logits.float(), size, mode='bilinear', align_corners=False)


def load_sam2(folder: Path) -> Sam2:
    """Return the SAM 2 of a folder, on the CPU.

    Raises WeightsError for a folder that is damaged or holds something else.
    """
    return Sam2(load_model(folder, CLASSES, 'SAM 2', torch.float32), picture_format(folder))


class Sam2Proposer(SamProposer):
    """Automatic mask proposals of a SAM 2, and its masks at points and boxes."""

    def _encode(self, image: np.ndarray) -> tuple[Any, tuple[int, int]]:
        """Return the feature levels of a picture, and the input's rows and columns."""
        pil, picture = require('PIL.Image', 'models'), self.sam.picture
        side = picture.image_size
        small = pil.fromarray(image).resize((side, side), pil.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(small)).to(self.device).permute(2, 0, 1)[None].float()
        return self.sam.model.get_image_embeddings(
            normalise(pixels / 255, picture.mean, picture.std)), (side, side)

    def decoder(self, embedding: Any) -> Decoder:
        """Return what decodes points on one picture's features."""
        def decode(points: Tensor, least: float) -> tuple[Tensor, Tensor]:
            return self._decode(embedding, points=points)
        return decode

    def _decode(self, embedding: Any, points: Tensor | None = None, boxes: Tensor | None = None,
                several: bool = True) -> tuple[Tensor, Tensor]:
        """Return logits (n, k, h, w) and predicted IoU (n, k); k is 3, or 1 for `several` off.

        points: (n, 2), boxes: (n, 4) corners, on the network's input.
        """
        prompts: dict[str, Any] = {}
        if points is not None:
            prompts['input_points'] = points.float()[None, :, None]
            prompts['input_labels'] = torch.ones(1, len(points), 1, dtype=torch.int,
                                                 device=points.device)
        if boxes is not None:
            prompts['input_boxes'] = boxes.float()[None]
        found = self.sam.model(image_embeddings=list(embedding), multimask_output=several,
                               **prompts)
        return found.pred_masks[0].float(), found.iou_scores[0].float()

    def at_points(self, embedded: tuple[Any, tuple[int, int]], points: Tensor,
                  size: tuple[int, int], output: str = 'best') -> tuple[Tensor, Tensor]:
        """Return one mask for each point prompt; see `SamProposer.at_points`."""
        embedding, input_size = embedded
        with autocast(self.device, self.precision):
            logits, scores = self._decode(
                embedding, points=self._scaled(points, input_size, size),
                several=output == 'best')
            rows = torch.arange(len(points), device=scores.device)
            best = scores.argmax(dim=1)
            return self._masks(logits[rows, best], input_size, size), scores[rows, best]

    def at_boxes(self, embedded: tuple[Any, tuple[int, int]], boxes: Tensor,
                 size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return one mask for each box prompt; see `SamProposer.at_boxes`."""
        embedding, input_size = embedded
        with autocast(self.device, self.precision):
            scaled = self._scaled(boxes.reshape(-1, 2), input_size, size).reshape(-1, 4)
            logits, scores = self._decode(embedding, boxes=scaled, several=False)
            return self._masks(logits[:, 0], input_size, size), scores[:, 0]
