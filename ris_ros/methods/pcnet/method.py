"""PCNet (NeurIPS 2024) as a method: the tower once per picture, sentences side by side.

`prepare` runs the residual tower and what the stages read of the picture; where masks are
proposals it makes those, where SAM draws at the peak it makes SAM's embedding.  `ground` costs a
text and a few small products.  The response map is the heat map; its peak becomes a mask by
SAM (`rules: paper`), by the stored proposal that holds it (`released`), or is the map itself.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.base import Method
from ris_ros.methods.pcnet.settings import PCNetSettings
from ris_ros.methods.pcnet.text import ModelCues, rule_cues
from ris_ros.methods.regions import scene_of
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Regions, Scene, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.methods.pcnet.model import Asked, PCNetModel
    from ris_ros.models.proposals import Proposals, SamProposer
    from ris_ros.profiles import Networks

ROLE = 'pcnet'


class PCNetMethod(Method):
    """The method over a trained PCNet and a SAM, which `mask_from: map` does without."""

    name = 'pcnet'
    settings_class = PCNetSettings

    def __init__(self, model: PCNetModel, proposer: SamProposer | None,
                 settings: PCNetSettings | None = None) -> None:
        """proposer: None where no SAM is to be had; then masks can come from the map alone."""
        self.model, self.proposer = model, proposer
        self.settings = settings or PCNetSettings()
        self.device = model.device
        self._model_cues = None
        if self.settings.cue_model:
            from pathlib import Path
            self._model_cues = ModelCues(self.settings.cue_model,
                                         Path('~/.cache/ris_ros/cues').expanduser(), self.device)
        self.check_settings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: PCNetSettings) -> PCNetMethod:
        """Build the method over a profile's networks.

        Raises BadInputError where the profile has no PCNet: nobody published one.
        """
        name = settings.network
        if not name and not networks.has(ROLE):
            raise BadInputError(
                f'the profile {networks.profile.name} has no PCNet, and no weights were ever '
                'published; train one with `ris train pcnet` (docs/pcnet.md), or use the profile '
                'tabletop')
        if name and networks.kind_of(name) != ROLE:
            raise BadInputError(f'{name} is no PCNet; take one of kind {ROLE}, as `ris models '
                                'list` shows them')
        proposer = None
        if networks.has('sam') or settings.mask_source() != 'map':
            proposer = networks.proposer(settings)
        return cls(networks.load(name or ROLE), proposer, settings)

    def check_settings(self) -> None:
        """Raise BadInputError for a stage or companions that the network has not."""
        settings, network = self.settings, self.model.network
        if settings.proposals != 'sam':
            raise BadInputError('PCNet asks its SAM at points of the picture and takes no other '
                                f'proposals; set proposals=sam, not {settings.proposals}')
        if settings.stage > self.model.stages:
            raise BadInputError(f'this PCNet has {self.model.stages} stages, there is no stage '
                                f'{settings.stage}')
        if settings.context == 'companions' and not network.config.companions:
            raise BadInputError('this PCNet was trained without companions; set context=alone')
        if self.proposer is None and settings.mask_source() != 'map':
            raise BadInputError('there is no SAM to draw masks; set mask_from=map')

    def prepare(self, view: View) -> Scene:
        """See the picture; make proposals or SAM's embedding where masks come from them."""
        start = seconds_now(self.device)
        seen = self.model.look(view.rgb)
        timings = {'tower': seconds_now(self.device) - start}
        cache: dict[str, Any] = {'seen': seen}
        source, proposer = self.settings.mask_source(), self.proposer
        if source == 'map' or proposer is None:
            return Scene.without_proposals(self.name, view, cache, timings)
        start = seconds_now(self.device)
        if source == 'sam':
            cache['sam'] = proposer.embed(view)
            timings['sam'] = seconds_now(self.device) - start
            return Scene.without_proposals(self.name, view, cache, timings)
        found = self._kept(proposer.propose(view).to(self.device))
        from ris_ros.methods.pcnet.masks import cells_of
        cache['cells'] = cells_of(found.masks, self.model.grid)
        timings['proposals'] = seconds_now(self.device) - start
        return scene_of(self.name, view, found, cache, timings)

    def _kept(self, found: Proposals) -> Proposals:
        """Return the largest P proposals of at least the smallest area, in their order."""
        torch = require('torch', 'models')
        from ris_ros.models.proposals import pixel_counts
        areas = pixel_counts(found.masks)
        keep = torch.nonzero(areas >= self.settings.min_mask_region_area)[:, 0]
        most = self.settings.most_proposals
        if most and len(keep) > most:
            keep = keep[areas[keep].argsort(descending=True, stable=True)[:most]].sort().values
        return found.some(keep)

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Answer one sentence.  Raises BadInputError where it names no object."""
        return self.answer(scene, [self.read(analysis)])[0]

    def ground_many(self, scene: Scene, analyses: Sequence[Analysis]) -> list[Grounding | None]:
        """Answer several sentences side by side, None for each that names no object."""
        out: list[Grounding | None] = [None] * len(analyses)
        asked = []
        for place, analysis in enumerate(analyses):
            try:
                asked.append((place, self.read(analysis)))
            except BadInputError:
                continue
        if asked:
            places, sentences = zip(*asked, strict=True)
            for place, grounding in zip(places, self.answer(scene, sentences), strict=True):
                out[place] = grounding
        return out

    def read(self, analysis: Analysis) -> Asked:
        """Return a sentence with its cues; raises BadInputError where it names no object."""
        from ris_ros.methods.pcnet.model import Asked
        target = analysis.command.target
        if target is None or analysis.doc is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        text = target.expression.lower()
        if self._model_cues is not None:
            return Asked(text, self._model_cues(text, analysis.doc))
        return Asked(text, rule_cues(analysis.doc))

    def answer(self, scene: Scene, asked: Sequence[Asked]) -> list[Grounding]:
        """Answer sentences whose cues are known; no answer depends on another."""
        from ris_ros.methods.pcnet.model import heatmaps
        start, settings, model = seconds_now(self.device), self.settings, self.model
        maps = model.respond(scene.cache['seen'], asked, settings.context)
        last = maps[settings.stage - 1] if settings.stage else maps[-1]
        heat = heatmaps(last, scene.view.size, model.network.config.image_size,
                        settings.normalise).cpu().numpy()
        spent = (seconds_now(self.device) - start) / len(asked)
        draw = {'sam': self._sam, 'proposals': self._proposals, 'map': self._map}[
            settings.mask_source()]
        found = []
        for row, sentence in enumerate(asked):
            start = seconds_now(self.device)
            own, features, scores = draw(scene, heat[row], last[row], maps[0][row])
            timings = {'respond': spent, 'mask': seconds_now(self.device) - start}
            found.append(self._grounding(own, features, scores, heat[row], sentence, timings))
        return found

    def _sam(self, scene: Scene, heat: np.ndarray, last: Tensor, first: Tensor
             ) -> tuple[Regions | None, dict[str, np.ndarray], np.ndarray]:
        """Return SAM's masks at the peaks, the highest peak first."""
        torch = require('torch', 'models')
        from ris_ros.methods.pcnet.masks import peaks_of
        settings, proposer = self.settings, self.proposer
        assert proposer is not None
        peaks = peaks_of(heat, last.cpu().numpy(), settings.max_objects, settings.peak_share)
        points = torch.tensor([[x, y] for y, x in peaks], dtype=torch.float32)
        masks, _ = proposer.at_points(scene.cache['sam'], points, scene.view.size,
                                      settings.sam_output)
        return self._own(masks, heat, peaks, last, first)

    def _map(self, scene: Scene, heat: np.ndarray, last: Tensor, first: Tensor
             ) -> tuple[Regions | None, dict[str, np.ndarray], np.ndarray]:
        """Return the map above its threshold as the one mask."""
        torch = require('torch', 'models')
        from ris_ros.methods.pcnet.masks import peak_of
        mask = torch.from_numpy(heat > self.settings.map_threshold)
        return self._own(mask[None], heat, [peak_of(heat)], last, first)

    def _own(self, masks: Tensor, heat: np.ndarray, peaks: list[tuple[int, int]], last: Tensor,
             first: Tensor) -> tuple[Regions, dict[str, np.ndarray], np.ndarray]:
        from ris_ros.methods.pcnet.masks import cells_of, features_of
        features = features_of(last, first, cells_of(masks.to(self.device), self.model.grid))
        regions = Regions.of(masks.cpu().numpy())
        height = np.array([heat[peak] for peak in peaks], np.float64)
        return regions, features, np.where(regions.areas > 0, height, -np.inf)

    def _proposals(self, scene: Scene, heat: np.ndarray, last: Tensor, first: Tensor
                   ) -> tuple[Regions | None, dict[str, np.ndarray], np.ndarray]:
        """Return the scores of the stored proposals: the one that holds the peak is the best."""
        from ris_ros.methods.pcnet.masks import features_of, highest_inside, peak_of
        features = features_of(last, first, scene.cache['cells'])
        if self.settings.rank == 'mean':
            return None, features, features['inside']
        return None, features, highest_inside(heat, scene.masks, peak_of(heat))

    def _grounding(self, own: Regions | None, features: dict[str, np.ndarray],
                   scores: np.ndarray, heat: np.ndarray, sentence: Asked,
                   timings: dict[str, float]) -> Grounding:
        candidates = np.flatnonzero(np.isfinite(scores))
        order = candidates[np.argsort(-scores[candidates], kind='stable')]
        match = self.model.calibration.probability(features) if len(scores) else np.zeros(
            0, np.float32)
        notes = self.model.notes(sentence.text)
        if not heat.any():
            notes = (*notes, 'nothing in the picture answers to the sentence: its response map is '
                             'dark everywhere')
            match = np.zeros_like(match)
        return Grounding(
            scores=scores.astype(np.float32), order=order.astype(np.int64),
            probabilities=np.where(np.isfinite(scores), match, 0).astype(np.float32),
            heatmap=heat, timings=timings, own=own, notes=notes,
            details={'cues': list(sentence.cues),
                     **{name: values.tolist() for name, values in features.items()}})
