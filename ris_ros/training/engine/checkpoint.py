"""
Checkpoints: all that a run needs to go on as if it had not stopped.

One file holds parameters and buffers, optimiser, step and seconds, random states, the log's
unread sums and what the task keeps beside.  It is written whole or not at all, read without
running code (`weights_only`), and refused where it belongs to another run.
"""
from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ris_ros.files import atomic_path
from ris_ros.settings import to_mapping
from ris_ros.training.engine.settings import FREE, EngineSettings
from ris_ros.training.engine.task import Task
from ris_ros.types import BadInputError, WeightsError

FORMAT = 1
KEYS = {'format', 'task', 'settings', 'identity', 'model', 'progress', 'optimiser', 'random',
        'sums'}


@dataclass
class Progress:
    """How far a run is: step, seconds, the last validation, by name, with its step."""

    step: int = 0
    seconds: float = 0.0
    validated: dict[str, float] = field(default_factory=dict)


def learned_state(model: nn.Module, frozen: frozenset[str]) -> dict[str, Tensor]:
    """Return parameters and buffers of a model without the parameters that never learn."""
    return {name: tensor.detach() for name, tensor in model.state_dict().items()
            if name not in frozen}


def load_learned(model: nn.Module, state: Mapping[str, Tensor], frozen: frozenset[str],
                 path: Path) -> None:
    """Copy a `learned_state` into the model.  Raises BadInputError where the shapes differ."""
    own = learned_state(model, frozen)
    differing = [name for name in sorted(own.keys() | state.keys())
                 if name not in own or name not in state or own[name].shape != state[name].shape]
    if differing:
        more = f' and {len(differing) - 1} more' if len(differing) > 1 else ''
        raise BadInputError(f'{path} holds a network of another shape ({differing[0]}{more}); '
                            'give another --work folder, or train with the same configuration')
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state whole or not at all, and to the disk.  Raises as `files.atomic_path` does."""
    with atomic_path(path, durable=True) as temporary:
        torch.save(dict(state), temporary)


def identity_of(task: Task, settings: EngineSettings) -> dict[str, Any]:
    """Return what a checkpoint has to agree in to be gone on with."""
    return {'format': FORMAT, 'task': task.name, 'settings': to_mapping(settings),
            'identity': dict(task.identity())}


def read(path: Path) -> dict[str, Any]:
    """
    Return the content of a checkpoint file; tensors are on the CPU.

    Raises WeightsError for a file that is truncated, damaged or none of ours.
    """
    state = _load(path)
    if not isinstance(state, dict) or not KEYS.issubset(state) or state['format'] != FORMAT:
        raise WeightsError(f'{path} is no checkpoint of this trainer; '
                           'remove it to start anew, or give another --work folder')
    return state


def check_identity(path: Path, state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """
    Raise BadInputError where a checkpoint belongs to another task, setting or data.

    Returns notes on what differs and may: a run may become longer or shorter.
    """
    if state['task'] != wanted['task']:
        raise BadInputError(f'{path} is of {state["task"]!r}, not of {wanted["task"]!r}; '
                            'give another --work folder')
    for part in ('settings', 'identity'):
        there, here = state[part], wanted[part]
        for name in sorted(there.keys() | here.keys()):
            if name not in FREE and there.get(name) != here.get(name):
                raise BadInputError(
                    f'{path} was made with {name} {there.get(name)!r}, not {here.get(name)!r}; '
                    f'go on with the same, or give another --work folder')
    return [f'{name} was {state["settings"][name]:g}, is {wanted["settings"][name]:g} from here on'
            for name in ('steps', 'minutes')
            if state['settings'].get(name) != wanted['settings'][name]]


def read_best(path: Path) -> dict[str, Any]:
    """Return the file of the best parameters: figures, step, model.  Raises WeightsError."""
    state = _load(path)
    if not isinstance(state, dict) or not {'figures', 'step', 'model'}.issubset(state):
        raise WeightsError(f'{path} is not of this trainer; remove it')
    return state


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError,
            AttributeError, TypeError) as error:
        reason = str(error).partition('\n')[0]
        raise WeightsError(f'{path} is damaged or no checkpoint ({reason}); '
                           'remove it to start anew') from error
