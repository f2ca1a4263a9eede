"""AdamW, or Muon for hidden matrices with AdamW for the rest, behind one interface."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ris_ros.training.engine.muon import Muon
from ris_ros.training.engine.settings import EngineSettings
from ris_ros.training.engine.task import Group
from ris_ros.types import BadInputError


class Optimiser:
    """The optimisers of a run; each group's rate is `scale` times the rate of the step."""

    def __init__(self, groups: Sequence[Group], settings: EngineSettings) -> None:
        """Raises BadInputError where nothing learns."""
        self.groups = list(groups)
        if not self.groups:
            raise BadInputError('there is nothing to train: no parameter takes a gradient')
        muon, adamw = ([{'params': list(g.parameters), 'scale': g.scale,
                         'weight_decay': g.weight_decay} for g in groups if g.muon == chosen]
                       for chosen in (True, False))
        self.parts: list[torch.optim.Optimizer] = []
        if muon:
            self.parts.append(Muon(muon, settings.rate))
        if adamw:
            self.parts.append(torch.optim.AdamW(
                adamw, lr=settings.rate, betas=(settings.beta1, settings.beta2), fused=True))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that learns, in the order of the groups."""
        return [p for g in self.groups for p in g.parameters]

    def set_rate(self, rate: float) -> None:
        """Set the rate of the next step."""
        for part in self.parts:
            for group in part.param_groups:
                group['lr'] = rate * group['scale']

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Take one step with each part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all parts."""
        return {'parts': [part.state_dict() for part in self.parts],
                'names': [list(g.names) for g in self.groups]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore all parts.  Raises BadInputError where other parameters were trained."""
        if state['names'] != [list(g.names) for g in self.groups] \
                or len(state['parts']) != len(self.parts):
            raise BadInputError('it trained other parameters, or grouped them otherwise')
        for part, own in zip(self.parts, state['parts'], strict=True):
            part.load_state_dict(own)
