"""The network that a run starts from."""
from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ris_ros.methods.pcnet.network import PCNet
from ris_ros.models.weights import WeightStore, read_state
from ris_ros.profiles import Profile
from ris_ros.training.pcnet.backbone import hand_over
from ris_ros.training.pcnet.settings import NetworkSettings, config_of
from ris_ros.types import BadInputError, WeightsError

# Numbers that OpenAI's archives hold among the weights.
SIZES = ('input_resolution', 'context_length', 'vocab_size')
ROLES = ('pcnet_clip', 'clip')


def own_clip(image_size: int) -> dict[str, Any]:
    """Return the configuration of the small residual CLIP of the tabletop."""
    from ris_ros.simulation.wording import said_words
    return {'embed_dim': 128, 'quick_gelu': False,
            'vision_cfg': {'layers': [1, 1, 2, 1], 'width': 16, 'image_size': image_size},
            'text_cfg': {'context_length': 24, 'width': 128, 'heads': 4, 'layers': 2},
            'vocabulary': said_words()}


def clip_of(args: argparse.Namespace, profile: Profile, network: NetworkSettings,
            store: WeightStore) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Return the configuration of the CLIP a run starts from, and its weights if it has any.

    --backbone: a file of the stage backbone, or of any residual CLIP with its JSON beside it.
    'own': the small one of the tabletop, untrained.  Else the profile's.  Raises BadInputError
    where that is no residual CLIP, WeightsError for missing or damaged weights.
    """
    if args.clip == 'own':
        return own_clip(network.image_size), None
    if args.backbone is not None:
        return read_clip(Path(args.backbone))
    name = args.clip or next((profile.networks[r] for r in ROLES if r in profile.networks), '')
    if not name:
        raise BadInputError(f'the profile {profile.name} has no CLIP; name one with --clip')
    if store.entry(name).kind != 'clip':
        raise BadInputError(f'{name} is no CLIP; take one of kind clip, as `ris models list` '
                            'shows them')
    from ris_ros.models.architectures import architecture
    state, config = store.load(name)
    layout = architecture(config, 'clip') if isinstance(config, str) else config
    return dict(layout), {k: v for k, v in state.items() if k not in SIZES}


def read_clip(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return configuration and weights of NAME.safetensors with NAME.json beside it."""
    import json
    try:
        config = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))['config']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f'{path.with_suffix(".json")}, which describes the backbone, cannot be '
                           f'read ({error}); train it with: ris train pcnet --stage backbone'
                           ) from error
    if not path.is_file():
        raise WeightsError(f'{path} is missing; train it with: ris train pcnet --stage backbone')
    return dict(config), read_state(path, 'safetensors')


def network_of(clip: Mapping[str, Any], state: Mapping[str, Tensor] | None,
               network: NetworkSettings, seed: int, projections: bool = True) -> PCNet:
    """Return a PCNet; what is new in it starts at random from the seed.

    Raises WeightsError where weights do not fit the configuration.
    """
    torch.manual_seed(seed)
    made = PCNet(config_of(network, clip))
    if state is not None:
        try:
            hand_over({k: v.float() for k, v in state.items()}, made, projections)
        except (RuntimeError, KeyError) as error:
            raise WeightsError('the weights of this CLIP do not fit a PCNet over it '
                               f'({str(error).splitlines()[0][:200]}); take another --backbone '
                               'or --clip') from error
    return made
