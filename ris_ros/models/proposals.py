"""Mask proposals: SAM's automatic generator, on batches, without leaving the device.

Same results as `segment_anything.SamAutomaticMaskGenerator` with one crop layer, in another
order of work: candidates are dropped by predicted IoU at the decoder's own resolution, before
they are enlarged; enlarged ones are measured while they lie in the processor's cache and not
kept, the few that survive are enlarged again; small regions are removed from all masks in one
pass over the rows that the masks touch.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.models import sam_decoder, sam_encoder
from ris_ros.models.device import autocast
from ris_ros.models.options import ProposalSettings
from ris_ros.models.small_regions import remove_small_regions
from ris_ros.models.suppression import nms, unshared
from ris_ros.types import View

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ris_ros.geometry.planes import SupportPlane
else:
    torch = require('torch', 'models')

SAM = 'sam'   # what made proposals, see `Proposals.source`

# Enlarged candidate logits held at once, in float32 values: 64 MiB on a GPU; on a CPU 8 MiB,
# which stay in its cache.
CHUNK_VALUES = 1 << 24
CPU_CHUNK_VALUES = 1 << 21


# (points (n, 2), least predicted IoU) -> logits (m, 3, h, w), predicted IoU (m, 3); m <= n.
Decoder = Callable[['Tensor', float], tuple['Tensor', 'Tensor']]


@dataclass(frozen=True, eq=False)
class Proposals:
    """N mask proposals of one image, best first.

    masks: (N, H, W) bool on the model's device.  boxes: (N, 4) float32 x, y, width, height,
    the pixels' extent.  scores: (N,) float32 predicted IoU.  stability: (N,) float32.
    note: what the user must be told of how they were made, a sentence, or empty.
    source: what made them: 'sam', 'mask2former', 'depth', or 'depth+sam' where depth made most
    of them and SAM the rest; empty for masks that were handed in.
    support: the plane that the things stand on, where the proposer found it.
    """

    masks: Tensor
    boxes: Tensor
    scores: Tensor
    stability: Tensor
    note: str = ''
    source: str = ''
    support: SupportPlane | None = None

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def of(cls, masks: Tensor, scores: Tensor | None = None, source: str = '') -> Proposals:
        """Return known (N, H, W) bool masks as proposals; scores (N,): 1 where none are given.

        Their boxes are the masks' extents, their stability is 1.
        """
        ones = torch.ones(len(masks), device=masks.device)
        return cls(masks, boxes_of(masks), ones if scores is None else scores, ones,
                   source=source)

    def to(self, device: str) -> Proposals:
        """Return them on a device, without a copy where they are there."""
        return replace(self, masks=self.masks.to(device), boxes=self.boxes.to(device),
                       scores=self.scores.to(device), stability=self.stability.to(device))

    def some(self, keep: Tensor | slice) -> Proposals:
        """Return those that (N,) bool, indices or a slice say; what holds for all stays."""
        return replace(self, masks=self.masks[keep], boxes=self.boxes[keep],
                       scores=self.scores[keep], stability=self.stability[keep])


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

    On a CPU eight pixels are added at once, as the bytes of one number, which hold up to 255.
    Else short sums along the rows first: several times faster than one sum of 64-bit integers.
    """
    count, height, width = masks.shape
    if masks.device.type != 'cpu' or width % 8 or not masks.numel():
        return masks.sum(dim=-1, dtype=torch.int16).sum(dim=-1, dtype=torch.int32)
    eights = np.ascontiguousarray(masks.numpy()).view(np.uint64)
    bytes_of = np.add.reduceat(eights, np.arange(0, height, 255), axis=1).view(np.uint8)
    return torch.from_numpy(bytes_of.reshape(count, -1).sum(axis=1, dtype=np.int32))


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

    def propose(self, view: View) -> Proposals:
        """Return the proposals of a view, by its colours alone; there may be none."""
        side = self.settings.points_per_side
        centres = (np.arange(side) + 0.5) / side
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        return self.propose_at(view, grid * np.array(view.size[::-1]))

    def propose_at(self, view: View, points: np.ndarray) -> Proposals:
        """Return the proposals of some point prompts alone; there may be none.

        points: (n, 2) float64 x, y in pixels of the view.  Thresholds and what follows are those
        of `propose`, where the points are a grid over the view.
        """
        if not len(points):
            return no_proposals(view.size, self.device)
        with autocast(self.device, self.precision):
            embedding, input_size = self._encode(view.rgb)
            return self._generate(embedding, input_size, view.size, points)

    def embed(self, view: View) -> tuple[Tensor, tuple[int, int]]:
        """Return what `at_points` reads of a view: SAM's embedding, and the rows and columns of
        its input that the view fills.
        """
        with autocast(self.device, self.precision):
            return self._encode(view.rgb)

    def at_points(self, embedded: tuple[Tensor, tuple[int, int]], points: Tensor,
                  size: tuple[int, int], output: str = 'best') -> tuple[Tensor, Tensor]:
        """Return one mask for each point prompt, (n, H, W) bool, and its predicted IoU (n,).

        points: (n, 2) x, y in pixels of the view, whose height and width are `size`.  output:
        'best' of the three masks for ambiguous prompts, or 'single', see `sam_batch`.
        """
        from ris_ros.models import sam_batch
        embedding, input_size = embedded
        with autocast(self.device, self.precision):
            labels = torch.ones(len(points), 1, dtype=torch.int, device=self.device)
            sparse, dense = self.sam.prompt_encoder(
                points=(self._scaled(points, input_size, size)[:, None], labels), boxes=None,
                masks=None)
            logits, scores = sam_batch.decode_batch(
                self.sam, embedding.expand(len(points), -1, -1, -1), sparse, dense,
                output=output)
            return self._masks(logits.float(), input_size, size), scores.float()

    def at_boxes(self, embedded: tuple[Tensor, tuple[int, int]], boxes: Tensor,
                 size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return one mask for each box prompt, (n, H, W) bool, and its predicted IoU (n,).

        boxes: (n, 4) left, top, right, bottom in pixels of the view, whose height and width are
        `size`; n is at least 1.  The mask for unambiguous prompts, as SAM's section 7.1.
        """
        from ris_ros.models import sam_batch
        embedding, input_size = embedded
        with autocast(self.device, self.precision):
            sparse, dense = self.sam.prompt_encoder(
                points=None, masks=None,
                boxes=self._scaled(boxes.reshape(-1, 2), input_size, size).reshape(-1, 4))
            logits, scores = sam_batch.decode_batch(
                self.sam, embedding.expand(len(boxes), -1, -1, -1), sparse, dense)
            return self._masks(logits.float(), input_size, size), scores.float()

    def _scaled(self, points: Tensor, input_size: tuple[int, int], size: tuple[int, int]
                ) -> Tensor:
        """Return (n, 2) x, y of the view on the network's input."""
        scale = torch.tensor([input_size[1] / size[1], input_size[0] / size[0]],
                             device=self.device)
        return points.to(self.device) * scale

    def _encode(self, image: np.ndarray) -> tuple[Tensor, tuple[int, int]]:
        """Return the image embedding and the (rows, columns) that the image fills."""
        pil = require('PIL.Image', 'models')
        height, width = image.shape[:2]
        scale = self.sam.image_encoder.img_size / max(height, width)
        size = int(height * scale + 0.5), int(width * scale + 0.5)
        small = pil.fromarray(image).resize(size[::-1], pil.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(small)).to(self.device).permute(2, 0, 1)
        pixels = self.sam.preprocess(tensor[None].float())
        return sam_encoder.encode(self.sam.image_encoder, pixels), size

    def _generate(self, embedding: Tensor, input_size: tuple[int, int],
                  size: tuple[int, int], points: np.ndarray) -> Proposals:
        settings = self.settings
        # In double precision, as SAM's own generator has them until the position encoding.
        points = points * np.array([input_size[1] / size[1], input_size[0] / size[0]])
        decoder = self.decoder(embedding)
        found = [self._candidates(part, decoder, input_size, size) for part in
                 torch.from_numpy(points).to(self.device).split(settings.points_per_batch)]
        logits, scores, stability, extents = (
            torch.cat(parts) for parts in zip(*found, strict=True))
        if not len(logits):
            return no_proposals(size, self.device)
        keep = nms(extents, scores, settings.box_nms_thresh)
        if settings.overlap_nms_thresh < 1:
            keep = keep[unshared(self._coarse(logits[keep], input_size),
                                 scores[keep] * stability[keep], settings.overlap_nms_thresh)]
        masks = self._masks(logits[keep], input_size, size)
        scores, stability = scores[keep], stability[keep]
        if settings.min_mask_region_area > 0:
            masks, changed = remove_small_regions(masks, settings.min_mask_region_area)
            keep = nms(_extents(masks), 1.0 - changed.float(),
                        max(settings.box_nms_thresh, 0.7))
            masks, scores, stability = masks[keep], scores[keep], stability[keep]
        return Proposals(masks, boxes_of(masks), scores, stability, source=SAM)

    def _candidates(self, points: Tensor, decoder: Decoder, input_size: tuple[int, int],
                    size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode some points and keep what passes both thresholds.

        Returns logits at the decoder's size (n, h, w), predicted IoU and stability (n,), and
        the extents (n, 4) of the masks at image size.
        """
        settings = self.settings
        logits, scores = decoder(points, settings.pred_iou_thresh)
        logits, scores = logits.flatten(0, 1).float(), scores.flatten().float()
        if settings.pred_iou_thresh > 0:
            keep = scores > settings.pred_iou_thresh
            logits, scores = logits[keep], scores[keep]
        parts = [self._measure(full, self._rows_above(small, input_size, size))
                 for small, full in self._enlarged(logits, input_size, size)]
        if not parts:
            return (logits, scores, scores.clone(),
                    torch.zeros(0, 4, dtype=torch.long, device=scores.device))
        stability, extents = (torch.cat(p) for p in zip(*parts, strict=True))
        if settings.stability_score_thresh > 0:
            keep = stability >= settings.stability_score_thresh
            logits, scores, stability, extents = (
                part[keep] for part in (logits, scores, stability, extents))
        return logits, scores, stability, extents

    def decoder(self, embedding: Tensor) -> Decoder:
        """Return what decodes points on one image's embedding; see `PointDecoder`.

        A network with a decoder of its own is asked as SAM's predictor would.
        """
        if sam_decoder.can_decode(self.sam):
            return sam_decoder.PointDecoder(self.sam, embedding)
        places = self.sam.prompt_encoder.get_dense_pe()

        def decode(points: Tensor, least: float) -> tuple[Tensor, Tensor]:
            labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
            sparse, dense = self.sam.prompt_encoder(
                points=(points[:, None], labels), boxes=None, masks=None)
            return self.sam.mask_decoder(
                image_embeddings=embedding, image_pe=places, sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense, multimask_output=True)

        return decode

    def _enlarged(self, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]
                  ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a few masks' logits and what they are at image size, (n, H, W) float32."""
        side = self.sam.image_encoder.img_size
        values = CPU_CHUNK_VALUES if logits.device.type == 'cpu' else CHUNK_VALUES
        for chunk in logits.split(max(1, values // max(side * side, size[0] * size[1]))):
            if len(chunk):
                yield chunk, self.sam.postprocess_masks(chunk[:, None], input_size, size)[:, 0]

    def _coarse(self, logits: Tensor, input_size: tuple[int, int]) -> Tensor:
        """Return the masks on the decoder's grid without the padding, (n, h, w) bool."""
        side, cells = self.sam.image_encoder.img_size, logits.shape[-1]
        rows, columns = (-(-length * cells // side) for length in input_size)
        return logits[:, :rows, :columns] > self.sam.mask_threshold

    def _rows_above(self, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]
                    ) -> slice:
        """Return the rows at image size outside which none of the masks can count.

        logits: (n, h, w) at the decoder's size.  An enlarged value is a mean of its neighbours,
        so it lies above the lowest threshold only near a value that does, up to rounding.
        """
        if logits.device.type != 'cpu':   # asking costs more than it saves
            return slice(0, size[0])
        largest = float(logits.abs().max())
        if not np.isfinite(largest):
            return slice(0, size[0])
        lowest = self.sam.mask_threshold - 1.0 - 1e-3 * largest
        rows = np.flatnonzero(logits.numpy().max(axis=(0, 2)) > lowest)
        if not len(rows):
            return slice(0, 1)
        # Of the rows around it, two of each resize may take part in a value.
        scale = self.sam.image_encoder.img_size / logits.shape[1] * size[0] / input_size[0]
        first, last = (rows[0] - 3) * scale, (rows[-1] + 4) * scale
        return slice(min(max(int(first), 0), size[0] - 1), min(int(last) + 1, size[0]))

    def _measure(self, full: Tensor, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return stability (n,) and extents (n, 4) of logits at image size.

        rows: outside of these no logit is above the lowest threshold.
        """
        threshold, full = self.sam.mask_threshold, full[:, rows]
        stability = (pixel_counts(_above(full, threshold + 1.0))
                     / pixel_counts(_above(full, threshold - 1.0)))
        masks = _above(full, threshold)
        extents = _extents(masks)
        set_ones = masks.view(torch.uint8).amax(dim=(1, 2)) > 0   # an empty one has 0, 0, 0, 0
        extents[:, 1::2] += (rows.start or 0) * set_ones[:, None]
        return stability, extents

    def _masks(self, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]
               ) -> Tensor:
        """Return the masks at image size, (n, H, W) bool."""
        return torch.cat([_above(full, self.sam.mask_threshold)
                          for _, full in self._enlarged(logits, input_size, size)])


def _above(values: Tensor, threshold: float) -> Tensor:
    """Return values > threshold; numpy compares five times as fast as torch on a CPU."""
    if values.device.type == 'cpu':
        return torch.from_numpy(np.greater(values.numpy(), np.float32(threshold)))
    return values > threshold


def no_proposals(size: tuple[int, int], device: str, source: str = SAM) -> Proposals:
    """Return the proposals of an image of (H, W) in which nothing is found."""
    return Proposals(torch.zeros(0, *size, dtype=torch.bool, device=device),
                     torch.zeros(0, 4, device=device), torch.zeros(0, device=device),
                     torch.zeros(0, device=device), source=source)
