"""Asking a trained PCNet: no answer depends on what else is asked.

`looks` works out once what depends on the picture, `answer_alone` the maps of sentences that see
no other text, as the released code gives them one by one.  `answer_beside` puts each among the
same companions, kept from training, so that a network that was trained in batches is asked as
it was trained.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ris_ros.lazy import require
from ris_ros.methods.pcnet.referring import (
    Form,
    Looked,
    ReferringModule,
    advanced,
    cue_of,
    on_image_of,
    run_stage,
    scores_of,
    seen_cue,
    start_of,
    unit,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require('torch', 'models')


class Companions(NamedTuple):
    """Texts of other pictures that stand beside a lone one, for one stage.

    cues: (K, C) cues as they saw their own pictures.  texts: (K, C) updated, unit norm.
    """

    cues: Tensor
    texts: Tensor


def companions_of(modules: Sequence[ReferringModule], form: Form, visual: Tensor, text: Tensor,
                  cues: Tensor, scale: float) -> list[Companions]:
    """Return what a batch of pictures and their texts are as companions, stage by stage.

    visual: (K, P, C).  text: (K, C).  cues: (K, N - 1, C).
    """
    found: list[Companions] = []
    form = replace(form, sees='own')
    state = start_of(form, text)
    for n, module in enumerate(modules):
        looked, cue = module.look(visual), cue_of(n, len(modules), text, cues)
        stage = run_stage(module, form, looked, state, cue, scale)
        found.append(Companions(seen_cue(module, form, looked, cue), unit(stage.text)))
        visual, state = stage.visual, stage.text
    return found


def looks(modules: Sequence[ReferringModule], form: Form, visual: Tensor) -> list[Looked]:
    """Return pictures as every stage reads them when texts stand alone; depends on no text.

    visual: (B, P, C).
    """
    found: list[Looked] = []
    for module in modules:
        found.append(module.look(visual))
        visual = advanced(module, form, found[-1])
    return found


def answer_alone(modules: Sequence[ReferringModule], form: Form, looked: Sequence[Looked],
                 text: Tensor, cues: Tensor, scale: float) -> list[Tensor]:
    """Return the maps of S sentences about one picture, none of which sees another.

    looked: of `looks`.  text: (S, C).  cues: (S, N - 1, C).  Returns per stage (S, P) logits:
    what the released code gives for each sentence in a batch of one.
    """
    form = alone(form)
    state, maps = start_of(form, text), []
    for n, module in enumerate(modules):
        stage = run_stage(module, form, looked[n], state, cue_of(n, len(modules), text, cues),
                          scale)
        state = stage.text
        maps.append(stage.scores[0].T)
    return maps


def alone(form: Form) -> Form:
    """Return a form whose texts stand alone, otherwise the same."""
    return replace(form, rows='alone', reshape=False)


def answer_beside(modules: Sequence[ReferringModule], form: Form,
                  companions: Sequence[Companions], visual: Tensor, text: Tensor, cues: Tensor,
                  scale: float) -> list[Tensor]:
    """Return the maps of S sentences, each among the same companions as if in their batch (ours).

    So a network that was trained in batches is asked as it was trained, yet no answer depends
    on what else is asked.  visual: (1, P, C); the rest and the result as `answer_alone`.
    """
    form = alone(form)
    visual = visual.expand(len(text), -1, -1)
    state, maps = start_of(form, text), []
    for n, module in enumerate(modules):
        looked = module.look(visual)
        own = unit(state)
        seen = seen_cue(module, replace(form, sees='own'), looked,
                        cue_of(n, len(modules), text, cues))
        change = (seen if form.modulation.endswith('add')
                  else module.beside(own, seen, companions[n].cues))
        state = own + form.text_weight * change
        texts = unit(state)
        others = companions[n].texts.expand(len(text), -1, -1)
        visual = looked.tokens + form.visual_weight * module.answered(
            looked, torch.cat([texts[:, None], others.to(texts.dtype)], dim=1))
        on_image = on_image_of(module, form, looked, texts[:, None])
        maps.append(scores_of(visual, on_image, scale)[..., 0])
    return maps
