"""What a network is worth while it trains: IoU at picture size, and whether it knows absence."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.training.prompt_ris.frames import Frames

FIGURES = ('miou', 'p50', 'p70', 'p90', 'coarse_miou', 'coarse_p50', 'attribute', 'position',
           'relation', 'size', 'presence', 'absent_precision', 'absent_recall')


@dataclass(frozen=True, eq=False)
class Asked:
    """One validation batch: as in training, with what the answers ought to be.

    truths: per sentence its (H, W) bool mask at picture size, None where it has no single
    answer.  there: per sentence whether the picture shows what it means.  tags: its kind.
    """

    batch: Mapping[str, Any]
    truths: Sequence[np.ndarray | None]
    there: Sequence[bool]
    tags: Sequence[str]


class Validation:
    """A fixed list of batches."""

    def __init__(self, frames: Frames, asked: Sequence[Asked], device: torch.device | str
                 ) -> None:
        self.frames, self.asked, self.device = frames, asked, torch.device(device)

    def figures(self, network: PromptRis, pixels: Callable[[Tensor], Tensor],
                given: tuple[bool, bool, bool] = (True, True, True)) -> dict[str, float]:
        """Return the figures of FIGURES that the batches can tell.

        pixels: makes CLIP's input.  given: which of mask, point and text prompt SAM gets.
        """
        rows: list[tuple[str, float, float]] = []
        there: list[bool] = []
        presence: list[float] = []
        for asked in self.asked:
            final, coarse, present = self.answers(network, pixels, asked, given)
            rows += [(tag, float(f), float(c)) for tag, truth, f, c in zip(
                asked.tags, asked.truths, final, coarse, strict=True) if truth is not None]
            there += asked.there
            presence += [] if present is None else present.tolist()
        return {**mask_figures(rows), **presence_figures(there, presence)}

    @torch.no_grad()
    def answers(self, network: PromptRis, pixels: Callable[[Tensor], Tensor], asked: Asked,
                given: tuple[bool, bool, bool]) -> tuple[np.ndarray, np.ndarray, Tensor | None]:
        """Return IoU of final and coarse masks, (B,) each, and the presence logits or None.

        A sentence without a true mask has the IoU zero.
        """
        batch = {name: value.to(self.device) if isinstance(value, Tensor) else value
                 for name, value in asked.batch.items()}
        shown, layout = self.frames.shown(batch), self.frames.layout
        picture = network.look(layout, pixels(shown.pixels), shown.embeddings())
        coarse = network.coarse(picture, batch['tokens'])
        uses = torch.tensor([given], device=self.device).expand(len(coarse.logits), 3)
        final, _ = network.refine(picture, coarse, uses)
        cells = layout.on_mask_grid(coarse.logits)
        found = np.zeros((2, len(final)))
        for row, truth in enumerate(asked.truths):
            if truth is not None:
                mask = torch.from_numpy(np.ascontiguousarray(truth)).to(self.device)
                for kind, logits in enumerate((final, cells)):
                    own = layout.on_picture(logits[row:row + 1], truth.shape)[0] > 0
                    found[kind, row] = (own & mask).sum() / (own | mask).sum().clamp(min=1)
        return found[0], found[1], coarse.presence


def mask_figures(rows: Sequence[tuple[str, float, float]]) -> dict[str, float]:
    """Return means over (tag, IoU of the final mask, IoU of the coarse one)."""
    if not rows:
        return {}
    final, coarse = (np.array([row[k] for row in rows]) for k in (1, 2))
    out = {'miou': final.mean(), 'p50': (final > 0.5).mean(), 'p70': (final > 0.7).mean(),
           'p90': (final > 0.9).mean(), 'coarse_miou': coarse.mean(),
           'coarse_p50': (coarse > 0.5).mean()}
    for tag in sorted({row[0] for row in rows} & set(FIGURES)):
        out[tag] = np.mean([row[1] for row in rows if row[0] == tag])
    return {name: float(value) for name, value in out.items()}


def presence_figures(there: Sequence[bool], logits: Sequence[float]) -> dict[str, float]:
    """Return how well the presence head tells what is absent, at probability one half."""
    if not logits:
        return {}
    absent, said = ~np.array(there, bool), np.array(logits) < 0
    right = (absent & said).sum()
    return {'presence': float((absent == said).mean()),
            'absent_precision': float(right / max(said.sum(), 1)),
            'absent_recall': float(right / max(absent.sum(), 1))}
