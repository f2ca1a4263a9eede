"""Attention whose gradient is quick on a processor in bfloat16.

PyTorch's own backward pass on a CPU makes its scores value by value there, up to eight times as
long as the forward pass; products of matrices that fit the cache run on the processor's matrix
units.  Everywhere else PyTorch's attention is used as it is.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    functional = torch.nn.functional

# Scores held at once in the backward pass, in values: 2 MiB of bfloat16, which the cache holds.
SCORES = 1 << 20


def attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Return softmax(query key^T / sqrt(d)) value, (B, H, Q, d), as PyTorch's attention does.

    query: (B, H, Q, d).  key, value: (B, H, K, d).  attn_mask: bool, True where a query may
    look, (Q, K) or broadcast to (B, H, Q, K); every query may look somewhere.
    """
    slow = (query.device.type == 'cpu' and torch.is_grad_enabled() and query.ndim == 4
            and query.dtype == key.dtype == value.dtype == torch.bfloat16
            and (query.requires_grad or key.requires_grad or value.requires_grad))
    if not slow:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
    out: Tensor = _Attend.apply(query, key, value, attn_mask)
    return out


class _Attend(torch.autograd.Function):
    """The forward pass is PyTorch's; the backward pass makes the scores again, a few heads at
    a time: with P the shares, dS = P (dP - sum(dO O)), dP = dO V^T.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
                ) -> Tensor:
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        ctx.save_for_backward(query, key, value, out)
        ctx.mask = mask
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat = [x.flatten(0, 1) for x in (*ctx.saved_tensors, *grads)]
        query, key, value, out, grad = flat
        hidden = _hidden(ctx.mask, ctx.saved_tensors[0].shape[:2])
        scale = query.shape[-1] ** -0.5
        shifts = (grad * out).sum(dim=-1, keepdim=True, dtype=torch.float32).to(grad.dtype)
        made = [torch.empty_like(x) for x in (query, key, value)]
        step = max(1, SCORES // (query.shape[1] * key.shape[1]))
        for first in range(0, len(query), step):
            some = slice(first, first + step)
            scaled = query[some] * scale
            scores = torch.bmm(scaled, key[some].transpose(1, 2))
            if hidden is not None:
                scores.masked_fill_(hidden[some] if hidden.ndim == 3 else hidden, float('-inf'))
            shares = scores.softmax(dim=-1)
            torch.bmm(shares.transpose(1, 2), grad[some], out=made[2][some])
            change = torch.bmm(grad[some], value[some].transpose(1, 2))
            change.sub_(shifts[some]).mul_(shares)
            torch.bmm(change, key[some], out=made[0][some]).mul_(scale)
            torch.bmm(change.transpose(1, 2), scaled, out=made[1][some])
        found = [x.view(like.shape) for x, like in zip(made, ctx.saved_tensors[:3], strict=True)]
        return (*found, None)


def _hidden(mask: Tensor | None, rows: torch.Size) -> Tensor | None:
    """Return where nobody may look, (Q, K) or per head (B H, Q or 1, K)."""
    if mask is None or mask.ndim == 2:
        return None if mask is None else ~mask
    return (~mask).expand(*rows, -1, -1).flatten(0, 1)
