"""Reading and describing a PCNet's file.

NAME.safetensors holds the whole network; NAME.json beside it the configuration: `network`
(PCNetConfig) and `calibration`.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.methods.logistic import Logistic
from ris_ros.methods.pcnet import calibration
from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.methods.pcnet.model import PCNetModel
    from ris_ros.methods.pcnet.network import PCNet, PCNetConfig
    from ris_ros.models.kinds import Source

KIND = 'pcnet'


def load_network(source: Source) -> PCNetModel:
    """Return the network of a source.

    Raises WeightsError where the file is damaged or cut, or is no PCNet.
    """
    from ris_ros.methods.pcnet.model import PCNetModel
    state, config = source.weights()
    network = build(source.entry.name, config)
    fill(network, state, source.entry.name)
    return PCNetModel(network, calibration.from_dict(config.get('calibration')), source.device,
                      source.precision)


def describe_network(config: PCNetConfig, fit: Logistic) -> dict[str, Any]:
    """Return the configuration that stands beside the weights; see the module."""
    return {'network': config.to_dict(), 'calibration': calibration.to_dict(fit)}


def build(name: str, config: Mapping[str, Any]) -> PCNet:
    """Return an untrained network of a file's configuration; raises WeightsError."""
    from ris_ros.methods.pcnet.network import PCNet, PCNetConfig
    try:
        return PCNet(PCNetConfig.from_dict(config['network']))
    except (KeyError, TypeError, AttributeError, BadInputError) as error:
        raise WeightsError(f'{name} is no PCNet that this version can read ({error}); train or '
                           'fetch it again') from error


def fill(network: PCNet, state: Mapping[str, Tensor], name: str) -> None:
    """Load a whole state, as float32; raises WeightsError where it does not fit."""
    torch = require('torch', 'models')
    own = network.state_dict()
    missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for what, names in (('lacks', missing), ('has no place for', foreign),
                        ('has another shape of', wrong)):
        if names:
            more = f' and {len(names) - 1} more' if len(names) > 1 else ''
            raise WeightsError(f'{name} does not hold this PCNet: it {what} {names[0]}{more}; '
                               'train or fetch it again')
    network.load_state_dict({k: v.to(torch.float32) if v.is_floating_point() else v
                             for k, v in state.items()})
