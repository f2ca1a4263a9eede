"""Everything that can be set in HybridGL, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import DecisionSettings
from ris_ros.models.options import ProposalSettings
from ris_ros.settings import option

FUSION_MODES = ('g2l', 'l2g', 'g2l_l2g', 'local', 'global', 'global_local')


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
    relation_needs_object: bool = option(
        True, 'a word of place or size is a relation only where another object is named; "the '
        'left mug" is then left to the position map (paper rules)', paper=True,
        source='equation 4, section 4.4.2')
    relations_in: str = option(
        'picture', 'where relations and sizes are decided: on boxes in the picture, as published, '
        'or in the room where depth is there (on, in front, behind, next to, bigger, smaller, '
        'taller, shorter, closest, farthest; the others stay in the picture); paper rules',
        paper='picture', source='room is ours', choices=('picture', 'room'))
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
