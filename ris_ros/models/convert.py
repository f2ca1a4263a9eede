"""Weights of old formats rewritten as safetensors, once: what is read afterwards cannot run code.

A `.pth` is read with `weights_only=True` and a TorchScript archive by torch's own interpreter;
neither is opened again when the safetensors file and its record lie beside it.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ris_ros.files import atomic_path, sha256_of, write_json
from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch


def write_converted(path: Path, state: Mapping[str, torch.Tensor], target: Path, config: str,
                    source: Mapping[str, str]) -> Path:
    """Write the tensors of `path` to `target`, and beside it what they were made of.

    config: name of the layout.  source: what else the record says of `path` besides its SHA-256.
    The record goes first: a safetensors file without a record that fits is never read.
    Raises BadInputError or RisError where the folder cannot be written to or is full,
    MissingDependencyError without safetensors.
    """
    save = require('safetensors.torch', 'models').save_file
    with atomic_path(target, durable=True) as temporary:
        save(_apart(state), str(temporary), metadata={'format': 'pt'})
        record = {'config': config, 'sha256': sha256_of(temporary),
                  'source': {**source, 'sha256': sha256_of(path)}}
        write_json(target.with_suffix('.json'), record, indent=None, durable=True)
    return target


def _apart(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with storage of their own: safetensors takes no shared ones."""
    seen: set[int] = set()
    out = {}
    for name, value in state.items():
        place = value.untyped_storage().data_ptr()
        out[name] = (value.clone() if place in seen else value).contiguous()
        seen.add(place)
    return out
