"""A convolutional image encoder for SAM: residual stages and a feature pyramid.

SAM's decoder asks for one map of embeddings and does not care who made it; small SAMs take an
encoder that sees edges from the first layer on, since a plain ViT needs far more pictures to
learn them (MobileSAM, arXiv 2306.14289, and EdgeSAM, arXiv 2312.06660, do the same).  The
stages are timm's ResNet (BasicBlock); the pyramid adds the coarse maps to the finest one, as
in FPN (CVPR 2017, section 3).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    from ris_ros.models.sam import ConvEncoderConfig
else:
    torch = require('torch', 'models')
    nn, functional = torch.nn, torch.nn.functional


class ConvEncoder(nn.Module):
    """(n, 3, s, s) normalised pixels to (n, out_channels, s / 8, s / 8) embeddings.

    Raises BadInputError for an image size that is no multiple of 32, or stages that do not fit.
    """

    def __init__(self, config: ConvEncoderConfig, image_size: int, out_channels: int) -> None:
        super().__init__()
        resnet = require('timm.models.resnet', 'models')
        norms = require('segment_anything.modeling.common', 'models')
        if image_size % 32:
            raise BadInputError('image_size of a convolutional SAM must be a multiple of 32')
        if len(config.channels) != 4 or len(config.blocks) != 4:
            raise BadInputError('a convolutional SAM has four stages: channels and blocks need '
                                'four numbers each')
        self.img_size = image_size
        self.body = resnet.ResNet(
            resnet.BasicBlock, config.blocks, channels=config.channels, num_classes=0,
            stem_type='deep', stem_width=config.stem, avg_down=True)
        self.lateral = nn.ModuleList(
            nn.Conv2d(width, out_channels, 1) for width in config.channels[1:])
        self.smooth = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm = norms.LayerNorm2d(out_channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the embeddings."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        levels = self.body.forward_intermediates(x, indices=(2, 3, 4), intermediates_only=True)
        y = self.lateral[2](levels[2])
        for lateral, level in ((self.lateral[1], levels[1]), (self.lateral[0], levels[0])):
            y = lateral(level) + functional.interpolate(y, scale_factor=2.0)
        return self.norm(self.smooth(functional.relu(y)))
