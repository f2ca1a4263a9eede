"""Batches in order, drawn in line or ahead by worker processes, and brought to the device."""
from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ris_ros.training.engine.settings import EngineSettings
from ris_ros.training.engine.task import Source

Drawn = tuple[int, float, dict[str, Any]]


class _Draws(Dataset[Drawn]):
    """Batch `index` on demand, as the loader wants it."""

    def __init__(self, source: Source, seed: int) -> None:
        self.source, self.seed = source, seed

    def __getitem__(self, asked: tuple[int, float]) -> Drawn:  # type: ignore[override]
        index, fraction = asked
        return index, fraction, draw(self.source, self.seed, index, fraction)


def draw(source: Source, seed: int, index: int, fraction: float) -> dict[str, Any]:
    """Return batch `index` with its arrays as tensors."""
    rng = np.random.default_rng((seed, index))
    batch: dict[str, Any] = as_tensors(source.draw(rng, index, fraction))
    return batch


def as_tensors(value: Any) -> Any:
    """Return arrays as tensors, dicts and lists with their content so, the rest as it is."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Mapping):
        return {key: as_tensors(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(as_tensors(part) for part in value)
    return value


def to_device(value: Any, device: torch.device, channels_last: bool = False) -> Any:
    """Return a batch on the device; copies from pinned memory run beside the computing."""
    if isinstance(value, torch.Tensor):
        layout = torch.channels_last if channels_last and value.ndim == 4 \
            and value.is_floating_point() else torch.preserve_format
        return value.to(device, non_blocking=True, memory_format=layout)
    if isinstance(value, Mapping):
        return {key: to_device(part, device, channels_last) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_device(part, device, channels_last) for part in value)
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _start_worker(_: int) -> None:
    """Ctrl-C is the trainer's; a worker computes on one thread beside many others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


class _Asked:
    """Indices of this process from a step on, each with the fraction at the time of asking."""

    def __init__(self, first: int, per_step: int, rank: int, processes: int,
                 fraction: Callable[[int], float]) -> None:
        self.first, self.per_step, self.rank = first, per_step, rank
        self.processes, self.fraction = processes, fraction

    def __iter__(self) -> Iterator[tuple[int, float]]:
        step = self.first
        while True:
            fraction = self.fraction(step)
            for part in range(self.rank, self.per_step, self.processes):
                yield step * self.per_step + part, fraction
            step += 1


def batches(source: Source, settings: EngineSettings, first_step: int,
            fraction: Callable[[int], float], device: torch.device, rank: int = 0,
            processes: int = 1) -> Iterable[Drawn]:
    """
    Return (index, fraction, batch) without end, from an optimiser step on.

    A step has `accumulation` batches, of which this process draws every `processes`-th.
    Workers are started anew and not forked (a copy of a process that computes may never wake
    up), hold one thread each, and end with the trainer, however it ends.  The loader has a
    generator of its own, since it would draw from torch's at every start.
    """
    asked = _Asked(first_step, settings.accumulation, rank, processes, fraction)
    workers: dict[str, Any] = {} if not settings.draw_workers else {
        'num_workers': settings.draw_workers, 'prefetch_factor': settings.prefetch,
        'multiprocessing_context': 'spawn', 'worker_init_fn': _start_worker}
    dataset: Any = _Draws(source, settings.seed)
    sampler: Any = asked
    return DataLoader(dataset, batch_size=None, sampler=sampler, collate_fn=_as_it_is,
                      pin_memory=device.type == 'cuda',
                      generator=torch.Generator(), **workers)
