"""
Train a small CLIP as CLIP itself was trained: pictures and sentences, no mask ever read.

Pictures are frames and windows cut out of them at random.  Which objects a window shows is
known from their settled poses and the camera, not from the rendered instances.  Masked or
blurred views are therefore as far out of this network's domain as they are out of the domain
of the papers' CLIP: it stands behind the rows of the papers that compare kinds of features.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ris_ros.geometry import project
from ris_ros.models.clip import tokenizer_for
from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.arrays import Mapped, for_each, made_once
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.engine.task import Batch, Loss, Task
from ris_ros.training.tabletop.clip import (
    ClipTrainee,
    both_ways,
    peak_report,
    tabletop_clip_config,
    text_loss,
    text_report,
)
from ris_ros.training.tabletop.clip_draws import PLACES, keep, words
from ris_ros.training.tabletop.clip_texts import BACKGROUND, Names
from ris_ros.training.tabletop.clip_views import SIZE, Views, to_patches
from ris_ros.training.tabletop.job import Job
from ris_ros.training.tabletop.settings import PlainClipSettings
from ris_ros.training.tabletop.shards import SceneStore, scene_digest

NAME = 'tabletop_clip_plain'
FRAME = (448, 336)     # frames are kept at this size, windows are cut from them
INSET = 0.06           # of a window's side: an object's middle this far inside is shown
CLOSE = 0.35           # smallest window, as a part of the frame's sides


class Frames:
    """
    Frames of a scene store, smaller, and where the middle of each object is in them.

    pictures: (S, 336, 448, 3) uint8 on disk.  places: per scene (K, 2) float64 in [0, 1] of
    the frame's sides, from poses and camera.  names: per scene what the objects are.
    """

    def __init__(self, store: SceneStore, cache: Path) -> None:
        """cache: folder for the pictures, made once."""
        width, height = FRAME

        def shrink(create: Mapping[str, Any]) -> None:
            out = create['pictures']((len(store), height, width, 3), np.uint8)

            def one(scene: int) -> None:
                out[scene] = cv2.resize(np.ascontiguousarray(store.color(scene)), FRAME,
                                        interpolation=cv2.INTER_AREA)
            for_each(one, len(store), 'shrinking')

        made = made_once(cache / f'clip_frames_{scene_digest(store)}',
                         {'scenes': len(store), 'size': list(FRAME)}, shrink, ('pictures',))
        self.pictures: Mapped = made['pictures']
        self.places, self.names = [], []
        for truth in store.truths:
            size = np.array([truth.camera.width, truth.camera.height])
            self.places.append(project(truth.xyz, truth.camera) / size)
            self.names.append([Names(kind, colour) for kind, colour in zip(
                truth.kinds, truth.colours, strict=True)])

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.places)

    def shown(self, scene: int, window: np.ndarray) -> list[Names]:
        """Return what a window (x0, y0, x1, y1 in [0, 1]) shows: objects, then the table."""
        inset = INSET * (window[2:] - window[:2])
        inside = np.all((self.places[scene] > window[:2] + inset)
                        & (self.places[scene] < window[2:] - inset), axis=1)
        found = [names for names, there in zip(self.names[scene], inside, strict=True) if there]
        return [*found, Names(BACKGROUND, None)]

    def window(self, rng: np.random.Generator, scene: int) -> np.ndarray:
        """Draw a window around an object or anywhere, (4,) x0, y0, x1, y1 in [0, 1]."""
        side = rng.uniform(CLOSE, 0.75, 2) if rng.random() < 0.5 else np.full(
            2, rng.uniform(CLOSE, 0.6))
        places = self.places[scene]
        if len(places) and rng.random() < 0.7:
            corner = places[int(rng.integers(len(places)))] - side * rng.uniform(0.2, 0.8, 2)
        else:
            corner = rng.uniform(0, 1 - side)
        corner = np.clip(corner, 0, 1 - side)
        return np.concatenate([corner, corner + side])

    def cut(self, scene: int, window: np.ndarray) -> np.ndarray:
        """Return a window stretched to the network's size, (S, S, 3) uint8."""
        x0, y0, x1, y1 = np.round(window * (*FRAME, *FRAME)).astype(int)
        picture = np.ascontiguousarray(self.pictures[scene][y0:y1, x0:x1])
        return cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


WHOLE = np.array([0.0, 0.0, 1.0, 1.0])


class PlainSource:
    """Draws windows and frames with captions that are true of them."""

    def __init__(self, frames: Frames, tokenizer: WordTokenizer, settings: PlainClipSettings
                 ) -> None:
        """tokenizer: of the network's vocabulary."""
        self.frames, self.tokenizer, self.settings = frames, tokenizer, settings

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> dict[str, Any]:
        """Return patches (n, K, 16, 16, 3) uint8, index (n, K) and the words of `words`."""
        s = self.settings
        full = rng.random() < (0.6 if fraction >= s.full_from else 0.15)
        share = s.kept / PLACES if full else 1.0
        counts = [max(2, round(share * n)) for n in (s.windows, s.frames)]
        scenes = rng.integers(len(self.frames), size=sum(counts))
        windows = [self.frames.window(rng, int(scene)) for scene in scenes[:counts[0]]]
        windows += [WHOLE] * counts[1]
        pictures = np.stack([self.frames.cut(int(scene), window)
                             for scene, window in zip(scenes, windows, strict=True)])
        shown = [self.frames.shown(int(scene), window)
                 for scene, window in zip(scenes, windows, strict=True)]
        patches, place = to_patches(pictures), keep(rng, None, len(pictures),
                                                    PLACES if full else s.kept)
        said = words(rng, self.tokenizer, [], shown, [], 2 + round(share * s.texts))
        return {'patches': patches[np.arange(len(patches))[:, None], place], 'index': place,
                **{name: said[name] for name in ('text', 'true', 'related')}}


class PlainClipTask(Task):
    """The small CLIP of pictures and sentences in training."""

    name = 'clip_plain'
    figures = PlainClipSettings.figures
    hidden = ('.resblocks.',)
    model: ClipTrainee
    source: PlainSource

    def __init__(self, model: ClipTrainee, config: dict[str, Any], frames: Frames, val: Frames,
                 val_views: Views, job: Job) -> None:
        """val_views: validation alone reads the instances, to see where a peak lies."""
        self.model, self.val, self.val_views, self.job = model, val, val_views, job
        self.tokenizer = tokenizer_for(config)
        self.source = PlainSource(frames, self.tokenizer, job.settings)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what the batches are drawn from."""
        return self.job.identity()

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the loss of captions and pictures, and its parts."""
        model, settings = self.model, self.job.settings
        pictures = model.plain(model.normalised(batch['patches'], True), batch['index'])
        text = model.clip.encode_text(batch['text'])
        with torch.autocast(text.device.type, enabled=False):
            text = F.normalize(text.float(), dim=-1)
            logits = (model.clip.logit_scale.exp().clamp(max=100)
                      * F.normalize(pictures.float(), dim=-1) @ text.T)
            captions = both_ways(logits, batch['true'])
            texts = text_loss(text, batch['related'], settings.text_scale)
        return captions + settings.text_weight * texts, {'captions': captions, 'texts': texts}

    def validate(self) -> Mapping[str, float]:
        """Return how windows of validation scenes are told, texts related and peaks placed."""
        return {**window_report(self.model, self.tokenizer, self.val,
                                self.job.settings.validation_windows),
                **text_report(self.model.clip, self.tokenizer),
                **peak_report(self.model, self.tokenizer, self.val_views)}


def window_report(model: ClipTrainee, tokenizer: WordTokenizer, frames: Frames, number: int
                  ) -> dict[str, float]:
    """Return how often a kind, a colour that a window shows is the one it fits best."""
    rng = np.random.default_rng(6)
    drawn = [(int(s), frames.window(rng, int(s)))
             for s in rng.integers(len(frames), size=4 * number)]
    pairs = [pair for pair in drawn if len(frames.shown(*pair)) > 1][:number]
    device = model.mean.device
    pictures = torch.from_numpy(to_patches(np.stack([frames.cut(*pair) for pair in pairs])))
    index = torch.arange(PLACES, device=device)
    found = torch.cat([model.plain(model.normalised(part.to(device), False),
                                   index.expand(len(part), -1)).float()
                       for part in pictures.split(40)])
    report = {}
    for what, names in (('kind', list(KINDS)), ('colour', list(COLOURS))):
        said = [f'the {n}' if what == 'kind' else f'the {n} object' for n in names]
        text = model.clip.encode_text(tokenizer(said).to(device)).float()
        best = (F.normalize(found, dim=-1) @ F.normalize(text, dim=-1).T).argmax(1).tolist()
        right = [names[b] in {getattr(n, what) for n in frames.shown(*pair)}
                 for b, pair in zip(best, pairs, strict=True)]
        report[f'window_{what}'] = round(float(np.mean(right)), 3)
    return report


def train_clip_plain(job: Job) -> Outcome:
    """Train by the job's settings and write tabletop_clip_plain.safetensors and .json."""
    config = tabletop_clip_config()
    model = ClipTrainee(config, heads=False)
    if job.init:
        load_network(job.init, NAME, model.clip)
    with job.runtime.main_first():
        frames, val = Frames(job.train, job.work), Frames(job.val, job.work)
        val_views = Views(job.val, job.work)
    task = PlainClipTask(model, config, frames, val, val_views, job)
    outcome = fit(task, job.settings, job.work, job.runtime)
    if job.runtime.is_main:
        write_network(job.out, NAME, model.clip.state_dict(), config, outcome.record())
    return outcome
