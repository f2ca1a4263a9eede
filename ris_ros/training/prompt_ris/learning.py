"""What of the network learns and what stays as it is, and the proof that it did."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import nn

from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.training.prompt_ris.settings import SAM_PARTS, PromptRisTraining
from ris_ros.types import RisError

# Prefixes of what learns at each setting of train_sam, beside what the earlier ones add.
SAM_LEARNS = {'none': (), 'mask': ('sam.prompt_encoder.mask_downscaling.',
                                   'sam.prompt_encoder.no_mask_embed.'),
              'decoder': ('sam.prompt_encoder.', 'sam.mask_decoder.'),
              'all': ('sam.image_encoder.',)}


def learning_prefixes(settings: PromptRisTraining) -> tuple[str, ...]:
    """Return the prefixes of the parameters that learn."""
    own: tuple[str, ...] = ('prompting.', 'coarse_decoder.', 'sam_prompts.')
    if not settings.freeze_clip:
        own += ('clip.',)
    for part in SAM_PARTS[:SAM_PARTS.index(settings.train_sam) + 1]:
        own += SAM_LEARNS[part]
    return own


def set_learning(network: PromptRis, settings: PromptRisTraining) -> None:
    """Let the chosen parameters take gradients, and no other."""
    chosen = learning_prefixes(settings)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(chosen))


def frozen_parts(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield names and values of the parameters that do not learn."""
    for name, parameter in sorted(network.named_parameters()):
        if not parameter.requires_grad:
            yield name, parameter.detach()


class FrozenProof:
    """Remembers the frozen parameters and tells whether they are bit for bit what they were."""

    def __init__(self, network: nn.Module) -> None:
        self.before = self._digests(network)

    @staticmethod
    def _digests(network: nn.Module) -> dict[str, str]:
        return {name: hashlib.sha256(value.cpu().contiguous().view(-1).view(torch.uint8).numpy()
                                     .tobytes()).hexdigest()
                for name, value in frozen_parts(network)}

    def check(self, network: nn.Module) -> str:
        """Return one SHA-256 of all frozen parameters; raises RisError where one changed."""
        after = self._digests(network)
        changed = [name for name in self.before if after.get(name) != self.before[name]]
        if changed or after.keys() != self.before.keys():
            raise RisError(f'{(changed or sorted(after.keys() ^ self.before.keys()))[0]} was to '
                           'stay frozen and changed; this is a fault of the trainer, report it')
        return hashlib.sha256(''.join(after.values()).encode()).hexdigest()
