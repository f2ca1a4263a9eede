"""The network that a run starts from: a profile's CLIP and SAM, or a small CLIP of its own."""
from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.methods.prompt_ris.load import KIND, SIZES
from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.models.clip import CLIP_MEAN, CLIP_STD, build_clip, load_state
from ris_ros.models.sam import build_sam
from ris_ros.models.sampling import IMAGENET_MEAN, IMAGENET_STD
from ris_ros.models.weights import WeightStore
from ris_ros.profiles import get_profile
from ris_ros.training.prompt_ris.learning import learning_prefixes
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.types import BadInputError

OWN = 'own'         # the name of a CLIP that is none of the manifest

# What the tabletop's network is: ours wherever the paper leaves room, and where two cores
# carry no ViT-B: few heads and few layers that depend on the sentence.
TABLETOP = NetworkConfig(image_size=320, fit='pad', prompt_heads=4, shared_layers=5,
                         text_length=24, coarse_width=192, coarse_heads=3, coarse_ratio=2,
                         text_heads=4,
                         coarse_scale='learned', coarse_bias=True, mask_gain=True, presence=True)


@dataclass(frozen=True)
class Base:
    """The two networks that Prompt-RIS stands on, and their configurations.

    clip_config: open_clip's fields, see `models.clip`.  sam_config: of `SamConfig.to_dict`.
    names: of the networks by 'clip' and 'sam'; a CLIP of its own has none.
    """

    clip: nn.Module
    sam: nn.Module
    clip_config: Mapping[str, Any]
    sam_config: Mapping[str, Any]
    names: Mapping[str, str]

    @property
    def mean(self) -> tuple[float, ...]:
        """Of CLIP's pixel normalisation, for pixels in [0, 1]."""
        return tuple(self.clip_config.get('mean', CLIP_MEAN))

    @property
    def std(self) -> tuple[float, ...]:
        """Of CLIP's pixel normalisation."""
        return tuple(self.clip_config.get('std', CLIP_STD))


def own_clip_config(vocabulary: list[str], image_size: int, text_length: int) -> dict[str, Any]:
    """Return the configuration of the small CLIP that is trained along on the tabletop."""
    return {'embed_dim': 128, 'quick_gelu': False, 'mean': list(IMAGENET_MEAN),
            'std': list(IMAGENET_STD),
            'vision_cfg': {'image_size': image_size, 'patch_size': 16, 'width': 192, 'layers': 8,
                           'head_width': 64, 'mlp_ratio': 3.0},
            'text_cfg': {'context_length': text_length, 'width': 128, 'heads': 4, 'layers': 6},
            'vocabulary': vocabulary}


def own_clip(config: Mapping[str, Any]) -> nn.Module:
    """Return an untrained CLIP whose picture positions start as sines and cosines."""
    clip: Any = build_clip(config)
    rows, columns = clip.visual.grid_size
    with torch.no_grad():
        position = clip.visual.positional_embedding
        position.zero_()
        position[1:] = sines_and_cosines(rows, columns, position.shape[1])
    return clip


def sines_and_cosines(rows: int, columns: int, width: int) -> Tensor:
    """Return (rows * columns, width) places: half for rows, half for columns, amplitude 0.5."""
    rates = 30.0 ** -(torch.arange(width // 4) / (width // 4))

    def along(count: int) -> Tensor:
        angles = torch.arange(count)[:, None] * rates[None] * 14 / count
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    both = [along(rows)[:, None].expand(-1, columns, -1), along(columns).expand(rows, -1, -1)]
    return 0.5 * torch.cat(both, dim=2).reshape(rows * columns, -1)


def network_of(base: Base, config: NetworkConfig, seed: int) -> PromptRis:
    """Return the network over a base; what is new in it starts at random from the seed."""
    torch.manual_seed(seed)
    return PromptRis(base.clip, base.sam, config)


def fitting(config: NetworkConfig, base: Base) -> NetworkConfig:
    """Return the configuration with its text length cut to what the base's CLIP can read."""
    context = int(base.clip_config['text_cfg'].get('context_length', 77))
    if config.text_length > context:
        return dataclasses.replace(config, text_length=context)
    return config


def base_of(args: argparse.Namespace, config: NetworkConfig, store: WeightStore) -> Base:
    """Return the networks that a command names, by default a profile's.

    On the tabletop the CLIP is one of its own unless --clip names another.  Raises
    BadInputError for unknown names and kinds, WeightsError for missing or damaged weights.
    """
    profile = get_profile(args.profile)
    names = {'sam': args.sam or profile.networks.get(f'{KIND}_sam', profile.networks.get('sam')),
             'clip': args.clip or (OWN if args.dataset == 'tabletop' else
                                   profile.networks.get(f'{KIND}_clip',
                                                        profile.networks.get('clip')))}
    for role, name in names.items():
        if not name:
            raise BadInputError(f'the profile {args.profile} has no network for {role}; name one '
                                f'with --{role}')
    sam_state, sam_config = _load(store, names['sam'], 'sam')
    sam = build_sam(sam_config)
    load_state(sam, sam_state, 'SAM')
    if names['clip'] == OWN:
        from ris_ros.training.prompt_ris.tabletop import tabletop_vocabulary
        clip_config = own_clip_config(tabletop_vocabulary(), config.image_size,
                                      config.text_length)
        return Base(own_clip(clip_config), sam, clip_config, sam_config, {'sam': names['sam']})
    clip_state, clip_config = _load(store, names['clip'], 'clip')
    clip = build_clip(clip_config)
    load_state(clip, {k: v for k, v in clip_state.items() if k not in SIZES}, 'CLIP')
    return Base(clip, sam, clip_config, sam_config, names)


def _load(store: WeightStore, name: str, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if store.entry(name).kind != kind:
        raise BadInputError(f'{name} is of kind {store.entry(name).kind}, not {kind}')
    state, config = store.load(name)
    if isinstance(config, str):
        from ris_ros.models.architectures import architecture
        config = architecture(config, kind)
    return state, dict(config)


def go_on_from(network: PromptRis, path: Path, settings: PromptRisTraining) -> None:
    """Load what learns from a trained network's file; frozen parts stay as they are.

    Raises BadInputError where the file is missing, or lacks or reshapes what learns.
    """
    try:
        state = load_file(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise BadInputError(f'--init: {path} cannot be read ({error})') from error
    prefixes, own = learning_prefixes(settings), network.state_dict()
    wanted = {name for name in own if name.startswith(prefixes)}
    # What a base network holds alone is taken from the base where the file leaves it out.
    wrong = sorted(name for name in wanted if name.startswith(('prompting.', 'coarse_decoder.',
                                                               'sam_prompts.'))
                   and name not in state)
    wrong += sorted(name for name in wanted & state.keys() if state[name].shape != own[name].shape)
    if wrong:
        raise BadInputError(f'--init: {path} lacks {wrong[0]}, or has it in another shape; give '
                            'the same --network fields as it was trained with')
    with torch.no_grad():
        for name in wanted & state.keys():
            own[name].copy_(state[name])
