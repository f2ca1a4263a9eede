"""The CSV of a run, and the losses on their way into it."""
from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ris_ros.files import atomic_path


class CsvLog:
    """
    Rows of a run by step; columns are added as they come up.

    A run that goes on drops rows from behind its checkpoint, which it writes again.
    """

    FIRST = ('step', 'seconds', 'rate', 'loss')

    def __init__(self, path: Path, step: int) -> None:
        """step: where the run goes on from; 0 starts a new file."""
        self.path, self.columns = path, list(self.FIRST)
        self.rows: list[dict[str, str]] = self._read(step) if step else []
        for row in self.rows:
            self.columns += [c for c in row if c not in self.columns]
        self._rewrite()

    def _read(self, step: int) -> list[dict[str, str]]:
        try:
            with self.path.open(newline='') as stream:
                rows = list(csv.DictReader(stream))
        except OSError:
            return []
        return [{k: v for k, v in row.items() if k and v} for row in rows
                if (row.get('step') or '').isdigit() and int(row['step']) <= step]

    def add(self, row: Mapping[str, int | float]) -> None:
        """Append a row."""
        self.rows.append({name: f'{value:.6g}' if isinstance(value, float) else str(value)
                          for name, value in row.items()})
        fresh = [name for name in row if name not in self.columns]
        if fresh:
            self.columns += fresh
            self._rewrite()
        else:
            with self.path.open('a', newline='') as stream:
                csv.DictWriter(stream, self.columns).writerow(self.rows[-1])

    def _rewrite(self) -> None:
        with atomic_path(self.path) as temporary, temporary.open('w', newline='') as stream:
            writer = csv.DictWriter(stream, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)


class Sums:
    """Sums of losses that stay on the device until a line of the log is due."""

    def __init__(self) -> None:
        """Start empty."""
        self.total: dict[str, Tensor] = {}
        self.count: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Add a scalar, without waiting for it."""
        value = value.detach().float()
        self.total[name] = self.total[name] + value if name in self.total else value.clone()
        self.count[name] = self.count.get(name, 0) + 1

    def means(self, averaged: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """
        Return the means by name; this waits for the device.

        averaged: of a tensor over the processes; only the loss and its norm are, since parts
        may differ between processes.
        """
        if not self.total:
            return {}
        together = torch.stack([self.total[k] / self.count[k] for k in self.total])
        values = dict(zip(self.total, together.tolist(), strict=True))
        values['loss'] = float(averaged(self.total['loss'] / self.count['loss']))
        return values

    def clear(self) -> None:
        """Start anew."""
        self.total, self.count = {}, {}

    def state(self) -> dict[str, Any]:
        """Return the sums for a checkpoint."""
        return {'total': {k: v.cpu() for k, v in self.total.items()}, 'count': dict(self.count)}

    def load(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a checkpoint's sums."""
        self.total = {k: v.to(device) for k, v in state['total'].items()}
        self.count = dict(state['count'])
