"""Weights of old formats rewritten as safetensors, once: what is read afterwards cannot run code.

A `.pth` is read with `weights_only=True` and a TorchScript archive by torch's own interpreter;
neither is opened again when the safetensors file and its record lie beside it.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ris_ros.files import atomic_path, sha256_of, write_json
from ris_ros.lazy import require
from ris_ros.models.weights import Entry, read_state
from ris_ros.types import RisError

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)


def convert(entry: Entry, path: Path, folder: Path | None = None) -> Path:
    """Rewrite a legacy file as safetensors with its record; return the new file.

    path: the published file, checked.  folder: where the new one goes, by default beside it.
    Raises WeightsError for a file that cannot be read, BadInputError or RisError where the
    folder cannot be written to or is full.
    """
    target = (folder or path.parent) / entry.converted
    return write_converted(entry, path, read_state(path, entry.format), target)


def write_converted(entry: Entry, path: Path, state: Mapping[str, torch.Tensor], target: Path
                    ) -> Path:
    """Write the tensors of `path` to `target`, and beside it what they were made of.

    The record goes first: a safetensors file without a record that fits is never read.
    """
    save = require('safetensors.torch', 'models').save_file
    with atomic_path(target, durable=True) as temporary:
        save(_apart(state), str(temporary), metadata={'format': 'pt'})
        record = {'config': entry.config, 'sha256': sha256_of(temporary),
                  'source': {'file': entry.file, 'sha256': sha256_of(path), 'url': entry.url or
                             entry.source, 'revision': entry.revision}}
        write_json(target.with_suffix('.json'), record, indent=None, durable=True)
    return target


def keep_converted(entry: Entry, path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write the safetensors file beside `path` where that can be done; the original stays."""
    mine = entry.url or entry.repository   # a user's own file and its record are left alone
    if not mine or not os.access(path.parent, os.W_OK):
        return
    try:
        write_converted(entry, path, state, path.parent / entry.converted)
    except RisError as error:   # a full disk must not keep a robot from its weights
        _log.warning('%s is read from its old format each time: %s', path, error)


def _apart(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with storage of their own: safetensors takes no shared ones."""
    seen: set[int] = set()
    out = {}
    for name, value in state.items():
        place = value.untyped_storage().data_ptr()
        out[name] = (value.clone() if place in seen else value).contiguous()
        seen.add(place)
    return out
