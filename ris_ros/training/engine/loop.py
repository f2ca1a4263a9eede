"""What every trainer here shares: a time budget with its schedule, checkpoints to resume."""
from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ris_ros.files import atomic_path
from ris_ros.training.engine.muon import MuonAdamW
from ris_ros.types import BadInputError


@dataclass
class Budget:
    """
    A training run measured in minutes of work, because that is what a user can plan.

    The schedule depends on the fraction of the budget used, counted over resumptions.
    """

    minutes: float
    used: float = 0.0            # seconds, from earlier runs
    _start: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds of work so far."""
        return self.used + time.monotonic() - self._start

    @property
    def fraction(self) -> float:
        """Part of the budget used, 0 to 1."""
        return min(1.0, self.elapsed / (60 * self.minutes))

    def rate(self, warmup: float = 0.03, floor: float = 0.01) -> float:
        """Learning rate factor: linear warm-up, then half a cosine down to `floor`."""
        f = self.fraction
        if f < warmup:
            return max(f / warmup, 0.01)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (f - warmup) / (1 - warmup)))


def pick_device(name: str) -> torch.device:
    """
    Return the device for 'auto', 'cpu' or 'cuda[:N]'.

    Raises BadInputError where a GPU is asked for and there is none.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if name.startswith('cuda') and not torch.cuda.is_available():
        raise BadInputError('device cuda was asked for, but torch finds no GPU; '
                            'use --device cpu or install a CUDA build of torch')
    return torch.device(name)


def mixed_precision(device: torch.device) -> torch.autocast:
    """
    Return the context that training steps run in: bfloat16 where the device computes in it.

    A CPU without such instructions emulates them, which is ten times slower than float32.
    """
    supported = getattr(torch.cpu, '_is_avx512_bf16_supported', lambda: False)
    return torch.autocast(device.type, torch.bfloat16,
                          enabled=device.type != 'cpu' or supported())


Optimiser = torch.optim.Optimizer | MuonAdamW


def save_checkpoint(path: Path, step: int, budget: Budget, model: nn.Module,
                    optimiser: Optimiser) -> None:
    """Write a checkpoint, whole or not at all."""
    with atomic_path(path, durable=True) as temporary:
        torch.save({'step': step, 'seconds': budget.elapsed, 'model': model.state_dict(),
                    'optimiser': optimiser.state_dict()}, temporary)


def load_checkpoint(path: Path, budget: Budget, model: nn.Module,
                    optimiser: Optimiser) -> int:
    """Resume from a checkpoint when there is one; return the step to go on from."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location='cpu', weights_only=True)
    model.load_state_dict(state['model'])
    optimiser.load_state_dict(state['optimiser'])
    budget.used = float(state['seconds'])
    return int(state['step'])


def train(name: str, model: nn.Module, optimiser: Optimiser, budget: Budget,
          checkpoint: Path, loss_of: Callable[[float], torch.Tensor],
          validate: Callable[[], Mapping[str, float]], validate_every: float = 300.0,
          base_rate: float = 1e-3) -> list[dict[str, Any]]:
    """
    Train until the budget is used; return the validation history.

    loss_of(fraction) draws a batch and returns its loss.  Every `validate_every` seconds the
    model is validated, a checkpoint written and a line appended to `<checkpoint>.jsonl`.
    """
    from tqdm import tqdm
    step = load_checkpoint(checkpoint, budget, model, optimiser)
    history: list[dict[str, Any]] = []
    log = checkpoint.with_suffix('.jsonl')
    running, last = 0.0, budget.elapsed
    with tqdm(total=round(60 * budget.minutes), initial=round(budget.elapsed), desc=name, unit='s',
              bar_format='{l_bar}{bar}| {n:.0f}/{total} s{postfix}', mininterval=2) as bar:
        while budget.fraction < 1:
            model.train()
            for group in optimiser.param_groups:
                group['lr'] = base_rate * budget.rate()
            loss = loss_of(budget.fraction)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            running = 0.98 * running + 0.02 * loss.item() if running else loss.item()
            bar.set_postfix_str(f' step {step} loss {running:.3f}', refresh=False)
            bar.update(max(0, budget.elapsed - bar.n))
            if budget.elapsed - last > validate_every or budget.fraction >= 1:
                model.eval()
                with torch.no_grad():
                    record = {'step': step, 'seconds': round(budget.elapsed),
                              'loss': round(running, 4), **validate()}
                history.append(record)
                with log.open('a') as stream:
                    stream.write(json.dumps(record) + '\n')
                save_checkpoint(checkpoint, step, budget, model, optimiser)
                tqdm.write(f'{name} ' + ' '.join(f'{k}={v}' for k, v in record.items()))
                last = budget.elapsed
    return history
