"""TAS (Findings of EMNLP 2023): text-augmented scores and a spatial rectifier over SAM masks.

`prepare` does what depends on the image: proposals and their filter, one feature per masked
crop (V), one caption per blurred crop (P), a caption of the whole image with its noun phrases
and their similarity to every crop (N).  `ground` encodes the sentence, leaves out the noun
phrases that mean the same as its head, adds up and looks where the sentence points.  Two rule
sets: `paper` as sections 3.3 and 3.4 say, `released` as the authors' code does (they differ
in a dozen places, see `config/methods/tas.yaml`).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.fitting import name_fits, name_texts, names_asked
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import (
    chunks,
    grounding_of,
    mask_overlaps,
    match_probability,
    scene_of,
)
from ris_ros.methods.room import VIEWS, Room, compared_kind, decides, supported
from ris_ros.methods.spatial import softmax
from ris_ros.methods.tas import scores as scoring
from ris_ros.methods.tas.settings import TASSettings
from ris_ros.methods.tas.text import (
    TASText,
    distractors,
    first_noun,
    head_chunk,
    negative_phrases,
    synonym_test,
    text_plan,
)
from ris_ros.models.device import autocast, seconds_now
from ris_ros.types import BadInputError, Grounding, Scene, Target, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.captioner import Captioner
    from ris_ros.models.proposals import Proposals
    from ris_ros.models.scorers import Scorer
    from ris_ros.profiles import Networks


@dataclass(frozen=True)
class Description:
    """What the captioner says of an image.

    captions: one per mask that the filter leaves; empty where none are wanted.
    negatives: (prompt, its first noun) of each noun phrase of the whole image's caption.
    overall: that caption.
    """

    captions: tuple[str, ...] = ()
    negatives: tuple[tuple[str, str | None], ...] = ()
    overall: str = ''


class TAS(ProposalMethod):
    """The method, over a scorer (an image-text model), a mask proposer and a captioner.

    captioner: may be None where the settings want neither captions nor negatives; else
    BadInputError is raised.  pipeline: of language, parses the caption of the whole image.
    """

    name = 'tas'
    settings_class = TASSettings

    def __init__(self, scorer: Scorer, proposer: Proposer | None,
                 settings: TASSettings | None = None, captioner: Captioner | None = None,
                 pipeline: str = 'auto') -> None:
        self.pipeline = pipeline
        self.scorer, self.proposer, self.captioner = scorer, proposer, captioner
        self.settings = settings or TASSettings()
        self.check_settings()
        self.device = scorer.device

    @classmethod
    def from_networks(cls, networks: Networks, settings: TASSettings) -> TAS:
        """Build the method over a profile's networks; the captioner only where it is wanted."""
        captioner = (networks.captioner(settings.captioner, settings.beams,
                                        settings.max_new_tokens)
                     if _wants_captioner(settings) else None)
        return cls(networks.scorer(settings.scorer), proposer_of(networks, settings), settings,
                   captioner, networks.pipeline)

    def check_settings(self) -> None:
        """Raise BadInputError for an even kernel, or scores that want a captioner in vain."""
        if self.settings.blur_kernel % 2 == 0:
            raise BadInputError('blur_kernel must be odd')
        if self.captioner is None and _wants_captioner(self.settings):
            raise BadInputError('TAS needs a captioner for its P and N scores; give one, or set '
                                'captions and negatives to false')

    @property
    def _released(self) -> bool:
        return self.settings.rules == 'released'

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None,
                     description: Description | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far.

        description: in place of what the captioner would say.
        """
        image = view.rgb
        times = [seconds_now(self.device)]

        def lap() -> float:
            times.append(seconds_now(self.device))
            return times[-1] - times[-2]

        spent = dict(timings or {})
        kept, chosen, extents = self._filtered(proposals.masks, proposals.boxes)
        centroids = self._centroids(chosen)
        spent['filter'] = lap()
        soft = self._soft(image)
        features = self._features(image, soft, chosen, extents)
        spent['regions'] = lap()
        if description is None:
            description = self.describe(image, soft, chosen, extents)
        spent['captions'] = lap()
        host = proposals.to('cpu')
        room = Room.of(view, host)
        prompts = [prompt for prompt, _ in description.negatives]
        captions = self.scorer.encode_text(description.captions)
        cache = {'kept': kept, 'centroids': centroids, 'features': features,
                 'captions': captions, 'description': description,
                 'negatives': self._similarity(features, self.scorer.encode_text(prompts)),
                 'room': room}
        if self.settings.relations_in == 'room':
            _ = room.places   # looked at now, so that a sentence need not wait for it
        spent['texts'] = lap()
        return scene_of(self.name, view, host, cache, spent)

    def _filtered(self, masks: Tensor, boxes: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return indices, masks and boxes of the proposals that are looked at."""
        s = self.settings
        if s.mask_filter == 'off' or not len(masks):
            kept = np.arange(len(masks))
        else:
            from ris_ros.models.suppression import intersections
            with autocast(self.device, 'fp32'):
                shared = intersections(masks).double().cpu().numpy()
            kept = scoring.keep_masks(np.diag(shared), shared, s.min_mask_area, s.containment)
        index = require('torch', 'models').from_numpy(kept).to(masks.device)
        return kept, masks[index], boxes[index]

    def _centroids(self, masks: Tensor) -> np.ndarray:
        """Return the mean row and column of each mask, (M, 2) float64.

        The released code cuts them to whole numbers.
        """
        if not len(masks):
            return np.zeros((0, 2))
        with autocast(self.device, 'fp32'):
            ready = masks.float()  # products of it are exact and faster than sums of bools
            height, width = ready.shape[1:]
            rows = (ready @ ready.new_ones(width)).double().cpu().numpy()
            columns = (ready.new_ones(height) @ ready).double().cpu().numpy()
        area = np.maximum(rows.sum(1), 1)
        means = np.stack([rows @ np.arange(rows.shape[1]) / area,
                          columns @ np.arange(columns.shape[1]) / area], axis=1)
        return np.trunc(means) if self._released else means

    def _soft(self, image: np.ndarray) -> np.ndarray | None:
        """Return the blurred image where a view wants it."""
        from ris_ros.models import sampling
        s = self.settings
        wanted = s.clip_view == 'blur' or (s.caption_view == 'blur' and s.captions)
        return sampling.blur(image, s.blur_kernel) if wanted else None

    def views(self, image: np.ndarray, soft: np.ndarray | None, masks: Tensor, boxes: Tensor,
              model: Scorer | Captioner, view: str) -> Tensor:
        """Return the normalised pictures of M regions for a model, (M, 3, s, s) float32.

        view: 'crop' (black around the mask) or 'blur' (`soft` around it).  The box is cut
        out and padded with black to a square; the released code loses its last row and
        column, and one pixel of the padding where that is uneven.
        """
        from ris_ros.models import pillow_resize, sampling
        inside = self._tensor(image)
        outside = self._tensor(soft) if view == 'blur' and soft is not None else None
        if self._released:
            boxes = boxes - boxes.new_tensor([0, 0, 1, 1])
        pixels = pillow_resize.square_crops(inside, outside, masks, boxes, model.image_size,
                                            model.fit, exact=not self._released)
        return sampling.normalise(pixels / 255, model.mean, model.std)

    def _tensor(self, image: np.ndarray) -> Tensor:
        torch = require('torch', 'models')
        return torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(
            2, 0, 1).float()

    def _features(self, image: np.ndarray, soft: np.ndarray | None, masks: Tensor,
                  boxes: Tensor) -> Tensor:
        torch = require('torch', 'models')
        parts = [self.scorer.encode_images(self.views(
            image, soft, masks[part], boxes[part], self.scorer, self.settings.clip_view))
            for part in chunks(len(masks), self.settings.region_batch)]
        return torch.cat(parts) if parts else torch.zeros(0, 1, device=self.device)

    def describe(self, image: np.ndarray, soft: np.ndarray | None, masks: Tensor, boxes: Tensor
                 ) -> Description:
        """Return the captions of M regions and of the whole image, as the settings want."""
        s, captioner = self.settings, self.captioner
        if captioner is None:
            return Description()
        captions: list[str] = []
        if s.captions:
            for part in chunks(len(masks), s.caption_batch):
                captions += captioner.caption(self.views(
                    image, soft, masks[part], boxes[part], captioner, s.caption_view))
        if not s.negatives or not len(masks):
            return Description(tuple(captions))
        from ris_ros.language.pipelines import load_pipeline
        from ris_ros.language.wordnet import open_wordnet
        open_wordnet()  # reads its index now, not with the first sentence
        overall = captioner.caption(self._whole_image(image, captioner))[0]
        return Description(tuple(captions),
                           negative_phrases(load_pipeline(self.pipeline)(overall)), overall)

    def _whole_image(self, image: np.ndarray, captioner: Captioner) -> Tensor:
        """Return the image as the captioner's one picture, its sides stretched to the square."""
        from ris_ros.models import pillow_resize, sampling
        pixels = pillow_resize.stretched(self._tensor(image), captioner.image_size)
        return sampling.normalise(pixels[None] / 255, captioner.mean, captioner.std)

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals for one analysed sentence.

        Raises BadInputError where the sentence names no object.
        """
        if analysis.doc is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        start = seconds_now(self.device)
        plan = text_plan(analysis.doc, self.settings.rules)  # type: ignore[arg-type]
        description: Description = scene.cache['description']
        kept = np.ones(len(description.negatives), dtype=bool)
        if len(kept):
            from ris_ros.language.wordnet import open_wordnet
            near = synonym_test(open_wordnet(), self.settings.rules)  # type: ignore[arg-type]
            head = first_noun(head_chunk(analysis.doc))
            kept = np.array(distractors(head, description.negatives, near))
        return self.score(scene, plan, kept, analysis.command.target,
                          {'text': seconds_now(self.device) - start})

    def score(self, scene: Scene, plan: TASText, others: np.ndarray,
              target: Target | None = None, timings: dict[str, float] | None = None
              ) -> Grounding:
        """Return the grounding (equations 1 to 6, section 3.4).

        others: (K,) bool, which noun phrases of the image's caption are none of what is
        meant.  `details` has the terms, the soft-maxed score and the choice before the
        rectifier, per kept mask; `kept` has their indices.
        """
        start, s, cache = seconds_now(self.device), self.settings, scene.cache
        kept, n = cache['kept'], len(scene.masks)
        if not len(kept):
            return grounding_of(np.zeros(n), kept, np.zeros(n), np.zeros(n), None, {},
                                timings or {})
        scale = s.score_scale or self.scorer.logit_scale
        names = names_asked(target, s)
        texts = self.scorer.encode_text([plan.sentence, plan.noun_phrase, *name_texts(names)])
        cosine = self._similarity(cache['features'], texts)
        p = np.zeros(len(kept))
        if s.captions and len(cache['captions']):
            p = scale * self._similarity(cache['captions'], texts[:1])[:, 0]
        n_term = np.zeros(len(kept))
        if s.negatives:
            n_term = scale * scoring.mean_negatives(cache['negatives'], others)
        v = scale * cosine[:, 0]
        raw = scoring.total(v, p, n_term, s.alpha, s.negative_lambda)
        held = self._held(scene, target, scale, cosine[:, 1]) if s.relations_in == 'room' else None
        if held is not None:
            raw = raw + np.log(np.maximum(held, 1e-6))
        final = scoring.normalised(raw)
        allowed = (scoring.allowed(plan, target, cache['centroids'], s.rules,
                                   s.rectify_relations)
                   if s.rectifier else np.arange(len(kept)))
        details = {'v': v, 'p': p, 'n': n_term, 'score': final, 'kept': kept, 'plan': plan,
                   'before_rectifier': int(np.argmax(final)), 'others': others,
                   'description': cache['description']}

        def spread(values: np.ndarray) -> np.ndarray:
            out = np.zeros(n)
            out[kept] = values
            return out

        relative = np.exp(np.minimum(raw - raw[allowed].max(), 0))
        fits = name_fits(names, cosine[:, 2:], s, scene.proposed_by)
        return grounding_of(
            spread(final), kept[allowed],
            spread(match_probability(cosine[:, 1], s, scene.proposed_by)),
            spread(relative), None, details,
            {**(timings or {}), 'score': seconds_now(self.device) - start},
            {n: spread(fit) for n, fit in fits.items()} if fits else None,
            ('view',) if held is not None and compared_kind(target) in VIEWS else ())

    def _held(self, scene: Scene, target: Target | None, scale: float, likes: np.ndarray
              ) -> np.ndarray | None:
        """Return how far what the room decides holds of each kept mask, (M,); None: nothing.

        likes: (M,) cosines with the target's phrase.
        """
        room: Room = scene.cache['room']
        if target is None or not decides(target) or room.places is None:
            return None
        kept, n = scene.cache['kept'], len(scene.masks)

        def spread(cosine: np.ndarray) -> np.ndarray:
            out = np.zeros(n)
            out[kept] = softmax(scale * cosine)
            return out

        phrases = [r.expression or r.object for r in target.relations]
        others = self._similarity(scene.cache['features'], self.scorer.encode_text(phrases))
        iou, containment = mask_overlaps(scene.cache['proposals'].masks)
        found = supported(room, target, spread(likes), [spread(o) for o in others.T],
                          (iou < 0.5) & (containment < 0.8))
        return None if found is None else found[kept]

    def _similarity(self, features: Tensor, texts: Tensor) -> np.ndarray:
        """Return (M, K) float64 cosines; the best of a region's features where it has several."""
        if not len(features) or not len(texts):
            return np.zeros((len(features), len(texts)))
        functional = require('torch.nn.functional', 'models')
        with autocast(self.device, 'fp32'):
            product = functional.normalize(features, dim=-1) @ functional.normalize(
                texts, dim=-1).T
            if product.ndim == 3:
                product = product.amax(1)
            return product.double().cpu().numpy()


def _wants_captioner(settings: TASSettings) -> bool:
    return settings.captions or settings.negatives
