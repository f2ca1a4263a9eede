"""Pictures of two coloured squares with sentences, and a small PCNet that learns from them."""
import dataclasses

import numpy as np
import pcnet_networks as small
import torch

from ris_ros.models.proposals import Proposals, boxes_of
from ris_ros.training.pcnet.contraries import contrary
from ris_ros.training.pcnet.drawing import PairsSource
from ris_ros.training.pcnet.pairs import Pairs, Picture, Said
from ris_ros.training.pcnet.proposals import packed
from ris_ros.training.pcnet.run import drawing_of, tokens_of_texts
from ris_ros.training.pcnet.settings import NetworkSettings, PCNetTraining
from ris_ros.training.pcnet.showing import Shown
from ris_ros.training.pcnet.task import PCNetTask
from ris_ros.training.pcnet.validation import Question, Validation

SIZE = 64
COLOURS = {'red': (200, 30, 30), 'green': (30, 160, 40), 'blue': (40, 60, 200)}
TABLE = (120, 120, 120)
KINDS = ('mug', 'box')


class Squares:
    """Pictures in memory: one square on the left, one on the right, of two colours."""

    def __init__(self, count, seed=0):
        rng = np.random.default_rng(seed)
        self.colours = [tuple(str(c) for c in rng.permutation(list(COLOURS))[:2])
                        for _ in range(count)]
        self.noise = rng.integers(-10, 11, (count, SIZE, SIZE, 3))
        self.keys = tuple(str(row) for row in range(count))

    def __len__(self):
        return len(self.colours)

    def read(self, row):
        picture = np.full((SIZE, SIZE, 3), TABLE, np.int64)
        for mask, colour in zip(self.masks(), self.colours[row], strict=True):
            picture[mask] = COLOURS[colour]
        return (picture + self.noise[row]).clip(0, 255).astype(np.uint8)

    @staticmethod
    def masks():
        out = np.zeros((2, SIZE, SIZE), bool)
        # To the border: a peak in the outermost cells is drawn out to it.
        out[0, 16:48, :30] = out[1, 16:48, 34:] = True
        return out

    def proposals(self, count=5):
        """Return packed proposals of all pictures: both squares, and half of one."""
        masks = np.concatenate([self.masks(), self.masks()[:1]])
        masks[2, :32] = False
        masks = torch.from_numpy(masks)
        one = packed(Proposals(masks, boxes_of(masks), torch.ones(3), torch.ones(3)), count, 20)
        return torch.from_numpy(np.stack([one] * len(self)))


def pairs_of(squares):
    """Return two objects with three sentences each per picture."""
    pictures = []
    for row, colours in enumerate(squares.colours):
        said = []
        for place, (side, colour) in enumerate(zip(('left', 'right'), colours, strict=True)):
            for text in (f'the {colour} box', f'{colour} box', f'the {colour} box on the {side}'):
                said.append(Said(f'{row}:{place}', text, ('box', f'{colour} box', text),
                                 contrary(text)))
        pictures.append(Picture(str(row), row, tuple(said)))
    return Pairs('squares', pictures)


def questions_of(squares):
    return [Question(row, f'the {colour} box', ('box', f'{colour} box'), (place + 1,), tag=tag)
            for row, colours in enumerate(squares.colours)
            for place, (colour, tag) in enumerate(zip(colours, ('attribute', 'size'),
                                                      strict=True))]


def network_settings(**changes):
    return dataclasses.replace(NetworkSettings(channels=16, image_size=SIZE, stride=16,
                                               text_length=12), **changes)


def settings(**changes):
    return dataclasses.replace(PCNetTraining(
        device='cpu', steps=4, images=4, rate=1e-3, log_steps=1, validate_seconds=0.0,
        backbone_rate=1.0, precision='fp32'), **changes)


def task(values=None, network=None, count=8, **changes):
    """Return a task over squares; network: settings of the network."""
    from ris_ros.training.pcnet.start import network_of
    values = values or settings(**changes)
    network = network or network_settings()
    squares = Squares(count)
    pairs = pairs_of(squares)
    made = network_of({**small.CLIP}, None, network, values.seed)
    source = PairsSource(pairs, squares, tokens_of_texts(made.config, pairs.texts()),
                         drawing_of(values, network))
    pictures = torch.stack([torch.from_numpy(squares.read(r)).permute(2, 0, 1)
                            for r in range(count)])
    masks = squares.masks()
    validation = Validation(questions_of(squares), pictures, lambda q: masks[q.targets[0] - 1])
    table = pictures if values.pictures == 'device' else None
    return PCNetTask(made, source, Shown(table, values.augment), squares.proposals(), values,
                     validation, {'pairs': pairs.digest})
