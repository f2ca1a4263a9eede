"""A logistic function of named numbers: from what a network says of an answer to a probability.

Methods keep one beside their weights, fitted on validation pictures.  Importable without torch.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Logistic:
    """Probability = sigmoid(bias + weights times features), features by name."""

    bias: float
    weights: Mapping[str, float]

    def probability(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the probabilities (K,) float32 of K answers."""
        z = self.bias + sum(w * features[name] for name, w in self.weights.items())
        return (1 / (1 + np.exp(-np.clip(z, -60, 60)))).astype(np.float32)
