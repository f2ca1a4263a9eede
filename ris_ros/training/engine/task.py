"""
What a trainer says of itself: where batches come from, their loss, what good means.

Drawing and learning are two objects on purpose.  A `Source` knows no network and no device: it
is sent to worker processes, so it has to be cheap to pickle (arrays on disk as
`engine.arrays.Mapped`).  A batch is a pure function of (seed, index), so that a run that goes
on draws what an unbroken one would have drawn, however many processes draw.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor, nn

from ris_ros.training.engine.settings import EngineSettings
from ris_ros.types import BadInputError

Batch = Mapping[str, Any]
Loss = Tensor | tuple[Tensor, Mapping[str, Tensor]]


class Source(Protocol):
    """Draws batches; picklable, holds no network, no device and no generator."""

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> Batch:
        """
        Return batch `index`: names to arrays, tensors, strings, and lists or dicts of them.

        rng: np.random.default_rng((seed, index)), the only randomness allowed.  index: counts
        batches from 0 on; the optimiser step where `accumulation` is 1.  fraction: part of the
        run that lies behind when the batch is asked for, 0 to 1.
        """
        ...


@dataclass(frozen=True)
class Group:
    """Parameters that are trained alike.

    scale: their rate as a part of the settings' rate.  muon: matrices that Muon trains.
    """

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    scale: float = 1.0
    weight_decay: float = 0.0
    muon: bool = False


class Task(ABC):
    """
    One network in training; subclasses set the attributes in their constructor.

    name: of files and log.  model: all that learns, heads that are not kept included.  source:
    draws the batches.  figures: the names that `validate` returns, for `keep_best`.  hidden:
    parts of the names of modules whose matrices Muon trains where it is chosen.
    """

    name: str
    model: nn.Module
    source: Source
    figures: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def loss(self, batch: Batch, fraction: float) -> Loss:
        """
        Return the mean loss of a batch, a scalar, or it and its parts by name (logged).

        Runs under autocast of the chosen precision.  Arrays of the batch are tensors on the
        device by now.  Must not wait for the device: no `.item()`, no printing.
        """

    def validate(self) -> Mapping[str, float]:
        """Return figures of the model as it is; runs in eval mode, without gradients, in fp32.

        Random numbers drawn here do not change what training draws.
        """
        return {}

    def train_mode(self) -> None:
        """Switch to training; a task whose frozen parts stay in eval mode overrides this."""
        self.model.train()

    def compile(self) -> None:
        """Compile what the loss calls.  Raises BadInputError where a task does not say how."""
        raise BadInputError(f'{self.name} cannot be compiled; set compile=false')

    def scale_of(self, name: str) -> float:
        """Return the rate of a parameter as a part of the settings' rate."""
        return 1.0

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what besides settings and shapes a checkpoint has to agree in, such as data."""
        return {}

    def groups(self, settings: EngineSettings) -> list[Group]:
        """
        Return the parameters that learn, grouped.

        Matrices and kernels decay; biases, gains and single vectors do not.
        """
        found: dict[tuple[float, float, bool], list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                muon = (settings.optimiser == 'muon' and parameter.ndim == 2
                        and any(part in name for part in self.hidden))
                decay = settings.weight_decay if parameter.ndim >= 2 else 0.0
                found.setdefault((self.scale_of(name), decay, muon), []).append((name, parameter))
        return [Group(tuple(n for n, _ in named), tuple(p for _, p in named), *key)
                for key, named in found.items()]
