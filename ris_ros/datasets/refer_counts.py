"""How many references and sentences the published splits hold, to check a copy on load."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# (data set, split by) -> split -> references; from the loaders' own tables.
REFERENCES: dict[tuple[str, str], dict[str, int]] = {
    ('refcoco', 'unc'): {'train': 42404, 'val': 3811, 'testA': 1975, 'testB': 1810},
    ('refcoco+', 'unc'): {'train': 42278, 'val': 3805, 'testA': 1975, 'testB': 1798},
    ('refcocog', 'umd'): {'train': 42226, 'val': 2573, 'test': 5023},
    ('refcocog', 'google'): {'train': 44822, 'val': 5000},
}
# The same for sentences and images; widely quoted figures.
SENTENCES: dict[tuple[str, str], dict[str, int]] = {
    ('refcoco', 'unc'): {'train': 120624, 'val': 10834, 'testA': 5657, 'testB': 5095},
    ('refcoco+', 'unc'): {'train': 120191, 'val': 10758, 'testA': 5726, 'testB': 4889},
    ('refcocog', 'umd'): {'train': 80512, 'val': 4896, 'test': 9602},
    ('refcocog', 'google'): {'train': 85474, 'val': 9536},
}
IMAGES: dict[tuple[str, str], dict[str, int]] = {
    ('refcoco', 'unc'): {'train': 16994, 'val': 1500, 'testA': 750, 'testB': 750},
    ('refcoco+', 'unc'): {'train': 16992, 'val': 1500, 'testA': 750, 'testB': 750},
    ('refcocog', 'umd'): {'train': 21899, 'val': 1300, 'test': 2600},
    ('refcocog', 'google'): {'train': 24698, 'val': 4650},
}

# References of seen and unseen categories (the open-vocabulary split of Prompt-RIS).
SEEN_UNSEEN: dict[tuple[str, str], dict[str, tuple[int, int]]] = {
    ('refcoco', 'unc'): {'val': (3175, 445), 'test': (3200, 394)},
    ('refcoco+', 'unc'): {'val': (3171, 444), 'test': (3189, 394)},
    ('refcocog', 'umd'): {'val': (2000, 386), 'test': (3935, 759)},
    ('refcocog', 'google'): {'val': (3923, 760)},
}


def expected(dataset: str, split_by: str, split: str) -> dict[str, int]:
    """Return the published counts of a split that are known, by fact name."""
    tables = {'references': REFERENCES, 'sentences': SENTENCES, 'images': IMAGES}
    counts = {}
    for fact, table in tables.items():
        splits = table.get((dataset, split_by), {})
        if split in splits:
            counts[fact] = splits[split]
        elif split == 'test' and {'testA', 'testB'} <= set(splits):
            counts[fact] = splits['testA'] + splits['testB']
    if split in SEEN_UNSEEN.get((dataset, split_by), {}):
        seen, unseen = SEEN_UNSEEN[dataset, split_by][split]
        counts |= {'seen_references': seen, 'unseen_references': unseen}
    return counts


# Share of position sentences that follows from the four rows of IteRPrimE's table 5, percent.
POSITION_SHARES = {('refcoco', 'unc', 'testA'): 46.2, ('refcocog', 'umd', 'test'): 22.0}


def position_note(dataset: str, split_by: str, split: str,
                  shares: Mapping[str, float | None]) -> list[str]:
    """Say how many sentences speak of position, by both rules, beside what the paper implies."""
    found = ', '.join(f'{100 * share:.1f} % ({rule} rule)' for rule, share in shares.items()
                      if share is not None)
    paper = POSITION_SHARES.get((dataset, split_by, split))
    implied = f"; IteRPrimE's table 5 implies {paper} %" if paper else ''
    return [f'sentences with position words: {found}{implied}'] if found else []


def count_notes(dataset: str, split_by: str, split: str, facts: Mapping[str, Any]) -> list[str]:
    """Say where a copy differs from the published counts."""
    return [f'{dataset} ({split_by}) {split} has {facts[fact]} {fact.replace("_", " ")}; '
            f'{count} are published'
            for fact, count in expected(dataset, split_by, split).items()
            if facts[fact] != count]
