"""What a Prompt-RIS network is made of; stored beside its weights, importable without torch.

The paper states few sizes and there is no official code.  Each field that the paper leaves open
says so under `source` ("open: ours" is our reading), and "ours" alone marks what goes beyond it.
The defaults are the network of the paper over CLIP ViT-B/16 and SAM ViT-B.
"""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.settings import option

FITS = ('stretch', 'pad')
UNEQUAL = ('even', 'early', 'late', 'refuse')
TEXT_MASKS = ('prompts', 'causal', 'all')


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and readings of the network between CLIP and SAM."""

    image_size: int = option(480, 'pixels on the longer side of the picture that CLIP sees',
                             unit='px', source='section 4.2', paper='480', minimum=16,
                             maximum=4096)
    fit: str = option('stretch', 'how a picture comes to the squares of CLIP and SAM: stretched '
                      'to them, or with its sides kept and the rest of the square empty, as '
                      'SAM was trained; both networks always see the same region',
                      source='open: ours', paper='stretch', choices=FITS)
    prompts: int = option(16, 'prompt tokens per direction and layer, n; 0: plain CLIP',
                          source='section 4.2', paper='16', minimum=0, maximum=256)
    v2l: bool = option(True, 'prompts from vision to language', source='equation 5',
                       paper='true')
    l2v: bool = option(True, 'prompts from language to vision', source='equation 6',
                       paper='true')
    shared_layers: int = option(0, 'so many first layers of the image tower get no prompts from '
                                'language, and so run once per picture and not per sentence',
                                source='ours', paper='0', minimum=0, maximum=256)
    v2l_cls: bool = option(False, 'the CLS token is among what vision-to-language prompts read',
                           source='open: ours')
    first_features: str = option('after_norm', 'image features that the first prompts read: '
                                 'after or before the norm that stands before the first layer',
                                 source='open: ours', choices=('after_norm', 'before_norm'))
    prompt_heads: int = option(8, 'attention heads of a prompt', source='open: ours', minimum=1,
                               maximum=64)
    text_mask: str = option('prompts', 'what a prompt token in the causal text tower sees: all '
                            'prompts, earlier prompts, or everything; words see all prompts '
                            'and earlier words', source='open: ours', choices=TEXT_MASKS)
    text_length: int = option(22, 'tokens of a sentence with start and end; longer ones are cut, '
                              'the end kept', source='open: ours', minimum=3, maximum=1024)
    unequal_depth: str = option('even', 'towers of unequal depth: the layers of the shallower '
                                'one run at even distances beside those of the deeper one, as '
                                'early or as late as they can, or such towers are refused',
                                source='ours', choices=UNEQUAL)
    coarse_width: int = option(512, 'width of the tiny decoder, D_C', source='open: ours',
                               minimum=8, maximum=4096)
    coarse_heads: int = option(8, 'attention heads of the tiny decoder', source='open: ours',
                               minimum=1, maximum=64)
    coarse_layers: int = option(1, 'layers of the tiny decoder', source='equation 1',
                                paper='1', minimum=1, maximum=8)
    coarse_ratio: int = option(4, "hidden width of the tiny decoder's feed-forward parts, in "
                               'widths', source='open: ours', minimum=1, maximum=16)
    coarse_scale: str = option('fixed', 'factor before the inner product: 1 / sqrt(D_C), or '
                               'learned from there on', source='open: ours',
                               choices=('fixed', 'learned'))
    coarse_bias: bool = option(False, 'a learned number is added to every coarse logit, so that '
                               'most of a picture starts as background', source='ours',
                               paper='false')
    mask_gain: bool = option(False, 'the coarse logits are scaled and shifted by two learned '
                             'numbers before they prompt SAM', source='ours', paper='false')
    point_pad: bool = option(False, "SAM's token for 'not a point' follows the point, as its own "
                             'prompt encoder has it where there is no box', source='open: ours',
                             paper='false')
    dropped_point: str = option('removed', 'a dropped point prompt: no token, or the token for '
                                "'not a point'", source='open: ours',
                                choices=('removed', 'not_a_point'))
    text_blocks: int = option(2, 'transformer blocks that make the text prompts',
                              source='section 3.1', paper='2', minimum=1, maximum=8)
    text_heads: int = option(8, 'attention heads of these blocks', source='open: ours',
                             minimum=1, maximum=64)
    text_places: bool = option(True, "SAM's position encoding is added to the keys that the text "
                               'prompts read', source='open: ours')
    sam_output: str = option('single', "which of SAM's masks is the answer: the one for "
                             'unambiguous prompts, or the best of the other three by its '
                             'predicted IoU', source='section 3.1', paper='single',
                             choices=('single', 'best'))
    presence: bool = option(False, 'a head tells whether the picture shows what is meant',
                            source='ours', paper='false')
