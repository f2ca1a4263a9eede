"""What `ris train pcnet` can be told: the run, and the network that it trains."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ris_ros.settings import option, parse_assignments
from ris_ros.training.engine.settings import EngineSettings, changed
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from ris_ros.methods.pcnet.network import PCNetConfig

FIGURES = ('pointm', 'map_miou', 'attribute', 'position', 'relation', 'size')


@dataclass(frozen=True)
class PCNetTraining(EngineSettings):
    """Settings of a training run; the defaults are the paper's where it states any."""

    rate: float = changed(EngineSettings, 'rate', 5e-5)
    schedule: str = changed(EngineSettings, 'schedule', 'poly')
    warmup: float = changed(EngineSettings, 'warmup', 0.0)
    floor: float = changed(EngineSettings, 'floor', 0.0)
    weight_decay: float = changed(EngineSettings, 'weight_decay', 1e-2)
    beta2: float = changed(EngineSettings, 'beta2', 0.999)
    backbone_rate: float = option(0.1, "rate of CLIP's own weights as a part of the rate",
                                  source='released code', paper='not given', minimum=0.0)
    tower: str = option('learns', "the picture's tower learns along, or (ours) stays as it was "
                        'and is run once per picture, without changes of its colours',
                        source='ours',
                        paper='learns', choices=('learns', 'kept'))
    projections: str = option('clip', "both projections start as CLIP's own (the attention "
                              "pool's value and output layers, as MaskCLIP reads maps; the "
                              'identity), or at random', source='ours', paper='not given',
                              choices=('clip', 'random'))
    images: int = option(36, 'pictures per step; the texts of the others are the negatives',
                         source='appendix A.4', paper='36', minimum=2)
    unit: str = option('reference', 'what an epoch goes through once: every object that is '
                       'spoken of, or (ours) every picture', source='released code',
                       choices=('reference', 'picture'))
    extra: int = option(1, 'further texts per picture, about other objects in it, N_d',
                        source='table 5', paper='1', minimum=0, maximum=8)
    siblings: float = option(0.0, 'how often such a text is one whose first cue is the same, '
                             'where there is one: of two mugs the other', source='ours',
                             minimum=0.0, maximum=1.0)
    cls: str = option('pixels', 'the classification loss pools a map over its pixels (appendix '
                      'A.2), or (ours) over the proposals', source='appendix A.2',
                      paper='pixels', choices=('pixels', 'regions'))
    cls_form: str = option('sigmoid', 'it is a binary cross-entropy, or (ours) a softmax over the '
                           'texts and over the pictures as in CLIP, or the sum of both',
                           source='appendix A.2', paper='sigmoid',
                           choices=('sigmoid', 'softmax', 'both'))
    cls_extra: bool = option(False, 'the further texts are classified too', source='ours',
                             paper='false')
    cls_weight: float = option(1.0, 'weight of that loss; released: 5', source='section 4.1',
                               paper='1', minimum=0.0)
    region_temperature: float = option(0.5, 'of the smooth maximum over proposals', unit='logits',
                                       source='ours', minimum=0.01, maximum=100.0)
    outside_weight: float = option(0.0, 'weight of lighting the best proposal more than what no '
                                   'proposal covers; with cls=regions', source='ours', paper='0',
                                   minimum=0.0)
    ras: str = option('paper', 'region-aware shrinking as equation 7, as the released code, or '
                      'not at all', source='equation 7', paper='paper',
                      choices=('paper', 'released', 'off'))
    ras_weight: float = option(1.0, 'weight of that loss; released: 0 by default',
                               source='section 4.1', paper='1', minimum=0.0)
    ras_overlap: str = option('soft_iou', '"IoU" of map and mask in equation 6: sum(pm) over '
                              'sum(p + m - pm), or the half-Dice of the released code',
                              source='equation 6', choices=('soft_iou', 'half_dice'))
    anchor_weight: float = option(0.0, 'weight of the second loss that the released code has in '
                                  "RaS's place, with ras=released", source='released code',
                                  minimum=0.0)
    criterion: str = option('max', 'how well a map fits a proposal: its maximum or its mean '
                            'inside', source='tables 7 and 8', paper='max',
                            choices=('max', 'mean'))
    iad: str = option('paper', 'instance-aware disambiguation as equation 9, as the released '
                      'code (neither has a gradient where both texts pick one proposal), as a '
                      'hinge on the overlap of soft choices (ours), as the chance that both '
                      'choose the same among the proposals (ours), or not at all',
                      source='equation 9', paper='paper',
                      choices=('paper', 'released', 'hinge', 'regions', 'off'))
    iad_weight: float = option(1.0, 'weight of that loss; released: 0 by default',
                               source='section 4.1', paper='1', minimum=0.0)
    iad_temperature: float = option(0.1, 'iad=hinge: of the soft choice', source='ours',
                                    minimum=1e-3, maximum=100.0)
    iad_margin: float = option(0.05, 'iad=hinge: overlap that is let be', source='ours',
                               minimum=0.0, maximum=1.0)
    contrary_weight: float = option(0.0, 'weight of preferring a sentence to the same with one '
                                    'word turned into its contrary', source='ours', paper='0',
                                    minimum=0.0)
    agree_weight: float = option(0.0, 'weight of choosing the proposal that all sentences about '
                                 'one thing choose together; with references and sentences',
                                 source='ours', paper='0', minimum=0.0)
    paint_weight: float = option(0.0, 'weight of a map that is lit on that proposal and dark '
                                 'elsewhere', source='ours', paper='0', minimum=0.0)
    agree_after: float = option(0.1, 'part of the run over which these weights rise from 0',
                                source='ours', minimum=0.0, maximum=1.0)
    references: int = option(0, 'things of a picture whose sentences have to agree',
                             source='ours', paper='0', minimum=0, maximum=64)
    sentences: int = option(3, 'sentences about each of them', source='ours', minimum=1,
                            maximum=16)
    calibration_weight: float = option(0.0, "weight of TRIS' calibration loss, over the scorer "
                                       'of the profile; released: 2', source='released code',
                                       paper='not in the paper', minimum=0.0)
    mirror: bool = option(False, 'half of the pictures with left and right exchanged; only with '
                          'sentences that were made for the mirrored scene', source='ours',
                          paper='false')
    augment: bool = option(False, 'change brightness and colours at random', source='ours',
                           paper='false')
    pictures: str = option('drawn', 'pictures are read by the processes that draw, or all kept on '
                           'the device (0.3 MB each at 320)', source='ours',
                           choices=('drawn', 'device'))


def check_training(settings: PCNetTraining, stages: int) -> None:
    """Raise BadInputError for settings that contradict one another."""
    if settings.iad != 'off' and settings.iad_weight and not settings.extra:
        raise BadInputError('iad compares texts of one picture: set extra to 1 or more, or '
                            'iad=off')
    if settings.anchor_weight and settings.ras != 'released':
        raise BadInputError('anchor_weight is a part of ras=released; set it to 0')
    if settings.outside_weight and settings.cls != 'regions':
        raise BadInputError('outside_weight goes with cls=regions; set it to 0')
    agreeing = settings.agree_weight or settings.paint_weight
    if bool(agreeing) != bool(settings.references):
        raise BadInputError('references says of how many things the sentences agree, agree_weight '
                            'and paint_weight how much that counts: set both or neither')
    if not any((agreeing, settings.cls_weight,
                settings.ras != 'off' and settings.ras_weight and stages > 1,
                settings.iad != 'off' and settings.iad_weight, settings.contrary_weight)):
        raise BadInputError('every loss is switched off; set cls_weight above 0')


@dataclass(frozen=True)
class TabletopPCNet(PCNetTraining):
    """Defaults on the tabletop: a small network that learns along, in large batches."""

    rate: float = changed(EngineSettings, 'rate', 2e-3)
    schedule: str = changed(EngineSettings, 'schedule', 'cosine')
    channels_last: bool = changed(EngineSettings, 'channels_last', True)
    warmup: float = changed(EngineSettings, 'warmup', 0.03)
    floor: float = changed(EngineSettings, 'floor', 0.01)
    weight_decay: float = changed(EngineSettings, 'weight_decay', 2e-2)
    beta2: float = changed(EngineSettings, 'beta2', 0.98)
    backbone_rate: float = changed(PCNetTraining, 'backbone_rate', 1.0)
    images: int = changed(PCNetTraining, 'images', 16)
    unit: str = changed(PCNetTraining, 'unit', 'picture')
    siblings: float = changed(PCNetTraining, 'siblings', 0.5)
    cls: str = changed(PCNetTraining, 'cls', 'regions')
    cls_form: str = changed(PCNetTraining, 'cls_form', 'both')
    cls_extra: bool = changed(PCNetTraining, 'cls_extra', True)
    iad: str = changed(PCNetTraining, 'iad', 'regions')
    agree_weight: float = changed(PCNetTraining, 'agree_weight', 1.0)
    paint_weight: float = changed(PCNetTraining, 'paint_weight', 0.3)
    references: int = changed(PCNetTraining, 'references', 6)
    contrary_weight: float = changed(PCNetTraining, 'contrary_weight', 1.0)
    mirror: bool = changed(PCNetTraining, 'mirror', True)
    augment: bool = changed(PCNetTraining, 'augment', True)
    pictures: str = changed(PCNetTraining, 'pictures', 'device')


@dataclass(frozen=True)
class BackboneTraining(EngineSettings):
    """Settings of the small CLIP's own training: whole frames and sentences, nothing else."""

    schedule: str = changed(EngineSettings, 'schedule', 'cosine')
    weight_decay: float = changed(EngineSettings, 'weight_decay', 2e-2)
    rate: float = changed(EngineSettings, 'rate', 2e-3)
    channels_last: bool = changed(EngineSettings, 'channels_last', True)
    images: int = option(32, 'pictures per step', source='ours', minimum=2)
    sentences: int = option(2, 'sentences about each picture, or, with references, about each of '
                            'these', source='ours', minimum=1, maximum=16)
    references: int = option(6, 'things of a picture whose sentences have to agree; 0: sentences '
                             'are about any', source='ours', minimum=0, maximum=64)
    standardise: bool = option(True, 'what is compared is brought to mean 0 and variance 1 in '
                               'every channel, over the texts and over the places of a step; '
                               'without, both collapse at first and stay so for long',
                               source='ours')
    whole_weight: float = option(0.0, 'weight of the contrast of sentences and whole pictures, '
                                 "through the attention pool, as CLIP's", source='ours',
                                 minimum=0.0)
    dense: str = option('regions', 'what of a picture the other contrast compares: the means '
                        'inside of the proposals, or every cell of the last map; the best '
                        'fitting count', source='ours', choices=('regions', 'cells'))
    dense_weight: float = option(1.0, 'weight of that contrast', source='ours', minimum=0.0)
    dense_temperature: float = option(0.5, 'of the smooth maximum', unit='logits', source='ours',
                                      minimum=0.01, maximum=100.0)
    agree_weight: float = option(1.0, 'weight of choosing the proposal that all sentences about '
                                 'one thing choose together; with dense=regions and references',
                                 source='ours', minimum=0.0)
    agree_from: float = option(0.2, 'part of the run after which that weight rises, over as long '
                               'again', source='ours', minimum=0.0, maximum=0.5)
    text_weight: float = option(0.0, 'weight of the contrast of a sentence and its first cue '
                                'against those of the others', source='ours', minimum=0.0)
    mirror: bool = changed(PCNetTraining, 'mirror', True)
    augment: bool = changed(PCNetTraining, 'augment', True)
    pictures: str = changed(PCNetTraining, 'pictures', 'device')


@dataclass(frozen=True)
class NetworkSettings:
    """The network's shape and form; see `referring.Form` and `network.PCNetConfig`."""

    channels: int = option(1024, 'C of the stages', source='appendix A.4', paper='1024',
                           minimum=8, maximum=4096)
    stages: int = option(3, 'stages, N', source='section 4.1', paper='3', minimum=1, maximum=4)
    image_size: int = option(320, 'side of the input, aspect not kept', unit='pixels',
                             source='appendix A.4', paper='320', minimum=64, maximum=1024)
    stride: int = option(32, 'pixels per cell of the response map: 32, or (ours) 16 or 8',
                         source='appendix A.4', paper='32', minimum=8, maximum=32)
    text_length: int = option(20, 'tokens of a text, start and end included',
                              source='released code', minimum=4, maximum=77)
    keep_end: bool = option(True, 'a text that is too long keeps its end token; as released it '
                            'loses it and is read as if empty', source='ours')
    positions: bool = option(False, 'cells of the map are told where they lie', source='ours',
                             paper='false')
    companions: int = option(0, 'texts of training that are kept with the network, to stand '
                             'beside a sentence that is asked', source='ours', paper='0',
                             minimum=0, maximum=256)
    modulation: str = option('vta_tta', 'how a cue changes the text', source='table 4',
                             paper='vta_tta', choices=('vta_tta', 'vta_add', 'tta', 'add'))
    text_weight: float = option(1.0, "factor on the text's update; released: 0.1",
                                source='equation 3', paper='1', minimum=0.0, maximum=10.0)
    visual_weight: float = option(0.1, "factor on the picture's update", source='released code',
                                  minimum=0.0, maximum=10.0)
    cue_residual: bool = option(True, 'the cue is added to what it saw; released: no',
                                source='equation 2', paper='true')
    image_text: bool = option(False, 'the text looks at each picture before it is compared; '
                              'released: yes', source='released code', paper='false')
    reshape: bool = option(False, 'reshape keys and values of the text-text attention where a '
                           'transpose is meant, as released', source='released code')
    rows: str = option('batch', 'in training a text reads the other texts of its batch, or '
                       '(ours) its own cue alone, as when it is asked', source='section 3.2',
                       paper='batch', choices=('batch', 'alone'))
    sees: str = option('own', 'a cue looks at the picture of its text, or (ours) anew at each '
                       'picture that its text is compared with', source='section 3.2',
                       paper='own', choices=('own', 'each'))
    start: str = option('sentence', 'what goes into the first stage: the sentence, or (ours) its '
                        'first cue alone', source='section 3.2', paper='sentence',
                        choices=('sentence', 'cue'))


def proposing(given: Iterable[str]) -> dict[str, Any]:
    """Return what --propose says of the method's settings; raises BadInputError."""
    from ris_ros.methods.pcnet.settings import PCNetSettings
    return dict(parse_assignments(PCNetSettings, given))


def released_network() -> NetworkSettings:
    """Return the network as the released code has it."""
    return NetworkSettings(text_weight=0.1, cue_residual=False, image_text=True, reshape=True,
                           keep_end=False)


def tabletop_network() -> NetworkSettings:
    """Return the tabletop's: fine maps, and each sentence trained as it is asked."""
    return NetworkSettings(channels=128, image_size=128, stride=8, text_length=24, positions=True,
                           rows='alone', sees='each', image_text=True, text_weight=0.1)


def config_of(network: NetworkSettings, clip: Mapping[str, Any]) -> PCNetConfig:
    """Return the configuration of a network over a CLIP; raises BadInputError."""
    from ris_ros.methods.pcnet.network import PCNetConfig
    from ris_ros.methods.pcnet.referring import Form
    values = dataclasses.asdict(network)
    names = {f.name for f in dataclasses.fields(Form)}
    form = Form(**{name: value for name, value in values.items() if name in names})
    rest = {name: value for name, value in values.items() if name not in names}
    context = int(clip['text_cfg'].get('context_length', 77))
    rest['text_length'] = min(rest['text_length'], context)
    return PCNetConfig(clip=dict(clip), form=form, **rest)
