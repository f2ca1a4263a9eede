"""Everything that can be set in TAS, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import DecisionSettings
from ris_ros.models.options import ProposalSettings
from ris_ros.settings import option


@dataclass(frozen=True)
class TASSettings(DecisionSettings, ProposalSettings):
    """Everything that can be set in TAS."""

    rules: str = option('paper', 'crops, synonyms and rectifier as the paper states them or as '
                        'the released code has them', choices=('paper', 'released'))
    scorer: str = option('', "network that compares pictures with texts, as `ris models list` "
                         "names it; empty: the profile's", paper='RN50, ViT-B/32; table 7: '
                         'BLIP-2, ALBEF', source='section 4.2, table 7', builds=True)
    captioner: str = option('', "network that describes pictures; empty: the profile's",
                            paper='BLIP-2 OPT-2.7B; table 6: GIT-base', source='section 4.2',
                            builds=True)
    captions: bool = option(True, 'P score: captions of the regions', paper=True,
                            source='equation 3, table 4')
    negatives: bool = option(True, 'N score: other things that the caption of the image names',
                             paper=True, source='equation 4, table 4')
    rectifier: bool = option(True, 'look only where the sentence points', paper=True,
                             source='section 3.4, table 4')
    rectify_relations: bool = option(
        True, 'it points too where an object is placed by another ("left of the bowl"), as the '
        'released code reads some sentences; section 3.4 gives absolute examples alone (paper '
        'rules)', source='ours')
    relations_in: str = option(
        'picture', 'where relations and sizes are decided: as published, by the sides of the '
        'picture that are named, or besides, where depth is there, in the room (on, in front, '
        'behind, next to, bigger, smaller, taller, shorter, closest, farthest weigh the score)',
        paper='picture', source='room is ours', choices=('picture', 'room'))
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
                        'code', minimum=1, maximum=20, builds=True)
    max_new_tokens: int = option(30, 'longest caption', unit='tokens', source='released code',
                                 minimum=1, maximum=64, builds=True)
    region_batch: int = option(32, 'regions in the scorer at once', minimum=1, maximum=1024)
    caption_batch: int = option(16, 'regions in the captioner at once', minimum=1, maximum=256)
