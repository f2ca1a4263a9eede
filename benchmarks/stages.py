"""A table of stages: processor time against counted operations, for the order benchmarks."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Count the two products of attention; torch's table lacks its kernel for processors."""
    n, heads, rows, width = query
    return 2 * n * heads * rows * key[2] * (width + value[3])


COUNTED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


class Stages:
    """Sums of time, or of operations, by stage.

    A stage is a function or method that is replaced while `watch` lasts.  A stage within a
    stage counts for itself alone.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.operations: dict[str, float] = {}
        self._inner = [0.0]
        self._counting = False

    @contextlib.contextmanager
    def watch(self, *stages: tuple[Any, str, str]) -> Iterator[None]:
        """Watch stages (owner, attribute, name)."""
        with contextlib.ExitStack() as stack:
            for owner, attribute, name in stages:
                stack.enter_context(mock.patch.object(
                    owner, attribute, self._wrapped(getattr(owner, attribute), name)))
            yield

    def _wrapped(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return self._timed(lambda: function(*args, **kwargs), name)
        return run

    def _timed(self, work: Callable[[], Any], name: str) -> Any:
        table = self.operations if self._counting else self.seconds
        self._inner.append(0.0)
        start = time.process_time()
        if self._counting:
            with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
                result = work()
            spent = float(counter.get_total_flops())
        else:
            result = work()
            spent = time.process_time() - start
        table[name] = table.get(name, 0.0) + spent - self._inner.pop()
        self._inner[-1] += spent
        return result

    def run(self, work: Callable[[], Any], *stages: tuple[Any, str, str]) -> None:
        """Run `work` once for the times and once for the operations."""
        for self._counting in (False, True):
            with self.watch(*stages):
                self._timed(work, 'rest')

    def table(self, peak: float) -> list[dict[str, Any]]:
        """Return a row per stage; peak: GFLOP/s of a matrix product on the same machine."""
        rows = []
        total = sum(self.seconds.values())
        for name, spent in sorted(self.seconds.items(), key=lambda item: -item[1]):
            count = self.operations.get(name, 0.0) / 1e9
            rows.append({'stage': name, 'ms': round(1e3 * spent, 2),
                         'share': round(spent / total, 3), 'gflop': round(count, 4),
                         'gflop_per_s': round(count / spent, 1) if spent else None,
                         'of_peak': round(count / spent / peak, 3) if spent else None})
        return rows


def format_table(rows: list[dict[str, Any]], peak: float) -> str:
    """Return the table as text."""
    lines = [f'{"stage":<22} {"ms":>10} {"share":>6} {"GFLOP":>10} {"GFLOP/s":>8} {"of peak":>8}']
    lines += [f'{row["stage"]:<22} {row["ms"]:>10.2f} {row["share"]:>6.0%} {row["gflop"]:>10.3f} '
              f'{row["gflop_per_s"] or 0:>8.1f} {row["of_peak"] or 0:>8.0%}' for row in rows]
    return '\n'.join([*lines, f'peak: {peak:.1f} GFLOP/s, a product of 1024 x 1024'])
