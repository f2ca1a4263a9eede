"""Attention between two kinds of tokens, the part that every piece of Prompt-RIS is made of."""
from __future__ import annotations

from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.models.attention import attend

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn = torch.nn
    functional = nn.functional

KeysValues = tuple['Tensor', 'Tensor']      # each (B, heads, K, d)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return (B, L, C) as (B, heads, L, C / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head attention with separate projections; its width is that of the result.

    query_width, key_width: channels of the two inputs.  width: channels of the result.  Keys
    have no bias: it would shift all scores of a query alike and change nothing.
    """

    def __init__(self, query_width: int, key_width: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(query_width, width)
        self.k = nn.Linear(key_width, width, bias=False)
        self.v = nn.Linear(key_width, width)
        self.out = nn.Linear(width, width)

    def project(self, keys: Tensor, values: Tensor | None = None) -> KeysValues:
        """Return projected keys and values of (B, K, key_width) tokens; values: if others."""
        values = keys if values is None else values
        return split_heads(self.k(keys), self.heads), split_heads(self.v(values), self.heads)

    def forward(self, queries: Tensor, keys_values: KeysValues, keep: Tensor | None = None
                ) -> Tensor:
        """Return (B, Q, width) of (B, Q, query_width) queries.

        keep: (B, K) bool, False for keys that nobody may see.
        """
        keys, values = keys_values
        query = split_heads(self.q(queries), self.heads)
        mask = None if keep is None else keep[:, None, None, :]
        found = attend(query, keys, values, mask)
        return self.out(found.transpose(1, 2).flatten(2))

    def of_fixed(self, queries: Tensor, features: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return (B, Q, width) for queries (Q, query_width) that are the same in all rows.

        features: (B, K, key_width).  With few fixed queries the projections of all features are
        moved to the other side of the products, (X W) q = X (W q) and a (X W) = (a X) W: the
        same function, and no key or value of a feature is ever made.
        """
        query = self.q(queries).unflatten(-1, (self.heads, -1))
        scale = query.shape[-1] ** -0.5
        rows = torch.einsum('qhd,hdc->hqc', query * scale,
                            self.k.weight.unflatten(0, (self.heads, -1)))
        scores = rows.flatten(0, 1).to(features.dtype) @ features.transpose(1, 2)
        if keep is not None:
            scores = scores.masked_fill(~keep[:, None, :], float('-inf'))
        shares = scores.softmax(dim=-1).to(features.dtype)
        found = (shares @ features).unflatten(1, (self.heads, -1))
        values = torch.einsum('bhqc,hdc->bqhd', found,
                              self.v.weight.unflatten(0, (self.heads, -1)))
        return self.out(values.flatten(2) + self.v.bias)


class FeedForward(nn.Module):
    """Norm, two linear maps with GELU between; without the residual."""

    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, ratio * width)
        self.second = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, L, width)."""
        return self.second(functional.gelu(self.first(self.norm(x))))
