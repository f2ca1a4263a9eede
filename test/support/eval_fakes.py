"""A method that needs no networks: rectangles as proposals, the sentence's length as choice."""
from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ris_ros.datasets.registry import open_dataset
from ris_ros.evaluation.runner import RunOptions, run
from ris_ros.types import BadInputError, Candidate, Outcome, Scene, Segmentation, View


class FakePredictor:
    needs_truth = False

    def __init__(self, spec: FakeSpec) -> None:
        self.spec = spec
        self.prepared = 0

    def prepare(self, view: View) -> Scene:
        rgb = view.rgb
        self.prepared += 1
        if self.spec.log:
            with open(self.spec.log, 'a') as log:
                log.write(f'{int(rgb[0, 0, 0])}\n')
        if self.spec.die_at is not None and self.prepared > self.spec.die_at:
            os._exit(9)
        time.sleep(self.spec.seconds)
        height, width = rgb.shape[:2]
        masks = np.zeros((4, height, width), bool)
        masks[0, :height // 2, :width // 2] = True
        masks[1, height // 4:, width // 4:] = True
        masks[2, 10:30, 10:30] = True
        masks[3, :20, :30] = True
        return Scene('fake', view, masks, np.zeros((4, 4), np.float32),
                     masks.sum(axis=(1, 2)), np.ones(4, np.float32),
                     timings={'propose': self.spec.seconds})

    def ground(self, scene: Scene, text: str) -> Segmentation:
        if self.spec.fail_on and self.spec.fail_on in text:
            raise BadInputError('no object is named')
        if self.spec.stop_on and self.spec.stop_on in text:
            raise KeyboardInterrupt
        if self.spec.crash_on and self.spec.crash_on in text:
            raise RuntimeError('out of memory')
        empty = np.zeros(scene.masks.shape[1:], bool)
        if text == 'nothing here':
            return Segmentation(empty, 0.0, 0.0, Outcome.NO_MATCH, '')
        k = (len(text) + self.spec.shift) % len(scene.masks)
        outcome = {'thing': Outcome.AMBIGUOUS, 'no unicorn': Outcome.NO_MATCH}.get(
            text, Outcome.SUCCEEDED_2D)
        return Segmentation(
            scene.masks[k], 0.1 * k, 0.05, outcome, '',
            (Candidate(1, k, 0.1 * k, scene.masks[k], (0, 0, 1, 1)),),
            heatmap=scene.masks[k].astype(np.float32), timings={'score': 0.001})


@dataclass(frozen=True)
class FakeSpec:
    shift: int = 0
    seconds: float = 0.0
    die_at: int | None = None
    fail_on: str = ''
    crash_on: str = ''
    stop_on: str = ''
    log: Path | None = None
    device: str = 'cpu'

    def build(self) -> FakePredictor:
        return FakePredictor(self)


EXTRA = (
    {'ref_id': 200, 'image_id': 1, 'ann_id': None, 'ann_ids': [11, 12], 'split': 'train',
     'answerable': False, 'tag': 'ambiguous', 'sentences': ['thing']},
    {'ref_id': 201, 'image_id': 2, 'ann_id': None, 'split': 'train', 'answerable': False,
     'tag': 'absent', 'sentences': ['no unicorn', 'some unicorn']},
)
HEADER = {'method': 'fake', 'profile': 'none', 'dataset': 'refcoco', 'split': 'train'}


def evaluate(root: Path, record: Path, split='train', spec=None, header=HEADER, **options):
    dataset = open_dataset('refcoco', root, split)
    options = {'progress': False, 'say': lambda text: None, **options}
    return dataset, run(dataset, spec or FakeSpec(), header, RunOptions(record, **options))
