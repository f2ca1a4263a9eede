"""Which commands the demo gives, and what is made of their answers; no ROS here."""
from __future__ import annotations

import html
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Shares of the demo's commands; the last two cannot be carried out and must be refused.
SHARES = {'attribute': 0.25, 'position': 0.2, 'relation': 0.25, 'size': 0.1,
          'ambiguous': 0.1, 'absent': 0.1}
PER_SCENE = 2
PHRASES = ('pick up {}', 'grab {}', 'take {}', 'pick {} up')
GOOD_IOU = 0.5       # from here on a mask is that of the right object
NEAR_MM = 15.0       # from here on a target point is on the object


@dataclass(frozen=True)
class PlannedCommand:
    """One sentence about the scene of a seed; `targets` are instances of the scene."""

    seed: int
    text: str
    tag: str
    targets: tuple[int, ...]
    answerable: bool


@dataclass(frozen=True)
class Answer:
    """One row of the demo's table; None where a figure makes no sense.

    iou: [0, 1].  target_error_mm: target point to the object's visible surface.
    lifted_right: the gripper lifted the object that was meant.
    stamp_to_result_ms: from the image's stamp to the arrival of the result.
    """

    command: str
    tag: str
    answerable: bool
    outcome: str
    code: int
    iou: float | None
    target_error_mm: float | None
    lifted_right: bool | None
    stamp_to_result_ms: float | None
    seed: int
    overlay: str | None = None
    message: str = ''

    @property
    def right(self) -> bool:
        """The right object was lifted, or a command that cannot be carried out was refused."""
        if self.answerable:
            return bool(self.lifted_right)
        ambiguous = self.tag.startswith('ambiguous')
        return self.outcome == ('AMBIGUOUS' if ambiguous else 'NO_MATCH')


def plan_scene(seed: int, expressions: Sequence[Any], used: dict[str, int],
               room: int) -> list[PlannedCommand]:
    """Return the commands for one scene: of each time the tag that is most behind its share.

    used: commands per tag so far; is brought up to date.  room: at most this many.
    """
    planned: list[PlannedCommand] = []
    # A gripper lifts one thing: sentences that mean several are left to evaluation.
    rest = [e for e in expressions if not (e.answerable and len(e.targets) > 1)]
    while rest and len(planned) < min(room, PER_SCENE):
        total = sum(used.values()) + 1
        best = max(rest, key=lambda e: SHARES.get(e.tag, 0.0) * total - used.get(e.tag, 0))
        rest.remove(best)
        phrase = PHRASES[(total - 1) % len(PHRASES)]
        used[best.tag] = used.get(best.tag, 0) + 1
        planned.append(PlannedCommand(seed, phrase.format(best.text), best.tag,
                                      tuple(best.targets), best.answerable))
    return planned


def intersection_over_union(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the IoU of two (H, W) bool masks; 0 for two empty ones."""
    union = int(np.logical_or(mask, truth).sum())
    return float(np.logical_and(mask, truth).sum() / union) if union else 0.0


def summarise(answers: Sequence[Answer], images_sent: int, images_received: int
              ) -> dict[str, Any]:
    """Return the figures of a whole demo; ratios are None where there is nothing to count."""
    answerable = [a for a in answers if a.answerable]
    # A refused command (several fit, nothing fits) rightly has no point, whatever its mask.
    good = [a for a in answerable if (a.iou or 0.0) >= GOOD_IOU
            and a.outcome not in ('AMBIGUOUS', 'NO_MATCH')]
    near = [a.target_error_mm is not None and a.target_error_mm <= NEAR_MM for a in good]
    times = sorted(a.stamp_to_result_ms for a in answers if a.stamp_to_result_ms is not None)
    return {
        'commands': len(answers), 'answerable': len(answerable),
        'lifted_right_ratio': _ratio([bool(a.lifted_right) for a in answerable]),
        'unanswerable_refused_ratio': _ratio([a.right for a in answers if not a.answerable]),
        'miou': statistics.fmean(a.iou or 0.0 for a in answerable) if answerable else None,
        'correct_masks': len(good), 'point_within_15mm_ratio': _ratio(near),
        'stamp_to_result_ms_p50': _percentile(times, 50),
        'stamp_to_result_ms_p95': _percentile(times, 95),
        'images_sent': images_sent, 'images_received': images_received,
        'images_lost': images_sent - images_received,
    }


def table_lines(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the lines of the table for a terminal."""
    yield (f'{"#":>2}  {"command":52} {"outcome":14} {"IoU":>5} {"error mm":>8} {"lifted":>7} '
           f'{"ms":>6}')
    for number, answer in enumerate(answers, 1):
        yield table_line(number, answer)


def table_line(number: int, answer: Answer) -> str:
    """Return one row; `lifted` tells whether it was the right object, `-` where none is."""
    lifted = {True: 'right', False: 'WRONG', None: '-'}[answer.lifted_right]
    if not answer.answerable and not answer.right:
        lifted = 'WRONG'
    return (f'{number:>2}  {answer.command[:52]:52} {answer.outcome:14} '
            f'{_number(answer.iou, 2):>5} {_number(answer.target_error_mm, 1):>8} {lifted:>7} '
            f'{_number(answer.stamp_to_result_ms, 0):>6}')


def report(answers: Sequence[Answer], summary: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON document of `scripts/demo --json`."""
    return {'commands': [asdict(answer) for answer in answers], 'summary': summary}


def summary_lines(summary: dict[str, Any]) -> Iterator[str]:
    """Yield the figures in words."""
    yield (f'right object lifted: {_percent(summary["lifted_right_ratio"])} of '
           f'{summary["answerable"]} answerable commands')
    yield f'refused as they should be: {_percent(summary["unanswerable_refused_ratio"])}'
    yield (f'target point within 15 mm of the object: '
           f'{_percent(summary["point_within_15mm_ratio"])} of {summary["correct_masks"]} '
           f'correct masks; mean IoU {_number(summary["miou"], 3)}')
    yield (f'image stamp to result: median {_number(summary["stamp_to_result_ms_p50"], 0)} ms, '
           f'95 % {_number(summary["stamp_to_result_ms_p95"], 0)} ms')
    yield (f'images sent {summary["images_sent"]}, received {summary["images_received"]}, '
           f'lost {summary["images_lost"]}')


def html_page(answers: Sequence[Answer], summary: dict[str, Any]) -> str:
    """Return a page with the figures and every overlay picture."""
    cards = []
    for answer in answers:
        picture = f'<img src="{html.escape(answer.overlay)}">' if answer.overlay else ''
        cards.append(
            f'<figure class="{"right" if answer.right else "wrong"}">{picture}<figcaption>'
            f'{html.escape(answer.command)}<br>{answer.outcome}, IoU '
            f'{_number(answer.iou, 2)}, {_number(answer.target_error_mm, 1)} mm</figcaption>'
            '</figure>')
    lines = '<br>'.join(html.escape(line) for line in summary_lines(summary))
    style = ('body{font-family:sans-serif}figure{display:inline-block;width:320px;margin:6px;'
             'padding:4px;border:3px solid #2a2}figure.wrong{border-color:#c22}img{width:100%}')
    return (f'<!doctype html><meta charset="utf-8"><title>ris_ros demo</title><style>{style}'
            f'</style><h1>ris_ros demo</h1><p>{lines}</p>{"".join(cards)}\n')


def _ratio(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _percentile(ordered: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(ordered, percent)) if ordered else None


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.0f} %'
