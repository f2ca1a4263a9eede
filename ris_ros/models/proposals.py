"""Mask proposals: SAM's automatic generator, on batches, without leaving the device.

Same results as `segment_anything.SamAutomaticMaskGenerator` with one crop layer, in another
order of work: candidates are dropped by predicted IoU at the decoder's own resolution, before
they are enlarged, and small regions are removed from all masks in one pass.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.models.device import autocast
from ris_ros.models.options import ProposalSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

# Enlarged candidate logits held at once, in float32 values (64 MiB).
CHUNK_VALUES = 1 << 24


@dataclass(frozen=True, eq=False)
class Proposals:
    """N mask proposals of one image, best first.

    masks: (N, H, W) bool on the model's device.  boxes: (N, 4) float32 x, y, width, height,
    the pixels' extent.  scores: (N,) float32 predicted IoU.  stability: (N,) float32.
    """

    masks: Tensor
    boxes: Tensor
    scores: Tensor
    stability: Tensor

    def __len__(self) -> int:
        return len(self.masks)


def boxes_of(masks: Tensor) -> Tensor:
    """Return the extents of (N, H, W) bool masks, (N, 4) float32 x, y, width, height.

    An empty mask has the box 0, 0, 0, 0.
    """
    if not len(masks):
        return torch.zeros(0, 4, device=masks.device)
    xyxy = _extents(masks)
    size = xyxy[:, 2:] - xyxy[:, :2] + masks.view(torch.uint8).amax(dim=(1, 2))[:, None]
    return torch.cat([xyxy[:, :2], size], dim=1).float()


def pixel_counts(masks: Tensor) -> Tensor:
    """Return the set pixels of (N, H, W) bool masks, (N,) int32.

    Short sums along the rows first: several times faster than one sum of 64-bit integers.
    """
    return masks.sum(dim=-1, dtype=torch.int16).sum(dim=-1, dtype=torch.int32)


def _extents(masks: Tensor) -> Tensor:
    """Return (N, 4) int64 first column, first row, last column, last row; 0 when empty."""
    height, width = masks.shape[-2:]
    # The maximum of bytes is twenty times faster than `any` on a CPU.
    data = masks.view(torch.uint8)
    columns, rows = data.amax(dim=1), data.amax(dim=2)

    def span(hits: Tensor, size: int) -> tuple[Tensor, Tensor]:
        return hits.argmax(dim=1), size - 1 - hits.flip(1).argmax(dim=1)

    left, right = span(columns, width)
    top, bottom = span(rows, height)
    return torch.stack([left, top, right, bottom], dim=1) * columns.amax(dim=1)[:, None]


class SamProposer:
    """Automatic mask proposals of a SAM network."""

    def __init__(self, sam: nn.Module, settings: ProposalSettings | None = None,
                 device: str = 'cpu', precision: str = 'fp32') -> None:
        self.sam: Any = sam.to(device).eval().requires_grad_(False)
        self.settings = settings or ProposalSettings()
        self.device, self.precision = device, precision

    def propose(self, image: np.ndarray) -> Proposals:
        """Return the proposals of an (H, W, 3) uint8 RGB image; there may be none."""
        with autocast(self.device, self.precision):
            embedding, input_size = self._encode(image)
            return self._generate(embedding, input_size, image.shape[:2])

    def _encode(self, image: np.ndarray) -> tuple[Tensor, tuple[int, int]]:
        """Return the image embedding and the (rows, columns) that the image fills."""
        pil = require('PIL.Image', 'models')
        height, width = image.shape[:2]
        scale = self.sam.image_encoder.img_size / max(height, width)
        size = int(height * scale + 0.5), int(width * scale + 0.5)
        small = pil.fromarray(image).resize(size[::-1], pil.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(small)).to(self.device).permute(2, 0, 1)
        return self.sam.image_encoder(self.sam.preprocess(tensor[None].float())), size

    def _generate(self, embedding: Tensor, input_size: tuple[int, int],
                  size: tuple[int, int]) -> Proposals:
        settings = self.settings
        # In double precision, as SAM's own generator has them until the position encoding.
        centres = (np.arange(settings.points_per_side) + 0.5) / settings.points_per_side
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        points = grid * np.array([size[1], size[0]])
        points = points * np.array([input_size[1] / size[1], input_size[0] / size[0]])
        found = [self._candidates(part, embedding, input_size, size) for part in
                 torch.from_numpy(points).to(self.device).split(settings.points_per_batch)]
        masks, scores, stability = (torch.cat(parts) for parts in zip(*found, strict=True))
        if not len(masks):
            return _none(size, self.device)
        keep = _nms(_extents(masks), scores, settings.box_nms_thresh)
        masks, scores, stability = masks[keep], scores[keep], stability[keep]
        if settings.min_mask_region_area > 0:
            masks, changed = remove_small_regions(masks, settings.min_mask_region_area)
            keep = _nms(_extents(masks), 1.0 - changed.float(),
                        max(settings.box_nms_thresh, 0.7))
            masks, scores, stability = masks[keep], scores[keep], stability[keep]
        return Proposals(masks, boxes_of(masks), scores, stability)

    def _candidates(self, points: Tensor, embedding: Tensor, input_size: tuple[int, int],
                    size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Decode some points: masks (n, H, W) bool, predicted IoU and stability, (n,) each."""
        labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
        sparse, dense = self.sam.prompt_encoder(
            points=(points[:, None], labels), boxes=None, masks=None)
        logits, scores = self.sam.mask_decoder(
            image_embeddings=embedding, image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense,
            multimask_output=True)
        logits, scores = logits.flatten(0, 1).float(), scores.flatten().float()
        if self.settings.pred_iou_thresh > 0:
            keep = scores > self.settings.pred_iou_thresh
            logits, scores = logits[keep], scores[keep]
        side = self.sam.image_encoder.img_size
        per_chunk = max(1, CHUNK_VALUES // max(side * side, size[0] * size[1]))
        parts = [self._enlarge(chunk, input_size, size) for chunk in logits.split(per_chunk)
                 if len(chunk)]
        if not parts:
            nothing = _none(size, self.device)
            return nothing.masks, nothing.scores, nothing.stability
        masks, stability, keep = (torch.cat(p) for p in zip(*parts, strict=True))
        return masks, scores[keep], stability[keep]

    def _enlarge(self, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]
                 ) -> tuple[Tensor, Tensor, Tensor]:
        """Return kept masks at image size, the stability of all, and which were kept."""
        full = self.sam.postprocess_masks(logits[:, None], input_size, size)[:, 0]
        threshold = self.sam.mask_threshold
        stability = pixel_counts(full > threshold + 1.0) / pixel_counts(full > threshold - 1.0)
        if self.settings.stability_score_thresh > 0:
            keep = stability >= self.settings.stability_score_thresh
        else:
            keep = torch.ones_like(stability, dtype=torch.bool)
        return full[keep] > threshold, stability, keep


def _none(size: tuple[int, int], device: str) -> Proposals:
    return Proposals(torch.zeros(0, *size, dtype=torch.bool, device=device),
                     torch.zeros(0, 4, device=device), torch.zeros(0, device=device),
                     torch.zeros(0, device=device))


def _nms(xyxy: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the kept indices, best score first; ties keep their order."""
    ops = require('torchvision.ops', 'models')
    return ops.nms(xyxy.float(), scores.float(), threshold)


def remove_small_regions(masks: Tensor, area: int) -> tuple[Tensor, Tensor]:
    """Fill holes and drop islands below `area` pixels, for all masks.

    masks: (N, H, W) bool.  Returns masks and (N,) bool, which were changed.  A mask whose
    every island is too small keeps the largest.  Connectivity 8.
    """
    array = masks.cpu().numpy()
    # Bounds the label image (int32) to about 64 MiB.
    step = max(1, CHUNK_VALUES // array[0].size)
    cleaned, changed = [], []
    for start in range(0, len(array), step):
        filled, holes = _drop_regions(array[start:start + step], area, holes=True)
        kept, islands = _drop_regions(filled, area, holes=False)
        cleaned.append(kept)
        changed.append(holes | islands)
    return (torch.from_numpy(np.concatenate(cleaned)).to(masks.device),
            torch.from_numpy(np.concatenate(changed)).to(masks.device))


def _drop_regions(masks: np.ndarray, area: int, holes: bool) -> tuple[np.ndarray, np.ndarray]:
    """One labelling for a stack of masks, set one below the other with an empty row between."""
    cv2 = require('cv2', 'models')
    n, height, width = masks.shape
    sheet = np.zeros((n, height + 1, width), dtype=np.uint8)
    sheet[:, :height] = ~masks if holes else masks
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        sheet.reshape(n * (height + 1), width), connectivity=8)
    owner = stats[:, cv2.CC_STAT_TOP] // (height + 1)
    sizes = stats[:, cv2.CC_STAT_AREA]
    small = sizes < area
    small[0] = False
    changed = np.zeros(n, dtype=bool)
    changed[owner[small]] = True
    # In `working` each region is kept or dropped; label 0 is everything else.
    keep = ~small
    keep[0] = False
    if not holes:
        lost = np.setdiff1d(owner[1:], owner[keep])
        regions = np.flatnonzero(np.isin(owner, lost) & (np.arange(count) > 0))
        # The largest region of each mask that would vanish; the first one on a tie.
        ranked = regions[np.lexsort((regions, -sizes[regions], owner[regions]))]
        keep[ranked[np.unique(owner[ranked], return_index=True)[1]]] = True
    working = keep[labels].reshape(n, height + 1, width)[:, :height]
    return (~working if holes else working), changed
