"""Weights files read as named tensors, never by a pickle that can run code."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.types import WeightsError

if TYPE_CHECKING:
    import torch


def read_state(path: Path, form: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file.  Raises WeightsError where it cannot be read."""
    torch = require('torch', 'models')
    try:
        if form == 'safetensors':
            return require('safetensors.torch', 'models').load_file(str(path))
        if form == 'torchscript':
            # Not a pickle of objects: an archive that torch's own interpreter reads.
            return dict(torch.jit.load(str(path), map_location='cpu').state_dict())
        return tensors_of(torch.load(path, map_location='cpu', weights_only=True))
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, EOFError) as error:
        raise WeightsError(f'the weights file {path} cannot be read as {form}: '
                           f'{str(error).splitlines()[0][:200]}') from error
    except Exception as error:  # safetensors and the unpickler have error types of their own
        raise WeightsError(f'the weights file {path} cannot be read as {form}: '
                           f'{type(error).__name__}: {str(error)[:200]}') from error


def tensors_of(loaded: Any) -> dict[str, torch.Tensor]:
    """Return the named tensors of a checkpoint: its own, or those under "state_dict" or "model".

    What else a checkpoint holds (the state of an optimizer, numbers) is no weight and is left.
    Raises ValueError where there are no tensors.
    """
    torch = require('torch', 'models')
    for key in ('state_dict', 'model'):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    found = {str(name): value for name, value in loaded.items()
             if isinstance(value, torch.Tensor)} if isinstance(loaded, Mapping) else {}
    if not found:
        raise ValueError('it holds no named tensors')
    return found
