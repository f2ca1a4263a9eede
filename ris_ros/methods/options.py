"""Settings of the CLIP-and-proposals family, importable without torch.

"rules" as a choice means: as `rules` says.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ris_ros.settings import TWIN, option

S = TypeVar('S')
# Value of a twin that means: as the setting it is the twin of.
AS_THE_OTHER = {'match_center': -2.0, 'match_width': 0.0, 'score_threshold': -1.0,
                'ambiguity_margin': -1.0, 'name_center': -2.0, 'name_width': 0.0,
                'none_limit': -1.0, 'several_limit': -1.0, 'relation_limit': -1.0}


def fitting(settings: S, source: str) -> S:
    """Return the settings with the thresholds that belong to the masks that were proposed.

    source: of the proposals, see `ris_ros.models.proposals.Proposals`.  Where depth proposed,
    each setting that has a twin ("depth_" before its name) takes the twin's value, unless that
    says "as the other"; else all stay.  What networks see of a region depends on how its mask
    was made, so that a threshold that suits one proposer is wrong for another.

    >>> chosen = DecisionSettings(score_threshold=0.2, depth_score_threshold=0.4)
    >>> fitting(chosen, 'depth').score_threshold, fitting(chosen, 'sam').score_threshold
    (0.4, 0.2)
    """
    if not source.startswith('depth'):
        return settings
    twins = {name: getattr(settings, TWIN + name, same) for name, same in AS_THE_OTHER.items()}
    return replace(settings, **{name: value for name, value in twins.items()  # type: ignore
                                if value != AS_THE_OTHER[name]})


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
    depth_match_center: float = option(-2.0, 'match_center for masks that depth proposed; -2: '
                                       'the same', source='ours', minimum=-2.0, maximum=1.0)
    depth_match_width: float = option(0.0, 'match_width for masks that depth proposed; 0: the '
                                      'same', source='ours', minimum=0.0, maximum=1.0)
    name_center: float = option(0.25, 'cosine of region and bare name at which it is as likely '
                                'as not what is called so (decision "count")', source='ours',
                                minimum=-1.0, maximum=1.0)
    name_width: float = option(0.02, 'cosine over which these odds grow by e', source='ours',
                               minimum=1e-4, maximum=1.0)
    depth_name_center: float = option(-2.0, 'name_center for masks that depth proposed; -2: the '
                                      'same', source='ours', minimum=-2.0, maximum=1.0)
    depth_name_width: float = option(0.0, 'name_width for masks that depth proposed; 0: the '
                                     'same', source='ours', minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class OutcomeSettings:
    """From probabilities to an outcome (ours)."""

    decision: str = option('margin', 'what an outcome follows from: "margin", the best score and '
                           'its lead; "count", how many objects fit what is said, where the '
                           'method can tell and the limits below are fitted '
                           '(benchmarks/tune_decisions.py)', source='ours',
                           choices=('margin', 'count'))
    none_limit: float = option(0.8, 'with more than this probability that no object fits nothing '
                               'matches (count)', source='ours', minimum=0.0, maximum=1.0)
    several_limit: float = option(0.3, 'with more than this probability that two or more objects '
                                  'fit, and nothing said to choose among them, the command is '
                                  'ambiguous (count)', source='ours', minimum=0.0, maximum=1.0)
    relation_limit: float = option(0.2, 'where the likeliest pair of objects for which a stated '
                                   'relation holds is less than this part as likely as the best '
                                   'of all pairs nothing matches (count)', source='ours',
                                   minimum=0.0, maximum=1.0)
    score_threshold: float = option(0.2, 'below this score nothing matches (margin)',
                                    source='ours', minimum=0.0, maximum=1.0)
    ambiguity_margin: float = option(0.1, 'with less than this between the best and another '
                                     'object the command is ambiguous (margin)', source='ours',
                                     minimum=0.0, maximum=1.0)
    overlap_limit: float = option(0.5, 'masks that share more than this part of the smaller '
                                  'one are the same object', source='ours', minimum=0.0,
                                  maximum=1.0)
    ignored: str = option('refuse', 'where a negation, number, order or condition was said that '
                          'no method heeds: "refuse" ends as NO_MATCH, "report" answers without '
                          'it and says so', source='ours', choices=('refuse', 'report'))


def _for_depth(name: str) -> Any:
    """Return the option that holds in place of another where depth proposed."""
    return option(-1.0, f'{name} for masks that depth proposed; -1: the same', source='ours',
                  minimum=-1.0, maximum=1.0)


@dataclass(frozen=True)
class ProposedOutcomeSettings(OutcomeSettings):
    """The same for a method that chooses among proposals (ours)."""

    depth_score_threshold: float = _for_depth('score_threshold')
    depth_ambiguity_margin: float = _for_depth('ambiguity_margin')
    depth_none_limit: float = _for_depth('none_limit')
    depth_several_limit: float = _for_depth('several_limit')
    depth_relation_limit: float = _for_depth('relation_limit')


@dataclass(frozen=True)
class DecisionSettings(ProposedOutcomeSettings, CosineSettings):
    """From a cosine to a probability, and from probabilities to an outcome."""
