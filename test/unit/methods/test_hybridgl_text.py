import pytest

pytest.importorskip('spacy')

from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.hybridgl.text import text_plan

LEFT_OF = [['the', 'DET', 'DT', 'det', 1], ['Mug', 'NOUN', 'NN', 'ROOT', 1],
           ['to', 'ADP', 'IN', 'prep', 1], ['the', 'DET', 'DT', 'det', 4],
           ['left', 'NOUN', 'NN', 'pobj', 2], ['of', 'ADP', 'IN', 'prep', 4],
           ['the', 'DET', 'DT', 'det', 7], ['bowl', 'NOUN', 'NN', 'pobj', 5]]
RIGHT_OF = [[w if w != 'left' else 'right', *rest] for w, *rest in LEFT_OF]
ON_LEFT = [['box', 'NOUN', 'NN', 'ROOT', 0], ['on', 'ADP', 'IN', 'prep', 0],
           ['the', 'DET', 'DT', 'det', 3], ['left', 'NOUN', 'NN', 'pobj', 1]]
ON_PLATE = [['box', 'NOUN', 'NN', 'ROOT', 0], ['on', 'ADP', 'IN', 'prep', 0],
            ['the', 'DET', 'DT', 'det', 3], ['plate', 'NOUN', 'NN', 'pobj', 1]]
LARGEST = [['the', 'DET', 'DT', 'det', 2], ['largest', 'ADJ', 'JJS', 'amod', 2],
           ['bowl', 'NOUN', 'NN', 'ROOT', 2]]
BOTTOM_LEFT_SIDE = [
    ['cup', 'NOUN', 'NN', 'ROOT', 0], ['at', 'ADP', 'IN', 'prep', 0],
    ['the', 'DET', 'DT', 'det', 3], ['top', 'NOUN', 'NN', 'pobj', 1],
    ['of', 'ADP', 'IN', 'prep', 3], ['the', 'DET', 'DT', 'det', 6],
    ['picture', 'NOUN', 'NN', 'pobj', 4]]


@pytest.mark.parametrize('rows, rules, direction, relation', [
    (LEFT_OF, 'released', 'left', 'left'),
    (LEFT_OF, 'paper', 'none', 'left'),
    (RIGHT_OF, 'released', 'right', 'none'),
    (RIGHT_OF, 'paper', 'none', 'right'),
    (ON_LEFT, 'paper', 'left', 'left'),
    (ON_PLATE, 'released', 'none', 'none'),
    (ON_PLATE, 'paper', 'none', 'up'),
    (LARGEST, 'released', 'none', 'none'),
    (LARGEST, 'paper', 'none', 'big'),
    (BOTTOM_LEFT_SIDE, 'released', 'up', 'none'),
    (BOTTOM_LEFT_SIDE, 'paper', 'up', 'up'),
])
def test_direction_and_relation(rows, rules, direction, relation):
    plan = text_plan(doc_from_rows(rows), rules)
    assert (plan.direction, plan.relation) == (direction, relation)


def test_phrases_are_lower_case_and_the_other_object_is_found():
    plan = text_plan(doc_from_rows(LEFT_OF), 'paper')
    assert plan.sentence == 'the mug to the left of the bowl'
    assert plan.noun_phrase == 'the mug'
    assert plan.other_noun_phrases == ('the bowl',)


def test_place_words_and_the_image_are_no_other_objects_under_the_paper_rules():
    assert text_plan(doc_from_rows(BOTTOM_LEFT_SIDE), 'released').other_noun_phrases == (
        'the picture',)
    assert text_plan(doc_from_rows(BOTTOM_LEFT_SIDE), 'paper').other_noun_phrases == ()


def test_empty_doc_and_unknown_rules():
    from spacy.tokens import Doc

    from ris_ros.language.docs import blank_vocab
    empty = Doc(blank_vocab(), words=[])
    assert text_plan(empty, 'paper').noun_phrase == ''
    with pytest.raises(ValueError, match='rules'):
        text_plan(empty, 'official')
