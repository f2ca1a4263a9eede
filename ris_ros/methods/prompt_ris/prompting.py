"""Cross-modal prompting: two CLIP towers in step, each prompted by the other at every layer.

Section 3.2, equations 5 and 6.  Learned tokens read the other tower's features and become
prompts before the next layer of this one; what stands at their places after it is dropped.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.methods.prompt_ris.blocks import Attention
from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.models import vit
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils import checkpoint
else:
    torch = require('torch', 'models')
    nn = torch.nn
    checkpoint = require('torch.utils.checkpoint', 'models')

Step = tuple[int | None, int | None]     # the image layer and the text layer of a step


def steps_of(image_layers: int, text_layers: int, rule: str) -> list[Step]:
    """Return which layers of the two towers run side by side.

    Towers of one depth run layer by layer (the paper's only case).  Else the deeper one runs a
    layer at every step and rule (NetworkConfig.unequal_depth) says at which steps the other
    does; between, it stands still and is read as it is.  Raises BadInputError for 'refuse'.
    """
    depth = max(image_layers, text_layers)
    few = min(image_layers, text_layers)
    if few == depth:
        return [(i, i) for i in range(depth)]
    if rule == 'refuse':
        raise BadInputError(f'the towers have {image_layers} and {text_layers} layers; '
                            'unequal_depth says how such towers run in step')
    runs = {'even': [k * depth // few for k in range(few)], 'early': list(range(few)),
            'late': list(range(depth - few, depth))}[rule]
    at = {step: layer for layer, step in enumerate(runs)}
    if image_layers > text_layers:
        return [(s, at.get(s)) for s in range(depth)]
    return [(at.get(s), s) for s in range(depth)]


class Prompter(nn.Module):
    """Makes one layer's prompts: learned tokens that read the other tower's features.

    Attention with a norm on both inputs; the residual is a linear map of the learned tokens; a
    norm follows.  The output projection starts at zero, so that the first prompts do not depend
    on the features (open in the paper: ours).
    """

    def __init__(self, count: int, source: int, target: int, heads: int) -> None:
        """count: prompts.  source, target: widths of the tower that is read and of the other."""
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(count, source) * 0.02)
        self.norm_tokens = nn.LayerNorm(source)
        self.norm_features = nn.LayerNorm(source)
        self.attention = Attention(source, source, target, heads)
        self.residual = nn.Linear(source, target)
        self.norm = nn.LayerNorm(target)
        nn.init.zeros_(self.attention.out.weight)

    def forward(self, features: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return (B, count, target) prompts of (B, K, source) features; keep: (B, K) bool."""
        found = self.attention.of_fixed(self.norm_tokens(self.tokens),
                                        self.norm_features(features), keep)
        return self.norm(found + self.residual(self.tokens))


@dataclass(frozen=True, eq=False)
class Begun:
    """G pictures on their way through the image tower, as far as no sentence changes them.

    image: (G, 1 + P, D_I).  ready: per step of the towers the prompts (G, n, D_T) that are known
    already, None for steps without.  done: steps whose image layer has run.
    """

    image: Tensor
    ready: list[Tensor | None]
    done: int


class CrossModalPrompting(nn.Module):
    """The prompts of all layers, and how they run through a CLIP.

    layers, widths: of image and text tower.
    """

    def __init__(self, config: NetworkConfig, layers: tuple[int, int], widths: tuple[int, int]
                 ) -> None:
        super().__init__()
        self.config = config
        self.steps = steps_of(*layers, config.unequal_depth)
        heads = config.prompt_heads
        for name, width in (('image', widths[0]), ('text', widths[1])):
            if width % heads:
                raise BadInputError(f'prompt_heads {heads} does not divide the width {width} of '
                                    f'the {name} tower')
        self.v2l = nn.ModuleList(Prompter(config.prompts, widths[0], widths[1], heads)
                                 for _ in range(layers[1] if self._on(config.v2l) else 0))
        self.l2v = nn.ModuleList(Prompter(config.prompts, widths[1], widths[0], heads)
                                 for _ in range(layers[0] if self._on(config.l2v) else 0))

    def _on(self, direction: bool) -> bool:
        return direction and self.config.prompts > 0

    def begin(self, clip: Any, image: Tensor, before: Tensor | None = None,
              recompute: bool = False) -> Begun:
        """Return what depends on G pictures alone: the steps before language reaches them.

        clip: an open_clip CLIP with a causal text tower.  image: (G, 1 + P, D_I) tokens before
        the first layer, CLS first.  before: the same shape, what the first prompts read where
        that is not `image`.  recompute: layers are computed again for the gradient in place of
        being kept.
        """
        source = image if before is None else before
        ready: list[Tensor | None] = []
        for done, (i, j) in enumerate(self.steps):
            ready.append(self._to_text(j, source))
            if i is not None:
                if len(self.l2v) and i >= self.config.shared_layers:
                    return Begun(image, ready, done)
                image = source = self._layer(clip.visual.transformer.resblocks[i], image, None,
                                             None, recompute)
        return Begun(image, ready, len(self.steps))

    def forward(self, clip: Any, begun: Begun, text: Tensor, keep: Tensor,
                recompute: bool = False) -> tuple[Tensor, Tensor]:
        """Return image tokens (B, 1 + P, D_I) and text tokens (B, L, D_T) after the last layers.

        begun: of G pictures.  text: (B, L, D_T) before the first layer, the sentences of one
        picture together, B / G for each.  keep: (B, L) bool, False for padding.  The image
        tokens stay (G, ...) where no prompt reaches the image tower.
        """
        image, rows = begun.image, len(text)
        prompted = self.text_mask(text.shape[1], text.device)
        plain = prompted[-text.shape[1]:, -text.shape[1]:]
        for step, (i, j) in enumerate(self.steps):
            to_text = begun.ready[step] if step < len(begun.ready) else self._to_text(j, image)
            if i is not None and step >= begun.done:
                to_image = self.l2v[i](text, keep)
                image = self._layer(clip.visual.transformer.resblocks[i], repeated(image, rows),
                                    to_image, None, recompute)
            if j is not None:
                if to_text is not None:
                    to_text = repeated(to_text, rows)
                text = self._layer(clip.transformer.resblocks[j], text, to_text,
                                   plain if to_text is None else prompted, recompute)
        return image, text

    def _to_text(self, layer: int | None, source: Tensor) -> Tensor | None:
        """Return the prompts for a text layer, None where it gets none."""
        if layer is None or not len(self.v2l):
            return None
        made: Tensor = self.v2l[layer](source if self.config.v2l_cls else source[:, 1:])
        return made

    def text_mask(self, length: int, device: torch.device) -> Tensor:
        """Return (n + L, n + L) bool: what each token of the text tower sees, prompts first."""
        n = self.config.prompts
        mask = torch.ones(n + length, n + length, dtype=torch.bool, device=device).tril_()
        mask[:, :n] = True
        if self.config.text_mask == 'causal':
            mask[:n, :n].tril_()
        elif self.config.text_mask == 'all':
            mask[:n] = True
        return mask

    def _layer(self, block: Any, x: Tensor, prompts: Tensor | None, mask: Tensor | None,
               recompute: bool) -> Tensor:
        """Return x after a layer that also saw the prompts."""
        count = 0 if prompts is None else prompts.shape[1]
        if prompts is not None:
            x = torch.cat([prompts.to(x.dtype), x], dim=1)
        if recompute and torch.is_grad_enabled():
            out = checkpoint.checkpoint(vit.run_block, block, x, mask=mask, use_reentrant=False)
        else:
            out = vit.run_block(block, x, mask=mask)
        return out[:, count:]


def repeated(x: Tensor, rows: int) -> Tensor:
    """Return (rows, ...): each row of x as often as needed, side by side; x itself if it fits."""
    return x if len(x) == rows else x.repeat_interleave(rows // len(x), dim=0)
