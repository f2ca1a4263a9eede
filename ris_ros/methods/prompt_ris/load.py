"""Reading and describing a Prompt-RIS network's file.

NAME.safetensors holds what was trained, or the whole network; NAME.json beside it the
configuration: `network` (NetworkConfig), `clip` and `sam` (theirs), `bases` (per network that
is not in the file its name and SHA-256), `calibration`.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.methods.prompt_ris.calibration import Calibration
from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.settings import from_mapping, to_mapping
from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ris_ros.methods.prompt_ris.model import PromptRisModel
    from ris_ros.methods.prompt_ris.network import PromptRis
    from ris_ros.models.kinds import Source
    from ris_ros.models.weights import WeightStore

KIND = 'prompt_ris'
BASES = ('clip', 'sam')
# Numbers that OpenAI's archives hold among the weights.
SIZES = ('input_resolution', 'context_length', 'vocab_size')


def load_network(source: Source) -> PromptRisModel:
    """Return the network of a source, with the CLIP and SAM it was trained over.

    Raises WeightsError where the file is damaged or cut, is no Prompt-RIS network, or was
    trained over other networks than those that are here.
    """
    from ris_ros.methods.prompt_ris.model import PromptRisModel
    state, config = source.weights()
    network_config, calibration = read_config(source.entry.name, config)
    network = build(config, network_config, source.entry.name)
    for part in BASES:
        if part in config['bases']:
            base = config['bases'][part]
            check_base(source.store, source.entry.name, base)
            own = source.store.load(base['name'])[0]
            state = {**{f'{part}.{k}': v for k, v in own.items() if k not in SIZES}, **state}
    fill(network, state, source.entry.name)
    return PromptRisModel(network, config['clip'], calibration, source.device, source.precision)


def read_config(name: str, config: Mapping[str, Any]) -> tuple[NetworkConfig, Calibration]:
    """Return a file's network configuration and calibration; raises WeightsError."""
    try:
        if not isinstance(config['clip'], Mapping) or not isinstance(config['bases'], Mapping):
            raise TypeError('clip and bases must be mappings')
        return (from_mapping(NetworkConfig, config['network']),
                Calibration.from_dict(config.get('calibration', {})))
    except (KeyError, TypeError, BadInputError) as error:
        raise WeightsError(f'{name} is no Prompt-RIS network that this version can read '
                           f'({error}); train or fetch it again') from error


def describe_network(config: NetworkConfig, clip: Mapping[str, Any], sam: Mapping[str, Any],
                     bases: Mapping[str, Mapping[str, str]], calibration: Calibration
                     ) -> dict[str, Any]:
    """Return the configuration that stands beside the weights; see the module."""
    return {'network': to_mapping(config), 'clip': dict(clip), 'sam': dict(sam),
            'bases': {part: dict(base) for part, base in bases.items()},
            'calibration': calibration.to_dict()}


def build(config: Mapping[str, Any], network: NetworkConfig, name: str) -> PromptRis:
    """Return an untrained network of a file's configuration; raises WeightsError."""
    from ris_ros.methods.prompt_ris.network import PromptRis
    from ris_ros.models.clip import build_clip
    from ris_ros.models.sam import build_sam
    try:
        return PromptRis(build_clip(config['clip']), build_sam(config['sam']), network)
    except (KeyError, TypeError, BadInputError) as error:
        raise WeightsError(f'the configuration of {name} does not fit together ({error}); '
                           'train or fetch it again') from error


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load a whole state, as float32; raises WeightsError where it does not fit."""
    torch = require('torch', 'models')
    own = network.state_dict()
    missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for what, names in (('lacks', missing), ('has no place for', foreign),
                        ('has another shape of', wrong)):
        if names:
            more = f' and {len(names) - 1} more' if len(names) > 1 else ''
            raise WeightsError(f'{name} does not hold this Prompt-RIS network: it {what} '
                               f'{names[0]}{more}; train or fetch it again')
    wide = {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(wide)


def check_base(store: WeightStore, name: str, base: Mapping[str, str]) -> None:
    """Raise WeightsError unless a base network here is the one that was trained over."""
    if store.expected_sha256(base['name']) != base['sha256']:
        raise WeightsError(f'{name} was trained over another {base["name"]} than the one here; '
                           f'get that one, or train {name} again')
