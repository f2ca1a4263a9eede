"""From the numbers of a grounding to one outcome: found, ambiguous, or nothing that matches."""
from __future__ import annotations

from ris_ros.decision.objects import distinct, shares
from ris_ros.decision.outcome import MAX_CANDIDATES, check_numbers, decide, unheeded

__all__ = ['MAX_CANDIDATES', 'check_numbers', 'decide', 'distinct', 'shares', 'unheeded']
