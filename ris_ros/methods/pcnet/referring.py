"""The conditional referring module (CRM) of PCNet and the stages that it makes up.

Section 3.2, equations 2 to 4; where the released code differs, `Form` says which is built.  All
works on tokens: V (B, P, C) the pixels of B images, Q (E, C) the embeddings of E texts, a cue
(E, C) for each.  Text e belongs to image e mod B: a training step carries G = E / B texts per
image, its own first, then the descriptions of other objects.

A text reads the other texts of its batch as negatives (`rows: batch`, paper and released code),
or nothing but its own cue (`rows: alone`).  With one text, softmax over it is 1 and the visual
update is the same everywhere, so that its normalisation leaves the bias alone: the released
network, trained in batches and asked one by one, is another network when it is asked.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from ris_ros.lazy import require
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:
    torch = require('torch', 'models')
    nn, functional = torch.nn, torch.nn.functional

MODULATIONS = ('vta_tta', 'vta_add', 'tta', 'add')
ROWS = ('batch', 'alone')
SEES = ('own', 'each')
STARTS = ('sentence', 'cue')


@dataclass(frozen=True)
class Form:
    """How a stage is built; part of a checkpoint, since weights fit one form.

    modulation: how a cue changes the text (table 4): `vta` lets it look at the picture first,
    `tta` attends from the text to it, `add` adds it.  text_weight, visual_weight: factors on
    the updates of text and picture (released: 0.1 each; equations 2 to 4: 1 on the text's).
    cue_residual: equation 2 adds the cue to what it saw, the released code does not.
    image_text: the released code lets the text look at each picture once more before it is
    compared, the paper does not.  reshape: the released code reshapes keys and values where a
    transpose is meant.  rows: 'batch' or 'alone', see above.
    """

    modulation: str = 'vta_tta'
    text_weight: float = 0.1
    visual_weight: float = 0.1
    cue_residual: bool = False
    image_text: bool = True
    reshape: bool = False
    rows: str = 'batch'
    sees: str = 'own'
    start: str = 'sentence'

    def __post_init__(self) -> None:
        """Raise BadInputError for a word that is none of the choices."""
        for name, choices in (('modulation', MODULATIONS), ('rows', ROWS), ('sees', SEES),
                              ('start', STARTS)):
            if getattr(self, name) not in choices:
                raise BadInputError(f'{name} must be one of {", ".join(choices)}, not '
                                    f'{getattr(self, name)!r}')
        if self.reshape and (self.sees == 'each' or self.rows == 'alone'):
            raise BadInputError('reshape is a fault of texts that read one another once; it '
                                'goes with rows=batch and sees=own alone')

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Form:
        """Return the form that a checkpoint's JSON holds; unknown fields raise BadInputError."""
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise BadInputError(f'unknown field in the form of a PCNet: {sorted(unknown)}')
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, the inverse of `from_dict`."""
        return asdict(self)


RELEASED = Form(reshape=True)
PAPER = Form(text_weight=1.0, cue_residual=True, image_text=False)


class Stage(NamedTuple):
    """What a stage gives.

    text: (E, C), or (B, E, C) where cues see each picture; visual: (B, P, C): what the next
    stage goes on from.  text_on_image: (B, E, C), or (1, E, C) where it is the same for all.
    scores: (B, P, E) logits.
    """

    text: Tensor
    visual: Tensor
    text_on_image: Tensor
    scores: Tensor


class Looked(NamedTuple):
    """A picture as a stage's attentions read it: unit-norm tokens, keys, values, queries."""

    tokens: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor


class _Visual(nn.Sequential):
    """A 1x1 convolution, instance normalisation and perhaps ReLU, on tokens (B, P, C)."""

    def __init__(self, channels: int, relu: bool) -> None:
        super().__init__(nn.Conv2d(channels, channels, 1),
                         nn.InstanceNorm2d(channels, affine=True), *([nn.ReLU()] * relu))

    def forward(self, x: Tensor) -> Tensor:
        convolution: Any = self[0]
        x = functional.linear(x, convolution.weight.flatten(1), convolution.bias)
        x = self._normalised(x)
        return functional.relu(x) if len(self) > 2 else x

    def _normalised(self, x: Tensor) -> Tensor:
        norm: Any = self[1]
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float()
            variance, mean = torch.var_mean(wide, dim=1, keepdim=True, correction=0)
            return (wide - mean) * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias

    def of_constant(self) -> Tensor:
        """Return what a picture that is the same everywhere becomes, (C,): the bias."""
        norm: Any = self[1]
        return norm.bias


class ReferringModule(nn.Module):
    """One conditional referring module; parameter names are those of the released code."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.v_proj1, self.v_proj2, self.v_proj3 = (_Visual(channels, True) for _ in range(3))
        self.t_proj1, self.t_proj2, self.t_proj3 = (
            nn.Sequential(nn.Linear(channels, channels), nn.ReLU()) for _ in range(3))
        self.v_output = _Visual(channels, False)
        self.t_output = nn.Sequential(nn.Linear(channels, channels))

    def look(self, visual: Tensor) -> Looked:
        """Return what the attentions read of V (B, P, C); depends on no text."""
        tokens = unit(visual)
        return Looked(tokens, self.v_proj2(tokens), self.v_proj3(tokens), self.v_proj1(tokens))

    def seen(self, texts: Tensor, looked: Looked, own: bool) -> Tensor:
        """Return what texts (E, C) or (B, E, C) see of the pictures through attention.

        own: each sees the picture that it belongs to, (E, C); else every picture, (B, E, C).
        """
        queries = self.t_proj1(texts)
        images = len(looked.tokens)
        if own:
            queries = queries.unflatten(0, (-1, images)).transpose(0, 1)      # (B, G, C)
        elif queries.ndim == 2:
            queries = queries.expand(images, -1, -1)
        found = self.t_output(self._attend(queries, looked.keys, looked.values))
        return found.transpose(0, 1).flatten(0, 1) if own else found

    def modulated(self, text: Tensor, cues: Tensor, form: Form, images: int) -> Tensor:
        """Return the update of texts by cues, own and others' (equation 3), shaped as cues.

        text, cues: (E, C), or (B, E, C) where cues see each picture.
        """
        if form.modulation.endswith('add'):
            return cues
        values = self.t_proj3(cues)
        if form.rows == 'alone':
            return self.t_output(values)      # softmax over the one own cue
        keys, queries = self.t_proj2(cues), self.t_proj1(text)
        if form.reshape:
            return self.t_output(_reshaped(queries, keys, values, images))
        return self.t_output(self._attend(queries, keys, values))

    def beside(self, text: Tensor, cues: Tensor, others: Tensor) -> Tensor:
        """Return the update of each text (S, C) by its cue among K others (K, C), (S, C)."""
        every = torch.cat([cues[:, None], others.to(cues.dtype).expand(len(text), -1, -1)], dim=1)
        found = self._attend(self.t_proj1(text)[:, None], self.t_proj2(every),
                             self.t_proj3(every))
        return self.t_output(found[:, 0])

    def answered(self, looked: Looked, texts: Tensor) -> Tensor:
        """Return the update of pictures by texts, attention over the texts, (B, P, C).

        texts: (E, C) for all pictures, or (B, E, C).
        """
        keys, values = self.t_proj2(texts), self.t_proj3(texts)
        return self.v_output(self._attend(looked.queries, keys, values))

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        weights = (queries @ keys.transpose(-1, -2)) / self.channels ** 0.5
        return weights.softmax(dim=-1).to(values.dtype) @ values


def unit(x: Tensor) -> Tensor:
    """Return x with unit norm along its last axis, in float32."""
    return functional.normalize(x.float(), dim=-1)


def _reshaped(queries: Tensor, keys: Tensor, values: Tensor, images: int) -> Tensor:
    """Attention of texts over cues as released: a reshape stands where a transpose is meant.

    The B-fold copy of (E, C) is read as E blocks of (C, B): block e holds the cues of group
    e mod G, channel and cue mixed.  queries, keys, values: (E, C).  Returns (E, C).
    """
    channels, groups = keys.shape[1], len(keys) // images
    key = keys.view(groups, channels, images)
    value = values.view(groups, channels, images)
    group = torch.arange(len(keys), device=keys.device) % groups
    weights = torch.einsum('ec,ecb->eb', queries, key[group]) / channels ** 0.5
    return torch.einsum('eb,ecb->ec', weights.softmax(dim=-1).to(value.dtype), value[group])


def run_stage(module: ReferringModule, form: Form, looked: Looked, text: Tensor, cue: Tensor,
              scale: float) -> Stage:
    """Run one stage over a batch: equations 2 to 4 without ReLU and Norm.

    looked: B pictures as `ReferringModule.look` gives them.  text, cue: (E, C), E a multiple of
    B.  scale: factor on cosines.
    """
    images = len(looked.tokens)
    own, cues = unit(text), seen_cue(module, form, looked, cue)
    updated = own + form.text_weight * module.modulated(own, cues, form, images)
    texts = unit(updated)
    if form.rows == 'alone':
        after = advanced(module, form, looked)
    else:
        after = looked.tokens + form.visual_weight * module.answered(looked, texts)
    on_image = on_image_of(module, form, looked, texts)
    return Stage(updated, after, on_image, scores_of(after, on_image, scale))


def seen_cue(module: ReferringModule, form: Form, looked: Looked, cue: Tensor) -> Tensor:
    """Return a cue (E, C) after it saw the picture (equation 2), where the form has it so."""
    cues = unit(cue)
    if not form.modulation.startswith('vta'):
        return cues
    found = module.seen(cues, looked, own=form.sees == 'own')
    return found + cues if form.cue_residual else found


def advanced(module: ReferringModule, form: Form, looked: Looked) -> Tensor:
    """Return the picture after a stage whose texts stand alone, (B, P, C).

    Attention over one text is 1 everywhere, and of a constant map the normalisation leaves the
    bias: what follows depends on no text, and can be worked out once per picture.
    """
    return looked.tokens + form.visual_weight * module.v_output.of_constant()


def on_image_of(module: ReferringModule, form: Form, looked: Looked, texts: Tensor) -> Tensor:
    """Return texts as pictures are compared with them, (B, E, C) or (1, E, C)."""
    if form.image_text:
        return texts + form.text_weight * module.seen(texts, looked, own=False)
    return texts if texts.ndim == 3 else texts[None]


def scores_of(visual: Tensor, on_image: Tensor, scale: float) -> Tensor:
    """Return the logits of texts on pixels, (B, P, E)."""
    return scale * (visual @ on_image.transpose(-1, -2).to(visual.dtype))


def run_stages(modules: Sequence[ReferringModule], form: Form, visual: Tensor, text: Tensor,
               cues: Tensor, scale: float, looked: Sequence[Looked] | None = None
               ) -> list[Stage]:
    """Run the stages one after the other over a batch.

    modules: N.  visual: (B, P, C).  text: (E, C).  cues: (E, N - 1, C) or more: stage n reads
    cue n, the last stage the whole text (released code; the paper names N cues).  looked: what
    the stages read of the pictures where that depends on no text (rows: alone), if known.
    """
    stages: list[Stage] = []
    state = start_of(form, text)
    for n, module in enumerate(modules):
        seen = module.look(visual) if looked is None else looked[n]
        stages.append(run_stage(module, form, seen, state,
                                cue_of(n, len(modules), text, cues), scale))
        visual, state = stages[-1].visual, stages[-1].text
    return stages


def start_of(form: Form, text: Tensor) -> Tensor:
    """Return the text that goes into the first stage."""
    return torch.zeros_like(text) if form.start == 'cue' else text


def cue_of(stage: int, stages: int, text: Tensor, cues: Tensor) -> Tensor:
    """Return what a stage reads as its cue; raises BadInputError where there are too few."""
    if cues.shape[1] < stages - 1:
        raise BadInputError(f'{stages} stages need {stages - 1} cues a sentence, '
                            f'{cues.shape[1]} were given')
    return text if stage == stages - 1 else cues[:, stage]
