"""IteRPrimE (AAAI 2025): where an image-text matcher looks, refined, picks a proposed mask.

`prepare` runs the image tower, the image's keys and values of the fusion layers, the proposer
and the count of each mask's parts.  `ground` runs the text layers (kept per sentence) and the
fusion layers, once per look, with gradients of the attention map alone.  `ground_many` does so
for several sentences side by side.

Two rule sets: `paper` follows the equations where they can be followed (the sigmoid of
equations 5 and 6 is the released, steep one: a plain sigmoid of a map in [0, 1] hides
everything), `released` the authors' code.
"""
from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.base import ProposalMethod, Proposer
from ris_ros.methods.iterprime import maps
from ris_ros.methods.iterprime.settings import IterPrimeSettings
from ris_ros.methods.iterprime.text import IterPrimeText, text_plan
from ris_ros.methods.options import by_rules
from ris_ros.methods.proposers import proposer_of
from ris_ros.methods.regions import chunks, flat_masks, grounding_of, scene_of
from ris_ros.models.device import seconds_now
from ris_ros.types import BadInputError, Grounding, Scene, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.language import Analysis
    from ris_ros.models.matcher import Look, Matcher, Reading
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks


class IteRPrimE(ProposalMethod):
    """The method, over an image-text matcher and a mask proposer.

    Raises BadInputError for a Grad-CAM layer that the matcher does not have.
    """

    name = 'iterprime'
    settings_class = IterPrimeSettings

    def __init__(self, matcher: Matcher, proposer: Proposer | None,
                 settings: IterPrimeSettings | None = None) -> None:
        self.matcher, self.proposer = matcher, proposer
        self.settings = settings or IterPrimeSettings()
        self.device = matcher.device
        self.check_settings()

    @classmethod
    def from_networks(cls, networks: Networks, settings: IterPrimeSettings) -> IteRPrimE:
        """Build the method over a profile's networks."""
        matcher = networks.matcher(settings.matcher)
        if settings.proposals == 'mask2former':
            return cls(matcher, networks.mask2former(settings), settings)
        return cls(matcher, proposer_of(networks, settings), settings)

    def check_settings(self) -> None:
        """Raise BadInputError for a layer that does not look at the image."""
        self.matcher.check_layer(self.settings.layer)

    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None,
                     pixels: Tensor | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far.

        pixels: (1, 3, s, s), the matcher's input, by default made of the image.
        """
        masks = proposals.masks
        t0 = seconds_now(self.device)
        look = self.matcher.look(self.matcher.pixels(view.rgb) if pixels is None else pixels)
        t1 = seconds_now(self.device)
        parts = part_counts(masks)
        return scene_of(self.name, view, proposals, {
            'look': look, 'masks': flat_masks(masks), 'areas': masks.flatten(1).sum(1),
            'parts': parts}, {**(timings or {}), 'image': t1 - t0,
                              'parts': seconds_now(self.device) - t1})

    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Score the proposals for one analysed sentence.

        Raises BadInputError where the sentence names no object, has no word that the matcher
        knows, or is longer than it takes.
        """
        expression, plan = self._planned(analysis)
        found = self.ground_plans(scene, [expression], [plan])
        return self._counted(scene, [analysis], found)[0]

    def ground_many(self, scene: Scene, analyses: Sequence[Analysis]) -> list[Grounding | None]:
        """Score the proposals for several analysed sentences side by side.

        None for each that `ground` would refuse.
        """
        out: list[Grounding | None] = [None] * len(analyses)
        planned: dict[int, tuple[str, IterPrimeText]] = {}
        for i, analysis in enumerate(analyses):
            with contextlib.suppress(BadInputError):
                planned[i] = self._planned(analysis)
        found = self.ground_plans(scene, [e for e, _ in planned.values()],
                                  [p for _, p in planned.values()])
        found = self._counted(scene, [analyses[i] for i in planned], found)
        for i, grounding in zip(planned, found, strict=True):
            out[i] = grounding
        return out

    def _counted(self, scene: Scene, analyses: Sequence[Analysis], found: list[Grounding]
                 ) -> list[Grounding]:
        """Return the groundings with how likely one, and a second object is called as the target.

        Ours: the match of the bare name with the picture, and again with the chosen object
        hidden.  Nothing is looked at where the decision goes by margins, and a second time only
        where the sentence says nothing to choose among likes.
        """
        if self.settings.decision != 'count':
            return found
        asked = {i: a.command.target for i, a in enumerate(analyses)
                 if a.command.target is not None and a.command.target.name
                 and self.matcher.known_pieces(a.command.target.name)}
        if not asked:
            return found
        start, out = seconds_now(self.device), list(found)
        readings = dict(zip(asked, self.matcher.read([t.name for t in asked.values()]),
                            strict=True))
        some = self.matcher.match(scene.cache['look'], list(readings.values())).tolist()
        for (i, target), p in zip(asked.items(), some, strict=True):
            more = 0.0
            if not target.chooses and len(found[i].order):
                hidden = self._without(scene, int(found[i].order[0]))
                more = min(p, float(self.matcher.match(hidden, [readings[i]])[0]))
            out[i] = replace(found[i], at_least=(p, more))
        share = (seconds_now(self.device) - start) / len(asked)
        return [replace(g, timings={**g.timings, 'count': share}) if i in readings else g
                for i, g in enumerate(out)]

    def _without(self, scene: Scene, mask: int) -> Look:
        """Return the picture with one mask, a little grown, in the mean colour."""
        functional = require('torch.nn.functional', 'models')
        look: Look = scene.cache['look']
        shape = scene.image.shape[:2]
        chosen = scene.cache['masks'][mask].reshape(1, 1, *shape).float()
        small = functional.interpolate(chosen, size=look.pixels.shape[-2:], mode='area')
        grown = functional.max_pool2d(small, 5, stride=1, padding=2) > 0
        return self.matcher.look(look.pixels * ~grown[0])

    def _planned(self, analysis: Analysis) -> tuple[str, IterPrimeText]:
        """Return the expression and its token plan; raises BadInputError as `ground` does."""
        if analysis.doc is None:
            raise BadInputError(analysis.command.problem or 'the command names no object')
        self._check_expression(analysis.doc.text)
        return analysis.doc.text, text_plan(
            analysis.doc, self.matcher.tokenizer.count,
            self.settings.rules)  # type: ignore[arg-type]

    def _check_expression(self, expression: str) -> None:
        if not self.matcher.known_pieces(expression):
            raise BadInputError(f'the matcher knows no word of "{expression}"; '
                                'say it in other words')
        self.matcher.pieces_of(expression)

    def ground_plans(self, scene: Scene, expressions: Sequence[str],
                     plans: Sequence[IterPrimeText]) -> list[Grounding]:
        """Score the proposals for expressions whose token plans are known.

        Raises BadInputError for an expression that the matcher cannot take.
        """
        if not expressions:
            return []
        for expression in expressions:
            self._check_expression(expression)
        start = seconds_now(self.device)
        readings = self.matcher.read(expressions)
        t1 = seconds_now(self.device)
        out: list[Grounding] = []
        for part in chunks(len(plans), self.settings.sentence_batch):
            out += self._ground_batch(scene, readings[part], plans[part],
                                      (t1 - start) / len(plans))
        return out

    def _ground_batch(self, scene: Scene, readings: Sequence[Reading],
                      plans: Sequence[IterPrimeText], text_seconds: float) -> list[Grounding]:
        torch = require('torch', 'models')
        t0 = seconds_now(self.device)
        with torch.no_grad():
            refined = self.refine(scene.cache['look'], readings, plans, scene.image.shape[:2])
            t1 = seconds_now(self.device)
            heats = self._full_size(torch.stack([r.heat for r in refined]),
                                    scene.image.shape[:2])
            scores, allowed = self._mask_scores(scene, heats)
        t2 = seconds_now(self.device)
        share = {'text': text_seconds, 'look': (t1 - t0) / len(plans),
                 'score': (t2 - t1) / len(plans)}
        return [self._grounding(scores[:, i], allowed[:, i], heats[i].cpu().numpy(), plans[i],
                                refined[i].match, share) for i in range(len(plans))]

    def refine(self, look: Look, readings: Sequence[Reading], plans: Sequence[IterPrimeText],
               size: tuple[int, ...]) -> list[maps.Refined]:
        """Return each sentence's map on the patch grid and its match at every look.

        size: rows and columns of the image.
        """
        s = self.settings
        torch = require('torch', 'models')
        grid = (self.matcher.config.grid,) * 2

        def step(rows: list[int], seen: Tensor) -> tuple[Tensor, Tensor]:
            everywhere = bool(seen.all())
            here = look if s.hide == 'attention' or everywhere else self._hidden(look, seen)
            found = self.matcher.attend(here, [readings[i] for i in rows], seen if
                                        s.hide == 'attention' and not everywhere else None,
                                        s.layer)
            cams = [maps.word_map(a, g, plans[i], s.mode, s.rules) for i, a, g in zip(
                rows, found.maps, found.gradients, strict=True)]
            return torch.stack(cams), found.match

        how = maps.Refinement(
            s.iterations, s.keep, s.threshold, s.slope, s.center,
            smooth=by_rules(s.smooth, s.rules, 'on', 'off') == 'on',
            stop=by_rules(s.stop, s.rules, 'paper', 'released'))
        return maps.refine(step, len(plans), grid, how, (size[0], size[1]), self.device)

    def _hidden(self, look: Look, seen: Tensor) -> Look:
        """Return the image once per row with the places that are not `seen` in mean colour."""
        functional = require('torch.nn.functional', 'models')
        kept = functional.interpolate(seen[:, None].float(), size=look.pixels.shape[-2:],
                                      mode='nearest')
        return self.matcher.look(look.pixels * kept)

    def _full_size(self, heat: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return (n, H, W) maps in [0, 1] at image size."""
        s = self.settings
        full = maps.stretch(maps.enlarge(heat, (size[0], size[1])))
        # The released code smooths the first look's map; with more looks that map is dropped.
        if s.rules == 'released' and s.iterations == 1:
            lit = full.amax(dim=(-2, -1), keepdim=True) > 0
            full = maps.stretch(maps.steep(full, s.slope, s.center)) * lit
        # What bicubic enlargement makes of a flat map is rounding.
        return full * (heat.amax(dim=(-2, -1)) > 0)[:, None, None]

    def _mask_scores(self, scene: Scene, heats: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return Z (equation 9) and membership of D (equation 8), two (N, E) arrays."""
        masks, areas = scene.cache['masks'], scene.cache['areas'].float()
        if not len(masks):
            return np.zeros((0, len(heats))), np.zeros((0, len(heats)), dtype=bool)
        flat = heats.flatten(1)
        peaks = flat == flat.amax(dim=1, keepdim=True)
        inside = masks.float() @ flat.T
        score = (areas[:, None] + inside) / (areas[:, None] + 1e-5)
        allowed = np.ones(score.shape, dtype=bool)
        if self.settings.peak_filter:
            allowed &= (masks.float() @ peaks.float().T > 0).cpu().numpy()
        if self.settings.component_limit:
            allowed &= (scene.cache['parts'] <= self.settings.component_limit)[:, None]
        # A dark map says nothing: every pixel would be its peak, and the largest mask chosen.
        allowed &= (flat.amax(dim=1) > 0).cpu().numpy()
        allowed &= scene.areas[:, None] > 0
        return score.double().cpu().numpy(), allowed

    def _grounding(self, score: np.ndarray, allowed: np.ndarray, heat: np.ndarray,
                   plan: IterPrimeText, match: list[float], timings: dict[str, float]
                   ) -> Grounding:
        """The probability is the first look's match times the mean heat, best mask 1."""
        candidates = np.flatnonzero(allowed)
        warmth = np.clip(score - 1, 0, None) * allowed
        relative = warmth / max(warmth.max(initial=0.0), 1e-12)
        details: dict[str, Any] = {
            'match': tuple(match), 'plan': plan, 'flat': not heat.any(),
            'mask_scores': np.where(allowed, score, 0.0)}
        return grounding_of(score, candidates, np.full(len(score), match[0]), relative, heat,
                            details, timings)


def part_counts(masks: Tensor) -> np.ndarray:
    """Return the number of 4-connected parts of (N, H, W) bool masks, (N,) int64."""
    cv2 = require('cv2', 'models')
    host = masks.cpu().numpy().astype(np.uint8)
    return np.array([cv2.connectedComponents(mask, connectivity=4)[0] - 1 for mask in host],
                    dtype=np.int64)
