"""A tabletop of two coloured squares, small enough to train on in a second."""
import argparse
import json

import numpy as np
import torch
from prompt_ris_networks import CLIP, small_network

from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.simulation.truth import SceneTruth
from ris_ros.training.prompt_ris.frames import TableFrames
from ris_ros.training.prompt_ris.sentences import Said, targets_array
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.training.prompt_ris.task import PromptRisTask
from ris_ros.training.prompt_ris.validation import Asked, Validation
from ris_ros.types import Camera

COLOURS = {'red': (220, 30, 30), 'blue': (30, 30, 220)}
H, W = 48, 64


def pictures(count, seed=0):
    """Return (n, H, W, 3) uint8 and (n, H, W) uint8: object 1 is red, object 2 blue."""
    rng = np.random.default_rng(seed)
    colour = np.full((count, H, W, 3), 128, np.uint8)
    instances = np.zeros((count, H, W), np.uint8)
    for k in range(count):
        swap = rng.random() < 0.5
        for number, name in enumerate(COLOURS, 1):
            x = int(rng.integers(2, 12)) + (32 if (number == 1) == swap else 0)
            y = int(rng.integers(2, 28))
            colour[k, y:y + 16, x:x + 16] = COLOURS[name]
            instances[k, y:y + 16, x:x + 16] = number
    return colour, instances


class SquareSource:
    """Sentences about the squares; 'the bowl' is nowhere, 'the mug' fits both."""

    texts = (Said('the red mug', (1,)), Said('the blue mug', (2,)), Said('the bowl', ()),
             Said('the mug', (1, 2)))

    def __init__(self, count, images=4, sentences=4, mirror=False):
        self.count, self.images, self.sentences, self.mirror = count, images, sentences, mirror

    def draw(self, rng, index, fraction):
        """Return a batch as TableFrames reads it."""
        rows = rng.choice(self.count, self.images)
        said = [self.texts[int(rng.integers(4))] for _ in range(self.images * self.sentences)]
        tokenizer = WordTokenizer(CLIP['vocabulary'], 12)
        return {'rows': rows, 'mirror': (rng.random(self.images) < 0.5) & self.mirror,
                'tokens': tokenizer([s.text for s in said]), 'targets': targets_array(said)}


def table(count, scale=1, cached=True, mirrored=False, network=None, seed=0):
    """Return TableFrames of `count` pictures."""
    network = network or small_network()
    frames = TableFrames(network.layout((H, W)), scale, 'cpu', network.embed, cached, mirrored)
    with torch.no_grad():
        colour, instances = pictures(count, seed)
        frames.add(torch.from_numpy(colour), torch.from_numpy(instances))
    frames.close()
    return frames


def asked(count, seed=0):
    """Return one validation batch over all pictures."""
    _, instances = pictures(count, seed)
    said = list(SquareSource.texts) * count
    tokenizer = WordTokenizer(CLIP['vocabulary'], 12)
    batch = {'rows': torch.arange(count), 'mirror': torch.zeros(count, dtype=torch.bool),
             'tokens': tokenizer([s.text for s in said]),
             'targets': torch.from_numpy(targets_array(said))}
    truths = [instances[k // 4] == s.targets[0] if len(s.targets) == 1 else None
              for k, s in enumerate(said)]
    return [Asked(batch, truths, [bool(s.targets) for s in said],
                  ['attribute' if len(s.targets) == 1 else 'other' for s in said])]


def task(settings=None, count=6, network=None, part='both', **frames):
    """Return a task over the squares, network and settings small."""
    settings = settings or small_settings()
    network = network or small_network(random_prompts=False)
    tables = table(count, settings.loss_scale, settings.embeddings == 'device',
                   settings.mirror, network, **frames)
    validation = Validation(tables, asked(count), 'cpu')
    return PromptRisTask(network, SquareSource(count, settings.images, settings.sentences,
                                               settings.mirror),
                         tables, settings, (0.5,) * 3, (0.5,) * 3, validation, {'scenes': count},
                         part)


def small_settings(**changes):
    """Return settings for a few steps on the CPU."""
    return PromptRisTraining(**{'steps': 4, 'images': 4, 'sentences': 4, 'coarse_part': 0.5,
                                'precision': 'fp32', 'embeddings': 'device', 'device': 'cpu',
                                'threads': 1, 'log_steps': 1, 'validate_seconds': 0.0,
                                **changes})


def truth(seed=0):
    """Return a scene of a red mug, a blue mug and a red bowl in a row."""
    x = np.array([120.0, 320.0, 520.0])
    centres = np.stack([x, np.full(3, 240.0)], 1)
    poses = np.zeros((3, 7))
    poses[:, 0], poses[:, 2], poses[:, 3] = (x - 320) / 1000, 0.8, 1
    return SceneTruth(seed, Camera(600, 600, 319.5, 239.5, 640, 480), ('mug', 'mug', 'bowl'),
                      ('red', 'blue', 'red'), ('small', 'large', 'small'),
                      np.array([0.8, 1.25, 0.8]), poses, np.full(3, -1), np.zeros(3, bool),
                      np.zeros(3, bool), np.full(3, 3000.0), centres,
                      np.concatenate([centres - 30, centres + 30], 1), np.zeros(3))


def shards(folder, seeds):
    """Write one shard of drawn scenes of `truth`, as if they had been rendered."""
    from ris_ros.training.tabletop.shards import FORMAT
    seeds = list(seeds)
    part = folder / f'shard_{seeds[0]:06d}'
    part.mkdir(parents=True)
    made = [truth(seed) for seed in seeds]
    instances = np.zeros((len(seeds), 480, 640), np.uint8)
    colour = np.full((len(seeds), 480, 640, 3), 128, np.uint8)
    for k, scene in enumerate(made):
        for number, ((x, y), name) in enumerate(zip(scene.centres, scene.colours, strict=True), 1):
            place = np.s_[k, int(y) - 30:int(y) + 30, int(x) - 30:int(x) + 30]
            instances[place], colour[place] = number, COLOURS[name]
    np.save(part / 'color.npy', colour)
    np.save(part / 'instances.npy', instances)
    (part / 'scenes.json').write_text(json.dumps(
        {'format': FORMAT, 'scenes': [scene.to_dict() for scene in made]}))


def arguments(*given):
    """Return the parsed arguments of `ris train prompt_ris`."""
    from ris_ros.training.prompt_ris.command import add_arguments
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(g) for g in given])
