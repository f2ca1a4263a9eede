"""Arrays on disk that worker processes share: mapped into memory, pickled as their path."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.files import atomic_folder, write_text
from ris_ros.types import BadInputError


class Mapped:
    """A .npy file seen as a read-only array; opened at first use, in every process anew."""

    def __init__(self, path: Path) -> None:
        """path: of the file, which must be there when the array is first used."""
        self.path = Path(path)
        self._array: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        """The mapped array.  Raises BadInputError where the file is missing or damaged."""
        if self._array is None:
            try:
                # As a plain view: indexing a memmap costs ten times as long.
                self._array = np.load(self.path, mmap_mode='r',
                                      allow_pickle=False).view(np.ndarray)
            except (OSError, ValueError) as error:
                raise BadInputError(f'{self.path} cannot be read as an array ({error}); '
                                    'remove it, it is made again') from error
        return self._array

    def __getitem__(self, key: Any) -> Any:
        """Index as numpy does; what is asked for is read from disk or from its cache."""
        return self.array[key]

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the path alone."""
        return {'path': self.path, '_array': None}


def made_once(folder: Path, stamp: dict[str, Any],
              make: Callable[[dict[str, Callable[..., np.ndarray]]], None],
              names: tuple[str, ...]) -> dict[str, Mapped]:
    """
    Return arrays NAME.npy of a folder, which `make` fills where it is not there yet.

    stamp: what the arrays follow from, JSON; a folder with another stamp is an error, never
    taken for the right one.  make(create): create[name](shape, dtype) opens a new file to
    write into.  The folder appears under its name when it is whole.
    """
    said = json.dumps(stamp, sort_keys=True)
    if not folder.exists():
        with atomic_folder(folder, keep=True) as part:
            opened: list[np.memmap] = []

            def create(name: str) -> Callable[..., np.ndarray]:
                def new(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
                    opened.append(np.lib.format.open_memmap(part / f'{name}.npy', 'w+', dtype,
                                                            shape))
                    return opened[-1]
                return new

            make({name: create(name) for name in names})
            for array in opened:
                array.flush()
            write_text(part / 'stamp.json', said)
    try:
        there = (folder / 'stamp.json').read_text()
    except OSError as error:
        raise BadInputError(f'{folder} is no folder of ours ({error}); remove it') from error
    if there != said:
        raise BadInputError(f'{folder} was made from something else ({there}, not {said}); '
                            'remove it or give another --work folder')
    return {name: Mapped(folder / f'{name}.npy') for name in names}


def for_each(work: Callable[[int], None], number: int, description: str) -> None:
    """Call work(0) to work(number - 1) on as many threads as there are processors."""
    from tqdm import tqdm
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in tqdm(pool.map(work, range(number)), total=number, desc=description,
                      unit='scene'):
            pass


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, size)).permutation(size)


def epoch_rows(seed: int, index: int, batch: int, size: int) -> np.ndarray:
    """
    Return the (batch,) rows of batch `index` where `size` rows are gone through in epochs.

    Every epoch has an order of its own, a function of (seed, epoch), and holds every row once;
    a batch may reach into the next epoch.
    """
    places = np.arange(index * batch, (index + 1) * batch)
    return np.array([_order(seed, int(p) // size, size)[int(p) % size] for p in places])
