"""Prompt-RIS as one network: CLIP and SAM with everything the paper puts between them."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.methods.prompt_ris.blocks import KeysValues
from ris_ros.methods.prompt_ris.coarse import Coarse, TinyDecoder
from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.methods.prompt_ris.layout import Layout
from ris_ros.methods.prompt_ris.prompting import Begun, CrossModalPrompting, repeated
from ris_ros.methods.prompt_ris.sam_prompts import (
    SamPrompts,
    gumbel_noise,
    point_table,
    point_tokens,
    soft_point,
)
from ris_ros.models import sam_encoder, vit
from ris_ros.models.sam_batch import decode_batch, places_of
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require('torch', 'models')
    nn = torch.nn


TIES = 4096.0       # coarse logits that share their rounded multiple by this are equally high


@dataclass(frozen=True, eq=False)
class Picture:
    """What depends on G pictures of one shape alone, made once for all sentences about them.

    begun: CLIP's image tower as far as no sentence reaches it.  embedding: (G, C, h, w) of SAM,
    or None.  keys: what the text prompts read of it.  places: (1, h w, C) position encoding of
    its cells.
    """

    layout: Layout
    begun: Begun
    embedding: Tensor | None
    keys: list[KeysValues]
    places: Tensor | None

    @property
    def count(self) -> int:
        """Number of pictures, G."""
        return len(self.begun.image)


@dataclass(frozen=True)
class PointDraw:
    """How training draws the point prompt: temperature, and where its noise comes from."""

    temperature: float = 1.0
    generator: Any = None


class PromptRis(nn.Module):
    """CLIP prompts SAM.

    clip: an open_clip CLIP with a plain ViT and a causal text tower.  sam: a
    `segment_anything.modeling.Sam`.  Its parts go by `clip`, `prompting`, `coarse_decoder`,
    `sam_prompts` and `sam`, which is how training says what stays frozen.
    """

    clip: Any
    sam: Any

    def __init__(self, clip: nn.Module, sam: nn.Module, config: NetworkConfig) -> None:
        """Raises BadInputError where the towers or the widths do not suit."""
        super().__init__()
        self.clip, self.sam = clip, sam
        self.config = config
        vit.check_tower(self.clip.visual)
        if getattr(self.clip, 'attn_mask', None) is None:
            raise BadInputError('Prompt-RIS needs a CLIP with a causal text tower')
        if config.text_length > len(self.clip.positional_embedding):
            raise BadInputError(f'text_length is {config.text_length}, but this CLIP reads '
                                f'{len(self.clip.positional_embedding)} tokens at most')
        image, text = self.clip.visual.transformer, self.clip.transformer
        widths = (int(self.clip.visual.conv1.out_channels),
                  int(self.clip.positional_embedding.shape[1]))
        self.prompting = CrossModalPrompting(
            config, (len(image.resblocks), len(text.resblocks)), widths)
        self.coarse_decoder = TinyDecoder(config, widths)
        self.sam_prompts = SamPrompts(config, widths[1],
                                      int(self.sam.prompt_encoder.embed_dim))

    def layout(self, size: tuple[int, int]) -> Layout:
        """Return where (H, W) pictures lie on the grids of both networks."""
        encoder = self.sam.image_encoder
        return Layout.of(size, self.config.fit, self.config.image_size,
                         int(self.clip.visual.conv1.kernel_size[0]), int(encoder.img_size),
                         int(encoder.img_size) // self.sam_grid)

    @property
    def sam_grid(self) -> int:
        """Cells per side of SAM's image embedding."""
        return int(self.sam.prompt_encoder.image_embedding_size[0])

    def embed(self, pixels: Tensor) -> Tensor:
        """Return SAM's embedding (G, C, h, w) of (G, 3, h', w') float32 pixels in [0, 255].

        The pixels fill SAM's square, or its upper left part.
        """
        return sam_encoder.encode(self.sam.image_encoder, self.sam.preprocess(pixels))

    def look(self, layout: Layout, pixels: Tensor, embedding: Tensor | None = None,
             recompute: bool = False) -> Picture:
        """Return what depends on G pictures alone.

        pixels: (G, 3, h, w) normalised for CLIP, of layout.clip.  embedding: of `embed`, or
        None where only coarse masks are wanted.  recompute: see CrossModalPrompting.
        """
        before = None
        if self.config.first_features == 'before_norm':
            before = vit.tokens_of(self.clip.visual, pixels, norm=False)
        begun = self.prompting.begin(self.clip, vit.tokens_of(self.clip.visual, pixels), before,
                                     recompute)
        if embedding is None:
            return Picture(layout, begun, None, [], None)
        places = places_of(self.sam)
        return Picture(layout, begun, embedding,
                       self.sam_prompts.of_picture(embedding, places), places)

    def coarse(self, picture: Picture, tokens: Tensor, recompute: bool = False) -> Coarse:
        """Return the coarse maps of B sentences, those of one picture together, B / G each.

        tokens: (B, L) int64 token ids, padded with 0.  recompute: see `look`.
        """
        clip = self.clip
        ends = tokens.argmax(dim=-1)
        keep = torch.arange(tokens.shape[1], device=tokens.device) <= ends[:, None]
        text = clip.token_embedding(tokens) + clip.positional_embedding[:tokens.shape[1]]
        image, text = self.prompting(clip, picture.begun, text, keep, recompute)
        image, text = clip.visual.ln_post(image[:, 1:]), clip.ln_final(text)
        logits, presence = self.coarse_decoder(repeated(image, len(text)), text, keep, ends)
        return Coarse(logits.unflatten(1, picture.layout.grid), presence, text, keep)

    def refine(self, picture: Picture, coarse: Coarse, given: Tensor,
               draw: PointDraw | None = None) -> tuple[Tensor, Tensor]:
        """Return SAM's mask logits (B, side, side) and their predicted IoU (B,), float32.

        given: (B, 3) bool, whether the mask, point and text prompts are used.  draw: how
        training draws the point; None: the highest cell.
        """
        cells = picture.layout.on_mask_grid(coarse.logits)
        return self.decode(picture, cells, self.point(picture, cells, draw),
                           self.sam_prompts.text(coarse.text, coarse.keep, picture.keys),
                           coarse.keep, given)

    def point(self, picture: Picture, cells: Tensor, draw: PointDraw | None = None) -> Tensor:
        """Return the point prompts (B, C) of logits on SAM's mask grid (B, side, side)."""
        layout = picture.layout
        with torch.autocast(cells.device.type, enabled=False):
            # Fourier features of places need all their digits.
            inside = cells.float().clone()
            inside[:, layout.cells[0]:] = float('-inf')
            inside[:, :, layout.cells[1]:] = float('-inf')
            flat = inside.flatten(1)
            if draw is None:
                # Beyond the outer patch centres a map is flat: what differs by rounding alone
                # counts as equal, so that a sentence has one point whatever is in its batch.
                highest = (flat * TIES).round().argmax(dim=-1)
                return point_tokens(self.sam.prompt_encoder, highest, layout.side)
            table = point_table(self.sam.prompt_encoder, layout.side)
            return soft_point(flat, table, draw.temperature,
                              gumbel_noise(flat, draw.generator))

    def decode(self, picture: Picture, cells: Tensor, point: Tensor, text: Tensor, keep: Tensor,
               given: Tensor) -> tuple[Tensor, Tensor]:
        """Return SAM's masks of made prompts; see `refine`.

        cells: (B, side, side) coarse logits.  point: (B, C).  text: (B, L, C) text prompts.
        """
        assert picture.embedding is not None, 'look was not given an embedding'
        dense = self.sam_prompts.dense(self.sam, cells, given[:, 0])
        sparse, known = self.sam_prompts.sparse(self.sam, point, text, keep, given[:, 1:])
        embedding = repeated(picture.embedding, len(cells))
        logits, score = decode_batch(self.sam, embedding, sparse, dense, known,
                                     self.config.sam_output, picture.places)
        return logits.float(), score.float()
