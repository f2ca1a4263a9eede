"""The demo's bookkeeping: which commands it gives, and what is made of their answers."""
from __future__ import annotations

import json

import numpy as np
import pytest

from ris_ros.demo.plan import (
    SHARES,
    Answer,
    PlannedCommand,
    html_page,
    intersection_over_union,
    plan_scene,
    report,
    summarise,
    table_line,
)


def answer(**changes):
    values = {'command': 'take the mug', 'tag': 'attribute', 'answerable': True,
              'outcome': 'SUCCEEDED', 'code': 0, 'iou': 0.9, 'target_error_mm': 3.0,
              'lifted_right': True, 'stamp_to_result_ms': 100.0, 'seed': 1}
    return Answer(**{**values, **changes})


def test_summary():
    absent = {'answerable': False, 'iou': None, 'target_error_mm': None, 'lifted_right': None}
    answers = [
        answer(), answer(iou=0.8, target_error_mm=20.0, lifted_right=False),
        answer(iou=0.1, target_error_mm=300.0, lifted_right=False),
        answer(outcome='AMBIGUOUS', iou=0.9, target_error_mm=None, lifted_right=False),
        answer(tag='absent', outcome='NO_MATCH', **absent),
        answer(tag='ambiguous', outcome='SUCCEEDED', stamp_to_result_ms=300.0, **absent)]
    summary = summarise(answers, 50, 49)
    assert summary['lifted_right_ratio'] == 0.25 and summary['answerable'] == 4
    assert summary['unanswerable_refused_ratio'] == 0.5
    assert summary['correct_masks'] == 2 and summary['point_within_15mm_ratio'] == 0.5
    assert summary['miou'] == pytest.approx(2.7 / 4) and summary['images_lost'] == 1
    assert summary['stamp_to_result_ms_p50'] == 100.0
    assert 'WRONG' in table_line(1, answers[5]) and 'right' in table_line(1, answers[0])
    document = json.loads(json.dumps(report(answers, summary)))
    assert {'command', 'answerable', 'outcome', 'code', 'iou', 'target_error_mm', 'lifted_right',
            'stamp_to_result_ms'} <= set(document['commands'][0])
    assert html_page([answer(command='<b>')], summary).count('&lt;b&gt;') == 1
    assert summarise([], 0, 0)['miou'] is None


def test_plan_keeps_to_the_shares():
    class Expression:
        def __init__(self, tag):
            self.text, self.tag, self.answerable = f'the {tag}', tag, tag[0] != 'a'
            self.targets = (1,)

    used: dict[str, int] = {}
    planned: list[PlannedCommand] = []
    for seed in range(50):
        planned += plan_scene(seed, [Expression(tag) for tag in SHARES], used, 100)
    assert len(planned) == 100 == sum(used.values())
    assert all(abs(used[tag] - 100 * share) <= 1 for tag, share in SHARES.items())
    assert len({command.text.replace('the', '').split()[0] for command in planned}) > 1
    assert len(plan_scene(1, [Expression('size')] * 5, {}, 1)) == 1


def test_iou():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert intersection_over_union(a, b) == 0.0
    a[:2], b[1:3] = True, True
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)


def test_sentences_that_a_gripper_cannot_obey_are_left_out_and_refusals_judged():
    from ris_ros.simulation.expressions import Expression
    both = Expression('both mugs', 'several', (1, 2), True)
    near = Expression('the mug left of the bowl', 'ambiguous_relation', (1, 2), False)
    one, = plan_scene(900000, [both, near], {}, 5)
    assert one.text.endswith(near.text) or one.text.endswith('up')
    absent = {'answerable': False, 'iou': None, 'target_error_mm': None, 'lifted_right': None}
    assert answer(tag='ambiguous_relation', outcome='AMBIGUOUS', **absent).right
    assert answer(tag='false_relation', outcome='NO_MATCH', **absent).right
    assert not answer(tag='false_relation', outcome='AMBIGUOUS', **absent).right
