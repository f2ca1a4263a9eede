"""Settings of the CLIP-and-proposals family, importable without torch.

"rules" as a choice means: as `rules` says.
"""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.settings import option


def by_rules(value: str, rules: str, paper: str, released: str) -> str:
    """Return a setting, or what the rule set says where the setting leaves it to the rules."""
    if value != 'rules':
        return value
    return paper if rules == 'paper' else released


@dataclass(frozen=True)
class CosineSettings:
    """From a cosine to a probability (ours)."""

    match_center: float = option(0.25, 'cosine of region and phrase at which a match is as '
                                 'likely as not; 0.25 suits ViT-B/16, profiles bring theirs',
                                 source='ours', minimum=-1.0, maximum=1.0)
    match_width: float = option(0.02, 'cosine over which the odds grow by e', source='ours',
                                minimum=1e-4, maximum=1.0)


@dataclass(frozen=True)
class OutcomeSettings:
    """From probabilities to an outcome (ours)."""

    score_threshold: float = option(0.2, 'below this score nothing matches', source='ours',
                                    minimum=0.0, maximum=1.0)
    ambiguity_margin: float = option(0.1, 'with less than this between the best and another '
                                     'object the command is ambiguous', source='ours',
                                     minimum=0.0, maximum=1.0)
    overlap_limit: float = option(0.5, 'masks that share more than this part of the smaller '
                                  'one are the same object', source='ours', minimum=0.0,
                                  maximum=1.0)
    ignored: str = option('refuse', 'where a negation, number, order or condition was said that '
                          'no method heeds: "refuse" ends as NO_MATCH, "report" answers without '
                          'it and says so', source='ours', choices=('refuse', 'report'))


@dataclass(frozen=True)
class DecisionSettings(OutcomeSettings, CosineSettings):
    """From a cosine to a probability, and from probabilities to an outcome."""
