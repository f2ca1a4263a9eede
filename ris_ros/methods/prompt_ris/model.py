"""A trained Prompt-RIS network ready for use: pictures and sentences in, masks out."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.prompt_ris.calibration import Calibration
from ris_ros.methods.prompt_ris.components import peaks_of
from ris_ros.methods.prompt_ris.layout import resized
from ris_ros.methods.prompt_ris.network import Picture, PromptRis
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.models import sampling
from ris_ros.models.clip import CLIP_MEAN, CLIP_STD, tokenizer_for
from ris_ros.models.device import autocast

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional


@dataclass(frozen=True, eq=False)
class Answers:
    """What was found for S sentences about one picture, K answers in all.

    rows: (K,) int64, the sentence of each answer; answers to one stand together.  masks:
    (K, H, W) bool.  features: what `Calibration` reads, (K,) float64 each.  heatmaps: (S, H, W)
    float32 in [0, 1], the coarse map.  All on the host.
    """

    rows: np.ndarray
    masks: np.ndarray
    features: Mapping[str, np.ndarray]
    heatmaps: np.ndarray


class PromptRisModel:
    """Network, tokenizer and pixel statistics.

    clip_config: of the CLIP inside, see `models.clip`.  calibration: of its probabilities.
    """

    def __init__(self, network: PromptRis, clip_config: Mapping[str, Any],
                 calibration: Calibration | None = None, device: str = 'cpu',
                 precision: str = 'fp32') -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.calibration = calibration or Calibration()
        self.device, self.precision = device, precision
        self.tokenizer = tokenizer_for(clip_config)
        self.mean = tuple(clip_config.get('mean', CLIP_MEAN))
        self.std = tuple(clip_config.get('std', CLIP_STD))

    def autocast(self) -> AbstractContextManager:
        """Return the context of this model's precision, without gradients."""
        return autocast(self.device, self.precision)

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, list[tuple[str, ...]]]:
        """Return token ids (S, L), cut to the longest, and notes on each text.

        What exceeds the text length is cut, the end token kept, and noted; so are words that a
        vocabulary of words does not hold.
        """
        length = self.network.config.text_length
        ids = self.tokenizer(list(texts), length)
        longest = int((ids != 0).sum(dim=1).max())
        return ids[:, :longest].to(self.device), [self._notes(text, length) for text in texts]

    def _notes(self, text: str, length: int) -> tuple[str, ...]:
        count, notes = len(self.tokenizer.encode(text)), []
        if count > length - 2:
            notes.append(f'the sentence has {count} words or pieces of words, this network reads '
                         f'{length - 2}: the rest was left out')
        unknown = getattr(self.tokenizer, 'unknown_words', lambda _: ())(text)
        if unknown:
            words = ', '.join(f'"{word}"' for word in dict.fromkeys(unknown))
            notes.append(f'this network does not know {words}')
        return tuple(notes)

    def look(self, rgb: np.ndarray, final: bool = True) -> Picture:
        """Return what depends on an (H, W, 3) uint8 RGB picture alone.

        final: SAM's embedding too.  Raises BadInputError for a picture that is too narrow.
        """
        network = self.network
        layout = network.layout((rgb.shape[0], rgb.shape[1]))
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device).permute(2, 0, 1)[None]
        seen = sampling.normalise(resized(pixels, layout.clip) / 255, self.mean, self.std)
        embedding = network.embed(resized(pixels, layout.sam)) if final else None
        return network.look(layout, seen, embedding)

    def answer(self, picture: Picture, tokens: Tensor, size: tuple[int, int],
               settings: PromptRisSettings) -> Answers:
        """Return the answers to S sentences; size: height and width of the masks."""
        network, layout = self.network, picture.layout
        coarse = network.coarse(picture, tokens)
        rows, maps, peaks = peaks_of(coarse.logits, settings.max_objects, settings.region_logit)
        cells = layout.on_mask_grid(maps)
        quality = None
        logits = cells
        if settings.answer == 'final':
            text = network.sam_prompts.text(coarse.text, coarse.keep, picture.keys)
            given = torch.tensor([[settings.mask_prompt, settings.point_prompt,
                                   settings.text_prompt]], device=cells.device)
            logits, quality = network.decode(picture, cells, network.point(picture, cells),
                                             text[rows], coarse.keep[rows],
                                             given.expand(len(rows), 3))
        small = layout.inside(logits) > settings.mask_threshold
        inside = (layout.inside(cells).sigmoid() * small).sum(dim=(1, 2)) / small.sum(
            dim=(1, 2)).clamp(min=1)
        features = {'peak': peaks, 'inside': torch.logit(inside.float(), eps=1e-6),
                    'quality': torch.zeros_like(peaks) if quality is None else quality}
        if coarse.presence is not None:
            features['presence'] = coarse.presence[rows]
        masks = layout.on_picture(logits, size) > settings.mask_threshold
        shown = functional.interpolate(coarse.logits[:, None], size=size, mode='bilinear',
                                       align_corners=False)[:, 0].sigmoid()
        return Answers(rows.cpu().numpy(), masks.cpu().numpy(),
                       {name: value.double().cpu().numpy() for name, value in features.items()},
                       shown.float().cpu().numpy())
