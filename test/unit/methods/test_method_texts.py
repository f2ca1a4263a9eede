"""Text sides of TAS, IteRPrimE and PCNet on parses written by hand."""
import json

import pytest

pytest.importorskip('spacy')

from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.iterprime import text as iterprime
from ris_ros.methods.pcnet import text as pcnet
from ris_ros.methods.tas import text as tas
from ris_ros.types import BadInputError

LEFT_MAN = [['the', 'DET', 'DT', 'det', 2], ['left', 'ADJ', 'JJ', 'amod', 2],
            ['man', 'NOUN', 'NN', 'ROOT', 2]]
MAN_ON_LEFT = [['man', 'NOUN', 'NN', 'ROOT', 0], ['on', 'ADP', 'IN', 'prep', 0],
               ['the', 'DET', 'DT', 'det', 3], ['left', 'NOUN', 'NN', 'pobj', 1]]
TWO_DOGS = [['two', 'NUM', 'CD', 'nummod', 1], ['dogs', 'NOUN', 'NNS', 'ROOT', 1],
            ['near', 'ADP', 'IN', 'prep', 1], ['a', 'DET', 'DT', 'det', 4],
            ['cat', 'NOUN', 'NN', 'pobj', 2]]
MANS_HAT = [['the', 'DET', 'DT', 'det', 1], ['man', 'NOUN', 'NN', 'poss', 3],
            ["'s", 'PART', 'POS', 'case', 1], ['hat', 'NOUN', 'NN', 'ROOT', 3]]


class ThreeSenses:
    """A stand-in for WordNet: words of one set share `shared` senses."""

    def __init__(self, *words, shared):
        self.words, self.shared = words, shared

    def similarities(self, a, b):
        same = a in self.words and b in self.words
        return (1.0,) * self.shared + (0.5,) if same else (0.2,)


def test_tas_released_counts_the_article_as_another_entity_and_paper_does_not():
    released = tas.parse_entity(doc_from_rows(LEFT_MAN), 'released')
    assert released.relations == (((), 'the left man'),)
    assert released.superlatives == (('left',),)
    sound = tas.parse_entity(doc_from_rows(LEFT_MAN), 'paper')
    assert sound.relations == () and sound.superlatives == (('left',),)


def test_tas_paper_reads_a_place_with_an_article():
    entity = tas.parse_entity(doc_from_rows(MAN_ON_LEFT), 'paper')
    assert entity.relations == () and entity.superlatives == (('on', 'left'),)


def test_tas_without_noun_chunks_has_no_entity():
    doc = doc_from_rows([['left', 'ADJ', 'JJ', 'ROOT', 0]])
    plan = tas.text_plan(doc)
    assert plan.entity is None and plan.noun_phrase == 'left'
    with pytest.raises(ValueError, match='rules'):
        tas.text_plan(doc, 'code')


@pytest.mark.parametrize('rules, shared, kept', [
    ('released', 3, ('a photo of two dogs',)), ('released', 2, (
        'a photo of two dogs', 'a photo of a cat')), ('paper', 1, ('a photo of two dogs',))])
def test_tas_negatives_leave_out_near_synonyms(rules, shared, kept):
    test = tas.synonym_test(ThreeSenses('cat', 'kitty', shared=shared), rules)
    assert tas.negatives('kitty', doc_from_rows(TWO_DOGS), test) == kept


def test_tas_without_wordnet_compares_base_forms():
    same = tas.synonym_test(None)
    assert same('dog', 'dogs') and same('boxes', 'box') and not same('dog', 'cat')
    assert tas.negatives('dog', doc_from_rows(TWO_DOGS), same) == ('a photo of a cat',)
    assert len(tas.negatives(None, doc_from_rows(TWO_DOGS), same)) == 2


def test_iterprime_fragments_share_the_pieces_of_the_joined_word():
    words, upos = ['the', 'man', "'s", 'hat'], ['DET', 'NOUN', 'PART', 'NOUN']
    spans, pos = iterprime.word_pieces(words, upos, "the man's hat", {
        'the': 1, "man's": 3, 'hat': 1}.__getitem__)
    assert spans == {0: range(4, 5), 2: range(5, 8), 3: range(8, 9)}
    assert pos[2] == 'NOUN'


def test_iterprime_repeated_word_differs_between_the_rules():
    words = ['man', 'next', 'to', 'white', 'man']
    upos = ['NOUN', 'ADV', 'ADP', 'ADJ', 'NOUN']
    plans = {rules: iterprime.plan_of_words(words, upos, 0, ' '.join(words), lambda w: 1, rules)
             for rules in ('released', 'paper')}
    assert plans['released'].primary_tokens == (8,)
    assert plans['paper'].primary_tokens == (4,)


@pytest.mark.parametrize('tree, upos, expected', [
    ('(NP (DT two) (NNS men))', ['NUM', 'NOUN'], 1),
    ('(NP (NP (NNS men)) (PP (IN with) (NP (NN dog))))', ['NOUN', 'ADP', 'NOUN'], 2),
    ('(ADJP (JJ left))', ['ADJ'], None)])
def test_iterprime_tree_search(tree, upos, expected):
    assert iterprime.primary_from_tree(tree, ['w'] * len(upos), upos) == expected


@pytest.mark.parametrize('tree', ['(NP (NN a)', '(NP (NN a)))', '(NP (NN a) (NN b))', ''])
def test_iterprime_bad_trees(tree):
    with pytest.raises(ValueError, match='tree'):
        iterprime.primary_from_tree(tree, ['a'], ['NOUN'])


@pytest.mark.parametrize('rows, expected', [
    (LEFT_MAN, 2), (MAN_ON_LEFT, 0), (TWO_DOGS, 4), (MANS_HAT, 1)])
def test_iterprime_dependencies_find_the_word_of_the_tree(rows, expected):
    # PTB trees: (NP the left man); (NP (NP man) (PP on (NP the left))); (NP (NP two dogs)
    # (PP near (NP a cat))); (NP (NP the man 's) hat)
    assert iterprime.primary_from_dependencies(doc_from_rows(rows)) == expected


def test_pcnet_rule_cues_go_from_coarse_to_fine():
    cues = pcnet.rule_cues(doc_from_rows(MAN_ON_LEFT))
    assert cues == ('man', 'man on the left', 'man', 'man on the left', 'man')
    assert pcnet.rule_cues(doc_from_rows(LEFT_MAN), count=3) == (
        'man', 'left man', 'the left man')


def test_pcnet_empty_expression():
    from spacy.tokens import Doc

    from ris_ros.language.docs import blank_vocab
    with pytest.raises(BadInputError):
        pcnet.rule_cues(Doc(blank_vocab(), words=[]))


ANSWER = 'Sure:\n1. man\n2. Man on the left.\n'


def test_pcnet_model_cues_are_cached_on_disk(tmp_path):
    asked = []
    doc = doc_from_rows(MAN_ON_LEFT)
    cues = pcnet.ModelCues('some-model', tmp_path,
                           generate=lambda p: asked.append(p) or ANSWER)
    first = cues('man on the left', doc)
    assert first == ('man', 'man on the left', 'man', 'man on the left', 'man')
    again = pcnet.ModelCues('some-model', tmp_path, generate=lambda p: pytest.fail('asked again'))
    assert again('man on the left', doc) == first
    assert len(asked) == 1 and asked[0].rstrip().endswith('Sentence: man on the left')
    stored = next(tmp_path.glob('*.json'))
    assert json.loads(stored.read_text())['expression'] == 'man on the left'


@pytest.mark.parametrize('answer', ['', 'I cannot do that', '1. a purple elephant',
                                    '1. ' + 'man ' * 13])
def test_pcnet_bad_answers_fall_back_to_the_rules_with_a_warning(tmp_path, answer):
    doc = doc_from_rows(MAN_ON_LEFT)
    cues = pcnet.ModelCues('some-model', tmp_path, generate=lambda p: answer)
    with pytest.warns(UserWarning, match='rules'):
        assert cues('man on the left', doc) == pcnet.rule_cues(doc)
    assert not list(tmp_path.glob('*'))


def test_pcnet_damaged_cache_is_asked_anew(tmp_path):
    doc = doc_from_rows(MAN_ON_LEFT)
    cues = pcnet.ModelCues('m', tmp_path, generate=lambda p: ANSWER)
    cues('man on the left', doc)
    path = next(tmp_path.glob('*.json'))
    path.write_text('{"cues": [')
    assert cues('man on the left', doc)[1] == 'man on the left'
    assert json.loads(path.read_text())['cues'] == ['man', 'man on the left']


def test_pcnet_asks_a_local_transformers_model(tmp_path):
    """A tiny model with random weights talks nonsense: loaded, asked, and not believed."""
    pytest.importorskip('torch')
    transformers = pytest.importorskip('transformers')
    tokenizers = pytest.importorskip('tokenizers')
    words = {w: i for i, w in enumerate(('[UNK]', '[EOS]', 'a', 'man', 'left', 'on', 'the'))}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token='[UNK]'))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    folder = tmp_path / 'model'
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token='[UNK]', eos_token='[EOS]',
        pad_token='[EOS]').save_pretrained(folder)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=len(words), n_positions=1024, n_embd=8, n_layer=1, n_head=1, eos_token_id=1,
        bos_token_id=1, pad_token_id=1)).save_pretrained(folder)
    cues = pcnet.ModelCues(str(folder), tmp_path / 'cache')
    doc = doc_from_rows(MAN_ON_LEFT)
    with pytest.warns(UserWarning, match='rules'):
        assert cues('man on the left', doc) == pcnet.rule_cues(doc)
