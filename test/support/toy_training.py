"""A small task for the engine: dropout, batch norm, Muon, parts; also a command to kill."""
import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ris_ros.training.engine.fit import fit
from ris_ros.training.engine.options import add_engine_arguments, read_settings
from ris_ros.training.engine.runtime import start
from ris_ros.training.engine.settings import EngineSettings
from ris_ros.training.engine.task import Task


class ToySource:
    """Rows of a fixed linear map with noise; `slow` seconds a batch."""

    def __init__(self, slow=0.0, rows=16):
        self.slow, self.rows = slow, rows

    def draw(self, rng, index, fraction):
        """Return pictures, targets and names."""
        time.sleep(self.slow)
        x = rng.normal(size=(self.rows, 8)).astype(np.float32)
        return {'x': x, 'y': x.sum(1), 'index': index, 'fraction': fraction,
                'names': [f'row {i}' for i in range(self.rows)],
                'nested': {'pid': os.getpid(), 'pair': (x[:1], 'text')}}


class ToyTask(Task):
    """A perceptron."""

    name = 'toy'
    figures = ('error', 'steps_seen')
    hidden = ('hidden',)

    def __init__(self, source=None, dropout=0.1, norm=True, width=12, frozen=False,
                 noise=0.01):
        self.model = nn.Sequential()
        self.model.add_module('first', nn.Linear(8, width))
        self.model.add_module('norm', nn.BatchNorm1d(width) if norm else nn.Identity())
        self.model.add_module('act', nn.GELU())
        self.model.add_module('hidden', nn.Linear(width, width))
        self.model.add_module('drop', nn.Dropout(dropout))
        self.model.add_module('last', nn.Linear(width, 1))
        if frozen:
            self.model.get_submodule('first').requires_grad_(False)
        self.source = source or ToySource()
        self.seen, self.noise = [], noise

    def loss(self, batch, fraction):
        """Return squared and absolute error; random numbers of three libraries take part."""
        self.seen.append((batch['index'], fraction))
        noise = torch.randn_like(batch['x']) + 0.1 * float(np.random.random())
        error = self.model(batch['x'] + self.noise * noise)[:, 0] - batch['y']
        squared = error.square().mean()
        parts = {'squared': squared}
        if fraction > 0.5:
            parts['late'] = error.abs().mean()
        return squared + 0.1 * error.abs().mean(), parts

    def validate(self):
        """Return the error on fixed rows; draws random numbers, which must not matter."""
        torch.rand(3), np.random.random(4)
        x = torch.from_numpy(np.random.default_rng(9).normal(size=(64, 8)).astype(np.float32))
        assert not self.model.training and not torch.is_grad_enabled()
        error = self.model(x)[:, 0] - x.sum(1)
        return {'error': float(error.square().mean()), 'steps_seen': len(self.seen)}


def digest(model):
    """Return one hash of all parameters and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def main():
    """Train the toy as a command does; print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--work', type=Path, required=True)
    parser.add_argument('--slow', type=float, default=0.0)
    parser.add_argument('--exact', action='store_true', help='nothing random, no batch norm')
    add_engine_arguments(parser)
    args = parser.parse_args()
    settings = read_settings(EngineSettings, args, figures=ToyTask.figures)
    runtime = start(settings)
    task = ToyTask(ToySource(args.slow), 0.0 if args.exact else 0.1, not args.exact,
                   noise=0.0 if args.exact else 0.01)
    outcome = fit(task, settings, args.work, runtime)
    if runtime.is_main:
        print(json.dumps({'digest': digest(task.model), 'steps': outcome.steps,
                          'figures': dict(outcome.figures)}))


if __name__ == '__main__':
    main()
