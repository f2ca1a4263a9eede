"""Where a run computes: device, precision, one process or several (by accelerate)."""
from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ris_ros.lazy import require
from ris_ros.models.device import pick_device
from ris_ros.training.engine.settings import EngineSettings, check_length
from ris_ros.types import BadInputError


@dataclass(frozen=True)
class Runtime:
    """
    The processes of a run and the device of this one.

    rank: of this process, 0 writes and validates.  processes: how many.  accelerator: of
    `accelerate`, None for one process.
    """

    device: torch.device
    precision: str
    rank: int = 0
    processes: int = 1
    accelerator: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and validates."""
        return self.rank == 0

    def autocast(self) -> torch.autocast:
        """Return the context that losses are computed in."""
        return torch.autocast(self.device.type, torch.bfloat16,
                              enabled=self.precision == 'bf16')

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process go first, for instance to render what all then read."""
        if self.accelerator is None:
            yield
            return
        with self.accelerator.main_process_first():
            yield

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def agree(self, *values: float) -> tuple[float, ...]:
        """Return the main process's values, so that all decide alike."""
        if self.accelerator is None:
            return values
        utils = require('accelerate.utils', 'training')
        return tuple(utils.broadcast_object_list([list(values)])[0])

    def gather(self, value: Any) -> list[Any]:
        """Return every process's value by rank; tensors of it are on the CPU."""
        if self.accelerator is None:
            return [value]
        return list(require('accelerate.utils', 'training').gather_object([value]))

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        return value if self.accelerator is None else self.accelerator.reduce(value, 'mean')

    def spread(self, model: nn.Module) -> None:
        """Give every process the main one's parameters and buffers."""
        if self.accelerator is not None:
            utils = require('accelerate.utils', 'training')
            with torch.no_grad():
                for tensor in model.state_dict().values():
                    tensor.copy_(utils.broadcast(tensor.clone()))

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """
        Replace gradients by their mean over the processes, one message for all of them.

        By hand and not by DistributedDataParallel: losses here call parts of a model, and
        differentiate twice, both of which its hooks do not see.  A parameter without a gradient
        in every process keeps none.
        """
        if self.accelerator is None:
            return
        device = parameters[0].device
        there = torch.tensor([float(p.grad is not None) for p in parameters], device=device)
        used = [p for p, part in zip(parameters, self.mean(there).tolist(), strict=True) if part]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float()
                          for p in used])
        place, flat = 0, self.mean(flat)
        for p in used:
            p.grad = flat[place:place + p.numel()].view_as(p).to(p.dtype)
            place += p.numel()


def start(settings: EngineSettings) -> Runtime:
    """
    Check what can be checked before any work, seed all generators, return the runtime.

    Call it before rendering or loading.  Several processes are those of `accelerate launch` or
    `torchrun` (WORLD_SIZE above 1).  Raises BadInputError for a length given twice or not at
    all, a GPU that is not there, a precision that the device does not compute in, and an
    accumulation that the processes cannot share out.
    """
    check_length(settings)
    processes = int(os.environ.get('WORLD_SIZE', '1'))
    if settings.accumulation % processes:
        raise BadInputError(
            f'accumulation {settings.accumulation} cannot be shared by {processes} processes; '
            f'set accumulation={processes} or a multiple of it')
    name = pick_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    rank, accelerator = 0, None
    if processes > 1:
        accelerate = require('accelerate', 'training')
        accelerator = accelerate.Accelerator(cpu=name == 'cpu')
        rank, name = accelerator.process_index, str(accelerator.device)
    device = torch.device(name)
    precision = _precision(settings.precision, device)
    if settings.tf32:
        torch.set_float32_matmul_precision('high')
        torch.backends.cudnn.allow_tf32 = True
    seed_all(settings.seed)
    return Runtime(device, precision, rank, processes, accelerator)


def _precision(wanted: str, device: torch.device) -> str:
    """Return fp32 or bf16; a CPU without bfloat16 instructions emulates it, ten times slower."""
    computes = (torch.cuda.is_bf16_supported(including_emulation=False)
                if device.type == 'cuda'
                else getattr(torch.cpu, '_is_avx512_bf16_supported', lambda: False)())
    if wanted == 'bf16' and not computes:
        raise BadInputError(f'this {device.type} does not compute in bf16; set precision=fp32')
    if wanted == 'auto':
        return 'bf16' if computes else 'fp32'
    return wanted


def seed_all(seed: int, rank: int = 0) -> None:
    """Seed torch, numpy and Python; ranks differ, so that dropout does."""
    torch.manual_seed(seed + 1_000_003 * rank)
    np.random.seed((seed + 1_000_003 * rank) % 2**32)
    random.seed(seed + 1_000_003 * rank)


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of all generators as tensors and plain values."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    inner: Any = numpy['state']
    return {'torch': torch.get_rng_state(),
            'cuda': torch.cuda.get_rng_state(device) if device.type == 'cuda' else None,
            'numpy': [torch.from_numpy(inner['key'].astype(np.int64)), int(inner['pos']),
                      int(numpy['has_gauss']), float(numpy['gauss'])],
            'python': random.getstate()}


def set_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Restore what `random_states` returned; a GPU's only where both runs have one."""
    torch.set_rng_state(states['torch'])
    if device.type == 'cuda' and states['cuda'] is not None:
        torch.cuda.set_rng_state(states['cuda'], device)
    key, position, has_gauss, gauss = states['numpy']
    np.random.set_state(('MT19937', key.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, state, following = states['python']
    random.setstate((version, tuple(state), following))


@contextlib.contextmanager
def kept_random_states(device: torch.device) -> Iterator[None]:
    """Leave all generators as they were, whatever is drawn inside."""
    states = random_states(device)
    try:
        yield
    finally:
        set_random_states(states, device)
