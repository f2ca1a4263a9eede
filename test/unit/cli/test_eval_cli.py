"""`ris eval` and `ris bench` as a user types them, with a method that needs no networks."""
from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from datasets_fixtures import phrasecut_folder, refer_folder
from eval_fakes import EXTRA, FakeSpec

from ris_ros.cli import eval as eval_cli
from ris_ros.cli.main import main
from ris_ros.evaluation import bench
from ris_ros.evaluation.compare import compare, format_comparison
from ris_ros.evaluation.document import read_document
from ris_ros.types import BadInputError, View

pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(eval_cli, 'SegmenterSpec',
                        lambda settings, **_: FakeSpec(shift=settings.get('top_k_other', 0)))
    monkeypatch.setattr(eval_cli, 'method_options', lambda args: {
        'method': args.method, 'profile': args.profile, 'device': args.device,
        'precision': args.precision, 'model_dir': None,
        'settings': {k: int(v) for k, v in (a.split('=') for a in args.settings)}})
    monkeypatch.chdir(tmp_path)
    return refer_folder(tmp_path / 'data', extra=EXTRA)


def ris_eval(*arguments) -> int:
    return main(['eval', *map(str, arguments), '--quiet'])


def test_json_goes_to_standard_output_alone(root: Path, capsys) -> None:
    assert ris_eval('refcoco', '--root', root, '--split', 'test', '--json') == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document['n'] == 4 and document['dataset'] == 'refcoco' and document['split'] == 'test'
    assert 'are published' in err
    assert list(Path('ris_eval').iterdir())   # the per-sample record


def test_json_file_and_table(root: Path, capsys) -> None:
    assert ris_eval('refcoco', '--root', root, '--split', 'train', '--json', 'out/a.json') == 0
    out, _ = capsys.readouterr()
    assert 'mIoU' in out and 'absent (2)' in out
    document = read_document(Path('out/a.json'))
    assert document['n_absent'] == 2 and document['record'] == 'a.samples.jsonl'
    assert Path('out/a.samples.jsonl').is_file()
    assert json.loads(json.dumps(document), parse_constant=lambda c: pytest.fail(c))


def test_limit_counts_samples(root: Path) -> None:
    for limit in (1, 2, 3):
        assert ris_eval('refcoco', '--root', root, '--split', 'test', '--limit', limit,
                        '--json', 'a.json') == 0
        assert read_document(Path('a.json'))['n'] == limit


def test_every_data_set_can_be_evaluated(root: Path, tmp_path: Path) -> None:
    phrasecut_folder(tmp_path / 'pc')
    assert ris_eval('phrasecut', '--root', tmp_path / 'pc', '--json', 'pc.json') == 0
    document = read_document(Path('pc.json'))
    assert document['seen']['unseen']['n'] == 1 and document['by_tag']['coco']['n'] == 1
    assert document['left_out']['n'] == 1
    for dataset in ('refcoco+', 'refcocog'):
        refer_folder(tmp_path / 'more', dataset)
    assert ris_eval('refcoco+', '--root', tmp_path / 'more', '--json', 'p.json') == 0
    assert ris_eval('refcocog', '--root', tmp_path / 'more', '--split-by', 'unc',
                    '--json', 'g.json') == 0
    assert read_document(Path('g.json'))['split'] == 'val'


def test_tabletop_is_rendered_on_the_fly_and_limited(root: Path) -> None:
    import importlib.util
    if importlib.util.find_spec('mujoco') is None:
        pytest.skip('mujoco is not installed')
    assert ris_eval('tabletop', '--limit', 14, '--json', 't.json') == 0
    document = read_document(Path('t.json'))
    assert document['n_samples'] == 14 and document['split'] == 'test'
    assert document['n'] + document['n_absent'] + document['n_ambiguous'] == 14
    assert set(document['by_tag']) <= {'attribute', 'position', 'relation', 'size'}
    assert ris_eval('tabletop', '--limit', 14, '--json', 'u.json', '--workers', 2) == 0
    again = read_document(Path('u.json'))
    assert again['samples'] == document['samples'] and again['miou'] == document['miou']


def test_a_result_says_what_proposed_and_whether_depth_was_withheld(root: Path, capsys) -> None:
    assert ris_eval('refcoco', '--root', root, '--split', 'test', '--colour-only',
                    '--json', 'c.json') == 0
    document = read_document(Path('c.json'))
    assert document['colour_only'] is True and document['proposals'] == 'auto'
    assert 'proposals: auto, colour only' in capsys.readouterr().out
    assert ris_eval('refcoco', '--root', root, '--split', 'test', '--method', 'prompt_ris',
                    '--json', 'p.json') == 0
    document = read_document(Path('p.json'))
    assert document['colour_only'] is False and document['proposals'] is None
    assert 'proposals' not in capsys.readouterr().out


@pytest.mark.parametrize('arguments, text', [
    (('refcoco',), 'needs --root'), ((), 'name a data set'),
    (('refcoco', '--root', 'nowhere'), 'no folder'),
    (('tabletop', '--limit', '0'), '--limit 0'), (('tabletop', '--workers', '-1'), 'negative'),
    (('tabletop', '--split', 'train'), 'val, test, unseen'),
    (('--compare', 'a.json', 'b.json'), 'a.json is missing')])
def test_bad_arguments_give_one_sentence_and_code_2(root: Path, capsys, arguments,
                                                    text: str) -> None:
    assert ris_eval(*arguments) == 2
    out, err = capsys.readouterr()
    assert text in err and err.count('\n') == 1 and out == ''


def test_strict_stops_at_a_bad_entry(root: Path, capsys) -> None:
    next(root.rglob('refcoco_000000000003.png')).unlink()
    arguments = ('refcoco', '--root', root, '--split', 'test', '--json', 'a.json')
    assert ris_eval(*arguments, '--strict') == 2
    assert 'ref_id 103' in capsys.readouterr().err
    assert not Path('a.json').exists()
    assert ris_eval(*arguments) == 0
    assert read_document(Path('a.json'))['left_out']['n'] == 1
    assert read_document(Path('a.json'))['n'] == 2


def test_unknown_method_and_setting(tmp_path: Path, capsys) -> None:
    folder = tmp_path / 'f'
    folder.mkdir()
    (folder / 'refs.json').write_text('[{"image": "i", "mask": null, "expression": "x"}]')
    assert ris_eval('folder', '--root', folder, '--method', 'no_such_method') == 2
    assert 'hybridgl' in capsys.readouterr().err
    assert ris_eval('folder', '--root', folder, '--set', 'no_such_setting=1') == 2
    assert 'no_such_setting' in capsys.readouterr().err


# --- report --------------------------------------------------------------------------------------

class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        self.targets += [v for k, v in attrs if k in ('src', 'href', 'xlink:href') and v]


def test_report_is_one_page_without_links(root: Path) -> None:
    pytest.importorskip('matplotlib')
    assert ris_eval('refcoco', '--root', root, '--split', 'test', '--report', 'rep') == 0
    page = Path('rep/index.html').read_text()
    parser = Links()
    parser.feed(page)
    assert parser.tags.count('img') == 12   # three galleries of all four samples
    assert all(t.startswith(('data:image/', '#')) for t in parser.targets)
    assert 'url(http' not in page and '<script' not in page
    assert parser.tags.count('svg') == 6
    for text in ('mIoU', 'Best', 'Worst', 'Most uncertain', 'cup in the middle', 'p95',
                 'are published'):
        assert text in page


def test_report_escapes_what_people_wrote(tmp_path: Path, root: Path) -> None:
    from PIL import Image
    folder = tmp_path / 'evil'
    folder.mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / 'i.png')
    Image.fromarray(np.ones((40, 60), np.uint8)).save(folder / 'm.png')
    (folder / 'refs.json').write_text(json.dumps(
        [{'image': 'i.png', 'mask': 'm.png', 'expression': '<script>alert(1)</script>',
          'tag': '<b>'}]))
    assert ris_eval('folder', '--root', folder, '--report', 'rep') == 0
    assert '<script' not in Path('rep/index.html').read_text()


def test_report_without_answerable_samples(tmp_path: Path, root: Path) -> None:
    from PIL import Image
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / 'i.png')
    (tmp_path / 'refs.json').write_text(json.dumps(
        [{'image': 'i.png', 'mask': None, 'expression': 'no unicorn'}]))
    assert ris_eval('folder', '--root', tmp_path, '--report', 'rep', '--json', 'a.json') == 0
    document = json.loads(Path('a.json').read_text())
    assert document['miou'] is None and document['decisions']['absent']['recall'] == 1.0
    assert 'absent (1): precision' in Path('rep/index.html').read_text()


# --- comparison ----------------------------------------------------------------------------------

def document_of(ious, images=None, tags=(), **changes) -> dict:
    return {'dataset': 'd', 'split': 's', 'method': 'm', 'profile': 'p', 'iou_rule': 'plain',
            'miou': 0.0, 'samples': {
                'key': [f'k{k:04d}' for k in range(len(ious))],
                'image': list(images or map(str, range(len(ious)))),
                'tags': [list(tags)] * len(ious),
                'i': [round(1000 * v) for v in ious], 'u': [1000] * len(ious)}, **changes}


def test_comparison_is_paired() -> None:
    rng = np.random.default_rng(0)
    ious = rng.random(200) * 0.9
    # B is better by the same small amount on every sample: unpaired noise would hide it
    result = compare(document_of(ious, tags=['t']), document_of(ious + 0.02, tags=['t']))
    entry = result['differences']['miou']
    assert entry['difference'] == pytest.approx(0.02, abs=1e-3) and entry['better'] == 'b'
    low, high = entry['interval']
    assert 0.019 < low <= high < 0.021
    assert result['by_tag']['t'] == entry
    assert 'B is better' in format_comparison(result)


def test_comparison_of_equals_finds_nothing() -> None:
    rng = np.random.default_rng(1)
    result = compare(document_of(rng.random(100)), document_of(rng.random(100)))
    assert result['differences']['miou']['better'] is None
    low, high = result['differences']['miou']['interval']
    assert low < 0 < high


def test_comparison_uses_common_samples_only() -> None:
    a, b = document_of([0.5, 0.5, 1.0]), document_of([0.5, 0.5])
    result = compare(a, b)
    assert (result['n'], result['only_a'], result['only_b']) == (2, 1, 0)
    assert result['differences']['miou']['difference'] == 0.0


@pytest.mark.parametrize('changes, match', [
    ({'dataset': 'e'}, 'differ in dataset'), ({'iou_rule': 'cris'}, 'IoU rules'),
    ({'samples': {'key': ['x'], 'image': ['0'], 'tags': [[]], 'i': [1], 'u': [1]}},
     'no sample in common')])
def test_comparison_of_what_cannot_be_compared(changes, match: str) -> None:
    with pytest.raises(BadInputError, match=match):
        compare(document_of([0.5]), document_of([0.5], **changes))


def test_compare_on_the_command_line(root: Path, capsys) -> None:
    for shift in (0, 2):
        changes = ['--set', f'top_k_other={shift}'] if shift else []
        assert ris_eval('refcoco', '--root', root, '--split', 'test', *changes,
                        '--json', f'{shift}.json') == 0
    capsys.readouterr()
    assert ris_eval('--compare', '0.json', '2.json', '--json') == 0
    result = json.loads(capsys.readouterr().out)
    a, b = (read_document(Path(f'{s}.json'))['miou'] for s in (0, 2))
    assert result['n'] == 4 and result['differences']['miou']['a'] == pytest.approx(a)
    assert result['differences']['miou']['difference'] == pytest.approx(b - a)
    assert ris_eval('--compare', '0.json', '2.json') == 0
    assert re.search(r'miou +\d', capsys.readouterr().out)


# --- bench ---------------------------------------------------------------------------------------

def test_bench_tells_first_from_further_sentences() -> None:
    images = [bench.BenchImage(View(np.zeros((40, 60, 3), np.uint8)), ('a cup', 'the mug', 'x'))]
    result = bench.run_bench(FakeSpec(seconds=0.02), images, repeats=4)
    assert result['first_sentence']['n'] == 4
    assert result['further_sentence']['n'] == 2    # each of the others is new once
    assert result['repeated_sentence']['n'] == 6   # in the three rounds after
    assert 20 <= result['prepare']['p50'] <= result['first_sentence']['p50'] < 200
    assert result['ratio'] > 10
    assert result['stages']['propose']['n'] == 4 and result['stages']['score']['n'] == 12
    assert result['proposals'] == 4.0
    assert 10 < result['memory_mib']['after_load'] <= result['memory_mib']['peak']
    text = bench.format_bench(result)
    assert 'first sentence' in text and '  propose' in text


def test_bench_on_the_command_line(root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    from PIL import Image

    from ris_ros.evaluation import evaluate
    monkeypatch.setattr(evaluate, 'SegmenterSpec', lambda **_: FakeSpec())
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / 'i.png')
    arguments = ['bench', 'hybridgl', '--image', str(tmp_path / 'i.png'), '--repeats', '2']
    assert main([*arguments, '--expression', 'a cup', '--json']) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['subject'] == 'hybridgl' and result['image'] == [60, 40]
    assert main([*arguments, '--expression', 'a cup', '--json', 'b.json']) == 0
    assert json.loads(Path('b.json').read_text())['repeats'] == 2
    capsys.readouterr()
    np.save('d.npy', np.ones((40, 60), np.float32))
    Path('k.json').write_text(json.dumps({'fx': 50, 'fy': 50, 'cx': 30, 'cy': 20}))
    depth = ['--depth', 'd.npy', '--camera-info', 'k.json']
    assert main([*arguments, '--expression', 'a cup', *depth, '--json']) == 0
    assert json.loads(capsys.readouterr().out)['depth'] is True and result['depth'] is False
    assert main([*arguments, '--expression', 'a cup', *depth[:2]]) == 2
    assert 'go together' in capsys.readouterr().err
    assert main(arguments) == 2
    assert '--expression' in capsys.readouterr().err
    assert main(['bench', 'hybridgl', '--repeats', '0']) == 2


def test_bench_of_the_language_part(monkeypatch, capsys) -> None:
    import sys
    import types
    module = types.ModuleType('ris_ros.evaluation.bench_language')
    module.run_language_bench = lambda repeats, pipeline: {
        'repeats': repeats, 'asked': pipeline}
    monkeypatch.setitem(sys.modules, 'ris_ros.evaluation.bench_language', module)
    monkeypatch.setattr('ris_ros.evaluation.bench_language', module, raising=False)
    assert main(['bench', 'language', '--repeats', '7', '--json', '--pipeline', 'shipped']) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop('pipeline').startswith('shipped ')
    assert said == {'subject': 'language', 'repeats': 7, 'asked': 'shipped'}
