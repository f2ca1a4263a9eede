"""What a short command costs before and after its work: nothing is imported that nobody needs."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

for library in ('torch', 'segment_anything', 'spacy', 'cv2'):
    pytest.importorskip(library)
pil = pytest.importorskip('PIL.Image')

ROOT = Path(__file__).resolve().parents[3]
NOT_NEEDED = ('open_clip', 'torchvision', 'timm', 'transformers', 'segment_anything', 'spacy.cli',
              'matplotlib', 'scipy', 'nltk', 'mujoco', 'torch._dynamo', 'sympy')
CODE = """
import json, sys
from ris_ros.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, [m for m in {names!r} if m in sys.modules]]), file=sys.stderr)
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)})


def test_segment_imports_only_what_it_needs(tmp_path):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    pil.fromarray(blocks).save(tmp_path / 'i.png')
    done = run('-c', CODE.format(names=NOT_NEEDED), 'segment', str(tmp_path / 'i.png'),
               'the red mug', '--json', '--device', 'cpu', '--pipeline', 'shipped',
               '--mask', str(tmp_path / 'mask.png'))
    assert done.returncode == 0, done.stderr
    code, found = json.loads(done.stderr.splitlines()[-1])
    assert code == 0 and found == [], done.stderr
    assert json.loads(done.stdout)['outcome'] in ('SUCCEEDED_2D', 'AMBIGUOUS', 'NO_MATCH')
    assert pil.open(tmp_path / 'mask.png').size == (160, 120)


@pytest.mark.parametrize('words, code, text', [
    (['methods', '--json'], 0, '"hybridgl"'), (['methods', 'magic'], 2, ''),
    (['parse', 'pick up the red mug', '--json', '--pipeline', 'shipped'], 0, '"head": "mug"'),
    (['methods', '--help'], 0, 'usage'), (['methods', '--nonsense'], 2, '')])
def test_a_process_that_ends_at_once_has_said_all(words, code, text, tmp_path):
    with open(tmp_path / 'out', 'w+') as out:   # a file: nothing is flushed by the line
        done = subprocess.run([sys.executable, '-m', 'ris_ros.cli.main', *words], stdout=out,
                              stderr=subprocess.PIPE, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == code and (done.stderr == b'') == (code == 0)
    assert text in (tmp_path / 'out').read_text()
