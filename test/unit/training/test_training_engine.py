"""The training engine: schedules, draws, checkpoints, resuming bit for bit, refusals."""
import argparse
import csv
import dataclasses
import errno
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('tqdm')

import toy_training
from toy_training import ToySource, ToyTask, digest

import ris_ros
from ris_ros.training.engine import checkpoint, runtime
from ris_ros.training.engine.arrays import Mapped, epoch_rows, made_once
from ris_ros.training.engine.draws import batches
from ris_ros.training.engine.fit import fit
from ris_ros.training.engine.log import CsvLog
from ris_ros.training.engine.options import config_text, read_settings
from ris_ros.training.engine.schedule import factor_of, fraction_of
from ris_ros.training.engine.settings import EngineSettings, changed
from ris_ros.types import BadInputError, RisError, WeightsError

BASE = EngineSettings(device='cpu', steps=40, log_steps=10, validate_steps=20, optimiser='muon',
                      precision='fp32', rate=1e-2, checkpoint_seconds=1e9, validate_seconds=0)


def with_(**values):
    return dataclasses.replace(BASE, **values)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(tmp_path, settings=BASE, **task):
    started = runtime.start(settings)
    toy = ToyTask(**task)
    return toy, fit(toy, settings, tmp_path, started)


def rows_of(path):
    with path.open(newline='') as stream:
        return [{k: v for k, v in row.items() if k != 'seconds'} for row in csv.DictReader(stream)]


def test_a_run_learns_logs_and_summarises(tmp_path):
    task, outcome = trained(tmp_path, with_(steps=300))
    assert outcome.steps == outcome.step == 300 and outcome.figures['error'] < 0.5
    rows = rows_of(tmp_path / 'toy.csv')
    losses = [float(r['loss']) for r in rows if r['loss']]
    assert len(losses) == 30 and losses[-1] < 0.2 * losses[0]
    assert [r['step'] for r in rows if r['error']] == [str(20 * i) for i in range(1, 16)]
    assert not rows[0]['late'] and rows[-1]['rate'] == '' and rows[-2]['late']
    summary = json.loads((tmp_path / 'toy.summary.json').read_text())
    assert summary['figures'] == dict(outcome.figures) and summary['settings']['rate'] == 1e-2
    assert sorted(p.name for p in tmp_path.iterdir()) == ['toy.ckpt', 'toy.csv',
                                                          'toy.summary.json']
    assert [i for i, _ in task.seen] == list(range(300))
    assert [f for _, f in task.seen] == pytest.approx([i / 300 for i in range(300)])


def test_a_finished_run_keeps_its_figures(tmp_path):
    task, first = trained(tmp_path)
    again, second = trained(tmp_path)
    assert not again.seen and dict(second.figures) == dict(first.figures)
    assert digest(again.model) == digest(task.model)


@pytest.mark.parametrize('stop', [7, 20, 33])
def test_a_run_that_raises_goes_on_bit_for_bit(tmp_path, stop):
    whole, outcome = trained(tmp_path / 'whole')

    class Halting(ToyTask):
        def loss(self, batch, fraction):
            if batch['index'] == stop and not (tmp_path / 'halted').exists():
                (tmp_path / 'halted').touch()
                raise RuntimeError('power cut')
            return super().loss(batch, fraction)

    settings = with_(checkpoint_seconds=1e-9)
    for _ in range(2):
        started = runtime.start(settings)
        task = Halting()
        try:
            resumed = fit(task, settings, tmp_path / 'parts', started)
        except RuntimeError:
            continue
    assert task.seen[0][0] == stop, 'one step is lost at most'
    assert digest(task.model) == digest(whole.model)
    assert resumed.figures['error'] == outcome.figures['error']
    whole_rows, rows = (rows_of(tmp_path / name / 'toy.csv') for name in ('whole', 'parts'))
    for row in (*whole_rows, *rows):
        row.pop('steps_seen')
    assert rows == whole_rows


def command(work, *more, env=None, launcher=()):
    root = Path(ris_ros.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, *launcher, toy_training.__file__, '--work', str(work), '--device', 'cpu',
         '--threads', '1', '--set', 'precision=fp32', '--set', 'optimiser=muon',
         '--set', 'log_steps=10', '--set', 'validate_seconds=0', *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1', **(env or {})})


def result_of(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def children_of(pid):
    found = []
    for entry in Path('/proc').iterdir():
        try:
            if entry.name.isdigit() and f'PPid:\t{pid}\n' in (entry / 'status').read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize('workers', [0, 1])
def test_a_killed_run_equals_an_unbroken_one(tmp_path, workers):
    """SIGKILL in the middle of a step; parameters, buffers, optimiser and log are the same."""
    usual = ('--steps', '60', '--slow', '0.02', '--set', f'draw_workers={workers}')
    often = ('--set', 'checkpoint_seconds=0.05')
    unbroken = result_of(command(tmp_path / 'whole', *usual, '--set', 'checkpoint_seconds=1e9'))
    process = command(tmp_path / 'parts', *usual, *often)
    path = tmp_path / 'parts' / 'toy.ckpt'
    step = 0
    while step < 12:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
        if path.exists():
            step = checkpoint.read(path)['progress']['step']
    helpers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 12 <= checkpoint.read(path)['progress']['step'] < 60
    resumed = result_of(command(tmp_path / 'parts', *usual, *often))
    assert resumed['digest'] == unbroken['digest']
    states = [checkpoint.read(tmp_path / part / 'toy.ckpt') for part in ('whole', 'parts')]
    for a, b in zip(*(s['optimiser']['parts'] for s in states), strict=True):
        assert str(a) == str(b)
    assert torch.equal(*(s['random'][0]['torch'] for s in states))
    whole, parts = (rows_of(tmp_path / name / 'toy.csv') for name in ('whole', 'parts'))
    assert [r['loss'] for r in whole if r['loss']] == [r['loss'] for r in parts if r['loss']]
    deadline = time.monotonic() + 20
    while any(Path(f'/proc/{pid}').exists() for pid in helpers) and time.monotonic() < deadline:
        time.sleep(0.2)
    left = [pid for pid in helpers if Path(f'/proc/{pid}').exists()
            and 'State:\tZ' not in Path(f'/proc/{pid}/status').read_text()]
    assert bool(helpers) == bool(workers) and not left, 'workers end with the trainer'


def test_a_run_told_to_stop_saves_first(tmp_path):
    process = command(tmp_path, '--steps', '100000', '--slow', '0.01')
    while not (tmp_path / 'toy.csv').exists() or len(rows_of(tmp_path / 'toy.csv')) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and 'the same command goes on from there' in err
    assert checkpoint.read(tmp_path / 'toy.ckpt')['progress']['step'] >= 20


def test_two_processes_learn_what_one_does(tmp_path):
    """The same global batch on two CPU processes over gloo, started as torchrun does."""
    pytest.importorskip('accelerate')
    usual = ('--steps', '20', '--exact', '--set', 'accumulation=2', '--set', 'validate_steps=10',
             '--set', 'keep_best=-error')
    one = command(tmp_path / 'one', *usual)
    two = command(tmp_path / 'two', *usual, launcher=(
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2'))
    first, second = result_of(one), result_of(two)
    assert first['steps'] == second['steps'] == 20
    states = [checkpoint.read(tmp_path / name / 'toy.ckpt') for name in ('one', 'two')]
    assert [len(s['random']) for s in states] == [1, 2]
    for name, tensor in states[0]['model'].items():
        torch.testing.assert_close(states[1]['model'][name], tensor, atol=1e-5, rtol=1e-5)
    losses = [[float(r['loss']) for r in rows_of(tmp_path / name / 'toy.csv') if r['loss']]
              for name in ('one', 'two')]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and len(losses[0]) == 2
    assert second['figures']['error'] == pytest.approx(first['figures']['error'], rel=1e-4)


def test_gradients_are_averaged_over_processes(tmp_path):
    script = tmp_path / 'two.py'
    script.write_text(
        'import json, sys, torch\n'
        'from pathlib import Path\n'
        'from ris_ros.training.engine.runtime import start\n'
        'from ris_ros.training.engine.settings import EngineSettings\n'
        "run = start(EngineSettings(device='cpu', steps=1, accumulation=2))\n"
        'ps = [torch.nn.Parameter(torch.zeros(s)) for s in (2, 3, 1)]\n'
        'ps[0].grad = torch.full((2,), 1. + 2 * run.rank)\n'
        'if run.rank: ps[1].grad = torch.full((3,), 5.)\n'
        'run.average_gradients(ps)\n'
        'layer = torch.nn.Linear(2, 2)\n'
        'torch.nn.init.constant_(layer.weight, run.rank + 7)\n'
        'run.spread(layer)\n'
        'said = {"grads": [p.grad if p.grad is None else p.grad.tolist() for p in ps],\n'
        '        "agreed": run.agree(run.rank + 0.5), "all": run.gather(run.rank),\n'
        '        "weight": layer.weight[0, 0].item()}\n'
        'Path(sys.argv[1], str(run.rank)).write_text(json.dumps(said))\n')
    pytest.importorskip('accelerate')
    root = Path(ris_ros.__file__).parents[1]
    subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--standalone',
                    '--nproc-per-node', '2', str(script), str(tmp_path)], check=True, timeout=120,
                   env={**os.environ, 'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1'},
                   capture_output=True)
    for rank in '01':
        said = json.loads((tmp_path / rank).read_text())
        assert said == {'grads': [[2.0, 2.0], [2.5, 2.5, 2.5], None], 'agreed': [0.5],
                        'all': [0, 1], 'weight': 7.0}


def test_processes_share_a_step_or_it_is_an_error(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(BadInputError, match='set accumulation=2 or a multiple'):
        runtime.start(with_(accumulation=3))


def test_draws_are_the_same_with_and_without_workers():
    def first(number, settings, step=0):
        drawn = batches(ToySource(), settings, step, lambda s: s / 10, torch.device('cpu'))
        return [b for b, _ in zip(drawn, range(number), strict=False)]

    line, ahead = first(6, with_(accumulation=2)), first(6, with_(accumulation=2, draw_workers=2))
    for (i, f, a), (j, g, b) in zip(line, ahead, strict=True):
        assert (i, f) == (j, g) == (a['index'], a['fraction'])
        assert torch.equal(a['x'], b['x']) and a['names'] == b['names']
        assert isinstance(b['nested']['pair'][0], torch.Tensor)
    assert {b['nested']['pid'] for *_, b in line} == {os.getpid()}
    assert os.getpid() not in {b['nested']['pid'] for *_, b in ahead}
    later = first(2, with_(accumulation=2), 2)
    assert [i for i, *_ in later] == [4, 5] and torch.equal(later[0][2]['x'], line[4][2]['x'])


def test_what_workers_raise_is_told():
    class Broken(ToySource):
        def draw(self, rng, index, fraction):
            raise BadInputError('picture 7 is no picture')

    with pytest.raises(BadInputError, match='picture 7'):
        next(iter(batches(Broken(), BASE, 0, lambda s: 0.0, torch.device('cpu'))))


@pytest.mark.parametrize(('values', 'message'), [
    ({'steps': 0}, 'neither is given'), ({'minutes': 1.0}, 'both are given'),
    ({'device': 'cuda:7'}, 'GPU'), ({'device': 'tpu'}, 'device must be')])
def test_what_cannot_be_is_said_at_the_start(values, message):
    with pytest.raises(BadInputError, match=message):
        runtime.start(with_(**values))


def test_bf16_only_where_the_processor_computes_in_it(monkeypatch):
    for able, auto in ((True, 'bf16'), (False, 'fp32')):
        monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda able=able: able,
                            raising=False)
        assert runtime.start(with_(precision='auto')).precision == auto
    with pytest.raises(BadInputError, match='set precision=fp32'):
        runtime.start(with_(precision='bf16'))


def test_checkpoints_of_other_runs_are_refused(tmp_path):
    trained(tmp_path)
    for settings, task, message in (
            (with_(rate=2e-2), {}, 'made with rate 0.01, not 0.02'),
            (with_(seed=1), {}, 'made with seed'), (BASE, {'width': 13}, 'another shape'),
            (with_(optimiser='adamw'), {}, 'optimiser'), (BASE, {'frozen': True}, 'shape')):
        with pytest.raises(BadInputError, match=message):
            trained(tmp_path, settings, **task)

    class Other(ToyTask):
        name = 'other'

    class OtherData(ToyTask):
        def identity(self):
            return {'scenes': 3}

    started = runtime.start(BASE)
    with pytest.raises(BadInputError, match='made with scenes None, not 3'):
        fit(OtherData(), BASE, tmp_path, started)
    (tmp_path / 'toy.ckpt').rename(tmp_path / 'other.ckpt')
    with pytest.raises(BadInputError, match="is of 'toy', not of 'other'"):
        fit(Other(), BASE, tmp_path, started)


def test_damaged_checkpoints_are_refused(tmp_path):
    trained(tmp_path)
    path = tmp_path / 'toy.ckpt'
    whole = path.read_bytes()

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / 'ran',))

    for content in (whole[:len(whole) // 2], whole[:10], b'', b'GIF89a' * 50,
                    pickle.dumps(Evil(), 2)):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match='remove it to start anew'):
            trained(tmp_path)
    torch.save({'model': {}}, path)
    with pytest.raises(WeightsError, match='no checkpoint of this trainer'):
        trained(tmp_path)
    torch.save(Evil(), path)
    with pytest.raises(WeightsError, match='remove it to start anew'):
        trained(tmp_path)
    assert not (tmp_path / 'ran').exists()


def test_a_run_can_be_made_longer(tmp_path, capsys):
    trained(tmp_path)
    task, outcome = trained(tmp_path, with_(steps=50))
    assert outcome.steps == 50 and len(task.seen) == 10
    assert 'steps was 40, is 50 from here on' in capsys.readouterr().err


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    trained(tmp_path)
    before = (tmp_path / 'toy.ckpt').read_bytes()

    def half(state, path):
        Path(path).write_bytes(before[:100])
        raise OSError(errno.ENOSPC, 'disk full')

    monkeypatch.setattr(torch, 'save', half)
    with pytest.raises(RisError, match=r'toy\.ckpt'):
        trained(tmp_path, with_(steps=41))
    assert (tmp_path / 'toy.ckpt').read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ['toy.ckpt', 'toy.csv',
                                                          'toy.summary.json']


def test_the_best_parameters_are_kept(tmp_path):
    digests = {}

    class Judged(ToyTask):
        def validate(self):
            digests[len(self.seen)] = digest(self.model)
            return {'error': abs(len(self.seen) - 20) + 0.5}

    settings = with_(keep_best='-error', validate_steps=10)
    started = runtime.start(settings)
    task = Judged()
    outcome = fit(task, settings, tmp_path, started)
    assert (outcome.step, outcome.steps, outcome.figures) == (20, 40, {'error': 0.5})
    assert digest(task.model) == digests[20] != digests[40]
    again = Judged()
    assert fit(again, settings, tmp_path, started).step == 20
    assert digest(again.model) == digests[20]
    with pytest.raises(BadInputError, match='there are: error, steps_seen'):
        fit(ToyTask(), with_(keep_best='iou'), tmp_path / 'new', started)


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(tmp_path):
    class Exploding(ToyTask):
        def loss(self, batch, fraction):
            loss = super().loss(batch, fraction)[0]
            return loss * (math.nan if batch['index'] == 25 else 1)

    settings = with_(checkpoint_seconds=1e-9)
    with pytest.raises(RisError, match='no finite number at step 26'):
        fit(Exploding(), settings, tmp_path, runtime.start(settings))
    state = checkpoint.read(tmp_path / 'toy.ckpt')
    assert state['progress']['step'] == 25
    assert all(t.isfinite().all() for t in state['model'].values() if t.is_floating_point())


def test_validating_changes_nothing(tmp_path):
    seldom, _ = trained(tmp_path / 'a', with_(validate_steps=0))
    often, _ = trained(tmp_path / 'b', with_(validate_steps=3, draw_workers=1))
    assert digest(seldom.model) == digest(often.model)


def test_frozen_parameters_stay_and_are_not_stored(tmp_path):
    task, _ = trained(tmp_path, frozen=True)
    state = checkpoint.read(tmp_path / 'toy.ckpt')
    assert 'first.weight' not in state['model'] and 'norm.running_mean' in state['model']
    runtime.start(BASE)
    assert torch.equal(ToyTask(frozen=True).model.first.weight, task.model.first.weight)


def test_accumulated_batches_count_as_one(tmp_path):
    many, _ = trained(tmp_path / 'a', with_(accumulation=3), norm=False)
    assert [i for i, _ in many.seen] == list(range(120))
    trained(tmp_path / 'b', with_(steps=7))
    assert [r['step'] for r in rows_of(tmp_path / 'b' / 'toy.csv') if r['loss']] == ['7']
    assert many.seen[5][1] == many.seen[3][1] == 1 / 40


def test_minutes_end_by_the_clock(tmp_path):
    began = time.monotonic()
    _, outcome = trained(tmp_path, with_(steps=0, minutes=0.02, validate_steps=0))
    assert outcome.steps > 5 and 1.0 < time.monotonic() - began < 10
    state = checkpoint.read(tmp_path / 'toy.ckpt')
    assert state['progress']['seconds'] >= 1.2


def test_rates_follow_the_schedule():
    steps = with_(steps=1000, warmup=0.1, floor=0.02)
    assert [fraction_of(steps, s, 0.0) for s in (0, 500, 2000)] == [0, 0.5, 1]
    assert factor_of(steps, 0.05) == pytest.approx(0.5) and factor_of(steps, 0.1) == 1
    assert factor_of(steps, 0.55) == pytest.approx(0.02 + 0.98 * 0.5)
    assert factor_of(steps, 1.0) == pytest.approx(0.02)
    poly = dataclasses.replace(steps, schedule='poly', power=0.9, floor=0.0, warmup=0.0)
    assert factor_of(poly, 0.5) == pytest.approx(0.5 ** 0.9) and factor_of(poly, 0.0) == 1
    flat = dataclasses.replace(steps, schedule='constant', warmup=0.0)
    assert factor_of(flat, 0.9) == 1
    minutes = with_(steps=0, minutes=2.0)
    assert fraction_of(minutes, 7, 30.0) == 0.25


def test_groups_have_rates_of_their_own(tmp_path):
    class Slow(ToyTask):
        def scale_of(self, name):
            return 0.1 if name.startswith('first') else 1.0

    task = Slow()
    groups = task.groups(with_(weight_decay=0.3))
    by_name = {name: g for g in groups for name in g.names}
    assert by_name['first.weight'].scale == 0.1 and by_name['last.weight'].scale == 1.0
    assert by_name['hidden.weight'].muon and not by_name['first.weight'].muon
    assert by_name['hidden.weight'].weight_decay == 0.3 and not by_name['last.bias'].weight_decay
    settings = with_(steps=1, warmup=0.0, weight_decay=0.0, optimiser='adamw', clip_norm=0.0)
    before = {k: v.clone() for k, v in task.model.named_parameters()}
    fit(task, settings, tmp_path, runtime.start(settings))
    change = {k: (v - before[k]).abs().max().item() for k, v in task.model.named_parameters()}
    assert change['first.weight'] == pytest.approx(1e-3, rel=0.01)
    assert change['hidden.weight'] == pytest.approx(1e-2, rel=0.01)


def arguments(**values):
    return argparse.Namespace(**{'config': None, 'settings': [], **values})


@dataclasses.dataclass(frozen=True)
class ToySettings(EngineSettings):
    minutes: float = changed(EngineSettings, 'minutes', 70.0)


def test_settings_come_from_file_flags_and_assignments(tmp_path):
    path = tmp_path / 'config.yaml'
    path.write_text('rate: 0.5\nseed: 3\ntoy:\n  rate: 0.25\nother:\n  rate: 0.125\n')
    read = read_settings(ToySettings, arguments(
        config=path, seed=4, settings=['toy.floor=0.5', 'other.floor=0.25', 'power=2']), 'toy',
        ('toy', 'other'))
    assert (read.rate, read.seed, read.floor, read.power, read.minutes) == (0.25, 4, 0.5, 2, 70)
    assert read_settings(ToySettings, arguments(steps=9)).minutes == 0
    assert read_settings(ToySettings, arguments(settings=['minutes=2'])).minutes == 2
    for wrong, message in ((['sam.rate=1'], "no 'sam'"), (['ratte=1'], 'did you mean rate'),
                           (['keep_best=iou'], 'no figure')):
        with pytest.raises(BadInputError, match=message):
            read_settings(ToySettings, arguments(settings=wrong), 'toy', ('toy', 'other'))
    with pytest.raises(BadInputError, match='both are given'):
        read_settings(ToySettings, arguments(steps=5, minutes=5.0))
    for text, message in (('toy: 3\n', 'toy must hold a mapping'), ('rate: 1\nrate: 2\n', 'twice'),
                          ('- 1\n', 'one mapping'), ('minutes: .inf\n', 'minutes must lie')):
        path.write_text(text)
        with pytest.raises(BadInputError, match=message):
            read_settings(ToySettings, arguments(config=path), 'toy', ('toy', 'other'))


def test_the_shown_config_is_the_default(tmp_path):
    path = tmp_path / 'shown.yaml'
    path.write_text(config_text({'toy': ToySettings, 'other': EngineSettings}, 'all'))
    assert read_settings(ToySettings, arguments(config=path), 'toy',
                         ('toy', 'other')) == ToySettings()
    path.write_text(config_text({'': ToySettings}, 'one'))
    assert read_settings(ToySettings, arguments(config=path)) == ToySettings()


def test_arrays_are_made_once_and_pickled_as_paths(tmp_path):
    made = []

    def make(create):
        made.append(1)
        create['a']((4, 3), np.uint8)[:] = np.arange(12).reshape(4, 3)

    for _ in range(2):
        a = made_once(tmp_path / 'arrays', {'scenes': 4}, make, ('a',))['a']
    assert made == [1] and a[2, 1] == 7 and a[np.array([0, 3])].tolist() == [[0, 1, 2],
                                                                             [9, 10, 11]]
    packed = pickle.dumps(a)
    assert len(packed) < 500 and pickle.loads(packed)[3].tolist() == [9, 10, 11]
    assert type(a[1:3]) is np.ndarray and a.shape == (4, 3) and len(a) == 4
    with pytest.raises(BadInputError, match='made from something else'):
        made_once(tmp_path / 'arrays', {'scenes': 5}, make, ('a',))
    with pytest.raises(BadInputError, match='cannot be read'):
        Mapped(tmp_path / 'none.npy')[0]


def test_epochs_hold_every_row_once():
    rows = np.concatenate([epoch_rows(0, i, 3, 10) for i in range(10)])
    assert all(sorted(rows[k:k + 10]) == list(range(10)) for k in (0, 10, 20))
    assert not (rows[:10] == rows[10:20]).all()
    assert (epoch_rows(0, 4, 3, 10) == rows[12:15]).all()
    assert (epoch_rows(1, 0, 10, 10) != rows[:10]).any()


def test_a_cut_log_goes_on(tmp_path):
    path = tmp_path / 'a.csv'
    log = CsvLog(path, 0)
    for step in (1, 2, 3):
        log.add({'step': step, 'loss': step / 3})
    log.add({'step': 3, 'iou': 0.5})
    with path.open('a') as stream:
        stream.write('4,0.3')
    again = CsvLog(path, 2)
    again.add({'step': 3, 'loss': 9.0})
    rows = rows_of(path)
    assert [(r['step'], r['loss'], r.get('iou')) for r in rows] == [
        ('1', '0.333333', None), ('2', '0.666667', None), ('3', '9', None)]
