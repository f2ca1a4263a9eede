"""From what a network says of an answer to the probability that it fits (ours).

A logistic function of a few numbers, fitted on validation pictures and stored beside the
weights, one per setting of `presence`.  Importable without torch.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ris_ros.methods.logistic import Logistic
from ris_ros.methods.prompt_ris.settings import PRESENCES
from ris_ros.types import WeightsError

# What each kind of evidence reads.  presence: logit of the presence head.  peak: highest coarse
# logit of the region.  inside: logit of the mean coarse probability inside of the mask.
# quality: SAM's predicted IoU.
FEATURES = {'head': ('presence',), 'mask': ('peak', 'inside', 'quality'),
            'both': ('presence', 'peak', 'inside', 'quality')}


# Without a fit: the head alone, else the mean coarse probability inside of the mask.
PLAIN = {'head': Logistic(0.0, {'presence': 1.0}), 'mask': Logistic(0.0, {'inside': 1.0}),
         'both': Logistic(0.0, {'presence': 0.5, 'inside': 0.5})}


@dataclass(frozen=True)
class Calibration:
    """One Logistic per kind of evidence; those that are missing are PLAIN."""

    fits: Mapping[str, Logistic] = field(default_factory=dict)

    def probability(self, presence: str, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the probability (K,) that each answer fits.

        features: of FEATURES, (K,) each; 'presence' may be missing where the network has no such
        head: then the masks alone decide.
        """
        kind = presence if 'presence' in features else 'mask'
        return self.fits.get(kind, PLAIN[kind]).probability(features)

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {kind: {'bias': fit.bias, 'weights': dict(fit.weights)}
                for kind, fit in self.fits.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Return what `to_dict` wrote; raises WeightsError for anything else."""
        try:
            if not set(data) <= set(PRESENCES):
                raise ValueError(f'unknown kinds {sorted(set(data) - set(PRESENCES))}')
            fits = {kind: Logistic(float(one['bias']),
                                   {str(n): float(w) for n, w in one['weights'].items()})
                    for kind, one in data.items()}
            for kind, fit in fits.items():
                if not set(fit.weights) <= set(FEATURES[kind]):
                    raise ValueError(f'{kind} cannot read {sorted(fit.weights)}')
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f'the calibration of this Prompt-RIS network is damaged '
                               f'({error}); train or fetch it again') from error
        return cls(fits)


def logit(probability: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 - p)) of probabilities kept within [1e-6, 1 - 1e-6]."""
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))
