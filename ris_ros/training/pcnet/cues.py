"""Cues and contraries for whole data sets, worked out once and kept with the sentences."""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ris_ros.files import write_json
from ris_ros.methods.pcnet.text import CUES, ModelCues, rule_cues
from ris_ros.training.pcnet.contraries import contrary
from ris_ros.training.pcnet.pairs import Pairs, Picture, Said
from ris_ros.types import BadInputError

KEPT = 5000     # sentences between two notes of how far it got


def cues_of(texts: Sequence[str], kept: Path | None = None, model: str = '', device: str = 'cpu',
            pipeline: str = 'auto') -> dict[str, tuple[str, ...]]:
    """Return the cues of every text.

    kept: a JSON file of cues that were worked out before; a run that was stopped goes on from
    there, and what is new is added.  model: a local chat model in place of the rules, see
    `text.ModelCues`.  pipeline: of spaCy.  Raises MissingDependencyError without spaCy, and
    BadInputError for a damaged file.
    """
    from tqdm import tqdm
    known = _read(kept, model) if kept is not None else {}
    new = [t for t in dict.fromkeys(texts) if t not in known]
    if new:
        from ris_ros.language.pipelines import load_pipeline
        chat = ModelCues(model, kept.with_suffix('.answers'), device) if model and kept else None
        docs = load_pipeline(pipeline).pipe(new, batch_size=256)
        for number, (text, doc) in enumerate(
                tqdm(zip(new, docs, strict=True), total=len(new), desc='cues', unit='sentence'),
                1):
            known[text] = chat(text, doc) if chat is not None else rule_cues(doc)
            if kept is not None and number % KEPT == 0:
                _write(kept, model, known)
        if kept is not None:
            _write(kept, model, known)
    return {text: known[text] for text in texts}


def with_cues(pairs: Pairs, cues: dict[str, tuple[str, ...]]) -> Pairs:
    """Return pairs with the cues of their sentences, and their contraries."""
    return Pairs(pairs.name, [
        Picture(p.key, p.row, tuple(Said(s.reference, s.text, cues[s.text], contrary(s.text))
                                    for s in p.said), p.mirrored)
        for p in pairs.pictures], pairs.notes)


def sentences_of(pairs: Iterable[Pairs]) -> list[str]:
    """Return every different sentence."""
    return list(dict.fromkeys(s.text for one in pairs for p in one.pictures for s in p.said))


def _read(path: Path, model: str) -> dict[str, tuple[str, ...]]:
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
        found = {str(t): tuple(str(c) for c in cues) for t, cues in record['cues'].items()}
        made_by = str(record['model'])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f'{path} is no whole file of cues ({error}); remove it, it is made '
                            'again') from error
    if made_by != model:
        raise BadInputError(f'the cues in {path} were made by {made_by or "the rules"}, not by '
                            f'{model or "the rules"}; remove it or give another --work folder')
    bad = next((t for t, cues in found.items() if len(cues) != CUES or not all(cues)), None)
    if bad is not None:
        raise BadInputError(f'{path}: the sentence {bad!r} has no {CUES} cues; remove the file, '
                            'it is made again')
    return found


def _write(path: Path, model: str, cues: dict[str, Any]) -> None:
    write_json(path, {'model': model, 'cues': {t: list(c) for t, c in cues.items()}}, indent=None)
