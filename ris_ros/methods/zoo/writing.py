"""What the methods share whose network writes its answer as text: asking, confidence, reading."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require

if TYPE_CHECKING:
    from ris_ros.models.pretrained import Pretrained

MOST_BOXES = 100       # of one answer; a network that repeats itself writes thousands
MOST_CHARACTERS = 1 << 16


def write(network: Pretrained, inputs: Mapping[str, Any], max_new_tokens: int, beams: int = 1
          ) -> tuple[list[int], float]:
    """Return the ids of what the network wrote, and how sure it was of them, in [0, 1].

    inputs: of the network's processor.  The likeliest text, no chance in it; the confidence is
    the geometric mean of the probabilities of its tokens (ours).
    """
    torch = require('torch', 'models')
    model = network.model
    placed = {name: value.to(network.device, model.dtype) if value.is_floating_point()
              else value.to(network.device) for name, value in inputs.items()}
    with torch.inference_mode():
        out = model.generate(**placed, max_new_tokens=max_new_tokens, num_beams=beams,
                             do_sample=False, return_dict_in_generate=True, output_logits=True)
        indices = {'beam_indices': out.beam_indices} if beams > 1 else {}
        # Of the network itself: a token that generation forces is certain to no one.
        steps = model.compute_transition_scores(out.sequences, out.logits, normalize_logits=True,
                                                **indices)[0].float()
    steps = steps[torch.isfinite(steps)]
    written = out.sequences[0, -len(out.logits):] if len(out.logits) else out.sequences[0, :0]
    sure = float(steps.mean().exp()) if len(steps) else 0.0
    return written.tolist(), min(max(sure, 0.0), 1.0)


def read_boxes(text: str) -> np.ndarray | None:
    """Return the boxes of an answer in JSON, (n, 4) float64, or None where it cannot be read.

    [{"bbox_2d": [x1, y1, x2, y2], "label": ...}, ...], one such object, or bare lists of four
    numbers; what stands around it (a code fence, a sentence) is passed over.
    """
    text = text[:MOST_CHARACTERS]
    starts = [i for i in (text.find('['), text.find('{')) if i >= 0]
    if not starts:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text[min(starts):])
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) or (isinstance(found, list) and len(found) == 4
                                   and all(_number(v) for v in found)):
        found = [found]
    boxes = [box for item in found[:MOST_BOXES] if (box := _box(item)) is not None]
    if found and not boxes:
        return None
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _box(item: Any) -> Sequence[float] | None:
    values = item.get('bbox_2d', item.get('bbox')) if isinstance(item, dict) else item
    if not (isinstance(values, list) and len(values) == 4 and all(_number(v) for v in values)):
        return None
    return [float(v) for v in values]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6
