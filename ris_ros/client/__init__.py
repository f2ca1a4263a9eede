"""A client of the node: a command in, a typed answer out, waited for or awaited."""
from __future__ import annotations

from ris_ros.client.answer import Answer, AnsweredBox, AnsweredCandidate
from ris_ros.client.client import Pending, RisClient

__all__ = ['Answer', 'AnsweredBox', 'AnsweredCandidate', 'Pending', 'RisClient']
