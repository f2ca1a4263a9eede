"""From recognised speech to commands, and from answers to what is said back; no ROS here.

What is misheard is acted on, so that a robot listens only to who speaks to it and is heard well.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ris_ros.settings import option
from ris_ros.types import Outcome


@dataclass(frozen=True)
class VoiceParameters:
    """What counts as said to the robot."""

    wake_word: str = option('robot', 'word or words that a command follows; empty: all that is '
                            'heard is a command')
    awake_s: float = option(8.0, 'after the wake word alone, and after a question of the robot, '
                            'none is needed for so long', unit='s', minimum=0.0, maximum=600.0)
    min_confidence: float = option(0.8, 'what the recogniser is less sure of is not acted on; '
                                   'text without a confidence counts as sure',
                                   minimum=0.0, maximum=1.0)
    min_words: int = option(2, 'fewer words are no command, but for "stop" and answers to a '
                            'question', minimum=1, maximum=20)
    command_timeout_s: float = option(30.0, 'time limit of a command', unit='s', minimum=0.1,
                                      maximum=3600.0)


@dataclass(frozen=True)
class Heard:
    """What to do with something heard: a command, or why there is none, in one sentence."""

    command: str | None
    reason: str = ''


class Ears:
    """Tells commands from other speech; times are seconds of a steady clock."""

    def __init__(self) -> None:
        self._awake_until = float('-inf')

    def hear(self, text: str, confidence: float | None, now: float, p: VoiceParameters) -> Heard:
        """Return what to do with a whole utterance.

        confidence: [0, 1], None where the recogniser gives none.
        """
        words = ' '.join(text.split()).strip(' ,.!?;:')
        if not words:
            return Heard(None, 'nothing was said')
        # Not so of NaN, which is no confidence at all.
        if confidence is not None and not confidence >= p.min_confidence:
            return Heard(None, f'{words!r} was heard with a confidence of {confidence:.2f} only; '
                         f'min_confidence is {p.min_confidence:g}')
        awake = now <= self._awake_until
        said, called = _after_wake_word(words, p.wake_word)
        if not called and not awake:
            return Heard(None, f'{words!r} was said to somebody else (no {p.wake_word!r})')
        if not said:
            self._awake_until = now + p.awake_s
            return Heard(None, 'called; a command may follow')
        if len(said.split()) < p.min_words and not awake and said.lower() not in ('stop', 'halt'):
            return Heard(None, f'{said!r} is too short for a command')
        self._awake_until = float('-inf')
        return Heard(said)

    def asked(self, now: float, p: VoiceParameters) -> None:
        """Note that the robot has asked something: the answer needs no wake word."""
        self._awake_until = now + p.awake_s


def _after_wake_word(words: str, wake_word: str) -> tuple[str, bool]:
    """Return what follows the last wake word, and whether there was one.

    >>> _after_wake_word('hey Robot, the mug', 'robot')
    ('the mug', True)
    >>> _after_wake_word('the robotic arm', 'robot')
    ('the robotic arm', False)
    """
    name = ' '.join(wake_word.split())
    if not name:
        return words, True
    found = list(re.finditer(rf'(?<!\w){re.escape(name)}(?!\w)', words, re.IGNORECASE))
    if not found:
        return words, False
    return words[found[-1].end():].strip(' ,.!?;:'), True


def spoken_answer(outcome: Outcome, message: str, values: Mapping[str, str]) -> tuple[str, bool]:
    """Return what to say of an answer, and whether that is a question.

    values: of the result message; its `question` is asked where there is one.
    """
    question = values.get('question', '')
    if question:
        return question, True
    if outcome is Outcome.SUCCEEDED:
        return 'I see it.', False
    if outcome is Outcome.SUCCEEDED_2D:
        return 'I see it, but I do not know how far it is.', False
    if outcome is Outcome.AMBIGUOUS:
        return f'Which one? {message}'.strip(), True
    if outcome in (Outcome.SUPERSEDED, Outcome.CANCELED):
        return '', False   # who spoke again, or stopped it, knows
    return message or outcome.name.replace('_', ' ').lower(), False
