"""CLIP through open_clip: building, loading and the access that the methods need.

Configurations are data: `{"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}` with the field
names of open_clip, plus `"vocabulary"` (a list of words) where the text tower is a small one.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from torch import nn

CLIP_CONTEXT = 77


def clip_tokenizer(context_length: int = CLIP_CONTEXT) -> Any:
    """Return open_clip's byte-pair tokenizer (49408 ids): texts -> (n, context_length) int64."""
    require('open_clip', 'models')
    tokenizer = require('open_clip.tokenizer', 'models')
    return tokenizer.SimpleTokenizer(context_length=context_length)


def tokenizer_for(config: Mapping[str, Any]) -> Any:
    """Return the tokenizer of a configuration: words where it has a vocabulary, else BPE."""
    length = config['text_cfg'].get('context_length', CLIP_CONTEXT)
    if 'vocabulary' in config:
        return WordTokenizer(config['vocabulary'], length)
    return clip_tokenizer(length)


def build_clip(config: Mapping[str, Any]) -> nn.Module:
    """Return an untrained `open_clip.model.CLIP` of the given configuration, in train mode.

    config: `embed_dim`, `vision_cfg`, `text_cfg` (open_clip names), `quick_gelu` (default
    False; weights published by OpenAI need True) and optionally `vocabulary`, which sets
    `text_cfg.vocab_size`.  Raises BadInputError for a field that open_clip does not know.
    """
    require('open_clip', 'models')
    model = require('open_clip.model', 'models')
    unknown = set(config) - {'embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu', 'vocabulary',
                             'mean', 'std', 'init_logit_scale'}
    if unknown:
        raise BadInputError(f'unknown field in the CLIP configuration: {sorted(unknown)}')
    text_cfg = dict(config['text_cfg'])
    if 'vocabulary' in config:
        text_cfg['vocab_size'] = tokenizer_for(config).vocab_size
    extra = {k: config[k] for k in ('init_logit_scale',) if k in config}
    try:
        return model.CLIP(config['embed_dim'], dict(config['vision_cfg']), text_cfg,
                          quick_gelu=config.get('quick_gelu', False), **extra)
    except (TypeError, AssertionError) as error:
        raise BadInputError(f'the CLIP configuration does not fit open_clip: {error}') from error
