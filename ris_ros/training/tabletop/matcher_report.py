"""How the small matcher does on validation scenes: matches told right, peaks on their object."""
from __future__ import annotations

import copy
from collections import defaultdict

import numpy as np
import torch

from ris_ros.methods.iterprime import maps
from ris_ros.methods.iterprime.method import IteRPrimE
from ris_ros.methods.iterprime.settings import IterPrimeSettings
from ris_ros.methods.iterprime.text import IterPrimeText, plan_of_words
from ris_ros.models.albef import Albef, AlbefConfig
from ris_ros.models.matcher import Matcher
from ris_ros.models.wordpiece import WordPiece
from ris_ros.training.tabletop.shards import SceneStore
from ris_ros.training.tabletop.statements import CONTENT, Speaker, Statement

TAGS = ('attribute', 'position', 'relation', 'size')
ABOVE = 3       # fusion layers above the one that IteRPrimE watches


def grad_cam_layer(config: AlbefConfig) -> int:
    """Return the layer that IteRPrimE watches; `ABOVE` more read what it found (ours)."""
    return max(config.fusion_layer, config.text_layers - 1 - ABOVE)


def plan_of(statement: Statement, tokenizer: WordPiece) -> IterPrimeText:
    """Return IteRPrimE's token plan of a statement; its grammar is known, nothing is parsed."""
    tags = ['NOUN' if role or word in CONTENT else 'DET'
            for word, role in zip(statement.words, statement.roles, strict=True)]
    primary = max(i for i, role in enumerate(statement.roles) if role == 1)
    return plan_of_words(statement.words, tags, primary, statement.text, tokenizer.count, 'paper')


def report_on(model: Albef, tokenizer: WordPiece, store: SceneStore, scenes: int,
              statements: int = 14) -> dict[str, float]:
    """
    Return 'itm', the share of statements told right at 0.5, and shares of peaks on the object.

    'peak': over true statements with one target, and 'peak_TAG'; the heat map is the method's
    own (mode 0, three looks).  'first': the same after one look.  The first `scenes` of the
    store are read, with statements that are the same at every call.
    """
    matcher = Matcher(copy.deepcopy(model), tokenizer, str(next(model.parameters()).device))
    layer = grad_cam_layer(model.config)
    methods = {name: IteRPrimE(matcher, None, IterPrimeSettings(layer=layer, iterations=looks))
               for name, looks in (('peak', 3), ('first', 1))}
    right: list[bool] = []
    hits: dict[str, list[bool]] = defaultdict(list)
    for scene in range(min(scenes, len(store))):
        instances = np.asarray(store.instances(scene))
        speaker = Speaker(store.truths[scene], np.random.default_rng([scene, 7]))
        said = [speaker.draw() for _ in range(statements)]
        look = matcher.look(matcher.pixels(np.asarray(store.color(scene))))
        readings = matcher.read([s.text for s in said])
        plans = [plan_of(s, tokenizer) for s in said]
        for name, method in methods.items():
            with torch.no_grad():
                found = method.refine(look, readings, plans, instances.shape)
                heats = maps.enlarge(torch.stack([r.heat for r in found]), instances.shape)
            for statement, one, heat in zip(said, found, heats, strict=True):
                if name == 'first':
                    right.append((one.match[0] > 0.5) == bool(statement.targets))
                if len(statement.targets) == 1 and statement.tag in TAGS:
                    hit = instances.ravel()[int(heat.argmax())] == statement.targets[0]
                    hits[name].append(bool(hit))
                    if name == 'peak':
                        hits[f'peak_{statement.tag}'].append(bool(hit))
    report = {'itm': float(np.mean(right))}
    report |= {name: float(np.mean(values)) for name, values in sorted(hits.items())}
    return {name: round(value, 3) for name, value in report.items()}
