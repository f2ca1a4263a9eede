"""What compares pictures with texts in TAS: any CLIP, or the contrastive heads of BLIP, BLIP-2.

Every scorer has the access of `ClipModel` (table 7 of TAS swaps one for the other).  Features
of different scorers do not mix.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ris_ros.lazy import require
from ris_ros.models.captioner import PictureFormat, load_folder, picture_format
from ris_ros.models.device import autocast

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.models.kinds import Source

CLASSES = {'blip-2': 'Blip2ForImageTextRetrieval', 'blip': 'BlipForImageTextRetrieval'}


class Scorer(Protocol):
    """An image-text model with both towers.

    image_size, mean, std, fit: what pictures must look like (see `captioner.Captioner`).
    logit_scale: factor in front of cosines.
    """

    device: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Literal['cover', 'stretch']
    logit_scale: float

    def encode_images(self, images: Tensor) -> Tensor:
        """Return (n, D) features of (n, 3, s, s) pictures, or (n, Q, D): the best of Q counts."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return (n, D) features of texts; what exceeds the text length is cut."""
        ...


class ItcScorer:
    """The image-text contrastive head of BLIP or BLIP-2, in transformers' layout.

    BLIP-2 has 32 features per picture, one per query; a text is compared with the best.
    """

    # These networks were trained with learned temperatures that the published folders do not
    # hold; CLIP's factor keeps the weights of the scores comparable.
    logit_scale = 100.0

    def __init__(self, model: Any, tokenizer: Any, picture: PictureFormat, device: str = 'cpu',
                 precision: str = 'fp32') -> None:
        self._torch = require('torch', 'models')
        self.model = model.to(device).eval().requires_grad_(False)
        self.tokenizer, self.device, self.precision = tokenizer, device, precision
        self.image_size, self.fit = picture.image_size, picture.fit
        self.mean, self.std = picture.mean, picture.std
        self.two = model.config.model_type == 'blip-2'
        config = model.config.qformer_config if self.two else model.config.text_config
        self.length = min(config.max_position_embeddings, tokenizer.model_max_length)
        self.dim = (model.text_projection if self.two else model.text_proj).out_features

    def encode_images(self, images: Tensor) -> Tensor:
        """Return features of (n, 3, s, s) pictures: BLIP (n, D), BLIP-2 (n, Q, D), float32."""
        model = self.model
        with autocast(self.device, self.precision):
            patches = model.vision_model(pixel_values=images).last_hidden_state
            if not self.two:
                return model.vision_proj(patches[:, 0]).float()
            seen = model.qformer(
                query_embeds=model.query_tokens.expand(len(images), -1, -1),
                encoder_hidden_states=patches,
                encoder_attention_mask=self._torch.ones(
                    patches.shape[:2], dtype=self._torch.long, device=patches.device))
            return model.vision_projection(seen.last_hidden_state).float()

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return (n, D) float32 features of texts; what exceeds the text length is cut."""
        if not len(texts):
            return self._torch.zeros(0, self.dim, device=self.device)
        tokens = self.tokenizer(list(texts), padding=True, truncation=True,
                                max_length=self.length, return_tensors='pt').to(self.device)
        ids, mask, model = tokens['input_ids'], tokens['attention_mask'], self.model
        with autocast(self.device, self.precision):
            if not self.two:
                read = model.text_encoder(input_ids=ids, attention_mask=mask)
                return model.text_proj(read.last_hidden_state[:, 0]).float()
            read = model.qformer(query_embeds=model.embeddings(input_ids=ids), query_length=0,
                                 attention_mask=mask)
            return model.text_projection(read.last_hidden_state[:, 0]).float()


def load_network(source: Source) -> ItcScorer:
    """Return the scorer of a manifest entry; see `ris_ros.models.kinds`."""
    return load_itc(source.path(), source.device, source.precision)


def load_itc(folder: Path, device: str = 'cpu', precision: str = 'fp32') -> ItcScorer:
    """Return the scorer of a folder in the published layout.

    Raises WeightsError for a folder that is damaged or holds something else.
    """
    torch = require('torch', 'models')
    picture = picture_format(folder)
    model, tokenizer = load_folder(folder, CLASSES, 'image-text scorer', torch.float32)
    return ItcScorer(model, tokenizer, picture, device, precision)
