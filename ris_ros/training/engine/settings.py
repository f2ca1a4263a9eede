"""What every trainer can be told: typed, and checked before anything is rendered or loaded."""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ris_ros.settings import option
from ris_ros.types import BadInputError

OURS = 'ours'


@dataclass(frozen=True)
class EngineSettings:
    """
    Settings of a training run; a trainer's own are a subclass that adds fields.

    Exactly one of `steps` and `minutes` is above zero.  Only a run by steps is a function of
    its settings alone: in a run by minutes the schedule follows the clock.
    """

    seed: int = option(0, 'seed of first parameters, draws and dropout', source=OURS, minimum=0)
    device: str = option('auto', 'auto, cpu, cuda or cuda:N', source=OURS)
    precision: str = option('auto', 'of the forward pass; auto: bf16 where the device computes '
                            'in it', source=OURS, choices=('auto', 'fp32', 'bf16'))
    tf32: bool = option(False, 'let a GPU round inputs of float32 matrix products to TF32',
                        source=OURS)
    channels_last: bool = option(False, 'keep pictures and kernels with channels last',
                                 source=OURS)
    compile: bool = option(False, 'compile the network (torch.compile), where the trainer '
                           'knows how', source=OURS)
    threads: int = option(0, 'of the processor for torch; 0: as many as it takes anyway',
                          source=OURS, minimum=0)
    steps: int = option(0, 'length of the run in optimiser steps; 0: by minutes', source=OURS,
                        minimum=0)
    minutes: float = option(0.0, 'length of the run in minutes; 0: by steps', unit='min',
                            source=OURS, minimum=0, maximum=1e6)
    rate: float = option(1e-3, 'highest learning rate', source=OURS, minimum=0, maximum=1e3)
    schedule: str = option('cosine', 'how the rate falls after the warm-up; poly: '
                           '(1 - part of the run)^power', source=OURS,
                           choices=('cosine', 'poly', 'constant'))
    power: float = option(0.9, 'exponent of the poly schedule', source=OURS, minimum=0)
    warmup: float = option(0.03, 'part of the run in which the rate rises linearly',
                           source=OURS, minimum=0, maximum=0.9)
    floor: float = option(0.01, 'rate at the end (and the start) as a part of the highest',
                          source=OURS, minimum=0, maximum=1)
    optimiser: str = option('adamw', 'muon: Muon for the matrices of hidden layers that the '
                            'trainer names, AdamW for the rest', source=OURS,
                            choices=('adamw', 'muon'))
    weight_decay: float = option(0.05, 'decoupled, of matrices and kernels only', source=OURS,
                                 minimum=0)
    beta1: float = option(0.9, 'AdamW: memory of the gradient', source=OURS, minimum=0,
                          maximum=0.9999)
    beta2: float = option(0.98, 'AdamW: memory of its square', source=OURS, minimum=0,
                          maximum=0.99999)
    clip_norm: float = option(1.0, 'largest norm of all gradients together; 0: as they are',
                              source=OURS, minimum=0)
    accumulation: int = option(1, 'batches drawn per optimiser step, over all processes; their '
                               'losses are averaged', source=OURS, minimum=1)
    validate_seconds: float = option(300.0, 'validate this often; 0: not by time', unit='s',
                                     source=OURS, minimum=0)
    validate_steps: int = option(0, 'validate every so many steps; 0: not by steps',
                                 source=OURS, minimum=0)
    keep_best: str = option('', "figure of the validation by which parameters are kept, '-' in "
                            'front where less is better; empty: the last', source=OURS)
    checkpoint_seconds: float = option(60.0, 'write a checkpoint this often: what a killed run '
                                       'loses at most', unit='s', source=OURS, minimum=0)
    log_steps: int = option(50, 'steps between two lines of the log; only then is a loss read '
                            'from the device', source=OURS, minimum=1)
    draw_workers: int = option(0, 'processes that draw batches ahead; 0: drawn by the trainer '
                               'itself', source=OURS, minimum=0, maximum=256)
    prefetch: int = option(4, 'batches that each of them draws ahead', source=OURS, minimum=1,
                           maximum=64)


# What changes how a run goes but not what it learns: free to differ when a run goes on.  The
# length is too, since training longer is a wish of its own; that is said then.
FREE = frozenset({'device', 'tf32', 'channels_last', 'compile', 'threads', 'steps', 'minutes',
                  'validate_seconds', 'validate_steps', 'keep_best', 'checkpoint_seconds',
                  'log_steps', 'draw_workers', 'prefetch'})


def changed(settings_cls: type, name: str, default: Any) -> Any:
    """Return the option `name` of a settings class with another default, for a subclass."""
    for field in dataclasses.fields(settings_cls):
        if field.name == name:
            return dataclasses.field(default=default, metadata=field.metadata)
    raise AttributeError(f'{settings_cls.__name__} has no setting {name}')


def check_length(settings: EngineSettings) -> None:
    """Raise BadInputError unless exactly one of steps and minutes says how long to train."""
    if (settings.steps > 0) == (settings.minutes > 0):
        given = 'both are given' if settings.steps else 'neither is given'
        raise BadInputError(f'say how long to train by steps or by minutes, one of them: {given}')


def check_keep_best(keep_best: str, figures: tuple[str, ...]) -> None:
    """Raise BadInputError where `keep_best` names none of the validation's figures."""
    if keep_best and keep_best.removeprefix('-') not in figures:
        there_are = ', '.join(figures) or 'none'
        raise BadInputError(f'keep_best {keep_best!r} is no figure of this validation; '
                            f'there are: {there_are}')
