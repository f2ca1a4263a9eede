"""A method of another package that proposes nothing: it brings two masks for every sentence."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ris_ros.methods.base import Method
from ris_ros.methods.options import OutcomeSettings
from ris_ros.settings import option
from ris_ros.types import BadInputError, Grounding, Regions, Scene


@dataclass(frozen=True)
class HalvesSettings(OutcomeSettings):
    """The share of the picture that the first mask gets."""

    share: float = option(0.5, 'width of the left mask', unit='picture widths', minimum=0.1,
                          maximum=0.9)


class Halves(Method):
    """The left and the right part of the picture; "right" in the sentence prefers the right."""

    name = 'halves'
    settings_class = HalvesSettings

    def __init__(self, settings):
        self.settings, self.device = settings, 'cpu'

    @classmethod
    def from_networks(cls, networks, settings):
        return cls(settings)

    def prepare(self, view):
        return Scene.without_proposals(self.name, view, {'mean': view.rgb.mean()},
                                       {'look': 0.001})

    def ground(self, scene, analysis):
        if analysis.command.target is None:
            raise BadInputError('the command names no object')
        said = analysis.command.target.expression
        height, width = scene.view.size
        masks = np.zeros((2, height, width), bool)
        edge = round(self.settings.share * width)
        masks[0, :, :edge], masks[1, :, edge:] = True, True
        scores = np.array([0.3, 0.9] if 'right' in said else [0.9, 0.3], np.float32)
        return Grounding(scores, np.argsort(-scores), scores,
                         heatmap=masks[scores.argmax()].astype(np.float32),
                         timings={'halve': 0.001}, own=Regions.of(masks),
                         notes=('It knows left and right alone.',))
