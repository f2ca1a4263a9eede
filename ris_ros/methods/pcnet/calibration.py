"""From what the maps say of a mask to the probability that it is meant (ours).

The paper knows no sentence without an answer.  A logistic function of three numbers, fitted on
validation pictures whose sentences fit one object, several or none, and stored beside the
weights.  Importable without torch.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ris_ros.methods.logistic import Logistic
from ris_ros.types import WeightsError

# Logits: the last map's highest and mean value inside of the mask, the first stage's mean.
FEATURES = ('peak', 'inside', 'first')
# Without a fit: the mean of the last map, whose training has 0 where a text is as likely true
# of a place as not.
PLAIN = Logistic(0.0, {'inside': 1.0})


def to_dict(fit: Logistic) -> dict[str, Any]:
    """Return a fit JSON-ready."""
    return {'bias': fit.bias, 'weights': dict(fit.weights)}


def from_dict(data: Mapping[str, Any] | None) -> Logistic:
    """Return what `to_dict` wrote, PLAIN for nothing; raises WeightsError for anything else."""
    if not data:
        return PLAIN
    try:
        fit = Logistic(float(data['bias']),
                       {str(n): float(w) for n, w in data['weights'].items()})
        if not set(fit.weights) <= set(FEATURES):
            raise ValueError(f'it reads {sorted(set(fit.weights) - set(FEATURES))}')
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f'the calibration of this PCNet is damaged ({error}); train or fetch '
                           'it again') from error
    return fit
