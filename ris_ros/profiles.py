"""Profiles: which weights stand behind the methods, and which settings go with them."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.models.weights import WeightStore
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from torch import nn

    from ris_ros.models.captioner import Captioner
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.mask2former import Mask2FormerProposer
    from ris_ros.models.matcher import Matcher
    from ris_ros.models.options import Mask2FormerSettings, ProposalSettings
    from ris_ros.models.proposals import SamProposer
    from ris_ros.models.scorers import Scorer


@dataclass(frozen=True)
class Profile:
    """Names of networks per role, and setting overrides per method ('*': every method).

    A setting that a method does not have is left out for it, so that '*' can hold what
    belongs to the networks: thresholds of the proposer, block numbers of the tower.
    sentence_threads: torch threads for a sentence on a CPU, 0: all.  Small networks spend more
    time on waking threads than these save.
    """

    name: str
    help: str
    networks: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sentence_threads: int = 0

    def overrides(self, method: str, known: set[str]) -> dict[str, Any]:
        """Return this profile's settings for a method whose setting names are `known`."""
        merged = {**self.settings.get('*', {}), **self.settings.get(method, {})}
        return {name: value for name, value in merged.items() if name in known}


PROFILES: dict[str, Profile] = {p.name: p for p in (
    Profile(
        'tabletop', 'small networks of our own, shipped; they know the simulated tabletop and '
        'nothing else',
        {'clip': 'tabletop_clip', 'sam': 'tabletop_sam', 'matcher': 'tabletop_matcher',
         'caption': 'tabletop_captioner'},
        {'*': {'start_block': 4, 'gem_blocks': 3, 'points_per_side': 16,
               'pred_iou_thresh': 0.4, 'stability_score_thresh': 0.4,
               'min_mask_region_area': 1000, 'box_nms_thresh': 0.85, 'overlap_nms_thresh': 0.9,
               # Chosen on validation seeds with benchmarks/tune_tabletop.py.
               'match_center': 0.347, 'match_width': 0.04, 'ambiguity_margin': 0.05,
               'score_threshold': 0.2,
               # As the captioner is validated.
               'beams': 1},
         'hybridgl': {'semantic_scale': 5.0, 'guidance_scale': 0.2, 'top_k_target': 20,
                      'top_k_other': 12},
         # Masks of two neighbours are larger than either: the filter would keep them alone.
         'tas': {'min_mask_area': 100, 'mask_filter': 'off', 'negative_lambda': 0.1,
                 'match_center': 0.335, 'match_width': 0.04},
         # The matcher has six layers, two of them for text alone; the last reads one token.
         'iterprime': {'proposals': 'sam', 'layer': 4}},
        sentence_threads=1),
    Profile(
        'paper', 'what the papers used: CLIP ViT-B/16 and SAM ViT-H (3 GB to fetch); CLIP '
        'ViT-B/32 and BLIP-2 for tas (15 GB); ALBEF and Mask2Former for iterprime',
        {'clip': 'clip_vit_b_16', 'sam': 'sam_vit_h', 'scorer': 'clip_vit_b_32',
         'caption': 'blip2_opt_2.7b', 'matcher': 'albef_14m',
         'vocabulary': 'bert_vocabulary', 'mask2former': 'mask2former_swin_l'}),
    Profile(
        'robot', 'CLIP ViT-B/16 and SAM ViT-B (0.7 GB to fetch), for one small GPU; BLIP for '
        'tas (1 GB)',
        {'clip': 'clip_vit_b_16', 'sam': 'sam_vit_b', 'caption': 'blip_base'},
        {'iterprime': {'proposals': 'sam'}}),
)}


def get_profile(name: str) -> Profile:
    """Return a profile; raises BadInputError that lists them."""
    if name not in PROFILES:
        raise BadInputError(f'unknown profile {name!r}; there are: {", ".join(PROFILES)}')
    return PROFILES[name]


class Networks:
    """The networks of a profile, each loaded at first use.

    What a method's `from_networks` gets; it takes what it needs and nothing else is read.
    """

    def __init__(self, profile: Profile, device: str, precision: str,
                 model_dir: str | Path | None = None) -> None:
        self.profile, self.device, self.precision = profile, device, precision
        self.store = WeightStore(model_dir)
        self._clips: dict[str, ClipModel] = {}
        self._sam: nn.Module | None = None
        self._mask2former: nn.Module | None = None
        self._matchers: dict[str, Matcher] = {}

    def name_of(self, role: str) -> str:
        """Return the network behind a role; raises BadInputError where the profile has none."""
        if role not in self.profile.networks:
            raise BadInputError(f'the profile {self.profile.name} has no network for {role}')
        return self.profile.networks[role]

    def clip(self, role: str = 'clip') -> ClipModel:
        """Return the CLIP of a role, loading it once."""
        return self._clip(self.name_of(role))

    def _clip(self, name: str) -> ClipModel:
        from ris_ros.models.clip import PUBLISHED, load_clip
        if name not in self._clips:
            state, config = self.store.load(name)
            layout = PUBLISHED[config] if isinstance(config, str) else config
            self._clips[name] = load_clip(state, layout, self.device, self.precision)
        return self._clips[name]

    def scorer(self, name: str = '') -> Scorer:
        """Return what compares pictures with texts; by default the role 'scorer', else 'clip'.

        name: a network of the manifest, a CLIP or one with a contrastive head.
        """
        if not name:
            role = 'scorer' if 'scorer' in self.profile.networks else 'clip'
            return self._clip(self.name_of(role))
        kind = self.store.entry(name).kind
        if kind == 'clip':
            return self._clip(name)
        if kind != 'itc':
            raise BadInputError(f'{name} does not compare pictures with texts; take one of kind '
                                'clip or itc, as `ris models list` shows them')
        from ris_ros.models.scorers import load_itc
        return load_itc(self.store.verify(name), self.device, self.precision)

    def captioner(self, name: str = '', beams: int = 5, max_new_tokens: int = 30) -> Captioner:
        """Return what describes pictures; by default the role 'caption'.

        Raises BadInputError where the profile has none.
        """
        from ris_ros.models.captioner import load_captioner
        if not name and 'caption' not in self.profile.networks:
            raise BadInputError(
                f'the profile {self.profile.name} has no captioner; set captions and negatives '
                'to false, name a captioner, or use the profile tabletop, robot or paper')
        name = name or self.name_of('caption')
        if self.store.entry(name).kind != 'caption':
            raise BadInputError(f'{name} describes no pictures; take one of kind caption, as '
                                '`ris models list` shows them')
        return load_captioner(self.store.verify(name), self.device, self.precision, beams,
                              max_new_tokens)

    def proposer(self, settings: ProposalSettings) -> SamProposer:
        """Return a mask proposer over the profile's SAM with the given settings."""
        from ris_ros.models.clip import load_state
        from ris_ros.models.proposals import SamProposer
        from ris_ros.models.sam import PUBLISHED, build_sam
        if self._sam is None:
            state, config = self.store.load(self.name_of('sam'))
            sam = build_sam(PUBLISHED[config] if isinstance(config, str) else config)
            load_state(sam, state, 'SAM')
            self._sam = sam
        return SamProposer(self._sam, settings, self.device, self.precision)

    def mask2former(self, settings: Mask2FormerSettings) -> Mask2FormerProposer:
        """Return a mask proposer over the profile's Mask2Former with the given settings."""
        from ris_ros.models import mask2former
        if self._mask2former is None:
            state, config = self.store.load(self.name_of('mask2former'))
            self._mask2former = mask2former.load_mask2former(
                state, mask2former.PUBLISHED[config] if isinstance(config, str) else config)
        return mask2former.Mask2FormerProposer(self._mask2former, settings, self.device,
                                               self.precision)

    def matcher(self, name: str = '') -> Matcher:
        """Return an image-text matcher, loading it once; an empty name: the profile's.

        Its vocabulary stands in its configuration ("vocabulary", a list) or is BERT's file.
        Raises BadInputError where the profile has no matcher and none is named.
        """
        from ris_ros.models.albef import PUBLISHED, AlbefConfig, load_albef
        from ris_ros.models.matcher import Matcher
        from ris_ros.models.wordpiece import WordPiece, read_vocabulary
        if not name and 'matcher' not in self.profile.networks:
            raise BadInputError(
                f'the profile {self.profile.name} has no image-text matcher; use the profile '
                'tabletop or paper, or name a network with matcher=...')
        name = name or self.name_of('matcher')
        if name not in self._matchers:
            state, config = self.store.load(name)
            words = None if isinstance(config, str) else config.get('vocabulary')
            sizes = PUBLISHED[config] if isinstance(config, str) else AlbefConfig.from_dict(
                {field: value for field, value in config.items() if field != 'vocabulary'})
            if words is None:
                words = read_vocabulary(self.store.verify(
                    self.profile.networks.get('vocabulary', 'bert_vocabulary')))
            self._matchers[name] = Matcher(load_albef(state, sizes),
                                           WordPiece(words, sizes.separator), self.device,
                                           self.precision)
        return self._matchers[name]
