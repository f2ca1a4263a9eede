"""PCNet's network: CLIP's residual towers, projections and the stages of `referring`.

The picture goes through the residual tower alone, up to its last map (c4), whose attention pool
is left out; a sentence and its cues go through CLIP's text tower.  All that depends on the
picture alone is one call (`image_tokens`), so that a further sentence costs its text and a few
small products.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.methods.pcnet.asking import Companions, answer_alone, answer_beside, looks
from ris_ros.methods.pcnet.referring import Form, Looked, ReferringModule, Stage, run_stages
from ris_ros.models.clip import build_clip, tokenizer_for
from ris_ros.models.sampling import IMAGENET_MEAN, IMAGENET_STD
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = require('torch', 'models')
    nn = torch.nn

SCALE = 1 / 0.07      # factor on cosines; a parameter that the released optimiser never sees
STRIDES = (8, 16, 32)
POSITION_WAVES = 4


@dataclass(frozen=True)
class PCNetConfig:
    """Shape of a PCNet; the defaults are the paper's, over CLIP RN50.

    clip: configuration of a CLIP with a residual tower (open_clip names, see `models.clip`).
    channels: C of the stages.  stages: N.  image_size: pixels per side, aspect not kept.
    stride: pixels per cell of the response map; 32 is that of c4, 16 and 8 (ours) leave out the
    last strides of the tower, for objects smaller than a cell.  text_length: tokens of a text,
    start and end included.  keep_end: a text that is too long keeps its end token (ours); the
    released code cuts it off, so that all long texts become one.  positions: the projected map
    is told where each cell lies (ours).  companions: texts of training that are kept with the
    network, see `asking` (ours).  mean, std: of the pixels.
    """

    clip: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 1024
    stages: int = 3
    image_size: int = 320
    stride: int = 32
    text_length: int = 20
    keep_end: bool = True
    positions: bool = False
    companions: int = 0
    form: Form = field(default_factory=Form)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Raise BadInputError for sizes that make no network."""
        if self.stride not in STRIDES:
            raise BadInputError(f'stride must be one of {STRIDES}, not {self.stride}')
        if self.image_size % 32 or self.image_size < 64:
            raise BadInputError('image_size of a PCNet must be a multiple of 32 from 64 up, not '
                                f'{self.image_size}')
        if not 1 <= self.stages <= 4:
            raise BadInputError(f'a PCNet has 1 to 4 stages, not {self.stages}')
        if self.companions and self.form.sees == 'each':
            raise BadInputError('companions are for cues that see their own picture (sees=own)')
        layers = self.clip.get('vision_cfg', {}).get('layers')
        if not isinstance(layers, list | tuple) or len(layers) != 4:
            raise BadInputError('a PCNet needs a CLIP with a residual tower (layers: four '
                                'numbers), such as RN50')

    @property
    def grid(self) -> int:
        """Cells per side of the response map."""
        return self.image_size // self.stride

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PCNetConfig:
        """Return the configuration of a checkpoint's JSON.  Raises BadInputError."""
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise BadInputError(f'unknown field in the PCNet configuration: {sorted(unknown)}')
        values = {**data, 'form': Form.from_dict(data.get('form', {}))}
        for name in ('mean', 'std'):
            if name in values:
                values[name] = tuple(values[name])
        try:
            return cls(**values)
        except TypeError as error:
            raise BadInputError(f'the PCNet configuration does not fit: {error}') from error

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, the inverse of `from_dict`."""
        return {**asdict(self), 'mean': list(self.mean), 'std': list(self.std)}

    def with_form(self, **changes: Any) -> PCNetConfig:
        """Return the configuration with other parts of its form."""
        return replace(self, form=replace(self.form, **changes))


class PCNet(nn.Module):
    """The whole network; its CLIP has no attention pool any more."""

    mean: Tensor
    std: Tensor
    places: Tensor
    companion_cues: Tensor
    companion_texts: Tensor

    def __init__(self, config: PCNetConfig) -> None:
        """Build it untrained.  Raises BadInputError where the CLIP is not of the residual sort."""
        super().__init__()
        self.config = config
        self.clip: Any = build_clip(config.clip)
        tower: Any = self.clip.visual
        if not hasattr(tower, 'layer4'):
            raise BadInputError('a PCNet needs a CLIP with a residual tower, such as RN50')
        width = tower.layer4[-1].conv3.out_channels
        del tower.attnpool
        fit_stride(tower, config.stride)
        self.tokenizer = tokenizer_for(config.clip)
        channels = config.channels
        self.visual_projection = nn.Conv2d(width, channels, 1)
        self.text_projection = nn.Linear(config.clip['embed_dim'], channels)
        self.stages = nn.ModuleList(ReferringModule(channels) for _ in range(config.stages))
        self.place_projection = (nn.Linear(4 * POSITION_WAVES, channels, bias=False)
                                 if config.positions else None)
        kept = torch.zeros(config.stages, config.companions, channels)
        self.register_buffer('companion_cues', kept)
        self.register_buffer('companion_texts', kept.clone())
        self.register_buffer('places', places_of(config.grid), persistent=False)
        for name, value in (('mean', config.mean), ('std', config.std)):
            self.register_buffer(name, torch.tensor(value).view(1, 3, 1, 1), persistent=False)

    @property
    def referring(self) -> list[ReferringModule]:
        """The conditional referring modules, one a stage."""
        modules: Any = self.stages
        return list(modules)

    def image_tokens(self, pictures: Tensor) -> Tensor:
        """Return V of pictures, (B, P, C) with P = grid^2, row by row.

        pictures: (B, 3, s, s) of the configuration's size, values 0 to 255.
        """
        return self.tokens_of(self.last_map(pictures))

    def last_map(self, pictures: Tensor) -> Tensor:
        """Return the tower's last map (c4) of pictures as `image_tokens` takes them.

        (B, D, grid, grid), D of the tower.
        """
        return last_map_of(self.clip.visual, (pictures.float() / 255 - self.mean) / self.std)

    def tokens_of(self, last: Tensor) -> Tensor:
        """Return V (B, P, C) of the tower's last map."""
        tokens: Tensor = self.visual_projection(last).flatten(2).transpose(1, 2)
        if self.place_projection is not None:
            tokens = tokens + self.place_projection(self.places)
        return tokens

    def tokenise(self, texts: Sequence[str]) -> tuple[Tensor, list[int]]:
        """Return token ids (n, text_length) int64, and how many pieces of each text were cut.

        With keep_end the last token of a text that is too long is its end token; without, as
        released, it is cut off, and the text is read as if it were empty.
        """
        length = self.config.text_length
        counts = [len(self.tokenizer.encode(text)) for text in texts]
        longest = max([length, *(count + 2 for count in counts)])
        ids: Tensor = self.tokenizer(list(texts), length if self.config.keep_end else longest)
        return ids[:, :length], [max(0, count + 2 - length) for count in counts]

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Return text embeddings (n, C) of token ids (n, L); what follows the end is not read."""
        embedded: Tensor = self.text_projection(read_tokens(self.clip, tokens))
        return embedded

    def forward(self, visual: Tensor, text: Tensor, cues: Tensor,
                looked: Sequence[Looked] | None = None) -> list[Stage]:
        """Run the stages over a batch; shapes as `run_stages`."""
        return run_stages(self.referring, self.config.form, visual, text, cues, SCALE, looked)

    def looks(self, visual: Tensor) -> list[Looked]:
        """Return what the stages read of pictures (B, P, C) whatever is asked."""
        return looks(self.referring, self.config.form, visual)

    def answer(self, looked: Sequence[Looked], text: Tensor, cues: Tensor) -> list[Tensor]:
        """Return the maps of S sentences, per stage (S, P) logits; see `answer_alone`."""
        return answer_alone(self.referring, self.config.form, looked, text, cues, SCALE)

    def answer_beside(self, visual: Tensor, text: Tensor, cues: Tensor) -> list[Tensor]:
        """Return the same among the network's companions; see `asking.answer_beside`.

        Raises BadInputError where it has none.
        """
        if not self.config.companions:
            raise BadInputError('this PCNet was trained without companions; set context=alone')
        companions = [Companions(cues_, texts) for cues_, texts in
                      zip(self.companion_cues, self.companion_texts, strict=True)]
        return answer_beside(self.referring, self.config.form, companions, visual, text, cues,
                             SCALE)


def last_map_of(tower: Any, pixels: Tensor) -> Tensor:
    """Return the last map (c4) of a residual tower, (B, D, h, w), of normalised pixels."""
    found: Tensor = tower.layer4(tower.layer3(tower.layer2(tower.layer1(tower.stem(pixels)))))
    return found


def read_tokens(clip: Any, tokens: Tensor) -> Tensor:
    """Return CLIP's text embeddings (n, E) of token ids (n, L); padding is not read."""
    length = tokens.shape[1]
    mask = clip.attn_mask[:length, :length] if clip.attn_mask is not None else None
    x = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    x = clip.transformer(x, attn_mask=mask)
    ends = tokens.argmax(dim=-1)
    x = clip.ln_final(x[torch.arange(len(x), device=x.device), ends])
    read: Tensor = x @ clip.text_projection
    return read


def fit_stride(tower: Any, stride: int) -> None:
    """Leave out the last strides of a residual tower, so that a cell has so many pixels."""
    for layer, own in ((tower.layer4, 32), (tower.layer3, 16)):
        if stride < own:
            without_stride(layer)


def without_stride(layer: Any) -> None:
    """Leave out the stride of a residual layer: its pooling, which has no parameters."""
    first = layer[0]
    first.avgpool = nn.Identity()
    first.downsample[0] = nn.Identity()


def places_of(grid: int) -> Tensor:
    """Return where each cell lies, (grid^2, 4 waves): sines and cosines of x and y."""
    centre = (torch.arange(grid) + 0.5) / grid - 0.5
    angle = centre[:, None] * torch.pi * 2.0 ** torch.arange(-1, POSITION_WAVES - 1)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = waves[:, None].expand(-1, grid, -1)
    columns = waves[None].expand(grid, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)
