"""Pictures to sentences: BLIP-2, GIT and BLIP through transformers, many pictures at once.

A captioner is a folder as published: config.json, preprocessor_config.json, the tokenizer's
files and the weights.  Only what is on this machine is read, and no code that a folder may
bring is run.  Generation follows TAS: no prompt, beam search, at most 30 new tokens; BLIP-2's
language model ends at a line break.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ris_ros.lazy import require
from ris_ros.types import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.models.kinds import Source

# "model_type" of config.json -> class in transformers.
CLASSES = {'blip-2': 'Blip2ForConditionalGeneration', 'git': 'GitForCausalLM',
           'blip': 'BlipForConditionalGeneration'}


class Captioner(Protocol):
    """Describes pictures; `image_size`, `mean`, `std` and `fit` say what they must look like.

    fit: 'cover' where the short side of a picture fills the square, 'stretch' where both do.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Literal['cover', 'stretch']

    def caption(self, pixels: Tensor) -> list[str]:
        """Return one sentence per picture of (n, 3, s, s) normalised pixels."""
        ...


@dataclass(frozen=True)
class PictureFormat:
    """What preprocessor_config.json says of a network's input."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Literal['cover', 'stretch']


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON file of a network's folder; raises WeightsError where it is unusable."""
    try:
        data = json.loads((folder / name).read_text(encoding='utf-8'))
        if not isinstance(data, dict):
            raise ValueError('it is no object')
        return data
    except (OSError, ValueError) as error:
        raise WeightsError(f'{folder / name} cannot be read ({error}); fetch the network '
                           'again') from error


def picture_format(folder: Path) -> PictureFormat:
    """Return how pictures must look for the network of a folder."""
    data = read_json(folder, 'preprocessor_config.json')
    cropped = bool(data.get('do_center_crop', False))
    size: Any = data.get('crop_size') if cropped else None
    size = size or data.get('size', 224)
    if isinstance(size, dict):
        size = size.get('height') or size.get('shortest_edge')
    try:
        return PictureFormat(int(size), tuple(data['image_mean']), tuple(data['image_std']),
                             'cover' if cropped else 'stretch')
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f'{folder / "preprocessor_config.json"} does not say how large or '
                           f'how normalised pictures are ({error!r}); fetch the network again'
                           ) from error


def load_folder(folder: Path, classes: dict[str, str], what: str, dtype: Any) -> tuple[Any, Any]:
    """Return model and tokenizer of a folder, read from this machine alone.

    classes: "model_type" -> class in transformers.  Raises WeightsError for a folder that is
    of another type or does not load.
    """
    model = load_model(folder, classes, what, dtype)
    return model, load_part(folder, 'AutoTokenizer', what)


def load_model(folder: Path, classes: dict[str, str], what: str, dtype: Any) -> Any:
    """Return the model of a folder; see `load_folder`.

    No code that the folder may bring is run, and no weight may be missing.
    """
    transformers = require('transformers', 'models')
    kind = read_json(folder, 'config.json').get('model_type')
    if kind not in classes:
        raise WeightsError(f'{folder} holds a network of type {kind!r}, which is no {what}; '
                           f'there are: {", ".join(classes)}')
    try:
        model, report = getattr(transformers, classes[kind]).from_pretrained(
            str(folder), local_files_only=True, weights_only=True, dtype=dtype,
            output_loading_info=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f'{folder} cannot be loaded as {what}: '
                           f'{str(error).splitlines()[0][:200]}') from error
    absent = sorted(report['missing_keys'])
    if absent:
        raise WeightsError(f'{folder} lacks weights of the {what}, such as {absent[0]}; fetch '
                           'the network again')
    return model


def load_part(folder: Path, name: str, what: str) -> Any:
    """Return a tokenizer or processor of a folder by its class in transformers.

    Raises WeightsError where the folder has no such thing.
    """
    transformers = require('transformers', 'models')
    try:
        return getattr(transformers, name).from_pretrained(str(folder), local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f'{folder} cannot be loaded as {what}: '
                           f'{str(error).splitlines()[0][:200]}') from error


def share_pictures(model: Any, beams: int) -> None:
    """Let a decoder's cross-attention project each picture once, not once for every beam.

    Beam search hands `beams` equal copies of each picture's tokens to the decoder, one after
    the other; for BLIP with 5 beams projecting them all is a third of the whole work.
    """
    def first_of_each(_: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][::beams], *args[1:])

    def for_all(_: Any, __: Any, out: Tensor) -> Tensor:
        return out.repeat_interleave(beams, dim=0)

    for name, module in model.named_modules():
        if beams > 1 and name.endswith('crossattention.self'):
            for projection in (module.key, module.value):
                projection.register_forward_pre_hook(first_of_each)
                projection.register_forward_hook(for_all)


class TransformersCaptioner:
    """A captioner of the transformers library.

    beams: width of the beam search, 1 is greedy.  max_new_tokens: of one sentence.
    precision: 'fp32', 'bf16' or 'fp16', the type of the weights themselves.
    """

    def __init__(self, model: Any, tokenizer: Any, picture: PictureFormat, device: str = 'cpu',
                 beams: int = 5, max_new_tokens: int = 30) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.tokenizer, self.device = tokenizer, device
        self.image_size, self.fit = picture.image_size, picture.fit
        self.mean, self.std = picture.mean, picture.std
        self.options: dict[str, Any] = {
            'num_beams': beams, 'max_new_tokens': max_new_tokens, 'do_sample': False,
            'length_penalty': 1.0, 'repetition_penalty': 1.0}
        share_pictures(self.model, beams)
        stop = self._line_break()
        if stop is not None:
            self.options['eos_token_id'] = stop

    def _line_break(self) -> int | None:
        """Return the token that ends a sentence of BLIP-2's decoder-only language models."""
        language = getattr(self.model, 'language_model', None)
        if language is None or language.config.is_encoder_decoder:
            return None
        found = self.tokenizer('\n', add_special_tokens=False)['input_ids']
        return found[-1] if found and found[-1] != self.tokenizer.unk_token_id else None

    def caption(self, pixels: Tensor) -> list[str]:
        """Return one sentence per picture of (n, 3, s, s) normalised pixels; [] for none."""
        if not len(pixels):
            return []
        torch = require('torch', 'models')
        with torch.inference_mode():
            tokens = self.model.generate(
                pixel_values=pixels.to(self.device, self.model.dtype), **self.options)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [' '.join(text.split()) for text in texts]


def load_network(source: Source, beams: int = 5, max_new_tokens: int = 30
                 ) -> TransformersCaptioner:
    """Return the captioner of a manifest entry; see `ris_ros.models.kinds`."""
    return load_captioner(source.path(), source.device, source.precision, beams, max_new_tokens)


def load_captioner(folder: Path, device: str = 'cpu', precision: str = 'fp32', beams: int = 5,
                   max_new_tokens: int = 30) -> TransformersCaptioner:
    """Return the captioner of a folder in the published layout; see TransformersCaptioner.

    Raises WeightsError for a folder that is damaged or holds something else.
    """
    torch = require('torch', 'models')
    dtype = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}[precision]
    picture = picture_format(folder)
    model, tokenizer = load_folder(folder, CLASSES, 'captioner', dtype)
    return TransformersCaptioner(model, tokenizer, picture, device, beams, max_new_tokens)
