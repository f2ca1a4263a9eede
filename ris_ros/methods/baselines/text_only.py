"""Baseline: the sentence against what a captioner says of each proposal, by text alone."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.baselines.settings import TextOnlySettings
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import cosines, grounding_of, scene_of
from ris_ros.methods.spatial import softmax
from ris_ros.methods.tas.method import TAS
from ris_ros.methods.tas.settings import TASSettings
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.models.captioner import Captioner
    from ris_ros.models.proposals import Proposals
    from ris_ros.models.scorers import Scorer
    from ris_ros.profiles import Networks


class TextOnly(ProposalMethod):
    """Choose the proposal whose caption is most similar to the sentence (TAS, section 4.3).

    That is TAS's P score alone, over all proposals: no picture is compared with a text.
    """

    name = 'text_only'
    settings_class = TextOnlySettings

    def __init__(self, scorer: Scorer, proposer: Proposer | None, captioner: Captioner,
                 settings: TextOnlySettings | None = None) -> None:
        self.scorer, self.proposer, self.captioner = scorer, proposer, captioner
        self.settings = settings or TextOnlySettings()
        self.device = scorer.device
        self.check_settings()

    def check_settings(self) -> None:
        """Raise BadInputError for an even kernel."""
        self._describer()

    @classmethod
    def from_networks(cls, networks: Networks, settings: TextOnlySettings) -> TextOnly:
        """Build the method over a profile's networks.  BadInputError without a captioner."""
        captioner = networks.captioner(settings.captioner, settings.beams,
                                       settings.max_new_tokens)
        return cls(networks.scorer(settings.scorer), proposer_of(networks, settings), captioner,
                   settings)

    def _describer(self) -> TAS:
        """Return TAS with P scores alone, whose captions these are."""
        s = self.settings
        return TAS(self.scorer, None, TASSettings(
            negatives=False, caption_view=s.caption_view, blur_kernel=s.blur_kernel,
            caption_batch=s.caption_batch), self.captioner)

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far."""
        from ris_ros.models import sampling
        s, start = self.settings, seconds_now(self.device)
        soft = sampling.blur(view.rgb, s.blur_kernel) if s.caption_view == 'blur' else None
        captions = self._describer().describe(view.rgb, soft, proposals.masks,
                                              proposals.boxes).captions
        features = self.scorer.encode_text(captions)
        return scene_of(self.name, view, proposals,
                        {'captions': captions, 'features': features},
                        {**(timings or {}), 'captions': seconds_now(self.device) - start})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals by cosine of caption and sentence, which is the probability too."""
        target = analysis.command.target
        if target is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        start = seconds_now(self.device)
        if not len(scene.masks):
            nothing = np.zeros(0)
            return grounding_of(nothing, nothing.astype(np.int64), nothing, nothing, None, {}, {})
        text = self.scorer.encode_text([target.expression.lower()])
        cosine = cosines(scene.cache['features'], text)[:, 0]
        scores = softmax(self.scorer.logit_scale * cosine)
        return grounding_of(scores, np.arange(len(scores)), np.clip(cosine, 0, 1),
                            scores / scores.max(), None, {'captions': scene.cache['captions']},
                            {'score': seconds_now(self.device) - start})
