"""SAM's embeddings of all training pictures on disk, half precision, made once and resumably.

Frozen and independent of the sentence, they are half of the forward work (2 MiB a picture for
ViT-B).  The file is written from the first picture on, how far it got stands beside it, and a
later run goes on from there; a file of other pictures or of another SAM is refused.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ris_ros.files import write_json
from ris_ros.training.engine.arrays import Mapped
from ris_ros.types import BadInputError


def digest_of(module: nn.Module) -> str:
    """Return one SHA-256 of all parameters and buffers of a network, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
                     .tobytes())
    return total.hexdigest()


def stamp_of(encoder: nn.Module, keys: Sequence[str], layout: str) -> dict[str, Any]:
    """Return what embeddings follow from: the encoder, the pictures in order, their layout."""
    return {'encoder': digest_of(encoder), 'layout': layout, 'pictures': len(keys),
            'keys': hashlib.sha256('\n'.join(keys).encode()).hexdigest()}


def cached_embeddings(folder: Path, stamp: dict[str, Any], shape: tuple[int, int, int],
                      embed: Callable[[range], Tensor], batch: int = 8, flush: int = 64
                      ) -> Mapped:
    """Return embeddings (N, C, h, w) float16 of a folder, computing what is not there yet.

    stamp: of `stamp_of`; N is its 'pictures'.  shape: C, h, w.  embed(rows): of some pictures,
    (n, C, h, w).  batch: pictures embedded together.  flush: batches after which what was made
    is safe on disk; a killed run loses no more.  Raises BadInputError for a folder that was
    made from something else.
    """
    from tqdm import tqdm
    folder.mkdir(parents=True, exist_ok=True)
    path, notes = folder / 'embeddings.npy', folder / 'progress.json'
    count = int(stamp['pictures'])
    done = _progress(notes, stamp, path)
    if done is None:
        array = np.lib.format.open_memmap(path, 'w+', np.float16, (count, *shape))
        _write_progress(notes, stamp, 0)
        done = 0
    elif done < count:
        array = np.load(path, mmap_mode='r+', allow_pickle=False)
    starts = range(done, count, batch)
    for number, start in enumerate(tqdm(starts, desc='embedding', unit='batch', initial=0,
                                        disable=not len(starts)), 1):
        rows = range(start, min(start + batch, count))
        array[rows.start:rows.stop] = embed(rows).half().cpu().numpy()
        if number % flush == 0 or rows.stop == count:
            array.flush()
            _write_progress(notes, stamp, rows.stop)
    found = Mapped(path)
    if found.shape != (count, *shape):
        raise BadInputError(f'{path} has the shape {found.shape}, not {(count, *shape)}; remove '
                            f'{folder}')
    return found


def _progress(notes: Path, stamp: dict[str, Any], path: Path) -> int | None:
    """Return how many embeddings are there, None where nothing is."""
    if not notes.exists():
        return None
    try:
        record = json.loads(notes.read_text(encoding='utf-8'))
        there, done = record['stamp'], int(record['done'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f'{notes} cannot be read ({error}); remove {notes.parent}') from error
    if there != stamp:
        changed = [name for name in stamp if there.get(name) != stamp[name]]
        raise BadInputError(f'{notes.parent} holds embeddings of something else (other '
                            f'{", ".join(changed)}); remove it or give another --work folder')
    if not path.exists():
        raise BadInputError(f'{path} is missing, though {notes.name} speaks of it; remove '
                            f'{notes.parent}')
    return done


def _write_progress(notes: Path, stamp: dict[str, Any], done: int) -> None:
    write_json(notes, {'stamp': stamp, 'done': done}, indent=None)
