"""Which of the objects that were asked about an answer means (ours)."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ris_ros.decision.looks import depths_of, true_areas
from ris_ros.language.answers import Answer
from ris_ros.types import Option, Regions, View


def meant(answer: Answer, options: Sequence[Option], view: View, regions: Regions,
          guess: Option | None = None) -> list[Option]:
    """Return the options that an answer means; none where it fits none of them.

    options: in the order in which they were told.  guess: what "the other" is not.
    """
    rest = list(options)
    if answer.other:
        rest = [o for o in rest if o is not guess]
    if answer.yes:
        return rest if len(rest) == 1 else []
    if answer.everything:
        return rest
    chosen = rest
    if answer.colour is not None:
        chosen = [o for o in chosen if o.colour == answer.colour]
    if answer.size is not None and chosen:
        areas = true_areas(view, regions, [o.candidate.index for o in chosen])
        at = int(np.argmax(areas) if answer.size == 'bigger' else np.argmin(areas))
        chosen = [chosen[at]]
    if answer.place is not None and chosen:
        row = _row(chosen, view, regions, answer.place)
        chosen = _nth(row, answer.nth or 1)
    elif answer.nth is not None:
        chosen = _nth(chosen, answer.nth)
    if answer.denied:
        return [o for o in rest if o not in chosen]
    return chosen


def _nth(row: Sequence[Option], n: int) -> list[Option]:
    at = len(row) - 1 if n < 0 else n - 1
    return [row[at]] if at < len(row) else []


def _row(options: Sequence[Option], view: View, regions: Regions, place: str) -> list[Option]:
    """Return the options with the one that lies most where `place` says first."""
    index = [o.candidate.index for o in options]
    boxes = regions.boxes[index].astype(np.float64)
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    if place in ('front', 'back'):
        depths = depths_of(view, regions, index)
        keys = -(boxes[:, 1] + boxes[:, 3]) if depths is None else depths
    elif place == 'middle':
        keys = np.abs(centre[:, 0] - np.median(centre[:, 0]))
    else:
        keys = centre[:, 0 if 'left' in place or 'right' in place else 1]
    order = np.argsort(-keys if place in ('right', 'bottom', 'back') else keys, kind='stable')
    return [options[i] for i in order]
