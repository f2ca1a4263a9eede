"""Reading reference vectors: numbers of the authors' code on small random networks.

The folder comes from RIS_REFERENCE_DIR, so that the same tests run on other vectors; the
copy carried here is the default.
"""
import json
import os
import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get('RIS_REFERENCE_DIR') or Path(__file__).parent / 'vectors')


def load(name):
    """Return the configuration and the arrays of one set of vectors."""
    config = json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8'))
    return config, np.load(FOLDER / f'{name}.npz')


def tensor(name, shape, seed):
    """Return the float32 parameter `name` that the vectors were made with.

    Normal numbers from a stream that NumPy has frozen, seeded by the name, scaled by kind:
    embeddings by 0.1, matrices and kernels by the root of the fan-in, norm weights around 1,
    biases by 0.02.
    """
    stream = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    numbers = stream.standard_normal(shape)
    if 'embedding' in name:
        numbers = 0.1 * numbers
    elif len(shape) >= 2:
        numbers = numbers / np.sqrt(np.prod(shape[1:]))
    elif name.endswith('weight'):
        numbers = 1 + 0.05 * numbers
    else:
        numbers = 0.02 * numbers
    return numbers.astype(np.float32)


def unpack_masks(packed, width):
    """Return (N, H, W) bool masks from bits packed along the last axis."""
    return np.unpackbits(packed, axis=-1)[..., :width].astype(bool)
