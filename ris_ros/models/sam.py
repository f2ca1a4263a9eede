"""SAM through the `segment_anything` classes: building and automatic mask proposals.

The library's builders fix the input at 1024 and the prompt width at 256; here both are fields,
so that one code path makes the published ViT-B, ViT-L and ViT-H (files in
ris_ros/data/architectures) and the small tabletop network.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require, require_part
from ris_ros.models.architectures import from_config
from ris_ros.models.tiny_vit_config import TinyViTConfig
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from torch import nn

    from ris_ros.models.kinds import Source
    from ris_ros.models.options import ProposalSettings
    from ris_ros.models.proposals import SamProposer

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SamEncoderConfig:
    """Image encoder, a ViT with window attention except in the blocks named global."""

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    use_rel_pos: bool = True
    mlp_ratio: float = 4.0


@dataclass(frozen=True)
class SamDecoderConfig:
    """Two-way transformer and heads of the mask decoder."""

    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256


@dataclass(frozen=True)
class SamConfig:
    """Shape of a SAM; the defaults are the published ViT-B.

    image_size: pixels per side of the square network input.  The embedding has
    image_size / patch_size cells per side, the mask logits four times as many.
    tiny: MobileSAM's encoder in the place of `encoder`.
    """

    image_size: int = 1024
    patch_size: int = 16
    encoder: SamEncoderConfig = field(default_factory=SamEncoderConfig)
    prompt_dim: int = 256
    mask_in_chans: int = 16
    decoder: SamDecoderConfig = field(default_factory=SamDecoderConfig)
    tiny: TinyViTConfig | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SamConfig:
        """Return the configuration of a JSON dict; unknown fields raise BadInputError."""
        encoder = from_config(SamEncoderConfig, data.get('encoder', {}), 'the SAM encoder')
        decoder = from_config(SamDecoderConfig, data.get('decoder', {}), 'the SAM decoder')
        tiny = data.get('tiny')
        if tiny is not None:
            tiny = from_config(TinyViTConfig, tiny, 'the TinyViT encoder')
        rest = {k: v for k, v in data.items() if k not in ('encoder', 'decoder', 'tiny')}
        return from_config(cls, {**rest, 'encoder': encoder, 'decoder': decoder, 'tiny': tiny},
                           'the SAM configuration')

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with one of the encoders, the inverse of `from_dict`."""
        data = asdict(self)
        del data['tiny' if self.tiny is None else 'encoder']
        return data


def build_sam(config: SamConfig | Mapping[str, Any]) -> nn.Module:
    """Return an untrained `segment_anything.modeling.Sam`, in train mode.

    Raises BadInputError for sizes that do not fit together.
    """
    if not isinstance(config, SamConfig):
        config = SamConfig.from_dict(config)
    modeling = require_part('segment_anything.modeling', 'models')
    torch = require('torch', 'models')
    if config.image_size % config.patch_size:
        raise BadInputError('image_size of a SAM must be a multiple of its patch_size')
    grid = config.image_size // config.patch_size
    enc, dec, dim = config.encoder, config.decoder, config.prompt_dim

    def encoder() -> Any:
        if config.tiny is not None:
            from ris_ros.models.tiny_vit import TinyViT
            return TinyViT(config.tiny, config.image_size, dim)
        return modeling.ImageEncoderViT(
            img_size=config.image_size, patch_size=config.patch_size,
            embed_dim=enc.embed_dim, depth=enc.depth, num_heads=enc.num_heads,
            mlp_ratio=enc.mlp_ratio, out_chans=dim, qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=enc.use_rel_pos, window_size=enc.window_size,
            global_attn_indexes=enc.global_attn_indexes)

    try:
        return modeling.Sam(
            image_encoder=encoder(),
            prompt_encoder=modeling.PromptEncoder(
                embed_dim=dim, image_embedding_size=(grid, grid),
                input_image_size=(config.image_size, config.image_size),
                mask_in_chans=config.mask_in_chans),
            mask_decoder=modeling.MaskDecoder(
                num_multimask_outputs=3, transformer_dim=dim,
                transformer=modeling.TwoWayTransformer(
                    depth=dec.depth, embedding_dim=dim, num_heads=dec.num_heads,
                    mlp_dim=dec.mlp_dim),
                iou_head_depth=dec.iou_head_depth,
                iou_head_hidden_dim=dec.iou_head_hidden_dim),
            pixel_mean=list(PIXEL_MEAN), pixel_std=list(PIXEL_STD))
    except AssertionError as error:
        raise BadInputError(f'the SAM configuration does not fit together: {error}') from error


def load_network(source: Source) -> nn.Module:
    """Return the SAM of a manifest entry, on the CPU; see `ris_ros.models.kinds`.

    What proposes masks with it is what `proposer_for` says, which brings it to its device.
    """
    if source.entry.is_folder:
        from ris_ros.models.sam2 import load_sam2
        return load_sam2(source.path())
    from ris_ros.models.clip import load_state
    state, config = source.weights()
    sam = build_sam(config)
    load_state(sam, state, 'SAM')
    return sam


def proposer_for(sam: nn.Module, settings: ProposalSettings, device: str, precision: str
                 ) -> SamProposer:
    """Return what proposes masks with a SAM, of whichever family it is."""
    from ris_ros.models.proposals import SamProposer
    if hasattr(sam, 'image_encoder') and not hasattr(sam, 'prompt_encoder'):
        from ris_ros.models.sam2 import Sam2Proposer
        return Sam2Proposer(sam, settings, device, precision)
    return SamProposer(sam, settings, device, precision)
