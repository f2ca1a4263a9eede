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

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ris_ros.files import SUMS, atomic_folder, sha256_of, write_json, write_sums
from ris_ros.lazy import require
from ris_ros.models import pillow_resize, sampling
from ris_ros.models.captioner import PictureFormat, TransformersCaptioner
from ris_ros.models.weights import SHIPPED, WeightStore
from ris_ros.training.engine.loop import Budget, pick_device, train
from ris_ros.training.tabletop.captioner_texts import WORDS, Shown, named, told
from ris_ros.training.tabletop.shards import SceneStore, Thing

NAME = 'tabletop_captioner'
SIZE, SMALL = 224, 112
SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
PAD, START, END = 0, 2, 3
DECODER_LAYERS, MOST_TOKENS = 3, 40
# Pictures of a small and of a full step; how often a step is a full one before and after
# FULL_FROM of the budget.
SMALL_STEP = {'regions': 20, 'windows': 8}
FULL_STEP = {'regions': 5, 'frames': 5}
FULL_ODDS, FULL_FROM = (0.25, 0.75), 0.65
# In the first part of the budget the decoder learns to read the tower as it is.
FROZEN_UNTIL = 0.04
BASE_RATE = 1e-3
# How the profile generates, and so how validation does.
BEAMS, MAX_NEW_TOKENS = 1, 30
BLUR = 75


def clip_weights(work: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return state dict and configuration of the tabletop CLIP: the run's own, else shipped."""
    trained = work / 'weights'
    own = (trained / 'tabletop_clip.safetensors').exists()
    state, config = WeightStore(trained if own else SHIPPED).load('tabletop_clip')
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


def resized_positions(positions: torch.Tensor, grid: int) -> torch.Tensor:
    """Return (1 + g * g, D) positions, the first of CLS, for a grid of another size."""
    old = round((len(positions) - 1) ** 0.5)
    if old == grid:
        return positions
    patches = positions[1:].T.reshape(1, -1, old, old)
    patches = F.interpolate(patches, (grid, grid), mode='bicubic', antialias=True)
    return torch.cat([positions[:1], patches.flatten(2)[0].T])


def tower_state(clip: dict[str, torch.Tensor], grid: int) -> dict[str, torch.Tensor]:
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


def build_captioner(state: dict[str, torch.Tensor], clip: dict[str, Any], size: int = SIZE
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


class CaptionTrainer:
    """One training step, and how well the captions are."""

    def __init__(self, model: Any, tokenizer: Any, shown: Shown, clip: dict[str, Any],
                 device: torch.device) -> None:
        """Keep the parts; the model is trained in place."""
        self.model, self.tokenizer, self.shown, self.device = model, tokenizer, shown, device
        self.size = int(model.config.vision_config.image_size)
        self.mean, self.std = tuple(clip['mean']), tuple(clip['std'])
        self.ids = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}

    def pixels(self, pictures: np.ndarray) -> torch.Tensor:
        """(n, s, s, 3) uint8 to (n, 3, s, s) float32 of CLIP's statistics, colours changed."""
        x = torch.from_numpy(pictures).to(self.device).float() / 255
        gain = 1 + 0.12 * torch.randn(len(x), 1, 1, 1, device=self.device)
        gain = gain * (1 + 0.025 * torch.randn(len(x), 1, 1, 3, device=self.device))
        x = (x * gain).clamp(0, 1).permute(0, 3, 1, 2)
        return sampling.normalise(x, self.mean, self.std)

    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        """(n, T) int64 ids, padded at the end."""
        rows = [[START, *(self.ids[w] for w in text.split()), END] for text in captions]
        longest = max(map(len, rows))
        return torch.tensor([r + [PAD] * (longest - len(r)) for r in rows], device=self.device)

    def word_loss(self, pictures: np.ndarray, captions: Sequence[str]) -> torch.Tensor:
        """Return the cross-entropy of the next word, over all words."""
        ids = self.tokens(captions)
        said = self.model(input_ids=ids[:, :-1], pixel_values=self.pixels(pictures),
                          interpolate_pos_encoding=pictures.shape[1] != self.size,
                          logits_to_keep=ids.shape[1] - 1, use_cache=False)
        return F.cross_entropy(said.logits.float().flatten(0, 1), ids[:, 1:].flatten(),
                               ignore_index=PAD)

    def loss(self, fraction: float) -> torch.Tensor:
        """Draw a batch and return its loss."""
        self.model.git.image_encoder.requires_grad_(fraction >= FROZEN_UNTIL)
        full = self.shown.rng.random() < FULL_ODDS[fraction >= FULL_FROM]
        step, size = (FULL_STEP, self.size) if full else (SMALL_STEP, self.size * SMALL // SIZE)
        losses = [self.word_loss(*getattr(self.shown, kind)(number, size))
                  for kind, number in step.items()]
        return torch.stack(losses).sum()

    def validate(self, store: SceneStore, regions: int = 150, frames: int = 40
                 ) -> dict[str, float]:
        """
        Caption true regions and whole frames the way TAS does.

        Returns the shares of regions whose kind, colour and both are named right, and
        precision and recall of the things named in frames (kind and colour as one).
        """
        captioner = TransformersCaptioner(
            self.model, self.tokenizer, PictureFormat(self.size, self.mean, self.std, 'stretch'),
            self.device.type, BEAMS, MAX_NEW_TOKENS)
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

    def _picture(self, store: SceneStore, scene: int) -> torch.Tensor:
        return torch.from_numpy(np.array(store.color(scene))).permute(2, 0, 1).float()

    def _normal(self, pixels: torch.Tensor) -> torch.Tensor:
        return sampling.normalise(pixels / 255, self.mean, self.std)

    def _as_tas(self, store: SceneStore, things: Sequence[Thing]) -> torch.Tensor:
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


def write_captioner(out: Path, model: Any, clip: dict[str, Any], trained: dict[str, Any]) -> Path:
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


def train_captioner(args: argparse.Namespace, train_store: SceneStore, val_store: SceneStore,
                    out: Path) -> None:
    """Train within the budget; write the folder tabletop_captioner and its .json."""
    torch.manual_seed(args.seed + 3)
    device = pick_device(args.device)
    state, clip = clip_weights(args.work)
    model = build_captioner(state, clip).to(device)
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW([{'params': decay, 'weight_decay': 0.05},
                                   {'params': rest, 'weight_decay': 0.0}], lr=BASE_RATE,
                                  betas=(0.9, 0.98))
    shown = Shown(train_store, np.random.default_rng(args.seed))
    trainer = CaptionTrainer(model, tokenizer_of(args.work / 'captioner_words'), shown, clip,
                             device)
    history = train('captioner', model, optimiser, Budget(args.minutes),
                    args.work / 'captioner.ckpt', trainer.loss,
                    lambda: trainer.validate(val_store), base_rate=BASE_RATE)
    write_captioner(out, model, clip, history[-1] if history else {})
