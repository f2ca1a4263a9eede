"""Rendering and networks live in one process, whichever comes first."""
from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

CODE = """
from ris_ros.simulation import TabletopWorld
with TabletopWorld(100000, render_size=(64, 48)) as world:
    world.render()
import torchvision
import torch._dynamo
print('alive')
"""


@pytest.mark.skipif(any(importlib.util.find_spec(m) is None for m in ('mujoco', 'torchvision')),
                    reason='mujoco or torchvision is not installed')
def test_networks_load_after_rendering() -> None:
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True,
                          timeout=240)
    assert done.stdout.strip() == 'alive', done.stderr[-2000:]
