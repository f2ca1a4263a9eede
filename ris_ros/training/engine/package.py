"""Write a trained network the way the profiles load it: safetensors, JSON, SHA-256."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from ris_ros.files import atomic_path, sha256_of, write_json
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from torch import nn


def write_network(out: Path, name: str, state: Mapping[str, torch.Tensor],
                  config: Mapping[str, Any], trained: Mapping[str, Any]) -> Path:
    """
    Write NAME.safetensors and NAME.json to `out`, each whole or not at all.

    The JSON holds the configuration, the last validation record and the weights' SHA-256.
    Returns the path of the weights.
    """
    path = out / f'{name}.safetensors'
    with atomic_path(path, durable=True) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, str(temporary))
    record = {'name': name, 'config': dict(config), 'validation': dict(trained),
              'sha256': sha256_of(path), 'bytes': path.stat().st_size}
    write_json(out / f'{name}.json', record, durable=True)
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
