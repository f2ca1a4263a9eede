"""Training on the simulated tabletop: sentences drawn anew, pictures in tables on the device."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ris_ros.methods.prompt_ris.layout import Layout
from ris_ros.models.tokenizer import WordTokenizer, vocab_of
from ris_ros.simulation.describe import clutter_expressions, describe, said_words
from ris_ros.simulation.expressions import Expression, sample_expressions
from ris_ros.simulation.spec import is_clutter
from ris_ros.simulation.truth import SceneTruth
from ris_ros.training.prompt_ris.frames import Embed, Frames, TableFrames
from ris_ros.training.prompt_ris.sentences import Said, targets_array
from ris_ros.training.prompt_ris.validation import Asked, Validation
from ris_ros.training.tabletop.shards import SceneStore
from ris_ros.training.tabletop.statements import Speaker, matcher_vocabulary

ABSENT = 0.1        # further sentences about what is not there, beside those of the speaker
DESCRIBED = 0.5     # sentences by `describe`; the rest by the matcher's speaker, of plain scenes
CHUNK = 32          # pictures brought to the device together


def tabletop_vocabulary() -> list[str]:
    """Return every word that a sentence about the tabletop may hold, sorted."""
    return vocab_of([*said_words(), *(w for w in matcher_vocabulary() if w[0] != '[')])


@dataclass(frozen=True)
class TabletopSource:
    """Draws scenes and sentences about them; the pictures are on the device already.

    truths: of the scenes, in the order of the tables.  images, sentences: per batch and per
    picture.  mirror: half of the scenes are seen as in a mirror.
    """

    truths: Sequence[SceneTruth]
    tokenizer: WordTokenizer
    images: int
    sentences: int
    mirror: bool
    _mirrored: dict[int, SceneTruth] = field(default_factory=dict, repr=False, compare=False)

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> dict[str, Any]:
        """Return rows, mirror, tokens and targets of a batch; see `TableFrames`."""
        count = len(self.truths)
        rows = rng.choice(count, self.images, replace=count < self.images)
        mirror = rng.random(self.images) < 0.5 if self.mirror else np.zeros(self.images, bool)
        said: list[Said] = []
        for row, turned in zip(rows, mirror, strict=True):
            said += sentences_of(self._truth(int(row), bool(turned)), self.sentences, rng)
        return {'rows': rows.astype(np.int64), 'mirror': mirror,
                'tokens': self.tokenizer([s.text for s in said]),
                'targets': targets_array(said)}

    def _truth(self, row: int, turned: bool) -> SceneTruth:
        if not turned:
            return self.truths[row]
        if row not in self._mirrored:
            self._mirrored[row] = self.truths[row].mirrored()
        return self._mirrored[row]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mirrored scenes behind: a worker makes its own."""
        return {**self.__dict__, '_mirrored': {}}


def sentences_of(truth: SceneTruth, number: int, rng: np.random.Generator) -> list[Said]:
    """Return sentences about a scene in random order; of a cluttered one all are varied."""
    clutter = is_clutter(truth.seed)
    described = number if clutter else int(rng.binomial(number, DESCRIBED))
    said = [Said(e.text, e.targets) for e in describe(truth, rng, described)] if described else []
    speaker = Speaker(truth, rng)
    said += [say(speaker, rng) for _ in range(number - len(said))]
    return [said[int(i)] for i in rng.permutation(number)]


def expressions_of(truth: SceneTruth) -> tuple[Expression, ...]:
    """Return the sentences that evaluation asks about a scene."""
    return clutter_expressions(truth) if is_clutter(truth.seed) else sample_expressions(truth)


def say(speaker: Speaker, rng: np.random.Generator) -> Said:
    """Return one sentence about a scene."""
    statement = speaker.absent() if rng.random() < ABSENT else speaker.draw()
    return Said(statement.text, statement.targets)


def fill_tables(frames: TableFrames, store: SceneStore, scenes: Sequence[int]) -> TableFrames:
    """Bring scenes to the device, a few at a time."""
    from tqdm import tqdm
    starts = range(0, len(scenes), CHUNK)
    with torch.no_grad():
        for start in tqdm(starts, desc='pictures to the device', unit='batch'):
            part = scenes[start:start + CHUNK]
            frames.add(*(torch.from_numpy(np.stack([np.asarray(read(s)) for s in part]))
                         for read in (store.color, store.instances)))
    frames.close()
    return frames


def tables(store: SceneStore, layout: Layout, scale: int, device: torch.device, embed: Embed,
           cached: bool, mirrored: bool) -> TableFrames:
    """Return all scenes of a store as tables on the device."""
    return fill_tables(TableFrames(layout, scale, device, embed, cached, mirrored), store,
                       range(len(store)))


def asked_of(store: SceneStore, tokenizer: WordTokenizer, images: int = 8) -> list[Asked]:
    """Return the sentences that evaluation asks about the scenes of a store, in batches.

    Scenes with equally many sentences stand together.
    """
    by_count: dict[int, list[int]] = {}
    expressions = [expressions_of(truth) for truth in store.truths]
    for scene, made in enumerate(expressions):
        if made:
            by_count.setdefault(len(made), []).append(scene)
    return [_asked(store, tokenizer, scenes[k:k + images], expressions)
            for _, scenes in sorted(by_count.items()) for k in range(0, len(scenes), images)]


def _asked(store: SceneStore, tokenizer: WordTokenizer, scenes: Sequence[int],
           expressions: Sequence[Any]) -> Asked:
    rows = [(scene, e) for scene in scenes for e in expressions[scene]]
    said = [Said(e.text, tuple(e.targets)) for _, e in rows]
    batch = {'rows': torch.tensor(scenes),
             'mirror': torch.zeros(len(scenes), dtype=torch.bool),
             'tokens': tokenizer([s.text for s in said]),
             'targets': torch.from_numpy(targets_array(said))}
    truths = [np.asarray(store.instances(scene)) == e.targets[0]
              if e.answerable and len(e.targets) == 1 else None for scene, e in rows]
    return Asked(batch, truths, [bool(e.targets) for _, e in rows], [e.tag for _, e in rows])


def validation_of(store: SceneStore, frames: Frames, tokenizer: WordTokenizer,
                  device: torch.device) -> Validation:
    """Return the validation on a store whose scenes `frames` holds."""
    return Validation(frames, asked_of(store, tokenizer), device)
