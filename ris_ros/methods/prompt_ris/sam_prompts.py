"""From CLIP to SAM: mask, point and text prompts, each of which may be left out.

Section 3.1, "CLIP-based Prompting", equations 2 and 3.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ris_ros.lazy import require
from ris_ros.methods.prompt_ris.blocks import Attention, FeedForward, KeysValues
from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn = torch.nn
    functional = nn.functional

FOREGROUND = 1      # SAM's label of a point that lies on the object


def point_table(prompt_encoder: Any, side: int) -> Tensor:
    """Return the prompt tokens of points at all cell centres, (side * side, C) float32.

    SAM's random Fourier encoding of the places plus its embedding of a foreground point.
    """
    places = prompt_encoder.pe_layer((side, side)).flatten(1).T
    return places.float() + prompt_encoder.point_embeddings[FOREGROUND].weight.float()


def point_tokens(prompt_encoder: Any, cells: Tensor, side: int) -> Tensor:
    """Return those rows (B, C) of the table that belong to cells (B,), without the others."""
    columns, rows = cells % side, torch.div(cells, side, rounding_mode='floor')
    centres = (torch.stack([columns, rows], dim=-1).float() + 0.5) / side
    places = prompt_encoder.pe_layer._pe_encoding(centres)
    return places.float() + prompt_encoder.point_embeddings[FOREGROUND].weight.float()


def soft_point(logits: Tensor, table: Tensor, temperature: float, noise: Tensor) -> Tensor:
    """Return the tokens of points drawn from response maps, (B, C); for training.

    logits: (B, N) float32, -inf for cells that no point may lie in.  table: (N, C).
    temperature: of the Gumbel-softmax.  noise: (B, N) of the Gumbel distribution.  Forward the
    token of one cell; backward the gradient of the soft mixture (straight through).
    """
    shifted = logits + noise
    mixture = (shifted / temperature).softmax(dim=-1) @ table
    chosen = table[shifted.argmax(dim=-1)]
    return chosen + mixture - mixture.detach()


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return standard Gumbel noise of the shape and device of `like`, float32."""
    uniform = torch.empty(like.shape, device=like.device).uniform_(generator=generator)
    return -(-uniform.clamp(1e-20).log()).clamp(1e-20).log()


class TextBlock(nn.Module):
    """Attention to the sentence, to SAM's image embedding, and a feed-forward part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_own, self.norm_query = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_image = nn.LayerNorm(width)
        self.own = Attention(width, width, width, heads)
        self.other = Attention(width, width, width, heads)
        self.feed_forward = FeedForward(width)

    def keys_values(self, image: Tensor, places: Tensor | None) -> KeysValues:
        """Return keys and values of SAM's image tokens (G, N, C), once per picture.

        places: (1, N, C) position encoding added to the keys, or None.
        """
        seen = self.norm_image(image)
        return self.other.project(seen if places is None else seen + places, seen)

    def forward(self, x: Tensor, keep: Tensor, image: KeysValues) -> Tensor:
        """Return (B, L, C); keep: (B, L) bool; image: of `keys_values`, G pictures."""
        own = self.norm_own(x)
        x = x + self.own(own, self.own.project(own), keep)
        # The sentences of a picture stand together: they share its keys as one long query.
        pictures = len(image[0])
        query = self.norm_query(x).reshape(pictures, -1, x.shape[-1])
        x = x + self.other(query, image).reshape(x.shape)
        return x + self.feed_forward(x)


class SamPrompts(nn.Module):
    """Makes SAM's prompts; the mask downscaling and the point table are SAM's own.

    text_width: of CLIP's text tower.  width: of SAM's prompts, C.
    """

    def __init__(self, config: NetworkConfig, text_width: int, width: int) -> None:
        super().__init__()
        if width % config.text_heads:
            raise BadInputError(f'text_heads {config.text_heads} does not divide the width '
                                f"{width} of SAM's prompts")
        self.config = config
        self.text_in = nn.Linear(text_width, width)
        self.blocks = nn.ModuleList(TextBlock(width, config.text_heads)
                                    for _ in range(config.text_blocks))
        self.norm = nn.LayerNorm(width)
        self.gain = nn.Parameter(torch.tensor([1.0, 0.0])) if config.mask_gain else None

    def of_picture(self, embedding: Tensor, places: Tensor) -> list[KeysValues]:
        """Return what the text prompts read of SAM's embeddings (G, C, h, w), once a picture.

        places: (1, h w, C) position encoding of the embedding's cells.
        """
        image = embedding.flatten(2).transpose(1, 2)
        keyed = places if self.config.text_places else None
        return [cast(TextBlock, block).keys_values(image, keyed) for block in self.blocks]

    def text(self, text: Tensor, keep: Tensor, picture: list[KeysValues]) -> Tensor:
        """Return the text prompts (B, L, C) of CLIP's text features (B, L, D_T)."""
        x = self.text_in(text)
        for block, keys_values in zip(self.blocks, picture, strict=True):
            x = block(x, keep, keys_values)
        return self.norm(x)

    def mask(self, sam: Any, cells: Tensor) -> Tensor:
        """Return the mask prompts (B, C, h, w) of coarse logits (B, 4h, 4w)."""
        if self.gain is not None:
            cells = cells * self.gain[0] + self.gain[1]
        return sam.prompt_encoder.mask_downscaling(cells[:, None])

    def dense(self, sam: Any, cells: Tensor, given: Tensor) -> Tensor:
        """Return (B, C, h, w): the mask prompt where `given` (B,) bool, else SAM's for none."""
        none = sam.prompt_encoder.no_mask_embed.weight[0].view(1, -1, 1, 1)
        return torch.where(given.view(-1, 1, 1, 1), self.mask(sam, cells), none)

    def sparse(self, sam: Any, point: Tensor, text: Tensor, keep: Tensor, given: Tensor
               ) -> tuple[Tensor, Tensor]:
        """Return prompt tokens (B, T, C), the point first, and which of them SAM sees (B, T).

        point: (B, C).  text: (B, L, C).  keep: (B, L) bool.  given: (B, 2) bool, whether the
        point and the text are used.
        """
        none = sam.prompt_encoder.not_a_point_embed.weight
        seen = given[:, :1]
        if self.config.dropped_point == 'not_a_point':
            point = torch.where(seen, point, none.to(point.dtype))
            seen = torch.ones_like(seen)
        tokens, known = [point[:, None].to(text.dtype)], [seen]
        if self.config.point_pad:
            tokens.append(none.to(text.dtype).expand(len(text), 1, -1))
            known.append(seen)
        return (torch.cat([*tokens, text], dim=1),
                torch.cat([*known, keep & given[:, 1:]], dim=1))
