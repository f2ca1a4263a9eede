"""Writing a trained Prompt-RIS network the way its loader reads it."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_ros.methods.prompt_ris.calibration import Calibration
from ris_ros.methods.prompt_ris.load import BASES, describe_network
from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.models.weights import WeightStore
from ris_ros.training.engine.package import write_network
from ris_ros.training.prompt_ris.start import Base


def package(out: Path, name: str, network: PromptRis, base: Base, calibration: Calibration,
            figures: Mapping[str, Any], store: WeightStore, whole: bool = True,
            half: bool = True) -> Path:
    """Write NAME.safetensors and NAME.json to `out`; return the path of the weights.

    whole: CLIP and SAM stand in the file even where nothing of them was trained; else such a
    network is named with its SHA-256, and the file needs it to load.  half: float16, half the
    bytes; parameters are rounded.
    """
    bases: dict[str, dict[str, str]] = {}
    for part in BASES:
        learned = any(p.requires_grad for p in getattr(network, part).parameters())
        if not whole and not learned and part in base.names:
            known = base.names[part]
            bases[part] = {'name': known, 'sha256': store.expected_sha256(known)}
    # Buffers stay as they are: SAM's Fourier matrix places points and wants its digits.
    learned_names = {key for key, _ in network.named_parameters()} if half else set()
    state = {key: value.half() if key in learned_names else value
             for key, value in network.state_dict().items()
             if key.partition('.')[0] not in bases}
    config = describe_network(network.config, base.clip_config, base.sam_config, bases,
                              calibration)
    return write_network(out, name, state, config, figures)

