"""
Train the small captioner of the tabletop profile: GIT, with the small CLIP's tower for eyes.

GIT (TMLR 2022) is a vision tower whose tokens stand in front of the words of a causal text
decoder.  Its tower has the layout of CLIP's, so it starts from the tabletop CLIP; the words
are those of the simulated tabletop.  Most steps see regions, and quarters of frames, at half
the size (positions are resized, a picture costs a quarter); the later ones see regions and
frames at the full size.  What is written is a folder as published for transformers, so that
one loader serves this captioner and those of others.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.files import SUMS, atomic_folder, sha256_of, write_json, write_sums
from ris_ros.lazy import require
from ris_ros.models import pillow_resize, sampling
from ris_ros.models.captioner import PictureFormat, TransformersCaptioner
from ris_ros.models.weights import SHIPPED, WeightStore
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.task import Batch, Loss, Task
from ris_ros.training.tabletop.captioner_texts import WORDS, Shown, named, told
from ris_ros.training.tabletop.job import Job
from ris_ros.training.tabletop.settings import CaptionerSettings
from ris_ros.training.tabletop.shards import SceneStore, Thing

NAME = 'tabletop_captioner'
SIZE, SMALL = 224, 112
SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
PAD, START, END = 0, 2, 3
IDS = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
DECODER_LAYERS, MOST_TOKENS = 3, 40
# How the profile generates, and so how validation does.
BEAMS, MAX_NEW_TOKENS = 1, 30
BLUR = 75


def clip_weights(out: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return state dict and configuration of the tabletop CLIP: of the run's `out`, or shipped."""
    own = (out / 'tabletop_clip.safetensors').exists()
    state, config = WeightStore(out if own else SHIPPED).load('tabletop_clip')
    assert isinstance(config, dict)
    return state, config


def captioner_config(clip: dict[str, Any], size: int = SIZE) -> Any:
    """Return GIT's configuration for a tower as a CLIP configuration has it."""
    transformers, vision = require('transformers', 'models'), clip['vision_cfg']
    width, heads = vision['width'], vision['width'] // vision['head_width']
    return transformers.GitConfig(
        vision_config={
            'hidden_size': width, 'num_hidden_layers': vision['layers'],
            'num_attention_heads': heads, 'image_size': size,
            'intermediate_size': int(width * vision['mlp_ratio']),
            'patch_size': vision['patch_size'],
            'hidden_act': 'quick_gelu' if clip.get('quick_gelu') else 'gelu'},
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=width, num_attention_heads=heads,
        num_hidden_layers=DECODER_LAYERS, intermediate_size=int(width * vision['mlp_ratio']),
        max_position_embeddings=MOST_TOKENS, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5, pad_token_id=PAD,
        bos_token_id=START, eos_token_id=END)


def resized_positions(positions: Tensor, grid: int) -> Tensor:
    """Return (1 + g * g, D) positions, the first of CLS, for a grid of another size."""
    old = round((len(positions) - 1) ** 0.5)
    if old == grid:
        return positions
    patches = positions[1:].T.reshape(1, -1, old, old)
    patches = F.interpolate(patches, (grid, grid), mode='bicubic', antialias=True)
    return torch.cat([positions[:1], patches.flatten(2)[0].T])


def tower_state(clip: dict[str, Tensor], grid: int) -> dict[str, Tensor]:
    """Return the state of GIT's vision tower from an open_clip state dict; the same function."""
    visual = {k.removeprefix('visual.'): v for k, v in clip.items() if k.startswith('visual.')}
    out = {'embeddings.class_embedding': visual['class_embedding'],
           'embeddings.patch_embedding.weight': visual['conv1.weight'],
           'embeddings.position_embedding.weight': resized_positions(
               visual['positional_embedding'], grid)}
    for ours, theirs in (('pre_layrnorm', 'ln_pre'), ('post_layernorm', 'ln_post')):
        out |= {f'{ours}.{k}': visual[f'{theirs}.{k}'] for k in ('weight', 'bias')}
    pairs = {'layer_norm1': 'ln_1', 'layer_norm2': 'ln_2', 'self_attn.out_proj': 'attn.out_proj',
             'mlp.fc1': 'mlp.c_fc', 'mlp.fc2': 'mlp.c_proj'}
    for i in range(1 + max(int(k.split('.')[2]) for k in visual if '.resblocks.' in k)):
        block, layer = f'transformer.resblocks.{i}', f'encoder.layers.{i}'
        for kind in ('weight', 'bias'):
            out |= {f'{layer}.{ours}.{kind}': visual[f'{block}.{theirs}.{kind}']
                    for ours, theirs in pairs.items()}
            parts = visual[f'{block}.attn.in_proj_{kind}'].chunk(3)
            out |= {f'{layer}.self_attn.{name}_proj.{kind}': part
                    for name, part in zip('qkv', parts, strict=True)}
    return out


def build_captioner(state: dict[str, Tensor], clip: dict[str, Any], size: int = SIZE
                    ) -> Any:
    """Return a GitForCausalLM whose tower is the CLIP's and whose decoder is untrained."""
    config = captioner_config(clip, size)
    model = require('transformers', 'models').GitForCausalLM(config)
    model.git.image_encoder.vision_model.load_state_dict(
        tower_state(state, size // config.vision_config.patch_size))
    with torch.no_grad():     # the decoder sees the tower's tokens as they are
        torch.nn.init.eye_(model.git.visual_projection.visual_projection[0].weight)
    return model


def tokenizer_of(folder: Path) -> Any:
    """Write the vocabulary to a folder and return the tokenizer, which joins words by spaces."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / 'vocab.txt'
    vocabulary.write_text('\n'.join((*SPECIAL, *WORDS)) + '\n', encoding='utf-8')
    tokenizer = require('transformers', 'models').BertTokenizer(
        vocab=str(vocabulary), model_max_length=MOST_TOKENS)
    tokenizer.save_pretrained(folder)
    return tokenizer


class CaptionSource:
    """Draws regions and parts of frames at half the size, or regions and frames at the full."""

    def __init__(self, shown: Shown, size: int, settings: CaptionerSettings) -> None:
        """size: pixels per side of a picture at the full size."""
        self.shown, self.size, self.settings = shown, size, settings

    def draw(self, rng: np.random.Generator, index: int, fraction: float) -> dict[str, Any]:
        """Return two sorts of pictures, each (n, s, s, 3) uint8, and their ids (n, T) int64."""
        s = self.settings
        if rng.random() < (s.full_late if fraction >= s.full_from else s.full_early):
            size, kinds = self.size, {'regions': s.full_regions, 'frames': s.full_frames}
        else:
            size = self.size * SMALL // SIZE
            kinds = {'regions': s.small_regions, 'windows': s.small_windows}
        batch = {}
        for kind, number in kinds.items():
            pictures, captions = getattr(self.shown, kind)(rng, number, size)
            batch[kind] = {'pictures': pictures, 'ids': ids_of(captions)}
        return batch


def ids_of(captions: Sequence[str]) -> np.ndarray:
    """(n, T) int64 ids, padded at the end."""
    rows = [[START, *(IDS[w] for w in text.split()), END] for text in captions]
    longest = max(map(len, rows))
    return np.array([r + [PAD] * (longest - len(r)) for r in rows])


class CaptionTask(Task):
    """The small captioner in training."""

    name = 'captioner'
    figures = CaptionerSettings.figures
    model: Any

    def __init__(self, model: Any, tokenizer: Any, clip: dict[str, Any], job: Job) -> None:
        """clip: the configuration of the CLIP that the tower comes from."""
        self.model, self.tokenizer, self.job = model, tokenizer, job
        self.settings: CaptionerSettings = job.settings
        self.size = int(model.config.vision_config.image_size)
        self.mean, self.std = tuple(clip['mean']), tuple(clip['std'])
        self._statistics = torch.tensor([self.mean, self.std])
        self.source = CaptionSource(Shown(job.train), self.size, self.settings)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what the batches are drawn from."""
        return self.job.identity()

    def pixels(self, pictures: Tensor) -> Tensor:
        """(n, s, s, 3) uint8 to (n, 3, s, s) float32 of CLIP's statistics, colours changed."""
        x, device = pictures.float() / 255, pictures.device
        gain = 1 + 0.12 * torch.randn(len(x), 1, 1, 1, device=device)
        gain = gain * (1 + 0.025 * torch.randn(len(x), 1, 1, 3, device=device))
        if self._statistics.device != device:     # copied once: every copy waits for a GPU
            self._statistics = self._statistics.to(device)
        mean, std = self._statistics
        return (((x * gain).clamp(0, 1) - mean) / std).permute(0, 3, 1, 2)

    def word_loss(self, pictures: Tensor, ids: Tensor) -> Tensor:
        """Return the cross-entropy of the next word, over all words."""
        said = self.model(input_ids=ids[:, :-1], pixel_values=self.pixels(pictures),
                          interpolate_pos_encoding=pictures.shape[1] != self.size,
                          logits_to_keep=ids.shape[1] - 1, use_cache=False)
        return F.cross_entropy(said.logits.float().flatten(0, 1), ids[:, 1:].flatten(),
                               ignore_index=PAD)

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the sum of both sorts' losses, and each."""
        self.model.git.image_encoder.requires_grad_(fraction >= self.settings.frozen_until)
        losses = {kind: self.word_loss(part['pictures'], part['ids'])
                  for kind, part in batch.items()}
        return torch.stack(list(losses.values())).sum(), losses

    def validate(self) -> Mapping[str, float]:
        """Return how regions and frames of validation scenes are told."""
        return self.report_on(self.job.val, self.settings.validation_regions,
                              self.settings.validation_frames)

    def report_on(self, store: SceneStore, regions: int = 150, frames: int = 40
                  ) -> dict[str, float]:
        """
        Caption true regions and whole frames the way TAS does.

        Returns the shares of regions whose kind, colour and both are named right, and
        precision and recall of the things named in frames (kind and colour as one).
        """
        captioner = TransformersCaptioner(
            self.model, self.tokenizer, PictureFormat(self.size, self.mean, self.std, 'stretch'),
            str(self.model.device), BEAMS, MAX_NEW_TOKENS)
        things = store.things[:: max(1, len(store.things) // regions)][:regions]
        said = [t for part in range(0, len(things), 16)
                for t in captioner.caption(self._as_tas(store, things[part:part + 16]))]
        named_right = [(t.colour in s.split(), t.kind in s.split(), s == named(t.colour, t.kind))
                       for t, s in zip(things, said, strict=True)]
        colour, kind, both = np.mean(named_right, axis=0)
        right = told_right = wanted = 0
        scenes = range(min(frames, len(store)))
        whole = torch.stack([pillow_resize.stretched(self._picture(store, s), self.size)
                             for s in scenes])
        for s, text in zip(scenes, captioner.caption(self._normal(whole)), strict=True):
            got, true = things_of(text), things_of(told(store.by_scene[s]))
            hits = sum(min(got.count(name), true.count(name)) for name in set(true))
            right, told_right, wanted = right + hits, told_right + len(got), wanted + len(true)
        self.model.requires_grad_(True)    # a captioner that only talks needs none
        report = {'region_kind': kind, 'region_colour': colour, 'region_both': both,
                  'frame_precision': right / max(told_right, 1),
                  'frame_recall': right / max(wanted, 1)}
        return {k: round(float(v), 3) for k, v in report.items()}

    def _picture(self, store: SceneStore, scene: int) -> Tensor:
        return torch.from_numpy(np.array(store.color(scene))).permute(2, 0, 1).float()

    def _normal(self, pixels: Tensor) -> Tensor:
        return sampling.normalise(pixels / 255, self.mean, self.std)

    def _as_tas(self, store: SceneStore, things: Sequence[Thing]) -> Tensor:
        out = []
        for t in things:
            x0, y0, x1, y1 = t.box
            mask = torch.from_numpy(np.asarray(store.instances(t.scene)) == t.instance)
            soft = torch.from_numpy(sampling.blur(np.array(store.color(t.scene)), BLUR))
            out.append(pillow_resize.square_crops(
                self._picture(store, t.scene), soft.permute(2, 0, 1).float(), mask[None],
                torch.tensor([[x0, y0, x1 - x0, y1 - y0]]), self.size, 'stretch'))
        return self._normal(torch.cat(out))


def things_of(caption: str) -> list[str]:
    """Return what a caption names, "red mug", the table left out."""
    parts = caption.partition(' on a ')[0].split(' and ')
    return [part.partition(' ')[2] for part in parts if len(part.split()) == 3]


def write_captioner(out: Path, model: Any, clip: dict[str, Any], trained: Mapping[str, Any]
                    ) -> Path:
    """
    Write the folder tabletop_captioner and tabletop_captioner.json beside it.

    The folder is laid out as published for transformers, with SHA256SUMS; the JSON holds the
    last validation record and the SHA-256 of that list.  Returns the folder.
    """
    folder = out / NAME
    picture = {'size': {'height': SIZE, 'width': SIZE}, 'do_center_crop': False,
               'image_mean': list(clip['mean']), 'image_std': list(clip['std']),
               'image_processor_type': 'CLIPImageProcessor'}
    with atomic_folder(folder) as part:
        tokenizer_of(part)
        model.save_pretrained(part)
        write_json(part / 'preprocessor_config.json', picture)
        for file in part.iterdir():
            file.chmod(0o644)
        write_sums(part)
    record = {'name': NAME, 'config': {}, 'validation': trained,
              'sha256': sha256_of(folder / SUMS),
              'bytes': sum(f.stat().st_size for f in folder.iterdir())}
    write_json(out / f'{NAME}.json', record, durable=True)
    return folder


def train_captioner(job: Job) -> Outcome:
    """Train by the job's settings; write the folder tabletop_captioner and its .json."""
    state, clip = clip_weights(job.out)
    model = build_captioner(state, clip)
    with job.runtime.main_first():
        tokenizer = tokenizer_of(job.work / 'captioner_words')
    outcome = fit(CaptionTask(model, tokenizer, clip, job), job.settings, job.work, job.runtime)
    if job.runtime.is_main:
        write_captioner(job.out, model, clip, outcome.record())
    return outcome
