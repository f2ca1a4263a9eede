"""What is told beyond the one target: a box around it, and where the other candidates are.

Computed on the worker's thread, and only where somebody wants it; no ROS here.
"""
from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from ris_ros.geometry import (
    GeometrySettings,
    NoDepthError,
    OrientedBox,
    RigidTransform,
    Surroundings,
    target_geometry,
)
from ris_ros.target import Measurement, place_of_target
from ris_ros.types import Outcome, Segmentation, View


@dataclass(frozen=True, eq=False)
class Detail:
    """box: around the target, None where there is no target or no plane that it stands on.

    points: (3,) metres by the rank of each candidate that has enough depth under its mask.
    about: what is beside and above the target, None where there is no box.
    """

    box: OrientedBox | None = None
    points: Mapping[int, np.ndarray] = field(default_factory=dict)
    about: Surroundings | None = None

    def placed(self, transform: RigidTransform) -> Detail:
        """Return the same in another frame."""
        box = self.box
        if box is not None:
            box = replace(box, centre=transform.points(box.centre),
                          orientation=transform.orientation(box.orientation))
        return Detail(box, {rank: transform.points(p) for rank, p in self.points.items()},
                      self.about)


def detail_of(segmentation: Segmentation, measured: Measurement, view: View,
              settings: GeometrySettings, wanted: bool) -> Detail:
    """Return the box of the target and the candidates' points.

    view: with depth and camera only where they fit the image; without, nothing is known.
    wanted: whether somebody looks; several objects that fit have points in any case, for who
    has to choose among them.
    """
    several = segmentation.outcome is Outcome.AMBIGUOUS
    if view.depth is None or view.camera is None or not (wanted or several):
        return Detail()
    place = None
    alone = len(segmentation.selected) < 2   # a box around several things says nothing
    if wanted and alone and measured.geometry is not None:
        place = place_of_target(segmentation.mask, measured.geometry, view.depth, view.camera)
    points: dict[int, np.ndarray] = {}
    for candidate in segmentation.candidates:
        with suppress(NoDepthError):
            points[candidate.rank] = target_geometry(
                candidate.mask, view.depth, view.camera, settings).point
    return Detail(points=points) if place is None else Detail(place.box, points, place.about)
