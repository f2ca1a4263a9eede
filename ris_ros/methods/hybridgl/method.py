"""HybridGL (CVPR 2025): hybrid global-local features and spatial guidance over SAM proposals.

`prepare` computes what depends on the image: proposals, one hybrid feature per proposal
(equations 1 and 2) and GEM's patch features.  `ground` needs text features, one product with
the patches and one with the masks.  Two rule sets: `paper` scores as sections 3.2 and 3.3
say, `released` as the authors' code does (they differ in a dozen places, see
`config/methods/hybridgl.yaml`).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.fitting import name_fits, name_texts, names_asked
from ris_ros.methods.hybridgl import scores as scoring
from ris_ros.methods.hybridgl.settings import HybridGLSettings
from ris_ros.methods.hybridgl.text import HybridGLText, text_plan
from ris_ros.methods.options import by_rules
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import (
    chunks,
    cosines,
    grounding_of,
    mask_overlaps,
    match_probability,
    scene_of,
)
from ris_ros.methods.room import Room
from ris_ros.methods.spatial import position_prior
from ris_ros.models.device import autocast, seconds_now
from ris_ros.types import BadInputError, Grounding, Scene, Target, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Text side of one expression, raw CLIP features on the model's device.

    target: (D,) mixture of sentence and noun phrase.  phrase: (D,) noun phrase alone.
    others: (M, D) the other objects (released rules: their mean, M is 1 or 0).
    gem: (E,) unit norm, text of the response map.  names: (K, D) of the bare names that are
    asked for, None for none.
    """

    target: Tensor
    phrase: Tensor
    others: Tensor
    gem: Tensor
    names: Tensor | None = None


class HybridGL(ProposalMethod):
    """The method, over a CLIP and a mask proposer.

    gem_clip: another CLIP for the response map; by default the same.
    """

    name = 'hybridgl'
    settings_class = HybridGLSettings

    def __init__(self, clip: ClipModel, proposer: Proposer | None,
                 settings: HybridGLSettings | None = None,
                 gem_clip: ClipModel | None = None) -> None:
        from ris_ros.models.vit import check_tower
        self.clip, self.gem_clip, self.proposer = clip, gem_clip or clip, proposer
        self.settings = settings or HybridGLSettings()
        self.check_settings()
        check_tower(self.clip.visual)
        check_tower(self.gem_clip.visual)
        self.device = clip.device

    def check_settings(self) -> None:
        """Raise BadInputError for an even kernel."""
        if self.settings.blur_kernel % 2 == 0:
            raise BadInputError('blur_kernel must be odd')

    @classmethod
    def from_networks(cls, networks: Networks, settings: HybridGLSettings) -> HybridGL:
        """Build the method over a profile's networks."""
        return cls(networks.clip(), proposer_of(networks, settings), settings)

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far."""
        from ris_ros.models import gem
        from ris_ros.models.proposals import pixel_counts
        image, masks = view.rgb, proposals.masks
        t0 = seconds_now(self.device)
        with autocast(self.device, 'fp32'):
            features = self.region_features(image, masks)
            t1 = seconds_now(self.device)
            patches = self.patch_features(image)
            t2 = seconds_now(self.device)
            iou, containment = mask_overlaps(masks)
            runs = gem.runs_of(masks)
            areas = pixel_counts(masks)
        host = proposals.to('cpu')
        room = Room.of(view, host)
        if self.settings.relations_in == 'room':
            _ = room.places   # looked at now, so that a sentence need not wait for it
        return scene_of(self.name, view, host, {
            'features': features, 'patches': patches, 'runs': runs, 'areas': areas,
            'iou': iou, 'containment': containment, 'room': room,
            'patch_settings': self._patch_settings},
            {**(timings or {}), 'regions': t1 - t0, 'patches': t2 - t1})

    def look_again(self, scene: Scene) -> Scene:
        """Return the scene under this instance's settings, its proposals kept.

        Patch features are computed again only where their own settings differ: they, and the
        overlaps, do not depend on the fusion.
        """
        with autocast(self.device, 'fp32'):
            changed = {'features': self.region_features(scene.image,
                                                        self.proposals_of(scene).masks)}
            if scene.cache['patch_settings'] != self._patch_settings:
                changed['patches'] = self.patch_features(scene.image)
        return replace(scene, cache={**scene.cache, **changed,
                                     'patch_settings': self._patch_settings})

    @property
    def _patch_settings(self) -> tuple[int, ...]:
        return self._gem_size, self.settings.gem_blocks, self.settings.gem_iterations

    def region_views(self, image: np.ndarray, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return local and global network inputs of N masks, two (N, 3, s, s) float32.

        Local: the masked frame.  Global: the frame, sharp inside the mask, blurred outside.
        """
        torch = require('torch', 'models')
        from ris_ros.models import sampling
        s, clip = self.settings, self.clip
        imagenet = by_rules(s.view_normalisation, s.rules, 'clip', 'imagenet') == 'imagenet'
        mean = sampling.IMAGENET_MEAN if imagenet else clip.mean
        std = sampling.IMAGENET_STD if imagenet else clip.std
        taps = sampling.Taps(image.shape[:2], (clip.image_size,) * 2, self.device)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device).permute(
                2, 0, 1).float() / 255

        sharp = tensor(image)
        soft = tensor(sampling.blur(image, s.blur_kernel)) if s.blur else sharp
        base = sampling.normalise(sharp, mean, std)
        if by_rules(s.local_fill, s.rules, 'black', 'clip_mean') == 'black':
            fill = sampling.normalise(torch.zeros(3, 1, 1, device=self.device), mean, std)
        else:
            # The released code puts CLIP's mean colour into the normalised image.
            fill = torch.tensor(clip.mean, device=self.device)[:, None, None]
        weighted = taps.weigh(masks)
        local = sampling.composite(taps, base, fill, weighted)
        context = sampling.normalise(sampling.composite(taps, sharp, soft, weighted), mean, std)
        return local, context

    def region_features(self, image: np.ndarray, masks: Tensor) -> Tensor:
        """Return the hybrid feature of each of N masks, (N, D) float32, not normalised."""
        torch = require('torch', 'models')
        from ris_ros.models import region_streams
        s = self.settings
        fusion = region_streams.Fusion(
            mode=s.fusion, start=s.start_block, beta=s.beta,
            fuse_cls=by_rules(s.fuse_cls, s.rules, 'off', 'on') == 'on',
            attention_mask=s.attention_mask, token_mask=s.token_masking,
            global_weight=s.global_weight)
        kind: Any = by_rules(s.token_grid, s.rules, 'binary', 'soft')
        out = [torch.zeros(0, self.clip.embed_dim, device=self.device)]
        for part in chunks(len(masks), s.region_batch):
            local, context = self.region_views(image, masks[part])
            tokens = region_streams.token_grid(masks[part], self.clip.grid, kind)
            with self.clip.autocast():
                out.append(region_streams.hybrid_features(
                    self.clip.visual, local, context, tokens, fusion))
        return torch.cat(out)

    def patch_features(self, image: np.ndarray) -> Tensor:
        """Return GEM's patch embeddings of the image, (P, E) unit norm."""
        from ris_ros.models import gem, vit
        clip = self.gem_clip
        pixels = gem.gem_input(image, self._gem_size, clip.mean, clip.std, self.device)
        with clip.autocast():
            return vit.gem_features(clip.visual, pixels, self.settings.gem_blocks,
                                    self.settings.gem_iterations)[0]

    @property
    def _gem_size(self) -> int:
        return self.settings.gem_size or 2 * self.gem_clip.image_size

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals for one analysed sentence.

        Raises BadInputError where the sentence names no object.
        """
        if analysis.doc is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        plan = text_plan(analysis.doc, self.settings.rules)  # type: ignore[arg-type]
        target = analysis.command.target
        start = seconds_now(self.device)
        texts = self.encode(plan, target)
        return self.score(scene, plan, texts, target,
                          {'text': seconds_now(self.device) - start})

    def encode(self, plan: HybridGLText, target: Target | None = None) -> TextFeatures:
        """Return the text features of a plan; all sentences go through the tower at once."""
        s = self.settings
        functional = require('torch.nn.functional', 'models')
        kind = by_rules(s.gem_text, s.rules, 'sentence', 'template')
        gem_text = {'sentence': plan.sentence, 'phrase': plan.noun_phrase,
                    'template': f'a photo of a {plan.noun_phrase}.'}[kind]
        if s.rules == 'released':
            others = [f'a photo of {phrase}' for phrase in plan.other_noun_phrases]
        else:
            others = list(scoring.other_phrases(plan, target))
        same = [gem_text] if self.gem_clip is self.clip else []
        names = name_texts(names_asked(target, s))
        features = self.clip.encode_text([plan.sentence, plan.noun_phrase, *others, *names,
                                          *same])
        sentence, phrase, rest = features[0], features[1], features[2:2 + len(others)]
        named = features[2 + len(others):2 + len(others) + len(names)]
        if s.rules == 'released' and len(rest):
            rest = rest.mean(dim=0, keepdim=True)
        gem = features[-1] if same else self.gem_clip.encode_text([gem_text])[0]
        return TextFeatures((1 - s.phrase_weight) * sentence + s.phrase_weight * phrase, phrase,
                            rest, functional.normalize(gem, dim=-1),
                            named if len(names) else None)

    def score(self, scene: Scene, plan: HybridGLText, texts: TextFeatures,
              target: Target | None = None, timings: dict[str, float] | None = None
              ) -> Grounding:
        """Return the grounding from text features (equations 3 to 9)."""
        start = seconds_now(self.device)
        n = len(scene.masks)
        with autocast(self.device, 'fp32'):
            guidance = self.guidance_map(scene, texts, self._direction(plan, target))
            if not n:
                nothing = np.zeros(0)
                return grounding_of(nothing, nothing.astype(np.int64), nothing, nothing,
                                    guidance.cpu().numpy(), {}, timings or {})
            inside, outside = self._means(scene, guidance)
            torch = require('torch', 'models')
            told = [texts.target[None], texts.phrase[None], texts.others]
            cosine = cosines(scene.cache['features'], torch.cat(
                told if texts.names is None else [*told, texts.names]))
        cosine, named = np.split(cosine, [2 + len(texts.others)], axis=1)
        names = () if texts.names is None else names_asked(target, self.settings)
        inputs = scoring.Inputs(
            cosine=cosine, boxes=scene.boxes, inside=inside, outside=outside,
            mean=float(guidance.mean()), iou=scene.cache['iou'],
            containment=scene.cache['containment'],
            scale=self.settings.semantic_scale or self.clip.logit_scale,
            room=scene.cache['room'] if self.settings.relations_in == 'room' else None)
        combine = (scoring.released_scores if self.settings.rules == 'released'
                   else scoring.paper_scores)
        result = combine(inputs, plan, self.settings, target)
        match = match_probability(cosine[:, 1], self.settings, scene.proposed_by)
        return grounding_of(
            result.final, result.candidates, match, result.relative, guidance.cpu().numpy(),
            {'semantic': result.semantic, 'guidance': result.guidance, 'plan': plan,
             'relation_met': result.relation_met},
            {**(timings or {}), 'score': seconds_now(self.device) - start},
            name_fits(names, named, self.settings, scene.proposed_by), result.heeded)

    def _direction(self, plan: HybridGLText, target: Target | None) -> str:
        if not self.settings.position:
            return 'none'
        if self.settings.rules == 'paper' and plan.direction != 'none' and target is not None \
                and target.position is not None:
            return target.position  # may be a pair such as "top left"
        return plan.direction

    def guidance_map(self, scene: Scene, texts: TextFeatures, direction: str) -> Tensor:
        """Return G = G_co * G_pos (equation 7), (H, W) float32 in [0, 1]."""
        torch = require('torch', 'models')
        from ris_ros.models import gem, vit
        size = scene.image.shape[:2]

        def prior() -> Tensor:
            return torch.from_numpy(position_prior(
                direction, size[0], size[1], self.settings.rules)).to(self.device)

        if not self.settings.coherence:
            return prior()
        side = self._gem_size
        grid = vit.grid_of(self.gem_clip.visual, side, side)
        response = gem.response_map(scene.cache['patches'], texts.gem, grid, side, size)
        return response if direction == 'none' else response.mul_(prior())

    def _means(self, scene: Scene, guidance: Tensor) -> tuple[np.ndarray, np.ndarray]:
        from ris_ros.models import gem
        inside, outside = gem.means_inside_and_outside(
            guidance, scene.cache['runs'], scene.cache['areas'])
        return inside.double().cpu().numpy(), outside.double().cpu().numpy()
