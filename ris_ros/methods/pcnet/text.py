"""Text side of PCNet: five short cues per expression, from coarse to fine.

`rule_cues` reads them off the dependency parse.  `ModelCues` asks a local chat model as the
paper does (section 3.1 and appendix A.1: instruction, output constraints, examples,
question; our own words), remembers the answers on disk and checks them.
"""
from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.files import write_json
from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

CUES = 5  # K in Eq. 1
_INNER = frozenset({'det', 'amod', 'compound', 'nummod', 'poss', 'predet', 'nmod', 'advmod',
                    'punct'})


def rule_cues(doc: Doc, count: int = CUES) -> tuple[str, ...]:
    """Return `count` cues of one parsed expression, lower-cased.

    In order and each once: the head noun, the head with its attributes, the head with each
    thing said behind it ("mug left of the bowl", "mug that is full"), the whole text.  Fewer
    are repeated from the front, as the paper repeats phrases; of more, the first are kept,
    the whole text among them.  Raises BadInputError for an empty Doc.
    """
    text = _spelled(t for t in doc)
    if not text:
        raise BadInputError('there is no expression to take cues from')
    head = _head(doc)
    before = [t for t in head.lefts if t.dep_ in _INNER]
    phrase = [t for b in before for t in b.subtree] + [head]
    cues = [head.lower_, _spelled(t for t in phrase if t.dep_ != 'det' or t.head.i != head.i)]
    for child in head.rights:
        if child.dep_ not in ('punct', 'cc', 'conj', 'case'):
            cues.append(_spelled([head, *child.subtree]))
    cues = list(dict.fromkeys(cues))
    if text not in cues:
        cues = [*cues[:count - 1], text]
    return standardised(cues, count)


def standardised(cues: Iterable[str], count: int = CUES) -> tuple[str, ...]:
    """Return exactly `count` cues: the first ones, or all of them repeated from the front."""
    given = list(cues)
    return tuple(given[i % len(given)] for i in range(count))


def _spelled(tokens: Iterable[Token]) -> str:
    return ''.join(t.text_with_ws for t in tokens).lower().strip(' ,.')


def _head(doc: Doc) -> Token:
    """The root, or the first noun where the root is no noun."""
    root = next(t for t in doc if t.head.i == t.i)
    if root.pos_ in ('NOUN', 'PROPN', 'PRON'):
        return root
    return next((t for t in doc if t.pos_ in ('NOUN', 'PROPN')), root)


INSTRUCTION = (
    'You read one sentence that points out a single thing in a photograph. Take the sentence '
    'apart into short phrases. Each phrase names that thing together with one of its '
    'properties, states or surroundings that the sentence mentions.')
CONSTRAINTS = (
    'Write a numbered list with two to five phrases, one per line and nothing else. Use at most '
    'ten words per phrase and only words of the sentence. Go from the plain thing to the most '
    'telling detail. Add nothing that the sentence does not say.')
EXAMPLES = (
    ('the small blue jug in front of the toaster',
     ('jug', 'small blue jug', 'jug in front of the toaster')),
    ('an old man in a striped coat who feeds the pigeons by the fountain',
     ('old man', 'man in a striped coat', 'man who feeds the pigeons', 'man by the fountain')),
    ('second bicycle from the left with a basket',
     ('bicycle', 'second bicycle from the left', 'bicycle with a basket')),
)


def make_prompt(expression: str) -> str:
    """Return the four-part prompt: instruction, constraints, examples, question."""
    examples = '\n\n'.join(f'Sentence: {said}\n{_numbered(cues)}' for said, cues in EXAMPLES)
    return f'{INSTRUCTION}\n\n{CONSTRAINTS}\n\n{examples}\n\nSentence: {expression}\n'


def _numbered(cues: Iterable[str]) -> str:
    return '\n'.join(f'{i}. {cue}' for i, cue in enumerate(cues, 1))


def read_answer(answer: str, expression: str) -> tuple[str, ...] | None:
    """Return the phrases of a numbered list, or None where they cannot be trusted.

    Trusted are one to ten phrases of at most twelve words, of which no word longer than
    three letters is missing in the expression.
    """
    lines = re.findall(r'^\s*\d+[.)]\s*(.+?)\s*$', answer, flags=re.MULTILINE)
    cues = tuple(dict.fromkeys(line.strip(' ."\'').lower() for line in lines if line.strip()))
    said = set(re.findall(r'\w+', expression.lower()))
    for cue in cues:
        words = re.findall(r'\w+', cue)
        if not words or len(words) > 12 or any(len(w) > 3 and w not in said for w in words):
            return None
    return cues if 1 <= len(cues) <= 10 else None


class ModelCues:
    """Cues by a local chat model; the rules step in, with a warning, where it fails."""

    def __init__(self, model: str, cache: Path, device: str = 'cpu',
                 generate: Callable[[str], str] | None = None) -> None:
        """Name the model; it is loaded at the first question that the cache cannot answer.

        model: name or folder of a transformers chat model (loaded offline, safetensors
        only).  cache: folder for answers, one JSON file per model and sentence.
        generate: for another source of text; gets the prompt, returns the answer.
        """
        self.model, self.cache, self.device = model, Path(cache), device
        self._given = generate

    def __call__(self, expression: str, doc: Doc, count: int = CUES) -> tuple[str, ...]:
        """Return `count` cues for the expression; `doc` is its parse, for the rules."""
        path = self._path(expression)
        stored = self._stored(path)
        if stored is not None:
            return standardised(stored, count)
        cues = read_answer(self._generate(make_prompt(expression)), expression)
        if cues is None:
            warnings.warn(f'{self.model} gave no usable cues for {expression!r}; '
                          'they are made by the rules', stacklevel=2)
            return rule_cues(doc, count)
        write_json(path, {'expression': expression, 'model': self.model, 'cues': cues},
                   indent=None)
        return standardised(cues, count)

    def _path(self, expression: str) -> Path:
        key = json.dumps([self.model, make_prompt(expression)])
        return self.cache / (hashlib.sha256(key.encode()).hexdigest() + '.json')

    @staticmethod
    def _stored(path: Path) -> list[str] | None:
        try:
            cues = json.loads(path.read_text(encoding='utf-8'))['cues']
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, or half a file: ask again
        ok = isinstance(cues, list) and cues and all(isinstance(c, str) and c for c in cues)
        return cues if ok else None

    @cached_property
    def _generate(self) -> Callable[[str], str]:
        if self._given is not None:
            return self._given
        transformers = require('transformers', 'models')
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.model, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            self.model, local_files_only=True, use_safetensors=True).to(self.device).eval()

        def generate(prompt: str) -> str:
            message: Any = prompt
            if tokenizer.chat_template:
                message = tokenizer.apply_chat_template(
                    [{'role': 'user', 'content': prompt}], tokenize=False,
                    add_generation_prompt=True)
            inputs = tokenizer(message, return_tensors='pt').to(self.device)
            output = model.generate(**inputs, max_new_tokens=120, do_sample=False)
            return tokenizer.decode(output[0, inputs['input_ids'].shape[1]:],
                                    skip_special_tokens=True)

        return generate
