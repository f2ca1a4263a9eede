"""
The training loop: `fit(task, settings, work)` trains, logs, validates, goes on where it stopped.

A run by steps that was killed and started again equals an unbroken one bit for bit on the CPU
(same threads, same processes).  The loop itself waits for the device only where a line of the
log, a validation or a checkpoint is due.
"""
from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from ris_ros.files import remove_stale, write_json
from ris_ros.settings import to_mapping
from ris_ros.training.engine import checkpoint
from ris_ros.training.engine.draws import batches, to_device
from ris_ros.training.engine.log import CsvLog, Sums
from ris_ros.training.engine.optimiser import Optimiser
from ris_ros.training.engine.runtime import (
    Runtime,
    kept_random_states,
    random_states,
    seed_all,
    set_random_states,
    start,
)
from ris_ros.training.engine.schedule import Clock, factor_of, fraction_of
from ris_ros.training.engine.settings import EngineSettings, check_keep_best
from ris_ros.training.engine.task import Task
from ris_ros.types import RisError


@dataclass(frozen=True)
class Outcome:
    """
    What a run came to.

    figures: of the last validation, or of the best one where `keep_best` is set; the model
    holds the parameters they belong to, learned in `step` steps.  waited: part of the time of
    this run spent on waiting for batches.
    """

    steps: int
    seconds: float
    step: int
    figures: Mapping[str, float]
    steps_per_second: float
    waited: float

    def record(self) -> dict[str, float]:
        """Return what is written beside a network: figures, and the steps behind them."""
        return {'step': self.step, 'seconds': round(self.seconds), **self.figures}


def fit(task: Task, settings: EngineSettings, work: Path, runtime: Runtime | None = None
        ) -> Outcome:
    """
    Train a task to the end of its schedule; its model holds the result.

    work: folder for NAME.ckpt, NAME.best.ckpt, NAME.csv and NAME.summary.json; a run that
    stopped goes on from its checkpoint there.  runtime: of `start(settings)`, which a trainer
    calls before it renders or loads.

    Raises BadInputError for settings that do not fit and for a checkpoint of another run,
    WeightsError for a damaged one, RisError where the loss is no number any more, and
    KeyboardInterrupt after writing a checkpoint where the run is told to stop.
    """
    check_keep_best(settings.keep_best, task.figures)
    return _Fit(task, settings, work, runtime or start(settings)).run()


@contextmanager
def _stop_asked() -> Iterator[list[bool]]:
    """Turn SIGINT and SIGTERM into a flag for the end of the step; the second one acts at once."""
    asked = [False]

    def ask(number: int, frame: Any) -> None:
        asked[0] = True
        for one, handler in before.items():
            signal.signal(one, handler)

    before: dict[int, Any] = {}
    try:
        for stop in (signal.SIGINT, signal.SIGTERM):
            before[stop] = signal.signal(stop, ask)
    except ValueError:      # not the main thread: whoever runs it there stops it there
        before.clear()
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Fit:
    """One run: the state of `fit`."""

    def __init__(self, task: Task, settings: EngineSettings, work: Path, runtime: Runtime
                 ) -> None:
        self.task, self.settings, self.runtime = task, settings, runtime
        self.path, self.best_path = work / f'{task.name}.ckpt', work / f'{task.name}.best.ckpt'
        self.summary_path = work / f'{task.name}.summary.json'
        task.model.to(runtime.device)
        if settings.channels_last:
            task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = task.groups(settings)
        learning = {name for group in groups for name in group.names}
        self.frozen = frozenset(n for n, _ in task.model.named_parameters()) - learning
        self.optimiser = Optimiser(groups, settings)
        self.identity = checkpoint.identity_of(task, settings)
        self.progress, self.sums = checkpoint.Progress(), Sums()
        seed_all(settings.seed, runtime.rank)
        self._resume()
        runtime.spread(task.model)
        if settings.compile:
            task.compile()
        self.clock = Clock(self.progress.seconds)
        self.elapsed = self.progress.seconds
        self.log = CsvLog(work / f'{task.name}.csv', self.progress.step) \
            if runtime.is_main else None
        self.waited = 0.0

    def _resume(self) -> None:
        if self.runtime.is_main and self.path.parent.is_dir():
            remove_stale(self.path.parent)
        if not self.path.exists():
            self.best_path.unlink(missing_ok=True)
            return
        state = checkpoint.read(self.path)
        for note in checkpoint.check_identity(self.path, state, self.identity):
            self._say(note)
        checkpoint.load_learned(self.task.model, state['model'], self.frozen, self.path)
        self.optimiser.load_state_dict(state['optimiser'])
        self.progress = checkpoint.Progress(**state['progress'])
        self.sums.load(state['sums'], self.runtime.device)
        ranks = state['random']
        if self.runtime.rank < len(ranks):
            set_random_states(ranks[self.runtime.rank], self.runtime.device)
        self._say(f'goes on from step {self.progress.step}')

    def _say(self, text: str) -> None:
        if self.runtime.is_main:
            tqdm.write(f'{self.task.name}: {text}', file=_stderr())

    @property
    def fraction(self) -> float:
        """Part of the run that lies behind."""
        return fraction_of(self.settings, self.progress.step, self.elapsed)

    def run(self) -> Outcome:
        """Train to the end of the schedule."""
        first, began = self.progress.step, time.monotonic()
        self.last_saved = self.last_validated = self.elapsed
        if self.fraction < 1:
            with _stop_asked() as asked, self._bar() as bar:
                self._loop(asked, bar)
        if not self.progress.validated or self.progress.validated['step'] != self.progress.step:
            self._validate()
            self._save()
        seconds = max(time.monotonic() - began, 1e-9)
        figures, step = self._kept()
        outcome = Outcome(self.progress.step, self.elapsed, step, figures,
                          (self.progress.step - first) / seconds, self.waited / seconds)
        if self.runtime.is_main:
            self._summarise(outcome)
        self.runtime.wait()
        return outcome

    def _loop(self, asked: list[bool], bar: Any) -> None:
        settings, runtime = self.settings, self.runtime
        drawn = iter(batches(
            self.task.source, settings, self.progress.step,
            lambda step: fraction_of(settings, step, self.elapsed), runtime.device,
            runtime.rank, runtime.processes))
        self.task.train_mode()
        stop = 0.0
        while self.fraction < 1 and not stop:
            self._step(drawn)
            self.elapsed, stop = runtime.agree(self.clock.elapsed, float(asked[0]))
            self._write_down(bar)
        if stop:
            self._save()
            self._say(f'stopped at step {self.progress.step}; the same command goes on from there')
            raise KeyboardInterrupt

    def _step(self, drawn: Iterator[Any]) -> None:
        settings, runtime = self.settings, self.runtime
        self.optimiser.set_rate(settings.rate * factor_of(settings, self.fraction))
        self.optimiser.zero_grad()
        share = settings.accumulation // runtime.processes
        for _ in range(share):
            began = time.monotonic()
            _, fraction, batch = next(drawn)
            self.waited += time.monotonic() - began
            batch = to_device(batch, runtime.device, settings.channels_last)
            with runtime.autocast():
                loss = self.task.loss(batch, fraction)
            loss, parts = loss if isinstance(loss, tuple) else (loss, {})
            self.sums.add('loss', loss)
            for name, value in parts.items():
                self.sums.add(name, value)
            (loss / share).backward()  # type: ignore[no-untyped-call]
        parameters = self.optimiser.parameters
        runtime.average_gradients(parameters)
        self.sums.add('gradient_norm', nn.utils.clip_grad_norm_(
            parameters, settings.clip_norm or math.inf))
        self.optimiser.step()
        self.progress.step += 1

    def _write_down(self, bar: Any) -> None:
        """Log, validate and save where that is due."""
        settings, step = self.settings, self.progress.step
        if step % settings.log_steps == 0 or self.fraction >= 1:
            means = self._means()
            if self.log is not None:
                rate = settings.rate * factor_of(settings, self.fraction)
                self.log.add({'step': step, 'seconds': round(self.elapsed, 1), 'rate': rate,
                              **means})
                bar.set_postfix_str(f' step {step} loss {means["loss"]:.3f}', refresh=False)
            self.sums.clear()
        bar.update(max(0, min(bar.total, step if settings.steps else self.elapsed) - bar.n))
        due = (settings.validate_steps and step % settings.validate_steps == 0) or (
            settings.validate_seconds
            and self.elapsed - self.last_validated >= settings.validate_seconds)
        if due:
            self._validate()
        if due or self.elapsed - self.last_saved >= settings.checkpoint_seconds:
            self._save()

    def _means(self) -> dict[str, float]:
        means = self.sums.means(self.runtime.mean)
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise RisError(
                f'{self.task.name}: {bad[0]} is no finite number at step {self.progress.step}; '
                'lower rate or set precision=fp32, then start from the last checkpoint')
        return means

    def _validate(self) -> None:
        self._means()
        self.progress.validated = {'step': self.progress.step}
        if self.runtime.is_main:
            self.task.model.eval()
            with torch.no_grad(), kept_random_states(self.runtime.device):
                figures = {k: float(v) for k, v in self.task.validate().items()}
            self.task.train_mode()
            self.progress.validated |= figures
            if self.log is not None:
                self.log.add({'step': self.progress.step, 'seconds': round(self.elapsed, 1),
                              **figures})
            self._say(' '.join([f'step {self.progress.step}',
                                *(f'{k}={v:.4g}' for k, v in figures.items())]))
            self._keep_best(figures)
        self.runtime.wait()
        self.elapsed, = self.runtime.agree(self.clock.elapsed)
        self.last_validated = self.elapsed

    def _keep_best(self, figures: Mapping[str, float]) -> None:
        named = self.settings.keep_best
        if not named:
            return
        sign, name = (-1 if named[0] == '-' else 1), named.removeprefix('-')
        if self.best_path.exists():
            kept = checkpoint.read_best(self.best_path)['figures']
            if name in kept and sign * kept[name] >= sign * figures[name]:
                return
        checkpoint.save(self.best_path, {
            'figures': dict(figures), 'step': self.progress.step,
            'model': checkpoint.learned_state(self.task.model, self.frozen)})

    def _save(self) -> None:
        self._means()
        states = self.runtime.gather(random_states(self.runtime.device))
        if self.runtime.is_main:
            self.progress.seconds = self.elapsed
            checkpoint.save(self.path, {
                **self.identity, 'progress': vars(self.progress).copy(),
                'model': checkpoint.learned_state(self.task.model, self.frozen),
                'optimiser': self.optimiser.state_dict(), 'random': states,
                'sums': self.sums.state()})
        self.last_saved = self.elapsed

    def _kept(self) -> tuple[dict[str, float], int]:
        """Return the figures of the parameters that are kept, which the model then holds."""
        if self.settings.keep_best and self.best_path.exists():
            best = checkpoint.read_best(self.best_path)
            checkpoint.load_learned(self.task.model, best['model'], self.frozen, self.best_path)
            return best['figures'], best['step']
        figures = dict(self.progress.validated)
        return figures, int(figures.pop('step', self.progress.step))

    def _bar(self) -> Any:
        by_steps = bool(self.settings.steps)
        total = self.settings.steps if by_steps else round(60 * self.settings.minutes)
        unit = 'step' if by_steps else 's'
        return tqdm(total=total, initial=self.progress.step if by_steps else round(self.elapsed),
                    desc=self.task.name, unit=unit, mininterval=2, file=_stderr(),
                    disable=not self.runtime.is_main,
                    bar_format='{l_bar}{bar}| {n:.0f}/{total} ' + unit + '{postfix}')

    def _summarise(self, outcome: Outcome) -> None:
        trained = sum(p.numel() for p in self.optimiser.parameters)
        record = {'task': self.task.name, 'steps': outcome.steps,
                  'seconds': round(outcome.seconds, 1), 'figures': dict(outcome.figures),
                  'figures_of_step': outcome.step, 'trained_parameters': trained,
                  'steps_per_second': round(outcome.steps_per_second, 3),
                  'waited_for_batches': round(outcome.waited, 3),
                  'device': str(self.runtime.device), 'precision': self.runtime.precision,
                  'processes': self.runtime.processes, 'settings': to_mapping(self.settings),
                  'identity': dict(self.task.identity())}
        write_json(self.summary_path, record)


def _stderr() -> Any:
    import sys
    return sys.stderr
