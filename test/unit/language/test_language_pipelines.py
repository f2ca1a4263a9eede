"""Loading and checking of pipelines, WordNet's folder, the command line, training data."""
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip('spacy')

from ris_ros.cli import main as cli
from ris_ros.files import verify_sums
from ris_ros.language import pipelines, wordnet
from ris_ros.training.language import corpora
from ris_ros.training.language import report as language_report
from ris_ros.training.language.grammar import Grammar
from ris_ros.training.language.treebank import convert, read_conllu
from ris_ros.types import BadInputError, WeightsError

DATA = Path(__file__).parents[2] / 'data'


def test_shipped_pipeline_matches_its_manifest_and_is_small():
    folder = pipelines.shipped_folder()
    verify_sums(folder, pipelines.ADVICE)
    assert sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) < 8_000_000
    assert 'ShareAlike' in (folder / 'LICENSE-CC-BY-SA-4.0.txt').read_text()
    assert 'English Web Treebank' in (folder / 'README.md').read_text()


def copied(tmp_path):
    folder = tmp_path / 'pipeline'
    shutil.copytree(pipelines.shipped_folder(), folder)
    return folder


def test_a_changed_byte_a_missing_and_a_foreign_file_are_found(tmp_path):
    folder = copied(tmp_path)
    model = folder / 'tagger' / 'model'
    data = bytearray(model.read_bytes())
    data[100] ^= 1
    model.write_bytes(data)
    with pytest.raises(WeightsError, match='SHA-256'):
        verify_sums(folder, pipelines.ADVICE)
    model.unlink()
    with pytest.raises(WeightsError, match='tagger/model'):
        verify_sums(folder, pipelines.ADVICE)
    folder = copied(tmp_path / 'second')
    (folder / 'extra.py').write_text('')
    with pytest.raises(WeightsError, match=r'extra\.py'):
        verify_sums(folder, pipelines.ADVICE)
    with pytest.raises(WeightsError, match='missing'):
        verify_sums(tmp_path / 'nothing', pipelines.ADVICE)


def test_unknown_pipeline_and_sharing_between_threads():
    from concurrent.futures import ThreadPoolExecutor
    with pytest.raises(BadInputError, match='en_core_web_nothing'):
        pipelines.load_pipeline('en_core_web_nothing')
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: pipelines.load_pipeline('shipped'), range(8)))
    assert all(nlp is loaded[0] for nlp in loaded)


def test_noun_chunks_and_lemmas_of_the_shipped_pipeline():
    doc = pipelines.load_pipeline('shipped')('pick up the two red mugs next to the bowl')
    assert [c.text for c in doc.noun_chunks] == ['the two red mugs', 'the bowl']
    assert doc[5].lemma_ == 'mug'


def test_accuracy_on_the_checked_commands():
    nlp = pipelines.load_pipeline('shipped')
    docs = language_report.checked_docs(nlp.vocab, DATA / 'commands_60.json')
    scores = language_report.score_docs(nlp, docs)
    assert scores['tag_acc'] > 97 and scores['pos_acc'] > 97
    assert scores['dep_uas'] > 95 and scores['dep_las'] > 94


def test_checked_commands_of_another_form_are_refused(tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('[{"text": "a"}]')
    with pytest.raises(BadInputError, match=r'x\.json'):
        language_report.checked_docs(pipelines.load_pipeline('shipped').vocab, path)


def test_json_of_ris_parse_has_the_fields_of_the_contract(capsys):
    code = cli.main(['parse', 'put the Red Apple on the left in the bowl', '--json',
                     '--pipeline', 'shipped'])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert set(document) == {'action', 'target', 'destination', 'targets', 'problem', 'ignored'}
    assert document['target'] == {
        'expression': 'the Red Apple on the left', 'head': 'Apple', 'attributes': ['Red'],
        'position': 'left', 'relations': [], 'negations': [], 'ordinal': None, 'count': None,
        'view': None}
    assert document['ignored'] == []
    assert document['destination'] == {'type': 'inside', 'object': 'bowl'}
    assert document['targets'] == [document['target']]


def test_ris_parse_for_people_and_for_nothing(capsys):
    assert cli.main(['parse', 'grab the mug behind the box', '--pipeline', 'shipped']) == 0
    assert capsys.readouterr().out.split('\n')[:3] == [
        'action: grab', 'target: the mug behind the box', '  head: mug']
    assert cli.main(['parse', '', '--json', '--pipeline', 'shipped']) == 0
    document = json.loads(capsys.readouterr().out)
    assert document['target'] is None and document['problem']
    assert cli.main(['parse', 'mug', '--pipeline', 'en_core_web_nothing']) == 2
    assert 'en_core_web_nothing' in capsys.readouterr().err


def test_language_bench_counts_its_runs():
    from ris_ros.evaluation.bench_language import COMMANDS, run_language_bench
    result = run_language_bench(2, 'shipped')
    assert result['n'] == 2 * len(COMMANDS)
    assert 0 < result['p50_ms'] <= result['p95_ms']


CONLLU = """# text = The ball that's in the box is red.
1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_
2\tball\tball\tNOUN\tNN\t_\t8\tnsubj\t_\t_
3-4\tthat's\t_\t_\t_\t_\t_\t_\t_\t_
3\tthat\tthat\tPRON\tWDT\t_\t7\tnsubj\t_\t_
4\t's\tbe\tAUX\tVBZ\t_\t7\tcop\t_\t_
5\tin\tin\tADP\tIN\t_\t7\tcase\t_\t_
6\tthe\tthe\tDET\tDT\t_\t7\tdet\t_\t_
7\tbox\tbox\tNOUN\tNN\t_\t2\tacl:relcl\t_\t_
8\tred\tred\tADJ\tJJ\t_\t0\troot\t_\tSpaceAfter=No
9\t.\t.\tPUNCT\t.\t_\t8\tpunct\t_\t_
10\tJohn\tJohn\tPROPN\tNNP\t_\t8\tvocative\t_\t_
11\tSmith\tSmith\tPROPN\tNNP\t_\t10\tflat\t_\t_

"""


def test_conversion_of_the_treebank(tmp_path):
    path = tmp_path / 'x.conllu'
    path.write_text(CONLLU)
    nodes = convert(next(read_conllu(path)))
    found = {n.word: (n.label, nodes[n.head].word if n.head >= 0 else None) for n in nodes}
    assert found['in'] == ('prep', "'s") and found['box'] == ('pobj', 'in')
    assert found["'s"] == ('relcl', 'ball') and found['that'] == ('nsubj', "'s")
    assert found['red'] == ('ROOT', None) and found['ball'] == ('nsubj', 'red')
    assert found['John'] == ('compound', 'Smith') and found['Smith'][0] == 'npadvmod'
    assert not nodes[2].space and not nodes[7].space and nodes[8].space
    with pytest.raises(BadInputError, match='ewt'):
        next(read_conllu(tmp_path / 'none.conllu'))


def test_copula_becomes_the_head_of_its_clause():
    rows = ('1 the DET DT 2 det', '2 cup NOUN NN 4 nsubj', '3 is AUX VBZ 4 cop',
            '4 red ADJ JJ 0 root')
    from ris_ros.training.language.treebank import Node
    nodes = []
    for row in rows:
        number, word, pos, tag, head, label = row.split()
        nodes.append(Node(int(number) - 1, word, word, pos, tag, int(head) - 1, label))
    convert(nodes)
    assert [(n.label, n.head) for n in nodes] == [
        ('det', 1), ('nsubj', 2), ('ROOT', -1), ('acomp', 2)]


def test_grammar_is_repeatable_and_its_trees_are_sound():
    sentences = list(Grammar(11).sentences(300))
    again = list(Grammar(11).sentences(300))
    assert [[n.word for n in s] for s in sentences] == [[n.word for n in s] for s in again]
    vocab = pipelines.load_pipeline('shipped').vocab
    for nodes in sentences:
        assert [n.label for n in nodes if n.head < 0] == ['ROOT']
        doc = corpora.doc_of(vocab, [nodes])
        assert len(list(doc.sents)) == 1 and all(t.tag_ and t.pos_ and t.lemma_ for t in doc)


def test_wordnet_is_found_by_configuration(tmp_path, monkeypatch):
    pytest.importorskip('nltk')
    monkeypatch.setenv('RIS_WORDNET_DIR', str(tmp_path))
    assert wordnet.find_folder() is None
    wordnet.open_wordnet.cache_clear()
    with pytest.warns(UserWarning, match='wordnet-base'):
        assert wordnet.open_wordnet() is None
    wordnet.open_wordnet.cache_clear()


def test_wordnet_similarities_from_real_data(tmp_path, monkeypatch):
    pytest.importorskip('nltk')
    monkeypatch.delenv('RIS_WORDNET_DIR', raising=False)
    if wordnet.find_folder() is None:
        pytest.skip('WordNet is not installed (Debian: wordnet-base)')
    net = wordnet.open_wordnet()
    assert max(net.similarities('cup', 'mug')) == pytest.approx(1 / 3)
    assert net.similarities('dog', 'dog').count(1.0) >= 7
    assert net.similarities('men', 'man').count(1.0) >= 3  # base forms are found
    assert net.similarities('frobnicator', 'man') == ()


def test_ris_train_language_from_treebank_to_loadable_pipeline(tmp_path, capsys):
    ewt, out = tmp_path / 'ewt', tmp_path / 'pipeline'
    ewt.mkdir()
    for part in ('train', 'dev', 'test'):
        (ewt / f'en_ewt-ud-{part}.conllu').write_text(CONLLU * 3)
    (ewt / 'LICENSE.txt').write_text('licence')
    command = ['train', 'language', '--ewt', str(ewt), '--out', str(out),
               '--commands', '20', '--max-steps', '1', '--test-commands', '5']
    assert cli.main([*command, '--resume']) == 2  # nothing to resume from
    assert cli.main(command) == 0
    assert 'treebank test: tags' in capsys.readouterr().out
    verify_sums(out, pipelines.ADVICE)
    assert str(tmp_path) not in (out / 'config.cfg').read_text()
    assert pipelines.load_pipeline(str(out))('the red mug')[0].tag_
    assert cli.main([*command, '--resume']) == 0
