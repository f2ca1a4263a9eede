"""What `ris train prompt_ris` can be told, besides the network's own configuration."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.settings import option
from ris_ros.training.engine.settings import EngineSettings, changed
from ris_ros.types import BadInputError

# What of SAM learns: each word includes those before it.
SAM_PARTS = ('none', 'mask', 'decoder', 'all')


@dataclass(frozen=True)
class PromptRisTraining(EngineSettings):
    """Settings of a training run; the defaults are the paper's where it states any."""

    rate: float = changed(EngineSettings, 'rate', 1e-4)
    schedule: str = changed(EngineSettings, 'schedule', 'poly')
    warmup: float = changed(EngineSettings, 'warmup', 0.0)
    floor: float = changed(EngineSettings, 'floor', 0.0)
    weight_decay: float = changed(EngineSettings, 'weight_decay', 1e-2)
    beta2: float = changed(EngineSettings, 'beta2', 0.999)
    clip_norm: float = changed(EngineSettings, 'clip_norm', 0.0)
    images: int = option(16, 'pictures per step', source='section 4.2', paper='16', minimum=1)
    sentences: int = option(4, 'sentences per picture and step, b', source='section 4.2',
                            paper='4', minimum=1)
    word_deletion: float = option(0.2, 'where a picture has fewer sentences than that, each word '
                                  'of a repeated one is left out this often; one always stays '
                                  '(the paper masks words, CLIP has no token for that)',
                                  source='open: ours', minimum=0, maximum=0.9)
    coarse_part: float = option(0.4, 'part of the run that trains coarse masks alone, before all '
                                'is trained end to end; that of names_part counts as well',
                                source='section 4.2',
                                paper='0.4 (20 of 50 epochs)', minimum=0, maximum=1)
    names_part: float = option(0.0, 'part of the run, before all else, that learns what every '
                               'patch shows (kinds and colours); tabletop alone',
                               source='ours', paper='0', minimum=0, maximum=1)
    names_weight: float = option(1.0, 'weight of that loss, also later, where names_part is '
                                 'above 0', source='ours', minimum=0)
    refined: int = option(0, "so many of a picture's sentences go on to SAM in a step; 0: all",
                          source='ours', paper='0', minimum=0)
    curves: str = option('one', 'one learning rate curve over both parts of the run, or each '
                         'part with its own', source='open: ours', choices=('one', 'each'))
    freeze_clip: bool = option(True, "CLIP's own weights stay as they are", source='open: ours',
                               paper='true')
    clip_rate: float = option(1.0, "rate of CLIP's own weights as a part of the rate, where they "
                              'learn', source='ours', minimum=0)
    train_sam: str = option('none', 'what of SAM learns: nothing, the layers that read a mask '
                            'prompt (a SAM that was never shown masks has them untrained), the '
                            'mask decoder and prompt encoder too, or all of it', source='ours',
                            paper='none', choices=SAM_PARTS)
    icl: bool = option(True, 'instance contrastive learning', source='equation 8', paper='true')
    icl_weight: float = option(1.0, 'weight of that loss', source='equation 9', paper='1',
                               minimum=0)
    cross_weight: float = option(1.0, 'weight of binary cross-entropy', source='equation 9',
                                 paper='1', minimum=0)
    dice_weight: float = option(1.0, 'weight of the Dice loss', source='equation 9', paper='1',
                                minimum=0)
    presence_weight: float = option(0.3, 'weight of the cross-entropy of the presence head',
                                    source='ours', minimum=0)
    score_weight: float = option(1.0, "weight of the squared error of SAM's predicted IoU, where "
                                 'its decoder learns', source='ours', minimum=0)
    smooth: float = option(1.0, 'added above and below in the Dice loss', unit='cells',
                           source='open: ours', minimum=0)
    loss_scale: int = option(1, 'final masks are enlarged so many times before their loss',
                             source='open: ours', minimum=1, maximum=8)
    prompt_dropout: float = option(0.2, 'each of the three prompts is left out this often, '
                                   'independently', source='open: ours', minimum=0, maximum=1)
    temperature: float = option(1.0, 'of the Gumbel-softmax at the start', source='open: ours',
                                minimum=0.01, maximum=100)
    last_temperature: float = option(1.0, 'of the Gumbel-softmax at the end; between, it falls '
                                     'by equal factors', source='open: ours', minimum=0.01,
                                     maximum=100)
    augment: bool = option(False, 'change brightness and colours of what CLIP sees at random',
                           source='ours', paper='false')
    mirror: bool = option(False, 'mirror half of the pictures; only where sentences are made '
                          'anew for the mirrored scene', source='ours', paper='false')
    recompute: bool = option(False, "CLIP's layers are computed again for the gradient: a third "
                             'more work, a tenth of the memory', source='ours')
    embeddings: str = option('disk', "SAM's embeddings of the pictures: kept on disk as fp16 (2 "
                             'MiB each for ViT-B), kept on the device, or computed at every '
                             'step', source='ours', choices=('disk', 'device', 'compute'))


def check_training(settings: PromptRisTraining) -> None:
    """Raise BadInputError for settings that contradict one another."""
    if settings.train_sam == 'all' and settings.embeddings != 'compute':
        raise BadInputError("train_sam=all changes SAM's embeddings; set embeddings=compute")
    if settings.names_part and settings.curves == 'each':
        raise BadInputError('names_part is a part of one run; set curves=one')
    if settings.icl and (settings.sentences < 2 or settings.refined == 1):
        raise BadInputError('icl compares the sentences of a picture; set sentences (and '
                            'refined, where it is not 0) to 2 or more, or icl=false')
    if settings.refined > settings.sentences:
        raise BadInputError(f'refined={settings.refined} is more than sentences='
                            f'{settings.sentences}')


@dataclass(frozen=True)
class TabletopTraining(PromptRisTraining):
    """Defaults on the tabletop: a small CLIP and the small SAM learn along, in large batches."""

    optimiser: str = changed(EngineSettings, 'optimiser', 'muon')
    rate: float = changed(EngineSettings, 'rate', 1e-3)
    schedule: str = changed(EngineSettings, 'schedule', 'cosine')
    warmup: float = changed(EngineSettings, 'warmup', 0.02)
    floor: float = changed(EngineSettings, 'floor', 0.01)
    weight_decay: float = changed(EngineSettings, 'weight_decay', 2e-2)
    beta2: float = changed(EngineSettings, 'beta2', 0.98)
    clip_norm: float = changed(EngineSettings, 'clip_norm', 1.0)
    images: int = changed(PromptRisTraining, 'images', 64)
    sentences: int = changed(PromptRisTraining, 'sentences', 8)
    coarse_part: float = changed(PromptRisTraining, 'coarse_part', 0.5)
    names_part: float = changed(PromptRisTraining, 'names_part', 0.1)
    freeze_clip: bool = changed(PromptRisTraining, 'freeze_clip', False)
    train_sam: str = changed(PromptRisTraining, 'train_sam', 'all')
    cross_weight: float = changed(PromptRisTraining, 'cross_weight', 5.0)
    loss_scale: int = changed(PromptRisTraining, 'loss_scale', 2)
    last_temperature: float = changed(PromptRisTraining, 'last_temperature', 0.2)
    augment: bool = changed(PromptRisTraining, 'augment', True)
    mirror: bool = changed(PromptRisTraining, 'mirror', True)
    embeddings: str = changed(PromptRisTraining, 'embeddings', 'compute')
