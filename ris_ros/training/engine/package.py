"""Write a trained network the way the profiles load it: safetensors, JSON, SHA-256."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from ris_ros.models.weights import sha256_of
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from torch import nn


def write_network(out: Path, name: str, state: Mapping[str, torch.Tensor],
                  config: Mapping[str, Any], trained: Mapping[str, Any]) -> Path:
    """
    Write NAME.safetensors and NAME.json to `out`, each under a temporary name first.

    The JSON holds the configuration, the last validation record and the weights' SHA-256.
    Returns the path of the weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f'{name}.safetensors'
    temporary = out / f'{name}.safetensors.tmp'
    save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, str(temporary))
    temporary.chmod(0o644)   # save_file makes it private
    temporary.rename(path)
    record = {'name': name, 'config': dict(config), 'validation': dict(trained),
              'sha256': sha256_of(path), 'bytes': path.stat().st_size}
    temporary = out / f'{name}.json.tmp'
    temporary.write_text(json.dumps(record, indent=1) + '\n')
    temporary.rename(out / f'{name}.json')
    return path


def load_network(folder: Path, name: str, network: nn.Module,
                 fit: Callable[[dict[str, torch.Tensor], nn.Module], None] | None = None) -> None:
    """
    Load NAME.safetensors of a folder into a network, to go on training from it.

    fit(state, network) may change the state first, for instance resize positions.  Raises
    BadInputError where the file is missing or of other sizes.
    """
    path = folder / f'{name}.safetensors'
    try:
        state = load_file(path)
        if fit is not None:
            fit(state, network)
        network.load_state_dict(state)
    except (OSError, RuntimeError) as error:
        raise BadInputError(f'--init: {path} is missing or has other sizes ({error})') from error
