"""Any method as proposer and scorer of bare names, spatial guidance and counting on top (ours).

The base method is asked for each name that a sentence holds ("red mug", "bowl") and says how well
every mask fits it; which of them is meant, relations, places and sizes say, by boxes and depth.
What a base method learned of such words itself is not used.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.methods.base import Method
from ris_ros.methods.fitting import names_asked
from ris_ros.methods.regions import mask_overlaps
from ris_ros.methods.spatial_rerank.scores import SAME_IOU, Sight, guide
from ris_ros.methods.spatial_rerank.settings import SpatialRerankSettings
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Regions, Scene, Target, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.profiles import Networks

LEAST = 0.01   # masks that fit no name better are left out of the comparison


class SpatialRerank(Method):
    """The guidance over a base method.

    analyse: from a bare name to its analysis; by default `ris_ros.language.analyse`.
    """

    name = 'spatial_rerank'
    settings_class = SpatialRerankSettings

    def __init__(self, base: Method, settings: SpatialRerankSettings | None = None,
                 analyse: Callable[[str], Analysis] | None = None) -> None:
        if analyse is None:
            from ris_ros.language import analyse as default
            analyse = default
        self.base, self.device = base, base.device
        self.settings = settings or SpatialRerankSettings(base=base.name)
        self._asking = lru_cache(maxsize=256)(analyse)

    @classmethod
    def from_networks(cls, networks: Networks, settings: SpatialRerankSettings) -> SpatialRerank:
        """Build the base method over a profile's networks, and the guidance over it.

        Raises BadInputError for a base that is unknown, needs the true mask or is this method,
        and for settings that it does not have; else what the base raises.
        """
        from ris_ros.language import analyse
        from ris_ros.methods.registry import find_method, settings_for
        from ris_ros.settings import parse_assignments
        info = find_method(settings.base)
        if info.evaluation_only or info.name == cls.name:
            raise BadInputError(f'base={settings.base}: take a method that answers sentences by '
                                'itself, as `ris methods` lists them')
        said = [part.strip() for part in settings.base_settings.split(',') if part.strip()]
        changes = parse_assignments(info.settings_class(), said)
        # So that it says how well each mask fits the name, not only which fits best.
        own = settings_for(info.name, networks.profile, {**changes, 'decision': 'count'})
        base = info.load().from_networks(networks, own)
        return cls(base, settings, partial(analyse, pipeline=networks.pipeline))

    def prepare(self, view: View) -> Scene:
        """Prepare the view as the base method does."""
        scene = self.base.prepare(view)
        made = Scene.without_proposals(self.name, view, {'base': scene}, scene.timings)
        return replace(made, notes=scene.notes)

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Answer one sentence.  Raises BadInputError where it names no object."""
        target = analysis.command.target
        if target is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        target = named(target)
        start = seconds_now(self.device)
        names = tuple(dict.fromkeys((target.name, *(r.name for r in target.relations),
                                     *names_asked(target, self.settings))))
        found = self.base.ground_many(scene.cache['base'],
                                      [self._asking(f'the {name}') for name in names])
        regions, fits = joined(scene.cache['base'], names, found)
        asked = seconds_now(self.device)
        return self._guided(scene, target, regions, fits, found, {
            'names': asked - start}, asked)

    def _guided(self, scene: Scene, target: Target, regions: Regions,
                fits: dict[str, np.ndarray], found: Sequence[Grounding | None],
                timings: dict[str, float], start: float) -> Grounding:
        s = self.settings
        uses = [use for use in ('relation', 'position', 'size') if getattr(s, use)]
        result = guide(sight_of(scene.view, regions, s.depth), fits, target, s.doubt,
                       s.relation_limit, uses)
        scores = result.scores.astype(np.float32)
        answered = [g for g in found if g is not None]
        return Grounding(
            scores=scores, order=np.argsort(-scores, kind='stable').astype(np.int64),
            probabilities=result.probabilities.clip(0, 1).astype(np.float32),
            heatmap=found[0].heatmap if found[0] is not None else None,
            details={'support': result.support.tolist(), 'place': result.place.tolist(),
                     'size': result.size.tolist(), 'evidence': result.evidence},
            timings={**timings, 'guide': seconds_now(self.device) - start}, own=regions,
            notes=tuple(dict.fromkeys(note for g in answered for note in g.notes)), fits=fits)


def named(target: Target) -> Target:
    """Return the target with a bare name for itself and all it is related to.

    Raises BadInputError where it has none, as for "the left one".
    """
    name = target.name or target.head or ''
    if not name:
        raise BadInputError(f'"{target.expression}" names no object to look for')
    return replace(target, name=name, relations=tuple(
        replace(r, name=r.name or r.object) for r in target.relations))


def joined(scene: Scene, names: Sequence[str], found: Sequence[Grounding | None]
           ) -> tuple[Regions, dict[str, np.ndarray]]:
    """Return the masks of all answers, and how well each fits each name, (N,) float32.

    A base method ranks the scene's proposals, then these are the masks; or each answer brings
    masks of its own: then a mask that was drawn for one name fits another as well as the mask
    that was drawn there for that name.  What fits nothing is left out.
    """
    own = [g.regions(scene) for g in found if g is not None and g.own is not None]
    fits = {name: np.zeros(0, np.float32) for name in names}
    if not own:
        count = len(scene.masks)
        fits = {name: np.zeros(count, np.float32) if g is None else fit_of(g, name)
                for name, g in zip(names, found, strict=True)}
        regions = scene.regions
    else:
        regions = Regions(*(np.concatenate([getattr(r, part) for r in own])
                            for part in ('masks', 'boxes', 'areas')))
        iou, _ = overlaps(regions.masks)
        first = 0
        for name, g in zip(names, found, strict=True):
            fits[name] = np.zeros(len(regions), np.float32)
            if g is None:
                continue
            mine = slice(first, first + len(g.regions(scene)))
            first = mine.stop
            fit = fit_of(g, name)
            same = np.where(iou[:, mine] >= SAME_IOU, fit[None], 0.0)
            fits[name] = same.max(axis=1, initial=0).astype(np.float32)
            fits[name][mine] = np.maximum(fits[name][mine], fit)
    best = np.max(list(fits.values()), axis=0, initial=0) if len(regions) else np.zeros(0)
    keep = np.flatnonzero((best > LEAST) & (regions.areas > 0))
    return regions.some(keep), {name: values[keep].astype(np.float32)
                                for name, values in fits.items()}


def fit_of(grounding: Grounding, name: str) -> np.ndarray:
    """Return how well each mask fits the name, (N,) in [0, 1].

    A method that ranks among like things says that apart (`Grounding.fits`): its probabilities
    are beside the best, so that of two equal mugs one would seem to be none.
    """
    if grounding.fits is not None and name in grounding.fits:
        return np.asarray(grounding.fits[name], dtype=np.float32)
    return grounding.probabilities


def overlaps(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU and intersection over the smaller of all pairs, two (N, N)."""
    import torch
    if not len(masks):
        return np.zeros((0, 0)), np.zeros((0, 0))
    # Small masks would be lost between the rows that are counted of large pictures.
    return mask_overlaps(torch.from_numpy(masks), step=1 if masks[0].size < 1 << 18 else 2)


def sight_of(view: View, regions: Regions, depth: bool) -> Sight:
    """Return where masks are and how large: in metres where depth is wanted and known of all."""
    iou, contained = overlaps(regions.masks)
    areas, depths = regions.areas.astype(np.float64), None
    if depth and view.depth is not None and len(regions):
        near = np.array([_median(view.depth, regions, i) for i in range(len(regions))])
        if np.isfinite(near).all():
            depths, areas = near, areas * near ** 2   # but for the focal lengths
    return Sight(regions.boxes, areas, depths, iou, contained)


def _median(depth: np.ndarray, regions: Regions, index: int) -> float:
    x, y, width, height = (int(v) for v in regions.boxes[index])
    part = (slice(y, y + height), slice(x, x + width))
    inside = depth[part][regions.masks[index][part]]
    inside = inside[np.isfinite(inside)]
    return float(np.median(inside)) if len(inside) else float('nan')
