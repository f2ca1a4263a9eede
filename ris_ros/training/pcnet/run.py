"""What `ris train pcnet` does, stage by stage, once its settings are known to fit."""
from __future__ import annotations

import argparse
import copy
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_ros.files import sha256_of
from ris_ros.methods.logistic import Logistic
from ris_ros.methods.pcnet.asking import companions_of
from ris_ros.methods.pcnet.calibration import PLAIN
from ris_ros.methods.pcnet.load import describe_network
from ris_ros.methods.pcnet.method import PCNetMethod
from ris_ros.methods.pcnet.model import PCNetModel
from ris_ros.methods.pcnet.network import SCALE, PCNet
from ris_ros.methods.pcnet.settings import PCNetSettings
from ris_ros.methods.registry import settings_for
from ris_ros.models.weights import WeightStore
from ris_ros.profiles import Networks, Profile, get_profile
from ris_ros.training.engine.draws import as_tensors, to_device
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.package import write_network
from ris_ros.training.engine.runtime import Runtime, start
from ris_ros.training.engine.settings import EngineSettings
from ris_ros.training.pcnet import material
from ris_ros.training.pcnet.backbone import Backbone, BackboneTask
from ris_ros.training.pcnet.calibrate import calibrate, judge
from ris_ros.training.pcnet.calibrating import CalibrationLoss
from ris_ros.training.pcnet.drawing import Drawing, PairsSource
from ris_ros.training.pcnet.pairs import Pairs, check_cues, known_rows
from ris_ros.training.pcnet.proposals import count_of, scaled, stamp_of, stored_proposals
from ris_ros.training.pcnet.settings import (
    BackboneTraining,
    NetworkSettings,
    PCNetTraining,
    config_of,
    proposing,
)
from ris_ros.training.pcnet.showing import KeptMaps, Shown, table_of
from ris_ros.training.pcnet.start import clip_of, network_of, own_clip
from ris_ros.training.pcnet.task import PCNetTask
from ris_ros.training.pcnet.validation import Validation

CUE_STAGES = 2     # stages whose cues the backbone's draws hold; it reads the first alone


# ---- proposals ----------------------------------------------------------------------------------

def proposals_of(args: argparse.Namespace, profile: Profile, stuff: material.Training,
                 device: str, make: bool) -> np.ndarray:
    """Return the packed proposals of all pictures, made by the profile's SAM where missing."""
    settings: PCNetSettings = settings_for('pcnet', profile, proposing(args.propose))
    if not settings.most_proposals:
        settings = dataclasses.replace(settings, most_proposals=40)
    networks = Networks(profile, device)
    store = networks.store
    stamp = stamp_of(stuff.pictures.keys,
                     sha256_of(store.verify(networks.name_of('sam'))), settings,
                     args.propose_shrink)
    folder = args.proposals or args.work / 'proposals' / args.dataset
    proposer = networks.proposer(scaled(settings, args.propose_shrink)) if make else None
    found = stored_proposals(folder, stamp, stuff.pictures,
                             None if proposer is None else proposer.propose)
    counts = count_of(found)
    print(f'proposals: {counts.mean():.1f} a picture, {(counts == 0).sum()} pictures have none '
          'and count in no loss over proposals')
    return found


# ---- the small CLIP -----------------------------------------------------------------------------

def train_backbone(args: argparse.Namespace, settings: BackboneTraining,
                   network: NetworkSettings) -> Path:
    """Train the small CLIP and write it; return the path of its weights."""
    path = args.work / 'backbone' / f'{name_of(args)}_clip.safetensors'
    runtime = start(settings)
    stuff = material.training(args)
    torch.manual_seed(settings.seed)
    config = config_of(network, own_clip(network.image_size))
    model = Backbone(config)
    referring = settings.references
    drawing = Drawing(settings.images, 0 if referring else settings.sentences - 1,
                      CUE_STAGES if settings.text_weight else 1,
                      'picture', mirror=settings.mirror, pixels=settings.pictures == 'drawn',
                      image_size=network.image_size, seed=settings.seed, references=referring,
                      sentences=settings.sentences if referring else 0, contraries=False)
    bits = None
    if settings.dense == 'regions':
        with runtime.main_first():
            bits = torch.from_numpy(proposals_of(args, get_profile(args.profile), stuff, str(
                runtime.device), make=args.stage == 'all')).to(runtime.device)
    pairs = stuff.pairs
    tokens = tokens_of_texts(config, pairs.texts())
    source = PairsSource(pairs, stuff.pictures, tokens, drawing)
    shown = shown_of(settings, stuff, network.image_size, runtime)
    task = BackboneTask(model, source, shown, settings,
                        held_batch(args, config, network.image_size, runtime), bits,
                        {'pairs': pairs.digest, 'network': repr(config)})
    outcome = fit(task, settings, args.work, runtime)
    if runtime.is_main:
        write_network(path.parent, path.stem, model.folded(), config.clip,
                      outcome.record())
    runtime.wait()
    return path


def held_batch(args: argparse.Namespace, config: Any, size: int, runtime: Runtime
               ) -> dict[str, Any]:
    """Return validation pictures, each with the first thing that is said of it, as one batch."""
    held = material.held(args)
    first = {q.row: q for q in reversed(held.questions) if q.kind == 'answerable'}
    rows = sorted(first)
    texts = [first[row].text for row in rows]
    tokens = torch.from_numpy(tokens_of_texts(config, texts))
    return {'rows': torch.tensor(rows, device=runtime.device),
            'pixels': table_of(held.pictures, size, runtime.device, rows)[rows],
            'tokens': tokens.to(runtime.device),
            'text': torch.arange(len(rows), device=runtime.device)}


# ---- PCNet --------------------------------------------------------------------------------------

def train_pcnet(args: argparse.Namespace, settings: PCNetTraining, network: NetworkSettings
                ) -> Path:
    """Train a PCNet, calibrate it and write it; return the path of its weights.

    Raises BadInputError for data or settings that do not fit, WeightsError for damaged weights.
    """
    profile, store = get_profile(args.profile), WeightStore()
    stuff = material.training(args)
    check_cues(stuff.pairs, network.stages)
    clip, state = clip_of(args, profile, network, store)
    made = network_of(clip, state, network, settings.seed, settings.projections == 'clip')
    settings = with_epochs(settings, args, stuff.pairs)
    runtime = start(settings)
    with runtime.main_first():
        bits = proposals_of(args, profile, stuff, str(runtime.device), make=args.stage == 'all')
    source = PairsSource(stuff.pairs, stuff.pictures,
                         tokens_of_texts(made.config, stuff.pairs.texts()),
                         drawing_of(settings, network))
    held = material.held(args)
    validation = Validation(held.questions, table_of(
        held.pictures, network.image_size, runtime.device, sorted(
            {q.row for q in held.questions})), held.truth)
    calibrating = None
    if settings.calibration_weight:
        calibrating = CalibrationLoss(Networks(profile, str(runtime.device)).clip(),
                                      stuff.pairs.texts())
    shown = shown_of(settings, stuff, network.image_size, runtime)
    kept = None
    if settings.tower == 'kept':
        kept = KeptMaps(made.to(runtime.device), shown, known_rows(stuff.pairs.pictures))
    task = PCNetTask(made, source, shown, torch.from_numpy(bits).to(runtime.device), settings,
                     validation,
                     {'pairs': stuff.pairs.digest, 'network': repr(made.config),
                      'proposals': proposal_digest(bits),
                      'backbone': str(args.backbone or args.clip or '')}, calibrating,
                     kept=kept)
    outcome = fit(task, settings, args.work, runtime)
    path = (args.out or args.work / 'weights') / f'{name_of(args)}.safetensors'
    if runtime.is_main:
        keep_companions(made, source, task.shown, runtime)
        fit_of, report = fitted(args, profile, made, held, runtime)
        package(path, made, fit_of, outcome, report)
    runtime.wait()
    return path


def drawing_of(settings: PCNetTraining, network: NetworkSettings) -> Drawing:
    """Return how a run's batches are drawn."""
    return Drawing(settings.images, settings.extra, network.stages, settings.unit,
                   settings.siblings, settings.mirror, settings.pictures == 'drawn',
                   network.image_size, settings.seed, settings.references,
                   settings.sentences if settings.references else 0)


def with_epochs(settings: PCNetTraining, args: argparse.Namespace, pairs: Pairs
                ) -> PCNetTraining:
    """Return the settings with --epochs counted in steps."""
    if not args.epochs:
        return settings
    units = (sum(len(p.references()) for p in pairs.pictures) if settings.unit == 'reference'
             else len(pairs.pictures))
    steps = max(1, math.ceil(args.epochs * units / settings.images / settings.accumulation))
    return dataclasses.replace(settings, steps=steps, minutes=0.0)


def keep_companions(network: PCNet, source: PairsSource, shown: Shown, runtime: Runtime) -> None:
    """Keep texts of training with a network whose configuration asks for them."""
    count = network.config.companions
    if not count:
        return
    # Draws as training does, from a place that training does not reach.
    drawing = dataclasses.replace(source.drawing, images=count, extra=0)
    other = copy.copy(source)
    other.drawing = drawing
    batch = to_device(as_tensors(other.draw(np.random.default_rng((drawing.seed, 1 << 40)), 0,
                                            0.0)), runtime.device)
    network.eval()
    with torch.no_grad():
        visual = network.image_tokens(shown.pixels(batch, training=False)).float()
        read = network.encode_tokens(batch['tokens']).float()
        found = companions_of(network.referring, network.config.form, visual,
                              read[batch['text']], read[batch['cues']], SCALE)
        network.companion_cues.copy_(torch.stack([c.cues for c in found]))
        network.companion_texts.copy_(torch.stack([c.texts for c in found]))


def fitted(args: argparse.Namespace, profile: Profile, network: PCNet, held: material.Held,
           runtime: Runtime) -> tuple[Logistic, dict[str, float]]:
    """Return the calibration on the validation pictures, and how good it is."""
    if args.no_calibration:
        return PLAIN, {}
    settings: PCNetSettings = settings_for('pcnet', profile)
    device = str(runtime.device)
    method = PCNetMethod(PCNetModel(network, device=device),
                         Networks(profile, device).proposer(settings), settings)
    return calibrate(judge(method, held.pictures, held.questions, held.fitting))


def package(path: Path, network: PCNet, fit_of: Logistic, outcome: Outcome,
            report: Mapping[str, Any]) -> None:
    """Write the network, its parameters as float16; buffers keep their digits."""
    learned = {name for name, _ in network.named_parameters()}
    state: dict[str, Tensor] = {k: v.half() if k in learned else v
                                for k, v in network.state_dict().items()}
    figures = {**{k: round(float(v), 4) for k, v in outcome.record().items()},
               'calibration': dict(report)}
    write_network(path.parent, path.stem, state, describe_network(network.config, fit_of), figures)


# ---- what both share ----------------------------------------------------------------------------

def name_of(args: argparse.Namespace) -> str:
    """Return the name of the weights."""
    return str(args.name or ('tabletop_pcnet' if args.dataset == 'tabletop' else 'pcnet'))


def shown_of(settings: EngineSettings, stuff: material.Training, size: int, runtime: Runtime
             ) -> Shown:
    """Return what gives a step its pictures."""
    values: Any = settings
    table = None
    if values.pictures == 'device':
        table = table_of(stuff.pictures, size, runtime.device,
                         known_rows(stuff.pairs.pictures))
    return Shown(table, values.augment)


def tokens_of_texts(config: Any, texts: list[str]) -> np.ndarray:
    """Return token ids (T, L) int32 of texts, as the network of a configuration reads them."""
    from ris_ros.models.clip import tokenizer_for
    tokenizer = tokenizer_for(config.clip)
    length = config.text_length
    parts = []
    for begin in range(0, len(texts), 4096):
        part = texts[begin:begin + 4096]
        longest = length if config.keep_end else max(
            [length, *(len(tokenizer.encode(t)) + 2 for t in part)])
        parts.append(tokenizer(part, longest)[:, :length].numpy().astype(np.int32))
    return np.concatenate(parts) if parts else np.zeros((0, length), np.int32)


def proposal_digest(bits: np.ndarray) -> str:
    """Return a short hash of packed proposals."""
    import hashlib
    return hashlib.sha256(np.ascontiguousarray(bits).tobytes()).hexdigest()[:16]
