"""Whether the peak lies on what is meant: PointM on validation pictures, apart from training.

True masks are read here, of validation pictures alone.  No gradient comes from them, and unless
`keep_best` asks for it nothing is chosen by them.
"""
from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ris_ros.files import write_bytes
from ris_ros.methods.pcnet.model import heatmaps
from ris_ros.methods.pcnet.network import PCNet
from ris_ros.types import BadInputError

TAGS = ('attribute', 'position', 'relation', 'size')


@dataclass(frozen=True)
class Question:
    """A sentence about a validation picture.

    row: of the picture.  targets: numbers of the objects that it fits: one where it is
    answerable, several or none else.  kind: 'answerable', 'ambiguous' or 'absent'.
    """

    row: int
    text: str
    cues: tuple[str, ...]
    targets: tuple[int, ...]
    kind: str = 'answerable'
    tag: str = ''


def write_questions(path: Path, questions: Sequence[Question], name: str) -> None:
    """Write questions as gzipped JSON, so that a run elsewhere needs no parser."""
    record = {'name': name, 'questions': [asdict(q) for q in questions]}
    write_bytes(path, gzip.compress(json.dumps(record).encode(), mtime=0))


def read_questions(path: Path) -> tuple[str, list[Question]]:
    """Return the name and the questions of a file; raises BadInputError for any other."""
    try:
        with gzip.open(path) as stream:
            record = json.loads(stream.read(1 << 30))
        return str(record['name']), [Question(
            int(q['row']), str(q['text']), tuple(map(str, q['cues'])),
            tuple(map(int, q['targets'])), str(q['kind']), str(q['tag']))
            for q in record['questions']]
    except FileNotFoundError:
        raise BadInputError(f'{path} is missing; make it with: ris train pcnet --stage sentences'
                            ) from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f'{path} is no whole file of questions ({error}); make it again with: '
                            'ris train pcnet --stage sentences') from error


def by_picture(questions: Iterable[Question]) -> dict[int, list[Question]]:
    """Return the questions by the row of their picture, in the order they come."""
    rows: dict[int, list[Question]] = {}
    for question in questions:
        rows.setdefault(question.row, []).append(question)
    return rows


class Validation:
    """Questions about pictures, with their true masks.

    pictures: (N, 3, s, s) uint8 on the device.  truth: gives the (H, W) bool mask of a question.
    """

    def __init__(self, questions: Sequence[Question], pictures: Tensor,
                 truth: Callable[[Question], np.ndarray]) -> None:
        self.by_row = by_picture(q for q in questions if q.kind == 'answerable')
        self.pictures, self.truth = pictures, truth

    def figures(self, network: PCNet) -> dict[str, float]:
        """Return PointM over all and by tag, and the mean IoU of the map as released."""
        hits: list[bool] = []
        overlaps: list[float] = []
        tags: list[str] = []
        for row, questions in self.by_row.items():
            hit, overlap = self._picture(network, row, questions)
            hits += hit
            overlaps += overlap
            tags += [q.tag for q in questions]
        if not hits:
            return {}
        found = {'pointm': float(np.mean(hits)), 'map_miou': float(np.mean(overlaps))}
        for tag in TAGS:
            own = [h for h, t in zip(hits, tags, strict=True) if t == tag]
            if own:
                found[tag] = float(np.mean(own))
        return found

    @torch.no_grad()
    def _picture(self, network: PCNet, row: int, questions: Sequence[Question]
                 ) -> tuple[list[bool], list[float]]:
        truths = np.stack([self.truth(q) for q in questions])
        maps = respond(network, self.pictures[row:row + 1],
                       [(q.text, q.cues) for q in questions])[-1]
        heat = heatmaps(maps, truths.shape[1:], network.config.image_size)
        # A map that is dark everywhere has a highest place all the same.
        bright = heatmaps(maps, truths.shape[1:], network.config.image_size, 'minmax')
        peaks = bright.flatten(1).argmax(dim=1).cpu().numpy()
        truth = torch.from_numpy(truths).to(heat.device)
        lit = heat > 1e-9
        both = (lit & truth).sum(dim=(1, 2))
        overlap = both / (lit | truth).sum(dim=(1, 2)).clamp(min=1)
        flat = truths.reshape(len(truths), -1)
        return ([bool(flat[k, p]) for k, p in enumerate(peaks)],
                [float(v) for v in overlap.cpu().numpy()])


def respond(network: PCNet, pixels: Tensor, asked: Sequence[tuple[str, Sequence[str]]]
            ) -> list[Tensor]:
    """Return the maps of sentences about one picture, per stage (S, g, g) logits.

    pixels: (1, 3, s, s).  asked: texts with their cues.
    """
    count, grid = network.config.stages - 1, network.config.grid
    texts = [text for said, cues in asked for text in (said, *cues[:count])]
    tokens = network.tokenise(texts)[0].to(pixels.device)
    features = network.encode_tokens(tokens).float().unflatten(0, (len(asked), 1 + count))
    looked = network.looks(network.image_tokens(pixels).float())
    maps = network.answer(looked, features[:, 0], features[:, 1:])
    return [m.unflatten(1, (grid, grid)) for m in maps]
