"""Write a trained network the way the profiles load it: safetensors, JSON, SHA-256."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ris_ros.models.weights import sha256_of


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
