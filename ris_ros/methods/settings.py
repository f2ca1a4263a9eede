"""Settings of the CLIP-and-proposals family, importable without torch.

"rules" as a choice means: as `rules` says.
"""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.models.options import Mask2FormerSettings, ProposalSettings
from ris_ros.settings import option

FUSION_MODES = ('g2l', 'l2g', 'g2l_l2g', 'local', 'global', 'global_local')


def by_rules(value: str, rules: str, paper: str, released: str) -> str:
    """Return a setting, or what the rule set says where the setting leaves it to the rules."""
    if value != 'rules':
        return value
    return paper if rules == 'paper' else released


@dataclass(frozen=True)
class CosineSettings:
    """From a cosine to a probability (ours)."""

    match_center: float = option(0.25, 'cosine of region and phrase at which a match is as '
                                 'likely as not; 0.25 suits ViT-B/16, profiles bring theirs',
                                 source='ours', minimum=-1.0, maximum=1.0)
    match_width: float = option(0.02, 'cosine over which the odds grow by e', source='ours',
                                minimum=1e-4, maximum=1.0)


@dataclass(frozen=True)
class OutcomeSettings:
    """From probabilities to an outcome (ours)."""

    score_threshold: float = option(0.2, 'below this score nothing matches', source='ours',
                                    minimum=0.0, maximum=1.0)
    ambiguity_margin: float = option(0.1, 'with less than this between the best and another '
                                     'object the command is ambiguous', source='ours',
                                     minimum=0.0, maximum=1.0)
    overlap_limit: float = option(0.5, 'masks that share more than this part of the smaller '
                                  'one are the same object', source='ours', minimum=0.0,
                                  maximum=1.0)


@dataclass(frozen=True)
class DecisionSettings(OutcomeSettings, CosineSettings):
    """From a cosine to a probability, and from probabilities to an outcome."""


@dataclass(frozen=True)
class HybridGLSettings(DecisionSettings, ProposalSettings):
    """Everything that can be set in HybridGL."""

    rules: str = option('paper', 'scoring as the paper states it or as the released code does',
                        choices=('paper', 'released'))
    fusion: str = option('g2l', 'which streams make the region feature', paper='g2l',
                         source='table 3', choices=FUSION_MODES)
    start_block: int = option(9, '0-based block from which on streams are fused and masks act',
                              paper=9, source='table 4', minimum=0, maximum=47)
    beta: float = option(2.0, 'weight of the global stream', paper=2, source='equation 1',
                         minimum=0.0, maximum=100.0)
    global_weight: float = option(0.5, 'share of the global feature in global_local',
                                  source='table 3, weight not given', minimum=0.0, maximum=1.0)
    attention_mask: bool = option(True, 'CLS of the global stream sees the region only',
                                  paper=True, source='section 3.2')
    token_masking: bool = option(False, 'zero the patches outside the region (ablation of '
                                 'global and global_local)', paper=False, source='table 3')
    blur: bool = option(True, 'blur the surroundings in the global view', paper=True,
                        source='table 3')
    blur_kernel: int = option(15, 'side of the Gaussian kernel, odd', unit='pixels',
                              source='released code', minimum=3, maximum=99)
    view_normalisation: str = option(
        'rules', "pixel statistics of the region views; paper: CLIP's, released: ImageNet's",
        source='released code', choices=('rules', 'clip', 'imagenet'))
    local_fill: str = option(
        'rules', 'outside of the local view; paper: black, released: a constant in normalised '
        'space', source='section 3.2', choices=('rules', 'black', 'clip_mean'))
    token_grid: str = option(
        'rules', 'mask on the patch grid; paper: binary, released: soft samples',
        source='equation 1', choices=('rules', 'soft', 'binary'))
    fuse_cls: str = option(
        'rules', 'fuse the global CLS token too; paper: off, released: on',
        source='equation 1', choices=('rules', 'on', 'off'))
    region_batch: int = option(32, 'regions in the tower at once', minimum=1, maximum=1024)
    phrase_weight: float = option(0.5, 'share of the noun phrase beside the whole sentence in '
                                  'the text feature', paper=0.5,
                                  source='Global-Local, section 3.1', minimum=0.0, maximum=1.0)
    semantic_scale: float = option(0.0, "factor on cosines before the softmax; 0: CLIP's own",
                                   source='paper: not given; released: 100', minimum=0.0,
                                   maximum=1000.0)
    top_k_target: int = option(3, 'masks considered as target', unit='masks',
                               source='released code; paper: k', minimum=1, maximum=1000)
    top_k_other: int = option(6, 'masks considered as the other object', unit='masks',
                              source='released code; paper: k', minimum=1, maximum=1000)
    relation: bool = option(True, 'spatial relationship guidance', paper=True,
                            source='equations 4 and 5, table 5')
    coherence: bool = option(True, 'spatial coherence guidance (GEM)', paper=True,
                             source='section 3.3, table 5')
    position: bool = option(True, 'spatial position guidance', paper=True,
                            source='equations 6 and 7, table 5')
    alpha: float = option(0.6, 'weight of the guidance score', paper=0.6, source='equation 9',
                          minimum=0.0, maximum=1.0)
    guidance_scale: float = option(1.0, 'factor on the guidance score before its softmax '
                                   '(paper rules)', source='paper: not given', minimum=0.0,
                                   maximum=1000.0)
    guidance_lambda: float = option(9.0, 'weight of the guidance outside the mask', paper=9,
                                    source='equation 8, section 4.2', minimum=0.0,
                                    maximum=1000.0)
    lambda_big: float = option(3.0, 'the same where "big" is said (paper rules)', paper=3,
                               source='section 4.2', minimum=0.0, maximum=1000.0)
    lambda_small: float = option(14.0, 'the same where "small" is said (paper rules)',
                                 paper=14, source='section 4.2', minimum=0.0, maximum=1000.0)
    gem_size: int = option(0, "side of GEM's input; 0: twice the network's, 448 for 224",
                           unit='pixels', source='released code: 448', minimum=0, maximum=2048)
    gem_blocks: int = option(6, 'last blocks with self-self attention', source='released '
                             'code: depth argument 7', minimum=1, maximum=48)
    gem_iterations: int = option(1, 'extra rounds of self-self attention',
                                 source='released code', minimum=0, maximum=10)
    gem_text: str = option('rules', 'text of the response map; paper: the sentence, released: '
                           'the noun phrase in "a photo of a {}."', source='section 3.3',
                           choices=('rules', 'sentence', 'phrase', 'template'))


@dataclass(frozen=True)
class TASSettings(DecisionSettings, ProposalSettings):
    """Everything that can be set in TAS."""

    rules: str = option('paper', 'crops, synonyms and rectifier as the paper states them or as '
                        'the released code has them', choices=('paper', 'released'))
    scorer: str = option('', "network that compares pictures with texts, as `ris models list` "
                         "names it; empty: the profile's", paper='RN50, ViT-B/32; table 7: '
                         'BLIP-2, ALBEF', source='section 4.2, table 7')
    captioner: str = option('', "network that describes pictures; empty: the profile's",
                            paper='BLIP-2 OPT-2.7B; table 6: GIT-base', source='section 4.2')
    captions: bool = option(True, 'P score: captions of the regions', paper=True,
                            source='equation 3, table 4')
    negatives: bool = option(True, 'N score: other things that the caption of the image names',
                             paper=True, source='equation 4, table 4')
    rectifier: bool = option(True, 'look only where the sentence points', paper=True,
                             source='section 3.4, table 4')
    alpha: float = option(0.1, 'weight of the P score', paper=0.1, source='equation 5',
                          minimum=0.0, maximum=100.0)
    negative_lambda: float = option(0.7, 'weight of the N score', paper='0.7; RefCOCOg: 1',
                                    source='equation 5, section 4.2', minimum=0.0, maximum=100.0)
    score_scale: float = option(0.0, "factor on cosines; 0: the scorer's own, about 100",
                                source='released code: 100', minimum=0.0, maximum=1000.0)
    clip_view: str = option('crop', 'what the scorer sees around a region: black or blur',
                            paper='crop', source='table 5', choices=('crop', 'blur'))
    caption_view: str = option('blur', 'what the captioner sees around a region', paper='blur',
                               source='table 5', choices=('crop', 'blur'))
    blur_kernel: int = option(75, 'side of the Gaussian kernel, odd', unit='pixels',
                              source='released code', minimum=3, maximum=199)
    mask_filter: str = option('on', 'drop small masks and those that lie within others',
                              source='released code; not in the paper', choices=('on', 'off'))
    min_mask_area: int = option(2000, 'masks below this are dropped', unit='pixels',
                                source='released code', minimum=0)
    containment: float = option(0.4, 'of two masks that share more than this part of the '
                                'smaller one the smaller is dropped', source='released code',
                                minimum=0.0, maximum=1.0)
    beams: int = option(5, 'beams of the captioner; 1 is faster', paper='', source='released '
                        'code', minimum=1, maximum=20)
    max_new_tokens: int = option(30, 'longest caption', unit='tokens', source='released code',
                                 minimum=1, maximum=64)
    region_batch: int = option(32, 'regions in the scorer at once', minimum=1, maximum=1024)
    caption_batch: int = option(16, 'regions in the captioner at once', minimum=1, maximum=256)


@dataclass(frozen=True)
class ClipOnlySettings(DecisionSettings, ProposalSettings):
    """Settings of the baseline that compares masked crops with the sentence."""

    view: str = option('crop', 'what CLIP sees of a region', choices=('crop', 'masked_crop',
                                                                    'masked_frame'))
    margin: float = option(0.1, 'crop margin per side', unit='box sides', minimum=0.0,
                           maximum=2.0)
    region_batch: int = option(32, 'regions in the tower at once', minimum=1, maximum=1024)


@dataclass(frozen=True)
class TextOnlySettings(OutcomeSettings, ProposalSettings):
    """Settings of the baseline that compares captions of the regions with the sentence."""

    scorer: str = option('', "network whose text tower compares, as `ris models list` names it; "
                         "empty: the profile's", source='TAS section 4.3')
    captioner: str = option('', "network that describes regions; empty: the profile's",
                            paper='BLIP-2 OPT-2.7B', source='TAS section 4.2')
    caption_view: str = option('blur', 'what the captioner sees around a region', paper='blur',
                               source='TAS table 5', choices=('crop', 'blur'))
    blur_kernel: int = option(75, 'side of the Gaussian kernel, odd', unit='pixels',
                              source="TAS's released code", minimum=3, maximum=199)
    beams: int = option(5, 'beams of the captioner; 1 is faster', source="TAS's released code",
                        minimum=1, maximum=20)
    max_new_tokens: int = option(30, 'longest caption', unit='tokens',
                                 source="TAS's released code", minimum=1, maximum=64)
    caption_batch: int = option(16, 'regions in the captioner at once', minimum=1, maximum=256)


@dataclass(frozen=True)
class OracleSettings(OutcomeSettings, ProposalSettings):
    """Settings of the choice by the truth: those of the proposals."""


@dataclass(frozen=True)
class RegionBaselineSettings(DecisionSettings, ProposalSettings):
    """Settings of global_local and region_token."""

    start_block: int = option(9, '0-based block from which on patches outside the region are '
                              'set to zero in the global view', source='as HybridGL table 3',
                              minimum=0, maximum=47)
    global_weight: float = option(0.5, 'share of the global feature (global_local)',
                                  source='the best weight is chosen per data set in HybridGL '
                                  'table 3, not given', minimum=0.0, maximum=1.0)
    phrase_weight: float = option(0.5, 'share of the noun phrase beside the whole sentence',
                                  paper=0.5, source='Global-Local', minimum=0.0, maximum=1.0)
    margin: float = option(0.1, 'crop margin per side', unit='box sides', minimum=0.0,
                           maximum=2.0)
    region_batch: int = option(32, 'regions in the tower at once', minimum=1, maximum=1024)


@dataclass(frozen=True)
class DenseBaselineSettings(DecisionSettings, ProposalSettings):
    """Settings of score_map, clip_surgery and grad_cam: a map, averaged over each mask."""

    map_size: int = option(0, "side of the network input; 0: twice the network's",
                           unit='pixels', minimum=0, maximum=2048)
    gem_blocks: int = option(6, 'last blocks with value-value attention (clip_surgery)',
                             source='CLIP Surgery: from the middle on', minimum=1, maximum=48)


@dataclass(frozen=True)
class IterPrimeSettings(OutcomeSettings, Mask2FormerSettings, ProposalSettings):
    """Everything that can be set in IteRPrimE."""

    rules: str = option('paper', 'as the paper states it or as the released code does',
                        choices=('paper', 'released'))
    proposals: str = option('mask2former', 'which network proposes masks', paper='mask2former',
                            source='section "Implementation details"',
                            choices=('mask2former', 'sam'))
    matcher: str = option('', 'image-text matcher, as `ris models list` names it; empty: the '
                          "profile's", paper='ALBEF, 14M', source='released code')
    mode: int = option(0, 'how words are weighted: 0 local and global augmentation, 1 overall '
                       'mean, 2 effective words, 3 global augmentation, 4 local augmentation',
                       paper=0, source='table 3', minimum=0, maximum=4)
    layer: int = option(8, '0-based layer whose cross-attention is watched', paper=8,
                        source='figure 6', minimum=0, maximum=47)
    iterations: int = option(3, 'looks at the image at most, the first one included', paper=3,
                             source='figure 6', minimum=1, maximum=20)
    keep: float = option(0.8, 'weight of the old map (lambda)', paper=0.8, source='equation 5',
                         minimum=0.0, maximum=1.0)
    threshold: float = option(0.5, 'what lies above is hidden from the next look (theta)',
                              paper=0.5, source='equation 6', minimum=0.0, maximum=1.0)
    slope: float = option(20.0, 'steepness of the sigmoid', source='released code', minimum=0.1,
                          maximum=1000.0)
    center: float = option(0.5, 'centre of the sigmoid', source='released code', minimum=0.0,
                           maximum=1.0)
    smooth: str = option('rules', 'put the map through the sigmoid before it is added; paper: '
                         'on, released: off', source='equation 5',
                         choices=('rules', 'on', 'off'))
    stop: str = option('rules', 'when to stop looking; paper: the match times what was '
                       'overlooked falls, the map before counts; released: the match falls, '
                       'the last map counts', source='equation 7',
                       choices=('rules', 'paper', 'released', 'never'))
    hide: str = option('attention', 'what hides the places already seen: the attention mask of '
                       'the fusion layers, or grey patches in the image', paper='attention',
                       source='table 4', choices=('attention', 'image'))
    component_limit: int = option(12, 'masks of more parts are no candidates (kappa); 0: all '
                                  'are', paper=12, source='equation 8', minimum=0)
    peak_filter: bool = option(True, "candidates must hold the map's highest point", paper=True,
                               source='equation 8')
    sentence_batch: int = option(16, 'sentences looked at side by side', minimum=1, maximum=1024)
