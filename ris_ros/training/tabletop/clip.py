"""
Train the small CLIP of the tabletop profile on the views that the methods show it.

Views: masked frames (TAS, HybridGL's local branch), the two streams of HybridGL together, crops,
whole frames, and GEM's dense features averaged over each object.  A view of a region keeps the
region's patches and a random part of the rest, which makes a step several times cheaper, as in
FLIP (CVPR 2023); a part of the steps, most of the late ones, runs on all patches.

Loss: a caption is true of every picture that shows what it says, so the contrastive softmax of
CLIP spreads its target over all true pairs, in both directions.  Two linear heads that are not
kept, for kind and colour, give a small network on two CPU cores the steadier gradient of a
classifier; positions start as sines and cosines, so that it need not find out first which
patches are neighbours.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ris_ros.models import vit
from ris_ros.models.clip import build_clip, tokenizer_for
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.loop import Budget, mixed_precision, pick_device, train
from ris_ros.training.engine.muon import MuonAdamW
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.tabletop.clip_texts import (
    SPOILED,
    Names,
    caption,
    names_of,
    truth_table,
    vocabulary,
)
from ris_ros.training.tabletop.clip_views import GRID, PATCH, SIZE, Views, from_patches, to_patches
from ris_ros.training.tabletop.proposals import known_proposals
from ris_ros.training.tabletop.shards import SceneStore

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
START, BETA, GEM_BLOCKS = 4, 2.0, 3
RING = np.ones((3, 3), np.uint8)
PROPOSED_SCENES, VALIDATION_SCENES = 450, 40   # whose proposals by the small SAM are made
# Patches kept per view, the share of the batch that a step with so many can afford, and how
# often such a step comes before and after FULL_FROM of the budget.  Steps on all patches are
# needed early too: a network that only ever saw a few of them tells kinds far worse on all.
KEPT: tuple[tuple[dict[str, int], float, float, float], ...] = (
        ({'region': 24, 'crop': 48, 'whole': 70}, 1.0, 0.75, 0.35),
        ({'region': 64, 'crop': 90, 'whole': 120}, 0.5, 0.15, 0.05),
        ({'region': 196, 'crop': 196, 'whole': 196}, 0.2, 0.10, 0.60))
FULL_FROM = 0.65
BATCH = {'local': 80, 'hybrid': 48, 'crop': 40, 'whole': 6}
DENSE_SCENES = 2
# What stands where the picture is masked away: HybridGL's released constant in normalised
# space, black in RGB (the paper's I * m), and the normalised mean.
FILLS = np.array([[0.48145466, 0.4578275, 0.40821073],
                  [-m / s for m, s in zip(MEAN, STD, strict=True)], [0, 0, 0]], np.float32)


def tabletop_clip_config() -> dict[str, Any]:
    """Return the configuration of the network, vocabulary included."""
    return {
        'embed_dim': 128, 'quick_gelu': False, 'mean': list(MEAN), 'std': list(STD),
        'vision_cfg': {'image_size': SIZE, 'patch_size': PATCH, 'width': 128, 'layers': 6,
                       'head_width': 32, 'mlp_ratio': 3.0},
        'text_cfg': {'context_length': 20, 'width': 128, 'heads': 4, 'layers': 2},
        'vocabulary': vocabulary(),
    }


def sines_and_cosines(width: int) -> torch.Tensor:
    """Return (GRID * GRID, width) positions: half for rows, half for columns, amplitude 0.5."""
    quarter = width // 4
    rates = 1.0 / (30.0 ** (torch.arange(quarter) / quarter))
    angles = torch.arange(GRID)[:, None] * rates[None]
    one = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = one[:, None].expand(-1, GRID, -1), one[None].expand(GRID, -1, -1)
    return 0.5 * torch.cat([rows, columns], dim=2).reshape(GRID * GRID, width)


class ClipTrainee(nn.Module):
    """The network with the heads that only training uses."""

    clip: Any
    kind_head: nn.Linear
    colour_head: nn.Linear

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the network; its positions start as sines and cosines."""
        super().__init__()
        self.clip = build_clip(config)
        self.kind_head = nn.Linear(config['embed_dim'], len(KINDS))
        self.colour_head = nn.Linear(config['embed_dim'], len(COLOURS))
        with torch.no_grad():
            position = self.clip.visual.positional_embedding
            position.zero_()
            position[1:] = sines_and_cosines(position.shape[1])

    def name_loss(self, features: torch.Tensor, shown: list[list[Names]]) -> torch.Tensor:
        """Return the classification loss of (n, D) features that show one object each."""
        rows = [i for i, names in enumerate(shown) if names[0].kind in KINDS]
        kind_of = {kind: k for k, kind in enumerate(KINDS)}
        colour_of = {colour: k for k, colour in enumerate(COLOURS)}
        kinds = torch.tensor([kind_of[str(shown[i][0].kind)] for i in rows])
        colours = torch.tensor([colour_of[str(shown[i][0].colour)] for i in rows])
        chosen = features[rows]
        return (F.cross_entropy(self.kind_head(chosen), kinds.to(chosen.device))
                + 0.5 * F.cross_entropy(self.colour_head(chosen), colours.to(chosen.device)))


class ClipTrainer:
    """One training step: draw views, encode them, compare them with captions."""

    def __init__(self, trainee: ClipTrainee, config: dict[str, Any], views: Views,
                 device: torch.device) -> None:
        """Keep the parts; the trainee is trained in place."""
        self.trainee = trainee
        self.model: Any = trainee.clip
        self.visual: Any = trainee.clip.visual
        self.views, self.device, self.rng = views, device, views.rng
        self.tokenizer = tokenizer_for(config)
        self._mean = torch.tensor(MEAN, device=device).view(1, 1, 1, 1, 3)
        self._std = torch.tensor(STD, device=device).view(1, 1, 1, 1, 3)

    def normalised(self, patches: np.ndarray, augment: bool) -> torch.Tensor:
        """(n, K, 16, 16, 3) uint8 to float32 of CLIP's statistics; training changes colours."""
        x = torch.from_numpy(np.ascontiguousarray(patches)).to(self.device).float() / 255
        if augment:
            gain = 1 + 0.12 * torch.randn(len(x), 1, 1, 1, 1, device=self.device)
            gain = gain * (1 + 0.025 * torch.randn(len(x), 1, 1, 1, 3, device=self.device))
            x = (x * gain + 0.015 * torch.randn_like(x)).clamp(0, 1)
        return (x - self._mean) / self._std

    def keep(self, wanted: np.ndarray | None, number: int, kept: int) -> np.ndarray:
        """Choose patches: the wanted (n, P) bool first, then others at random; (n, kept)."""
        if kept >= GRID * GRID:
            return np.broadcast_to(np.arange(GRID * GRID), (number, GRID * GRID))
        order = self.rng.random((number, GRID * GRID))
        if wanted is not None:
            # Next, what lies around them: it tells whether the object ends where its mask does.
            around = np.stack([cv2.dilate(w.reshape(GRID, GRID).astype(np.uint8), RING).ravel()
                               for w in wanted])
            order = order + wanted + around
        return np.argpartition(-order, kept, axis=1)[:, :kept]

    def region_inputs(self, scenes: np.ndarray, masks: np.ndarray, kept: int, augment: bool
                      ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return local and context patches (n, K, 16, 16, 3), token masks and indices (n, K)."""
        cut = to_patches(masks)
        index = self.keep(np.any(cut, axis=(2, 3)), len(scenes), kept)
        rows, scene_rows = np.arange(len(scenes))[:, None], scenes[:, None]
        cut = cut[rows, index]
        sharp, blurred = self.views.sharp[scene_rows, index], self.views.blurred[scene_rows, index]
        m = torch.from_numpy(cut).to(self.device)[..., None]
        fill = torch.from_numpy(FILLS[self.rng.integers(len(FILLS), size=len(scenes))]
                                ).to(self.device)[:, None, None, None]
        local = torch.where(m, self.normalised(sharp, augment), fill)
        context = self.normalised(np.where(cut[..., None], sharp, blurred), False)
        # A bilinear sample at the patch centre is the mean of the four pixels around it.
        middle = slice(PATCH // 2 - 1, PATCH // 2 + 1)
        tokens = m[:, :, middle, middle, 0].float().mean((2, 3))
        return local, context, tokens, torch.from_numpy(np.array(index)).to(self.device)

    def _tokens(self, patches: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Return CLS and patch tokens before the first block; patches (n, K, 16, 16, 3)."""
        visual = self.visual
        weight = visual.conv1.weight.permute(0, 2, 3, 1).flatten(1)
        x = F.linear(patches.flatten(2), weight) + visual.positional_embedding[1 + index]
        cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(x), 1, -1)
        return visual.ln_pre(torch.cat([cls.to(x.dtype), x], dim=1))

    def plain(self, patches: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Encode pictures; (n, D)."""
        x = self._tokens(patches, index)
        blocks = self.visual.transformer.resblocks
        for i, block in enumerate(blocks):
            x = vit.run_block(block, x, cls_only=i == len(blocks) - 1)
        return vit.head(self.visual, x[:, 0])

    def hybrid(self, local: torch.Tensor, context: torch.Tensor, tokens: torch.Tensor,
               index: torch.Tensor) -> torch.Tensor:
        """Encode regions as HybridGL does (equation 1, global to local); (n, D)."""
        gate = F.pad(tokens, (1, 0), value=1.0)
        keys = gate > 0
        # Half of the time the global CLS token stays out, as in the paper's equation.
        if self.rng.random() < 0.5:
            gate = torch.cat([torch.zeros_like(gate[:, :1]), gate[:, 1:]], dim=1)
        gate = gate[..., None] * BETA
        x, g = self._tokens(local, index), self._tokens(context, index)
        blocks = self.visual.transformer.resblocks
        for block in blocks[:START]:
            x, g = vit.run_block(block, x), vit.run_block(block, g)
        for block in blocks[START:]:
            last = block is blocks[-1]
            fused = vit.run_block(block, x + gate * g, cls_only=last)
            g = g if last else vit.run_block(block, g, keys)
            x = fused
        return vit.head(self.visual, x[:, 0])

    def encode(self, kind: str, local: torch.Tensor, context: torch.Tensor,
               tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Encode `region_inputs` as the kind of view wants, 'local' or 'hybrid'; (n, D)."""
        return (self.plain(local, index) if kind == 'local'
                else self.hybrid(local, context, tokens, index))

    def _pictures(self, patches: np.ndarray) -> torch.Tensor:
        whole = from_patches(patches)[:, None]      # one "patch" as large as the picture
        return self.normalised(whole, True)[:, 0].permute(0, 3, 1, 2).contiguous()

    def _sparse(self, patches: np.ndarray, kept: int) -> torch.Tensor:
        """Encode pictures of which a random part of the patches is kept; (n, D)."""
        index = self.keep(None, len(patches), kept)
        chosen = patches[np.arange(len(patches))[:, None], index]
        return self.plain(self.normalised(chosen, True),
                          torch.from_numpy(np.array(index)).to(self.device))

    def dense(self, number: int) -> tuple[torch.Tensor, list[list[Names]]]:
        """Encode scenes with GEM; one feature per object, the mean over its patches."""
        scenes = self.rng.integers(len(self.views.store), size=number)
        features = vit.gem_features(self.visual, self._pictures(self.views.sharp[scenes]),
                                    GEM_BLOCKS)
        out, shown = [], []
        for row, scene in enumerate(scenes):
            for thing in self.views.store.by_scene[int(scene)]:
                mask = self.views.instances[scene] == thing.instance
                cover = torch.from_numpy(mask).float().view(GRID, 16, GRID, 16).mean((1, 3))
                weight = cover.flatten().to(self.device)
                weight = weight * (weight > 0.25 * weight.max())
                out.append((weight[:, None] * features[row]).sum(0) / weight.sum())
                shown.append([names_of(thing)])
        return torch.stack(out), shown

    def loss(self, fraction: float) -> torch.Tensor:
        """Draw a batch and return its loss."""
        odds = [late if fraction >= FULL_FROM else early for _, _, early, late in KEPT]
        kept, share, *_ = KEPT[int(self.rng.choice(len(KEPT), p=odds))]
        count = {k: max(2, round(share * v)) for k, v in BATCH.items()}
        features, shown = [], []
        with mixed_precision(self.device):
            for kind in ('local', 'hybrid'):
                scenes, masks, names = self.views.regions(count[kind])
                local, context, tokens, index = self.region_inputs(
                    scenes, masks, kept['region'], True)
                features.append(self.encode(kind, local, context, tokens, index))
                shown += names
            images, names = self.views.crops(count['crop'])
            features.append(self._sparse(images, kept['crop']))
            dense, more = self.dense(DENSE_SCENES)
            features.append(dense)
            shown += names + more
            single = torch.cat([f.float() for f in features])
            images, names = self.views.whole(count['whole'])
            whole = self._sparse(images, kept['whole'])
            captions, said = self._captions(shown + names)
            text = self.model.encode_text(self.tokenizer(captions).to(self.device))
        pictures = F.normalize(torch.cat([single, whole.float()]), dim=-1)
        logits = (self.model.logit_scale.exp().clamp(max=100)
                  * pictures @ F.normalize(text.float(), dim=-1).T)
        true = torch.from_numpy(truth_table(shown + names, said)).to(self.device)
        # The heads see directions of unit length, brought to the size a linear layer likes.
        heads = self.trainee.name_loss(10 * pictures[:len(shown)], shown)
        return both_ways(logits, true) + heads

    def _captions(self, shown: list[list[Names]]) -> tuple[list[str], list[Names]]:
        pairs = [caption(self.rng, names[int(self.rng.integers(len(names)))]) for names in shown
                 if names[0].kind != SPOILED]
        return [p[0] for p in pairs], [p[1] for p in pairs]

    def validate(self, views: Views, number: int = 120) -> dict[str, float]:
        """Return the share of regions whose kind, colour and both are told right."""
        kinds, colours = list(KINDS), list(COLOURS)
        pairs = [f'the {c} {k}' for k in kinds for c in colours]
        things = views.store.things[:: max(1, len(views.store.things) // number)][:number]
        scenes = np.array([t.scene for t in things])
        masks = np.stack([views.instances[t.scene] == t.instance for t in things])
        state, own = self.rng, self.views
        self.views, self.rng = views, np.random.default_rng(5)
        text = F.normalize(self.model.encode_text(self.tokenizer(pairs).to(self.device)), dim=-1)
        truth = np.array([kinds.index(t.kind) * len(colours) + colours.index(t.colour)
                          for t in things])
        report = {}
        local, context, tokens, index = self.region_inputs(scenes, masks, GRID * GRID, False)
        for name in ('local', 'hybrid'):
            parts = [slice(i, i + 40) for i in range(0, len(things), 40)]
            f = torch.cat([self.encode(name, local[p], context[p], tokens[p], index[p])
                           for p in parts])
            best = (F.normalize(f, dim=-1) @ text.T).argmax(1).cpu().numpy()
            report[f'{name}_kind'] = float(np.mean(best // len(colours) == truth // len(colours)))
            report[f'{name}_colour'] = float(np.mean(best % len(colours) == truth % len(colours)))
            report[f'{name}_both'] = float(np.mean(best == truth))
        report.update(self._whole_first(views))
        self.views, self.rng = own, state
        return {k: round(v, 3) for k, v in report.items()}

    def _whole_first(self, views: Views, number: int = 80) -> dict[str, float]:
        """Return how often an object's own words prefer its mask to a spoiled proposal of it."""
        found = views.proposals
        if found is None or not len(found.bad):
            return {}
        picks = found.bad[:: max(1, len(found.bad) // number)][:number]
        rows = [(*views.proposed(int(p)), int(found.instance[p])) for p in picks]
        scenes = np.array([scene for scene, *_ in rows] * 2)
        wholes = [views.instances[scene] == instance for scene, _, _, instance in rows]
        masks = np.stack([mask for _, mask, _, _ in rows] + wholes)
        said = [f'the {names.colour} {names.kind}' for _, _, names, _ in rows]
        text = F.normalize(self.model.encode_text(self.tokenizer(said).to(self.device)), dim=-1)
        local, context, tokens, index = self.region_inputs(scenes, masks, GRID * GRID, False)
        report = {}
        for name in ('local', 'hybrid'):
            f = self.encode(name, local, context, tokens, index)
            spoiled, whole = ((F.normalize(half, dim=-1) * text).sum(1) for half in f.chunk(2))
            report[f'{name}_whole_first'] = float((whole > spoiled).float().mean())
        return report


def both_ways(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss with several true pairs per row and column, averaged."""
    total = logits.new_zeros(())
    for scores, target in ((logits, true), (logits.T, true.T)):
        has = target.any(1)
        log = scores.log_softmax(1)
        per_row = -(log * target).sum(1) / target.sum(1).clamp(min=1)
        total = total + per_row[has].mean()
    return total / 2


def weights_with_sam(out: Path) -> Path | None:
    """Return the folder where the run's own SAM is, None where it trained none."""
    return out if (out / 'tabletop_sam.safetensors').exists() else None


def train_clip(args: argparse.Namespace, train_store: SceneStore, val_store: SceneStore,
               out: Path) -> None:
    """Train within the budget and write tabletop_clip.safetensors and .json."""
    torch.manual_seed(args.seed + 1)
    device = pick_device(args.device)
    config = tabletop_clip_config()
    model = ClipTrainee(config)
    if args.init:
        from open_clip.model import resize_pos_embed
        load_network(args.init, 'tabletop_clip', model.clip, resize_pos_embed)
    model.to(device)
    optimiser = MuonAdamW(model, ('.resblocks.',), 1e-3, weight_decay=0.05)
    proposals = known_proposals(train_store, PROPOSED_SCENES, SIZE, weights_with_sam(out),
                                args.work, str(device))
    views = Views(train_store, np.random.default_rng(args.seed), proposals)
    trainer = ClipTrainer(model, config, views, device)
    val_views = Views(val_store, np.random.default_rng(1), known_proposals(
        val_store, VALIDATION_SCENES, SIZE, weights_with_sam(out), args.work, str(device)))
    history = train('clip', model, optimiser, Budget(args.minutes), args.work / 'clip.ckpt',
                    trainer.loss, lambda: trainer.validate(val_views),
                    validate_every=300, base_rate=5e-4 if args.init else 1e-3)
    write_network(out, 'tabletop_clip', model.clip.state_dict(), config,
                  history[-1] if history else {})
