"""What a method is asked besides the sentence: how well every mask fits each bare name (ours)."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ris_ros.methods.options import CosineSettings, OutcomeSettings, fitting
from ris_ros.types import Target


def names_asked(target: Target | None, settings: OutcomeSettings) -> tuple[str, ...]:
    """Return the names that the decision counts by: of the target, its relations, its negations.

    Empty where it does not count, so that nothing is computed in vain.
    """
    if target is None or settings.decision != 'count':
        return ()
    kind = (target.head or '').lower()  # to say what there is in place of what is not
    kinds = [] if kind in ('one', 'ones', '') else [kind]
    return tuple(dict.fromkeys(name for name in (*_names(target), *kinds) if name))


def _names(target: Target) -> Iterator[str]:
    yield target.name
    for relation in target.relations:
        yield relation.name
    for negation in target.negations:
        yield from _names(negation.excluded)


def name_texts(names: Sequence[str]) -> list[str]:
    """Return what a text tower is given for names."""
    return [f'a photo of a {name}.' for name in names]


def name_fits(names: Sequence[str], cosine: np.ndarray, settings: CosineSettings, source: str
              ) -> dict[str, np.ndarray] | None:
    """Return the probability that each mask is what is called so, (N,) float32 by name.

    cosine: (N, M) of N regions and M names.  source: `Scene.proposed_by`.  None for no names.
    """
    if not names:
        return None
    settings = fitting(settings, source)
    z = (cosine - settings.name_center) / settings.name_width
    fits = (1.0 / (1.0 + np.exp(-np.clip(z, -60, 60)))).astype(np.float32)
    return {name: fits[:, i] for i, name in enumerate(names)}
