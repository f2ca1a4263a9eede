"""
Train the small CLIP of the tabletop profile on the views that the methods show it.

Views: masked frames (TAS, HybridGL's local branch), the two streams of HybridGL together, crops,
whole frames, and GEM's dense features averaged over each object (`clip_draws`).

Loss: a caption is true of every picture that shows what it says, so the contrastive softmax of
CLIP spreads its target over all true pairs, in both directions.  Two linear heads that are not
kept, for kind and colour, give a small network on two CPU cores the steadier gradient of a
classifier; positions start as sines and cosines, so that it need not find out first which
patches are neighbours.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ris_ros.models import vit
from ris_ros.models.clip import build_clip, tokenizer_for
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.draws import as_tensors, to_device
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.package import load_network, write_network
from ris_ros.training.engine.task import Batch, Loss, Task
from ris_ros.training.tabletop.clip_draws import MEAN, PLACES, STD, ClipSource, region_arrays
from ris_ros.training.tabletop.clip_texts import vocabulary
from ris_ros.training.tabletop.clip_views import GRID, PATCH, SIZE, Views, from_patches
from ris_ros.training.tabletop.job import Job
from ris_ros.training.tabletop.proposals import known_proposals
from ris_ros.training.tabletop.settings import ClipSettings

START, BETA, GEM_BLOCKS = 4, 2.0, 3


def tabletop_clip_config() -> dict[str, Any]:
    """Return the configuration of the network, vocabulary included."""
    return {
        'embed_dim': 128, 'quick_gelu': False, 'mean': list(MEAN), 'std': list(STD),
        'vision_cfg': {'image_size': SIZE, 'patch_size': PATCH, 'width': 128, 'layers': 6,
                       'head_width': 32, 'mlp_ratio': 3.0},
        'text_cfg': {'context_length': 20, 'width': 128, 'heads': 4, 'layers': 2},
        'vocabulary': vocabulary(),
    }


def sines_and_cosines(width: int) -> Tensor:
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
    mean: Tensor
    std: Tensor

    def __init__(self, config: dict[str, Any], heads: bool = True) -> None:
        """Build the network; its positions start as sines and cosines.  heads: for names."""
        super().__init__()
        self.clip = build_clip(config)
        if heads:
            self.kind_head = nn.Linear(config['embed_dim'], len(KINDS))
            self.colour_head = nn.Linear(config['embed_dim'], len(COLOURS))
        self.register_buffer('mean', torch.tensor(MEAN), persistent=False)
        self.register_buffer('std', torch.tensor(STD), persistent=False)
        with torch.no_grad():
            position = self.clip.visual.positional_embedding
            position.zero_()
            position[1:] = sines_and_cosines(position.shape[1])

    def normalised(self, patches: Tensor, changed: bool) -> Tensor:
        """(n, ..., 3) uint8 to float32 of CLIP's statistics; changed: with other colours."""
        x = patches.float() / 255
        if changed:
            one = [len(x)] + [1] * (x.ndim - 2)
            gain = 1 + 0.12 * torch.randn(*one, 1, device=x.device)
            gain = gain * (1 + 0.025 * torch.randn(*one, 3, device=x.device))
            x = (x * gain + 0.015 * torch.randn_like(x)).clamp(0, 1)
        return (x - self.mean) / self.std

    def name_loss(self, features: Tensor, kinds: Tensor, colours: Tensor) -> Tensor:
        """Return the classification loss of (m, D) features that show one object each."""
        return (F.cross_entropy(self.kind_head(features), kinds)
                + 0.5 * F.cross_entropy(self.colour_head(features), colours))

    def _tokens(self, patches: Tensor, index: Tensor) -> Tensor:
        """Return CLS and patch tokens before the first block; patches (n, K, 16, 16, 3)."""
        visual = self.clip.visual
        weight = visual.conv1.weight.permute(0, 2, 3, 1).flatten(1)
        x = F.linear(patches.flatten(2), weight) + visual.positional_embedding[1 + index]
        cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(x), 1, -1)
        return visual.ln_pre(torch.cat([cls.to(x.dtype), x], dim=1))

    def plain(self, patches: Tensor, index: Tensor) -> Tensor:
        """Encode pictures of which the patches at `index` are kept; (n, D)."""
        x = self._tokens(patches, index)
        blocks = self.clip.visual.transformer.resblocks
        for i, block in enumerate(blocks):
            x = vit.run_block(block, x, cls_only=i == len(blocks) - 1)
        return vit.head(self.clip.visual, x[:, 0])

    def local(self, region: Mapping[str, Tensor], changed: bool) -> Tensor:
        """Encode regions (see `clip_draws.region_arrays`) on a plain ground; (n, D)."""
        return self.plain(self._masked(region, changed), region['index'])

    def _masked(self, region: Mapping[str, Tensor], changed: bool) -> Tensor:
        return torch.where(region['cut'][..., None], self.normalised(region['sharp'], changed),
                           region['fill'])

    def hybrid(self, region: Mapping[str, Tensor], changed: bool) -> Tensor:
        """Encode regions as HybridGL does (equation 1, global to local); (n, D)."""
        cut, index = region['cut'], region['index']
        # A bilinear sample at the patch centre is the mean of the four pixels around it.
        middle = slice(PATCH // 2 - 1, PATCH // 2 + 1)
        gate = F.pad(cut[:, :, middle, middle].float().mean((2, 3)), (1, 0), value=1.0)
        keys = gate > 0
        gate = torch.cat([region['global_cls'][:, None], gate[:, 1:]], dim=1)[..., None] * BETA
        around = torch.where(cut[..., None], region['sharp'], region['blurred'])
        x = self._tokens(self._masked(region, changed), index)
        g = self._tokens(self.normalised(around, False), index)
        blocks = self.clip.visual.transformer.resblocks
        for block in blocks[:START]:
            x, g = vit.run_block(block, x), vit.run_block(block, g)
        for block in blocks[START:]:
            last = block is blocks[-1]
            fused = vit.run_block(block, x + gate * g, cls_only=last)
            g = g if last else vit.run_block(block, g, keys)
            x = fused
        return vit.head(self.clip.visual, x[:, 0])

    def dense(self, scenes: Mapping[str, Tensor]) -> Tensor:
        """Encode pictures with GEM; one feature per object, the mean over its patches; (T, D)."""
        pixels = self.normalised(scenes['pictures'], True).permute(0, 3, 1, 2).contiguous()
        features = vit.gem_features(self.clip.visual, pixels, GEM_BLOCKS)
        return torch.einsum('tp,tpd->td', scenes['weight'], features[scenes['row']])


def both_ways(logits: Tensor, true: Tensor) -> Tensor:
    """Return the contrastive loss with several true pairs per row and column, averaged."""
    total = logits.new_zeros(())
    for scores, target in ((logits, true), (logits.T, true.T)):
        log = scores.log_softmax(1)
        per_row = -(log * target).sum(1) / target.sum(1).clamp(min=1)
        total = total + per_row.sum() / target.any(1).sum().clamp(min=1)
    return total / 2


def text_loss(text: Tensor, related: Tensor, scale: float) -> Tensor:
    """
    Return the contrastive loss of (C, D) unit text features with themselves (ours).

    related: (C, C) bool, which captions follow from each other.  A caption is drawn to all its
    relatives and away from the others, so that "the mug" lies near "a red mug".
    """
    own = torch.eye(len(text), dtype=torch.bool, device=text.device)
    log = (scale * text @ text.T).masked_fill(own, -1e4).log_softmax(1)
    per_row = -(log * related).sum(1) / related.sum(1).clamp(min=1)
    return per_row.sum() / related.any(1).sum().clamp(min=1)


def _encoded(model: ClipTrainee, views: Views, scenes: np.ndarray, masks: np.ndarray,
             rng: np.random.Generator, part: int = 40) -> dict[str, Tensor]:
    """Return unit features (n, D) of regions on all patches, by sort of view."""
    found: dict[str, list[Tensor]] = {'local': [], 'hybrid': []}
    for i in range(0, len(scenes), part):
        region = to_device(as_tensors(region_arrays(
            rng, views, scenes[i:i + part], masks[i:i + part], PLACES)), model.mean.device)
        found['local'].append(model.local(region, False))
        found['hybrid'].append(model.hybrid(region, False))
    return {name: F.normalize(torch.cat(parts), dim=-1) for name, parts in found.items()}


def _texts(model: ClipTrainee, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    ids = tokenizer(texts).to(model.mean.device)
    return F.normalize(model.clip.encode_text(ids), dim=-1)


def report_on(model: ClipTrainee, tokenizer: Any, views: Views, number: int = 120
              ) -> dict[str, float]:
    """
    Return the share of regions whose kind, colour and both are told right, by sort of view.

    The same regions at every call.  With proposals: also how often an object's own words
    prefer its mask to a spoiled proposal of it.
    """
    rng, kinds, colours = np.random.default_rng(5), list(KINDS), list(COLOURS)
    things = views.store.things[:: max(1, len(views.store.things) // number)][:number]
    scenes = np.array([t.scene for t in things])
    masks = np.stack([views.instances[t.scene] == t.instance for t in things])
    text = _texts(model, tokenizer, [f'the {c} {k}' for k in kinds for c in colours])
    truth = np.array([kinds.index(t.kind) * len(colours) + colours.index(t.colour)
                      for t in things])
    report = {}
    for name, features in _encoded(model, views, scenes, masks, rng).items():
        best = (features @ text.T).argmax(1).cpu().numpy()
        report[f'{name}_kind'] = float(np.mean(best // len(colours) == truth // len(colours)))
        report[f'{name}_colour'] = float(np.mean(best % len(colours) == truth % len(colours)))
        report[f'{name}_both'] = float(np.mean(best == truth))
    report |= _whole_first(model, tokenizer, views, rng)
    return {k: round(v, 3) for k, v in report.items()}


def text_report(clip: Any, tokenizer: Any) -> dict[str, float]:
    """
    Return how the text tower relates a kind to the kind with a colour, and to the table.

    text_related, text_table: mean cosine of "the K" with "a C K" and with "a table".
    text_nearer: share of all kinds and colours where the first is greater.
    """
    kinds, colours = list(KINDS), list(COLOURS)
    texts = [f'the {k}' for k in kinds] + ['a table'] + [
        f'a {c} {k}' for k in kinds for c in colours]
    ids = tokenizer(texts).to(next(clip.parameters()).device)
    text = F.normalize(clip.encode_text(ids).float(), dim=-1)
    bare, table, coloured = text.split([len(kinds), 1, len(kinds) * len(colours)])
    near = (coloured.view(len(kinds), len(colours), -1) * bare[:, None]).sum(-1)
    to_table = bare @ table[0]
    return {'text_related': round(float(near.mean()), 3),
            'text_table': round(float(to_table.mean()), 3),
            'text_nearer': round(float((near > to_table[:, None]).float().mean()), 3)}


def peak_report(model: ClipTrainee, tokenizer: Any, views: Views, scenes: int = 40
                ) -> dict[str, float]:
    """
    Return how often GEM's highest patch lies on an object that the phrase fits.

    peak_coloured for "the C K", peak_bare for "the K", over the objects of the first scenes.
    """
    hits: dict[str, list[bool]] = {'peak_coloured': [], 'peak_bare': []}
    middle = PATCH // 2
    for scene in range(min(scenes, len(views.store))):
        things = views.store.by_scene[scene]
        if not things:
            continue
        pixels = model.normalised(torch.from_numpy(from_patches(views.sharp[[scene]])).to(
            model.mean.device), False).permute(0, 3, 1, 2).contiguous()
        patches = F.normalize(vit.gem_features(model.clip.visual, pixels, GEM_BLOCKS)[0].float(),
                              dim=-1)
        shown = views.instances[scene][middle::PATCH, middle::PATCH].ravel()
        by_instance = {t.instance: t for t in things}
        said = [(f'the {t.colour} {t.kind}', f'the {t.kind}') for t in things]
        text = _texts(model, tokenizer, [phrase for pair in said for phrase in pair]).float()
        best = (text @ patches.T).argmax(1).cpu().numpy().reshape(-1, 2)
        for thing, (coloured, bare) in zip(things, best, strict=True):
            at = [by_instance.get(int(shown[place])) for place in (coloured, bare)]
            hits['peak_coloured'].append(at[0] is not None and at[0].kind == thing.kind
                                         and at[0].colour == thing.colour)
            hits['peak_bare'].append(at[1] is not None and at[1].kind == thing.kind)
    return {name: round(float(np.mean(found)), 3) if found else 0.0
            for name, found in hits.items()}


def _whole_first(model: ClipTrainee, tokenizer: Any, views: Views, rng: np.random.Generator,
                 number: int = 80) -> dict[str, float]:
    found = views.proposals
    if found is None or not len(found.bad):
        return {}
    picks = found.bad[:: max(1, len(found.bad) // number)][:number]
    rows = [(*views.proposed(int(p)), int(found.instance[p])) for p in picks]
    scenes = np.array([scene for scene, *_ in rows] * 2)
    wholes = [views.instances[scene] == instance for scene, _, _, instance in rows]
    masks = np.stack([mask for _, mask, _, _ in rows] + wholes)
    text = _texts(model, tokenizer, [f'the {names.colour} {names.kind}'
                                     for _, _, names, _ in rows])
    report = {}
    for name, features in _encoded(model, views, scenes, masks, rng).items():
        spoiled, whole = ((half * text).sum(1) for half in features.chunk(2))
        report[f'{name}_whole_first'] = float((whole > spoiled).float().mean())
    return report


class ClipTask(Task):
    """The small CLIP in training."""

    name = 'clip'
    figures = ClipSettings.figures
    hidden = ('.resblocks.',)
    model: ClipTrainee
    source: ClipSource

    def __init__(self, model: ClipTrainee, config: dict[str, Any], views: Views, val: Views,
                 job: Job) -> None:
        """views, val: of the training and the validation scenes."""
        settings: ClipSettings = job.settings
        self.model, self.val, self.job = model, val, job
        self.tokenizer = tokenizer_for(config)
        self.source = ClipSource(views, self.tokenizer, settings)

    def identity(self) -> Mapping[str, str | int | float]:
        """Return what the batches are drawn from."""
        found = self.source.views.proposals
        return {**self.job.identity(), 'proposals': found.made_by if found else ''}

    def loss(self, batch: Batch, fraction: float) -> Loss:
        """Return the loss of captions and views, and its parts."""
        model = self.model
        crop, whole = batch['crop'], batch['whole']
        features = [model.local(batch['local'], True), model.hybrid(batch['hybrid'], True),
                    model.plain(model.normalised(crop['patches'], True), crop['index']),
                    model.dense(batch['dense']),
                    model.plain(model.normalised(whole['patches'], True), whole['index'])]
        text = model.clip.encode_text(batch['text'])
        with torch.autocast(text.device.type, enabled=False):
            pictures = F.normalize(torch.cat([f.float() for f in features]), dim=-1)
            text = F.normalize(text.float(), dim=-1)
            logits = model.clip.logit_scale.exp().clamp(max=100) * pictures @ text.T
            captions = both_ways(logits, batch['true'])
            texts = text_loss(text, batch['related'], self.job.settings.text_scale)
            # The heads see directions of unit length, brought to the size a linear layer likes.
            names = model.name_loss(10 * pictures[batch['named']], batch['kind'],
                                    batch['colour'])
        total = captions + names + self.job.settings.text_weight * texts
        return total, {'captions': captions, 'names': names, 'texts': texts}

    def validate(self) -> Mapping[str, float]:
        """Return how regions of validation scenes are told."""
        return {**report_on(self.model, self.tokenizer, self.val),
                **text_report(self.model.clip, self.tokenizer),
                **peak_report(self.model, self.tokenizer, self.val)}


def weights_with_sam(out: Path) -> Path | None:
    """Return the folder where the run's own SAM is, None where it trained none."""
    return out if (out / 'tabletop_sam.safetensors').exists() else None


def train_clip(job: Job) -> Outcome:
    """Train by the job's settings and write tabletop_clip.safetensors and .json."""
    config, settings, device = tabletop_clip_config(), job.settings, str(job.runtime.device)
    model = ClipTrainee(config)
    if job.init:
        from open_clip.model import resize_pos_embed
        load_network(job.init, 'tabletop_clip', model.clip, resize_pos_embed)
    sam = weights_with_sam(job.out)
    with job.runtime.main_first():
        views, val = (Views(store, job.work, known_proposals(store, scenes, SIZE, sam, job.work,
                                                             device))
                      for store, scenes in ((job.train, settings.proposed_scenes),
                                            (job.val, settings.validation_scenes)))
    outcome = fit(ClipTask(model, config, views, val, job), settings, job.work, job.runtime)
    if job.runtime.is_main:
        write_network(job.out, 'tabletop_clip', model.clip.state_dict(), config,
                      outcome.record())
    return outcome
