"""
Muon for matrices of hidden layers, AdamW for the rest.

Muon steps along the nearest semi-orthogonal matrix of the momentum, found by five rounds of a
quintic Newton-Schulz iteration (Jordan et al. 2024, "Muon: an optimizer for hidden layers in
neural networks"), scaled so that its entries have AdamW's usual size and both take one learning
rate (Liu et al. 2025, "Muon is scalable for LLM training", equation 4).  A small network learns
more per step this way.  `torch.optim.Muon` does the same in bfloat16, one matrix at a time:
emulated on most CPUs, that takes longer than the step of a small network; here matrices of one
shape go together, in float32.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Largest slope at zero with all singular values ending near one (Jordan et al.).
A, B, C = 3.4445, -4.7750, 2.0315
ROUNDS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return (N, m, n) matrices with their singular values brought near one, 0.7 to 1.2."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.transpose(1, 2)
    x = wide / wide.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x if wide is matrices else x.transpose(1, 2)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for matrices."""

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.02,
                 momentum: float = 0.95) -> None:
        """params: parameters of two dimensions, or groups of them."""
        super().__init__(params, {'lr': lr, 'weight_decay': weight_decay, 'momentum': momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; parameters without a gradient stay."""
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group['params']:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                updates = orthogonalised(torch.stack([
                    self._momentum(p, group['momentum']) for p in parameters]))
                rate = group['lr'] * 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group['lr'] * group['weight_decay'])
                    parameter.add_(update, alpha=-rate)

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if 'momentum_buffer' not in state:
            state['momentum_buffer'] = torch.zeros_like(gradient)
        kept: Tensor = state['momentum_buffer'].lerp_(gradient, 1 - momentum)
        return gradient.lerp(kept, momentum)
