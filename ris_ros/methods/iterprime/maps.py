"""IteRPrimE's maps: primary word emphasis over attention and gradient, and iterative refinement.

Equations are the paper's (AAAI 2025).  Tensors are float32; a grid is (rows, columns) patches.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ris_ros.methods.iterprime.text import IterPrimeText
else:
    torch = require('torch', 'models')

MODES = {0: 'local and global augmentation', 1: 'overall mean', 2: 'effective words',
         3: 'global augmentation', 4: 'local augmentation'}

# Maps of some rows under their masks: (row numbers, (n, rows, columns) bool) to
# ((n, rows, columns) maps in [0, 1], (n,) match probabilities).
Step = Callable[[list[int], 'Tensor'], tuple['Tensor', 'Tensor']]


def word_map(weights: Tensor, gradient: Tensor, text: IterPrimeText, mode: int = 0,
             rules: str = 'paper') -> Tensor:
    """Return one sentence's Grad-CAM map with the words weighted, (rows, columns) in [0, 1].

    weights, gradient: (heads, T, rows, columns), the gradient not negative.
    mode: see MODES.  0 is the whole emphasis module (equations 2 to 4).

    Without a primary word modes 0 and 4 weigh effective words alike, and all words where
    there is none of them (rules 'paper', as the text has it); the released code has these
    two branches the other way round and multiplies head means.
    """
    words, primary = list(text.effective_tokens), list(text.primary_tokens or ())
    if mode in (0, 4) and not primary and rules == 'released':
        rows = slice(None) if words else slice(0, 1)
        cam = (weights.mean(0) * gradient.mean(0))[rows].mean(0)
        return stretch(cam)
    products = weights * gradient
    if mode == 1 or (not words and (mode in (2, 3) or not primary)):
        return stretch(products.mean(dim=1).mean(dim=0))
    cls = products[:, 0]
    if mode == 2 or not primary:
        parts = [cls[:, None], products[:, words]]
    elif mode == 3:
        parts = [cls[:, None], *_repeated(products, words, primary)]
    else:
        local = _local(weights, gradient, words, primary)
        spread = _repeated(products, words, primary) if mode == 0 else [products[:, words]]
        parts = [cls[:, None], local, *spread]
    return stretch(torch.cat(parts, dim=1).mean(dim=1).mean(dim=0))


def _repeated(products: Tensor, words: list[int], primary: list[int]) -> list[Tensor]:
    """Return effective words' maps and the primary word's, as often as there are words.

    The paper repeats as often as there are context words; the released count is used by
    both rule sets, since the tables were made with it.
    """
    return [products[:, words], products[:, primary * len(words)]]


def _local(weights: Tensor, gradient: Tensor, words: list[int], primary: list[int]) -> Tensor:
    """Return the maps of the primary word as it differs from each context word (equation 3).

    (heads, max(C, 1), rows, columns), may be negative.
    """
    own, slope = weights[:, primary].mean(dim=1), gradient[:, primary].mean(dim=1)
    context = [w for w in words if w not in primary]
    difference = own[:, None] - weights[:, context] if context else own[:, None]
    norm = difference.norm(dim=1, keepdim=True)
    direction = difference / torch.where(norm == 0, torch.full_like(norm, 1e-8), norm)
    return direction * (slope * own * slope)[:, None]


def stretch(maps: Tensor) -> Tensor:
    """Return (..., rows, columns) maps stretched to [0, 1] each; a flat map becomes zeros."""
    low = maps - maps.amin(dim=(-2, -1), keepdim=True)
    high = low.amax(dim=(-2, -1), keepdim=True)
    return low / torch.where(high > 0, high, torch.ones_like(high))


def steep(maps: Tensor, slope: float = 20.0, center: float = 0.5) -> Tensor:
    """Return the sigmoid of maps in [0, 1], its largest value scaled to 1 (released code)."""
    risen = torch.sigmoid(slope * (maps - center))
    return risen / risen.amax(dim=(-2, -1), keepdim=True)


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (n, rows, columns) maps at image size, bicubic, (n, H, W)."""
    return torch.nn.functional.interpolate(maps[:, None], size=size, mode='bicubic',
                                           align_corners=False)[:, 0]


@dataclass(frozen=True)
class Refinement:
    """How the loop runs.

    iterations: at most, the first look included.  keep: weight of the old map (lambda).
    threshold: risen values from here on are hidden from the next look (theta).
    smooth: the current map goes through the sigmoid and the first one counts 1 - keep too
    (equation 5); else it is taken as it is (released code).
    stop: 'paper' weighs the match by what the previous map left dark and gives the previous
    map back; 'released' stops when the match falls and keeps the map of that look; 'never'.
    """

    iterations: int = 3
    keep: float = 0.8
    threshold: float = 0.5
    slope: float = 20.0
    center: float = 0.5
    smooth: bool = False
    stop: str = 'released'


@dataclass(eq=False)
class Refined:
    """One row's result: the map (rows, columns) and the match of every look."""

    heat: Tensor
    match: list[float] = field(default_factory=list)


def refine(step: Step, count: int, grid: tuple[int, int], how: Refinement,
           size: tuple[int, int], device: str = 'cpu') -> list[Refined]:
    """Look again and again at what was overlooked, `count` sentences side by side.

    step: gives maps and matches of the rows that still run.  size: of the image, for the
    average of equation 7.  A row leaves the batch as soon as its own rule stops it, or when
    its map is flat: then nothing is left to look at.
    """
    heat = torch.zeros(count, *grid, device=device)
    seen = torch.ones(count, *grid, dtype=torch.bool, device=device)
    best = torch.full((count,), -float('inf'), device=device)
    out = [Refined(heat[i]) for i in range(count)]
    live = list(range(count))
    for turn in range(how.iterations):
        if not live:
            break
        maps, match = step(live, seen[live])
        for row, value in zip(live, match.tolist(), strict=True):
            out[row].match.append(value)
        score = match * _overlooked(heat[live], size) if how.stop == 'paper' else match
        fallen = (score < best[live]) & (how.stop != 'never')
        old = heat[live]
        risen = steep(maps, how.slope, how.center)
        now = risen if how.smooth else maps
        first = turn == 0 and not how.smooth
        mixed = now if first else how.keep * old + (1 - how.keep) * now
        if how.stop == 'paper':
            mixed = torch.where(fallen[:, None, None], old, mixed)
        flat = maps.amax(dim=(-2, -1)) <= 0
        heat[live] = torch.where((flat & (turn == 0))[:, None, None], maps, mixed)
        seen[live] &= risen < how.threshold
        best[live] = score
        live = [row for row, stop in zip(live, (fallen | flat).tolist(), strict=True)
                if not stop]
    for row in range(count):
        out[row].heat = heat[row]
    return out


def _overlooked(heat: Tensor, size: tuple[int, int]) -> Tensor:
    """Return R of equation 7, (n,): the mean of 1 minus the previous map at image size."""
    return 1 - enlarge(heat, size).mean(dim=(-2, -1))
