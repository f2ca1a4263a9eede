"""CLIP: building, loading and the access that the methods need.

Configurations are data: `{"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}` with the field
names of open_clip, plus `"vocabulary"` (a list of words) where the text tower is a small one.
Towers that OpenAI published are those of `clip_network`, any other is open_clip's.
Those that OpenAI published are files in ris_ros/data/architectures.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from ris_ros.lazy import require, require_part
from ris_ros.models.device import autocast
from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ris_ros.models.kinds import Source

CLIP_CONTEXT = 77
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def clip_tokenizer(context_length: int = CLIP_CONTEXT) -> Any:
    """Return open_clip's byte-pair tokenizer (49408 ids): texts -> (n, context_length) int64."""
    tokenizer = require_part('open_clip.tokenizer', 'models')
    return tokenizer.SimpleTokenizer(context_length=context_length)


def tokenizer_for(config: Mapping[str, Any]) -> Any:
    """Return the tokenizer of a configuration: words where it has a vocabulary, else BPE."""
    length = config['text_cfg'].get('context_length', CLIP_CONTEXT)
    if 'vocabulary' in config:
        return WordTokenizer(config['vocabulary'], length)
    return clip_tokenizer(length)


def build_clip(config: Mapping[str, Any]) -> nn.Module:
    """Return an untrained CLIP of the given configuration, in train mode.

    config: `embed_dim`, `vision_cfg`, `text_cfg` (open_clip names), `quick_gelu` (default
    False; weights published by OpenAI need True) and optionally `vocabulary`, which sets
    `text_cfg.vocab_size`.  A `ris_ros.models.clip_network.CLIP`, or where a field asks for
    what that lacks an `open_clip.model.CLIP`, which has all of its parts.
    Raises BadInputError for a field that neither knows and sizes that do not fit together.
    """
    from ris_ros.models import clip_network as network
    unknown = set(config) - {'embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu', 'vocabulary',
                             'mean', 'std', 'init_logit_scale'}
    if unknown:
        raise BadInputError(f'unknown field in the CLIP configuration: {sorted(unknown)}')
    text_cfg = dict(config['text_cfg'])
    if 'vocabulary' in config:
        text_cfg['vocab_size'] = tokenizer_for(config).vocab_size
    extra = {k: config[k] for k in ('init_logit_scale',) if k in config}
    vision_cfg = dict(config['vision_cfg'])
    if network.covers(vision_cfg, text_cfg):
        build = network.CLIP
    else:
        require('open_clip', 'models')
        build = require('open_clip.model', 'models').CLIP
    try:
        return build(config['embed_dim'], vision_cfg, text_cfg,
                     quick_gelu=config.get('quick_gelu', False), **extra)
    except BadInputError:
        raise
    except (TypeError, ValueError, AssertionError, RuntimeError, ZeroDivisionError) as error:
        raise BadInputError(f'the CLIP configuration does not fit together: {error}') from error


class ClipModel:
    """A CLIP ready for use: text features cached by sentence, vision tower in reach.

    image_size: pixels per side of the square input.  mean, std: of the pixel normalisation.
    logit_scale: the factor in front of cosines, about 100 for published weights.
    fit: how a picture comes to the square: its short side fills it.
    """

    fit: Literal['cover', 'stretch'] = 'cover'

    def __init__(self, model: Any, config: Mapping[str, Any], device: str = 'cpu',
                 precision: str = 'fp32', text_cache: int = 4096) -> None:
        self._torch = require('torch', 'models')
        self.model: Any = model.to(device).eval().requires_grad_(False)
        self.tokenizer = tokenizer_for(config)
        self.device, self.precision = device, precision
        self.visual: Any = self.model.visual
        size = self.visual.image_size
        self.image_size = int(size[0] if isinstance(size, (tuple, list)) else size)
        self.mean = tuple(config.get('mean', CLIP_MEAN))
        self.std = tuple(config.get('std', CLIP_STD))
        self.logit_scale = float(self.model.logit_scale.exp())
        self.embed_dim = int(config['embed_dim'])
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        self._text_cache = text_cache

    @property
    def grid(self) -> tuple[int, int]:
        """Patch rows and columns of the trained input size."""
        return tuple(self.visual.grid_size)

    @property
    def layers(self) -> int:
        """Number of transformer blocks of the vision tower."""
        return len(self.visual.transformer.resblocks)

    def autocast(self) -> AbstractContextManager:
        """Return the context of this model's precision: no gradients, fp32 or reduced."""
        return autocast(self.device, self.precision)

    def encode_images(self, images: Tensor) -> Tensor:
        """Return (n, D) float32 features of normalised (n, 3, s, s) images, not normalised."""
        with self.autocast():
            return self.model.encode_image(images).float()

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return (n, D) float32 text features, not normalised.

        Sentences that were seen before come from the cache; the others go through the tower
        in one batch.  What exceeds the context length is cut, the end token kept.
        """
        new = [t for t in dict.fromkeys(texts) if t not in self._texts]
        if new:
            tokens = self.tokenizer(new).to(self.device)
            with self.autocast():
                self._texts.update(zip(new, self._text_tower(tokens).float(), strict=True))
        for text in texts:
            self._texts.move_to_end(text)
        found = [self._texts[text] for text in texts]
        while len(self._texts) > self._text_cache:
            self._texts.popitem(last=False)
        if not found:
            return self._torch.zeros(0, self.embed_dim, device=self.device)
        return self._torch.stack(found)

    def _text_tower(self, tokens: Tensor) -> Tensor:
        model = self.model
        if model.attn_mask is None or model.text_pool_type != 'argmax':
            return model.encode_text(tokens)
        # Attention is causal, so nothing after the last end token can change the result.
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
        x = model.ln_final(x[self._torch.arange(len(x), device=x.device), ends])
        projection = model.text_projection
        return projection(x) if callable(projection) else x @ projection


def load_network(source: Source) -> ClipModel:
    """Return the CLIP of a manifest entry; see `ris_ros.models.kinds`."""
    state, config = source.weights()
    return load_clip(state, config, source.device, source.precision)


def load_clip(state: Mapping[str, torch.Tensor], config: Mapping[str, Any], device: str = 'cpu',
              precision: str = 'fp32') -> ClipModel:
    """Return a ClipModel from a state dict in open_clip's or OpenAI's key names.

    Half-precision weights are widened to float32.  Raises WeightsError where names or shapes
    do not fit the configuration.
    """
    model = build_clip(config)
    sizes = ('input_resolution', 'context_length', 'vocab_size')
    load_state(model, {k: v for k, v in state.items() if k not in sizes}, 'CLIP')
    return ClipModel(model, config, device, precision)


def load_state(model: nn.Module, state: Mapping[str, torch.Tensor], what: str) -> None:
    """Load `state` into `model`, strictly, as float32; raises WeightsError if it does not fit."""
    wide = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    try:
        model.load_state_dict(wide)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise WeightsError(f'the weights do not fit this {what} configuration: '
                           f'{" ".join(line.strip() for line in lines[1:3])[:300]}') from error
