"""The evaluation run: equal results however it is spread, resumable, honest about gaps."""
from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import eval_fakes
import numpy as np
import pytest
from datasets_fixtures import refer_folder
from eval_fakes import EXTRA, HEADER, FakeSpec, evaluate

from ris_ros.datasets.base import EntryError
from ris_ros.datasets.registry import open_dataset
from ris_ros.evaluation.document import build_document, format_table, to_json, write_document
from ris_ros.evaluation.executors import _feed, gpu_share
from ris_ros.evaluation.records import GroupResult, read_record
from ris_ros.evaluation.runner import RunOptions, run
from ris_ros.evaluation.summary import summarise
from ris_ros.types import BadInputError, RisError

pytestmark = pytest.mark.filterwarnings(   # pycocotools under NumPy 2
    'ignore:__array__ implementation:DeprecationWarning')

@pytest.fixture
def root(tmp_path: Path) -> Path:
    return refer_folder(tmp_path / 'data', extra=EXTRA)


def test_record_holds_hand_computed_counts(root: Path, tmp_path: Path) -> None:
    _, record = evaluate(root, tmp_path / 'r.jsonl')
    sample = record.records['101/2']   # 'the airplane', 12 letters: proposal 0, rows 0-19, x 0-29
    # object 12 is two squares, at x 32-39 and 45-54: nothing of it is in the proposal
    assert (sample.i, sample.u) == (0, 600 + 164)
    assert sample.oracle_i == 100 and sample.oracle_u == 45 * 30 + 64   # proposal 1 holds one part
    assert sample.point is False and sample.point_box is False   # peak at 0, 0; box from 1, 2
    assert sample.outcome == 'SUCCEEDED_2D' and sample.proposals == 4
    assert record.records['200/8'].i is None and record.records['200/8'].kind == 'ambiguous'
    assert record.records['201/9'].outcome == 'NO_MATCH'


def test_absent_and_ambiguous_are_judged_by_outcome(root: Path, tmp_path: Path) -> None:
    _, record = evaluate(root, tmp_path / 'r.jsonl')
    figures = summarise(record.records.values())
    assert figures['n'] == 3 and figures['n_samples'] == 6
    assert figures['n_absent'] == 2 and figures['n_ambiguous'] == 1
    assert figures['decisions']['absent'] == {
        'n': 2, 'precision': 1.0, 'recall': 0.5, 'by_tag': {'absent': {'n': 2, 'recall': 0.5}}}
    assert figures['decisions']['ambiguous'] == {
        'n': 1, 'recall': 1.0, 'precision': 1.0, 'false_alarms': 0.0,
        'by_tag': {'ambiguous': {'n': 1, 'recall': 1.0}}}
    assert set(figures['by_tag']) == {'position', 'other', 'seen', 'unseen'}


def test_image_is_prepared_once(root: Path, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    evaluate(root, tmp_path / 'r.jsonl', spec=FakeSpec(log=log))
    assert log.read_text().split() == ['30', '60']   # grey level 30 * image id


def figures_of(record) -> dict:
    figures = summarise(record.records.values())
    figures.pop('latency_ms')
    return figures


def test_worker_processes_give_equal_figures(root: Path, tmp_path: Path) -> None:
    _, alone = evaluate(root, tmp_path / 'a.jsonl', 'test')
    _, spread = evaluate(root, tmp_path / 'b.jsonl', 'test', workers=2)
    assert figures_of(alone) == figures_of(spread)
    assert len(spread.records) == 4


def test_ray_gives_equal_figures(root: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip('ray')
    ray.cloudpickle.register_pickle_by_value(eval_fakes)   # no module of the workers' path
    _, alone = evaluate(root, tmp_path / 'a.jsonl', 'test')
    _, spread = evaluate(root, tmp_path / 'b.jsonl', 'test', ray='local', workers=2)
    assert figures_of(alone) == figures_of(spread)
    assert len(spread.records) == 4


@pytest.mark.parametrize('actors, gpus', [(1, 1), (3, 2), (4, 2), (2, 4), (5, 1)])
def test_every_ray_actor_finds_its_gpu(actors: int, gpus: int) -> None:
    share = gpu_share(actors, gpus)
    assert 0 < share <= 1 and int(1 / share + 1e-9) * gpus >= actors
    assert gpu_share(actors, 0) == 0.0


def test_worker_that_dies_is_reported_and_the_run_continues(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RisError, match='a worker died'):
        evaluate(root, tmp_path / 'r.jsonl', 'test', workers=1, spec=FakeSpec(die_at=0))
    _, record = evaluate(root, tmp_path / 'r.jsonl', 'test')
    assert len(record.records) == 4


def test_what_a_method_refuses_counts_as_wrong_and_is_told(root: Path, tmp_path: Path) -> None:
    for workers in (0, 1):
        dataset, record = evaluate(root, tmp_path / f'{workers}.jsonl', 'test', workers=workers,
                                   spec=FakeSpec(fail_on='traffic'))
        refused = record.records['103/5']
        assert refused.refused == 'no object is named' and refused.i == 0 and refused.u == 400
        assert refused.oracle_i == 400   # a perfect choice would still have been right
        figures = summarise(record.records.values())
        assert figures['n'] == 4 and figures['n_refused'] == 1
        document = build_document(HEADER, dataset, record, tmp_path / 'r')
        assert document['refused'] == {
            'n': 1, 'first': ["103/5 'traffic light': no object is named"]}
        assert document['left_out']['n'] == 0


def test_point_counts_refused_sentences_as_the_masks_do(root: Path, tmp_path: Path) -> None:
    _, whole = evaluate(root, tmp_path / 'a.jsonl', 'test')
    _, part = evaluate(root, tmp_path / 'b.jsonl', 'test', spec=FakeSpec(fail_on='o'))
    hits = [r.point for r in part.records.values()]
    assert None in hits and len(hits) == len(whole.records)
    figures = summarise(part.records.values())
    assert figures['pointm'] == sum(bool(h) for h in hits) / len(hits)
    boxes = [r.point_box for r in part.records.values()]
    assert figures['point_box'] == sum(bool(h) for h in boxes) / len(boxes)


def test_strict_stops_at_the_first_refusal_and_names_it(root: Path, tmp_path: Path) -> None:
    for workers in (0, 1):
        with pytest.raises(BadInputError, match=r'ref_id 103\).*no object is named'):
            evaluate(root, tmp_path / f'{workers}.jsonl', 'test', workers=workers,
                     spec=FakeSpec(fail_on='traffic'), strict=True)


def test_crash_of_the_method_is_told_in_a_sentence(root: Path, tmp_path: Path) -> None:
    for workers in (0, 1):
        with pytest.raises(RisError, match=r'ref_id 103\).*RuntimeError: out of memory') as caught:
            evaluate(root, tmp_path / f'{workers}.jsonl', 'test', workers=workers,
                     spec=FakeSpec(crash_on='traffic'))
        assert not isinstance(caught.value, BadInputError)
        assert len(read_record(tmp_path / f'{workers}.jsonl').records) == 2   # the image before


def test_results_that_arrive_with_a_failure_are_kept(root: Path, tmp_path: Path,
                                                     monkeypatch) -> None:
    """On a busy machine good and bad results are collected together, in no order."""
    import concurrent.futures as cf
    real = cf.wait

    def late(futures, return_when):
        done, waiting = real(futures, return_when=cf.ALL_COMPLETED)
        return sorted(done, key=lambda f: isinstance(f.result(), GroupResult)), waiting

    monkeypatch.setattr(cf, 'wait', late)
    with pytest.raises(RisError, match='out of memory'):
        evaluate(root, tmp_path / 'r.jsonl', 'test', workers=1, spec=FakeSpec(crash_on='traffic'))
    assert len(read_record(tmp_path / 'r.jsonl').records) == 2


def test_ray_keeps_what_is_ready_when_a_task_fails() -> None:
    good = GroupResult('7', (), (), True, 0.0, 0.0, 0.0)
    results = {'actor 0': RisError('no memory'), 'actor 1': good}

    class Actor:
        def __init__(self, name):
            self.work = types.SimpleNamespace(remote=lambda *task: name)

    fake = types.SimpleNamespace(
        wait=lambda names, num_returns, timeout=None: (names[:num_returns], []),
        get=results.__getitem__, exceptions=types.SimpleNamespace(RayError=OSError))
    got = []
    with pytest.raises(RisError, match='no memory'):
        for result in _feed(fake, [Actor(name) for name in results],
                            [(None, frozenset())] * 2, False):
            got.append(result.key)
    assert got == ['7']


def test_stopped_run_says_that_it_can_go_on(root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        evaluate(root, tmp_path / 'r.jsonl', 'test', spec=FakeSpec(stop_on='traffic'),
                 say=said.append)
    assert 'r.jsonl keeps what is done' in said[-1]
    _, record = evaluate(root, tmp_path / 'r.jsonl', 'test', say=said.append)
    assert 'continuing with 2 samples' in said[-1] and len(record.records) == 4


HERE = Path(__file__).resolve().parent
KILLED = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from eval_fakes import FakeSpec, evaluate
evaluate(Path({root!r}), Path({record!r}), 'test', spec=FakeSpec(die_at=1))
"""


def test_killed_run_continues_where_it_stopped(root: Path, tmp_path: Path) -> None:
    record, log = tmp_path / 'r.jsonl', tmp_path / 'log'
    code = KILLED.format(here=str(HERE.parents[1] / 'support'), root=str(root),
                         record=str(record))
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 9
    with open(record, 'a') as file:
        file.write('{"sample": {"key": "103/5", "torn')   # what a kill may leave behind
    _, finished = evaluate(root, record, 'test', spec=FakeSpec(log=log))
    assert log.read_text().split() == ['90']   # only the second image
    _, whole = evaluate(root, tmp_path / 'whole.jsonl', 'test')
    assert figures_of(finished) == figures_of(whole)


def test_record_of_another_run_is_not_continued(root: Path, tmp_path: Path) -> None:
    path = tmp_path / 'r.jsonl'
    with pytest.raises(RisError):
        evaluate(root, path, 'test', spec=FakeSpec(crash_on='traffic'))
    other = {**HEADER, 'method': 'other'}
    with pytest.raises(BadInputError, match='method differ'):
        evaluate(root, path, 'test', header=other)
    _, record = evaluate(root, path, 'test', header=other, fresh=True)
    assert record.header['method'] == 'other' and len(record.records) == 4


def test_ended_record_starts_over_unless_reused(root: Path, tmp_path: Path) -> None:
    path, log = tmp_path / 'r.jsonl', tmp_path / 'log'
    _, short = evaluate(root, path, 'test', limit=1)
    assert list(short.records) == ['102/3']
    _, more = evaluate(root, path, 'test', limit=3, reuse=True, spec=FakeSpec(log=log))
    assert list(more.records) == ['102/3', '102/4', '103/5']
    assert log.read_text().split() == ['60', '90']
    _, less = evaluate(root, path, 'test', limit=2, reuse=True, spec=FakeSpec(log=log))
    assert list(less.records) == ['102/3', '102/4']
    assert len(log.read_text().split()) == 2   # nothing was evaluated again
    evaluate(root, path, 'test', spec=FakeSpec(log=log))
    assert len(log.read_text().split()) == 4   # a plain call measures anew


def test_missing_image_is_counted_or_stops(root: Path, tmp_path: Path) -> None:
    next(root.rglob('refcoco_000000000003.png')).unlink()
    _, record = evaluate(root, tmp_path / 'r.jsonl', 'test')
    assert len(record.records) == 2
    (problem,) = record.problems
    assert 'refs(unc).p' in problem.file and 'ref_id 103' in problem.entry
    assert 'is missing' in problem.message
    with pytest.raises(EntryError, match='is missing'):
        evaluate(root, tmp_path / 's.jsonl', 'test', strict=True)
    with pytest.raises(EntryError, match='is missing'):
        evaluate(root, tmp_path / 't.jsonl', 'test', strict=True, workers=1)


def test_prediction_is_recorded_so_that_it_can_be_counted_again(root: Path,
                                                               tmp_path: Path) -> None:
    from ris_ros.datasets.masks import decode_rle
    from ris_ros.evaluation.metrics import intersection_union
    dataset, record = evaluate(root, tmp_path / 'r.jsonl', 'test')
    for sample in dataset.samples():
        kept = record.records[sample.key]
        assert intersection_union(decode_rle(kept.mask), sample.mask.load()) == (kept.i, kept.u)


def test_broken_line_inside_a_record_is_an_error(root: Path, tmp_path: Path) -> None:
    path = tmp_path / 'r.jsonl'
    evaluate(root, path, 'test')
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([lines[0], lines[1][:20], *lines[2:]]) + '\n')
    with pytest.raises(BadInputError, match='line 2'):
        read_record(path)
    path.write_text('no record\n{}\n')
    with pytest.raises(BadInputError, match='--fresh'):
        read_record(path)


def test_document_has_the_contract_keys_and_round_trips(root: Path, tmp_path: Path) -> None:
    dataset, record = evaluate(root, tmp_path / 'r.jsonl')
    document = build_document(HEADER, dataset, record, tmp_path / 'r.jsonl')
    assert {'method', 'profile', 'dataset', 'split', 'n', 'miou', 'oiou', 'p@0.5', 'p@0.7',
            'p@0.9', 'oracle_miou', 'by_tag'} <= document.keys()
    assert all({'n', 'miou'} <= group.keys() for group in document['by_tag'].values())
    assert json.loads(to_json(document)) == json.loads(json.dumps(document))
    write_document(tmp_path / 'd.json', document)
    assert str(tmp_path) not in json.dumps({k: document[k] for k in document if k != 'left_out'})
    text = format_table(document)
    assert 'mIoU' in text and 'absent (2) precision / recall' in text
    low, high = document['intervals']['miou']
    assert low <= document['miou'] <= high


def test_mask_of_another_size_is_left_out(tmp_path: Path) -> None:
    from PIL import Image
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / 'i.png')
    Image.fromarray(np.ones((40, 61), np.uint8)).save(tmp_path / 'm.png')
    (tmp_path / 'refs.json').write_text(json.dumps(
        [{'image': 'i.png', 'mask': m, 'expression': 'a cup'} for m in ('m.png', 'gone.png')]))
    dataset = open_dataset('folder', tmp_path)
    header = {**HEADER, 'dataset': 'folder'}
    record = run(dataset, FakeSpec(), header, RunOptions(tmp_path / 'r.jsonl', progress=False))
    assert not record.records
    assert [('61x40' in p.message, 'is missing' in p.message) for p in record.problems] == [
        (True, False), (False, True)]
    assert record.problems[0].entry == 'entry 0' and 'refs.json' in record.problems[0].file
    assert summarise(record.records.values())['miou'] is None
