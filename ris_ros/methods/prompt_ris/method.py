"""Prompt-RIS as a method: SAM's embedding once per picture, sentences side by side."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.methods.base import Method
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.methods.regions import chunks
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Regions, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.methods.prompt_ris.model import Answers, PromptRisModel
    from ris_ros.profiles import Networks

ROLE = 'prompt_ris'


class PromptRisMethod(Method):
    """Draws a mask for every sentence; proposals are not needed."""

    name = 'prompt_ris'
    settings_class = PromptRisSettings

    def __init__(self, model: PromptRisModel, settings: PromptRisSettings | None = None) -> None:
        self.model = model
        self.settings = settings or PromptRisSettings()
        self.device = model.device

    @classmethod
    def from_networks(cls, networks: Networks, settings: PromptRisSettings) -> PromptRisMethod:
        """Build the method over a profile's networks.

        Raises BadInputError where the profile has no Prompt-RIS network: nobody published one.
        """
        name = settings.network
        if not name and not networks.has(ROLE):
            raise BadInputError(
                f'the profile {networks.profile.name} has no Prompt-RIS network, and none was '
                'ever published; train one with `ris train prompt_ris` (docs/prompt_ris.md), or '
                'use the profile tabletop')
        if name and networks.kind_of(name) != ROLE:
            raise BadInputError(f'{name} is no Prompt-RIS network; take one of kind {ROLE}, as '
                                '`ris models list` shows them')
        return cls(networks.load(name or ROLE), settings)

    def prepare(self, view: View) -> Scene:
        """Embed the picture for both networks; the scene has no proposals."""
        start = seconds_now(self.device)
        with self.model.autocast():
            picture = self.model.look(view.rgb, self.settings.answer == 'final')
        return Scene.without_proposals(self.name, view, {'picture': picture},
                                       {'embed': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Draw the mask of what a sentence means, and of what else it may mean."""
        target = analysis.command.target
        if target is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        return self._ground(scene, [target.expression])[0]

    def ground_many(self, scene: Scene, analyses: Sequence[Analysis]) -> list[Grounding | None]:
        """Answer several sentences side by side, None for each that names no object."""
        asked = [(i, a.command.target.expression) for i, a in enumerate(analyses)
                 if a.command.target is not None]
        out: list[Grounding | None] = [None] * len(analyses)
        for part in chunks(len(asked), self.settings.sentences):
            places, texts = zip(*asked[part], strict=True)
            for place, grounding in zip(places, self._ground(scene, texts), strict=True):
                out[place] = grounding
        return out

    def _ground(self, scene: Scene, texts: Sequence[str]) -> list[Grounding]:
        start = seconds_now(self.device)
        with self.model.autocast():
            tokens, notes = self.model.tokens([text.lower() for text in texts])
            answers = self.model.answer(scene.cache['picture'], tokens, scene.view.size,
                                        self.settings)
        match = self.model.calibration.probability(self.settings.presence, answers.features)
        spent = (seconds_now(self.device) - start) / len(texts)
        return [replace(self._grounding(answers, match, row), notes=notes[row],
                        timings={'answer': spent}) for row in range(len(texts))]

    @staticmethod
    def _grounding(answers: Answers, match: np.ndarray, row: int) -> Grounding:
        """Return the grounding of one sentence; an empty mask is no candidate."""
        own = np.flatnonzero(answers.rows == row)
        regions = Regions.of(answers.masks[own])
        scores = np.where(regions.areas > 0, match[own], -np.inf).astype(np.float32)
        order = np.argsort(-scores, kind='stable')
        details: dict[str, Any] = {name: values[own].tolist()
                                   for name, values in answers.features.items()}
        return Grounding(scores=scores, order=order[np.isfinite(scores[order])].astype(np.int64),
                         probabilities=np.where(regions.areas > 0, match[own], 0.0).astype(
                             np.float32),
                         heatmap=answers.heatmaps[row], details=details, own=regions)
