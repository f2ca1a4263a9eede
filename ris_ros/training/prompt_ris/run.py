"""What `ris train prompt_ris` does once its settings are known to fit."""
from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.methods.prompt_ris.model import PromptRisModel
from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.models.weights import WeightStore
from ris_ros.training.engine.fit import Outcome, fit
from ris_ros.training.engine.runtime import Runtime, start
from ris_ros.training.prompt_ris.calibrate import calibrate, judge
from ris_ros.training.prompt_ris.learning import FrozenProof, set_learning
from ris_ros.training.prompt_ris.material import Material
from ris_ros.training.prompt_ris.package import package
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.training.prompt_ris.start import Base, base_of, fitting, go_on_from, network_of
from ris_ros.training.prompt_ris.task import PromptRisTask


def train(args: argparse.Namespace, settings: PromptRisTraining, config: NetworkConfig) -> Path:
    """Train, calibrate and write a network; return the path of its weights.

    Raises BadInputError for data, networks or settings that do not fit, WeightsError for
    damaged weights, and RisError where a part that was to stay frozen changed.
    """
    corpus = None
    if args.dataset != 'tabletop':
        from ris_ros.training.prompt_ris import refer_run
        corpus = refer_run.read_corpus(args)
        if args.epochs:
            pictures = len(corpus.pictures) - args.val_scenes
            steps = max(1, round(args.epochs * pictures / settings.images))
            settings = dataclasses.replace(settings, steps=steps, minutes=0.0)
    runtime = start(settings)
    store = WeightStore()
    base = base_of(args, config, store)
    network = network_of(base, fitting(config, base), settings.seed)
    if args.init is not None:
        go_on_from(network, args.init, settings)
    network.to(runtime.device)
    set_learning(network, settings)
    proof = FrozenProof(network)
    if corpus is None:
        from ris_ros.training.prompt_ris import tabletop_run
        stuff = tabletop_run.material(args, settings, network, base, runtime)
    else:
        stuff = refer_run.material(args, settings, network, base, runtime, corpus)
    outcome = fit_parts(args, settings, network, base, stuff, runtime)
    return finish(args, settings, network, base, stuff, runtime, outcome, proof, store)


def fit_parts(args: argparse.Namespace, settings: PromptRisTraining, network: PromptRis,
              base: Base, stuff: Material, runtime: Runtime) -> Outcome:
    """Train both parts on one curve, or each on its own."""
    identity = {**stuff.identity, 'network': repr(network.config), 'init': str(args.init or '')}

    def task(part: str) -> PromptRisTask:
        return PromptRisTask(network, stuff.source, stuff.frames, settings, base.mean, base.std,
                             stuff.validation, identity, part, stuff.names)

    coarse = settings.coarse_part
    if settings.curves == 'one' or coarse in (0, 1):
        return fit(task('both'), settings, args.work, runtime)
    parts = (('coarse', coarse), ('end', 1 - coarse))
    for part, share in parts:
        own = dataclasses.replace(settings, steps=round(settings.steps * share),
                                  minutes=settings.minutes * share)
        outcome = fit(task(part), own, args.work, runtime)
    return outcome


def finish(args: argparse.Namespace, settings: PromptRisTraining, network: PromptRis, base: Base,
           stuff: Material, runtime: Runtime, outcome: Outcome, proof: FrozenProof,
           store: WeightStore) -> Path:
    """Prove that frozen parts stayed, calibrate and write what was trained."""
    out, name = args.out or args.work / 'weights', args.name or (
        'tabletop_prompt_ris' if args.dataset == 'tabletop' else 'prompt_ris')
    path = out / f'{name}.safetensors'
    if not runtime.is_main:
        return path
    frozen = proof.check(network)
    learns = {n: p.requires_grad for n, p in network.named_parameters()}
    model = PromptRisModel(network, base.clip_config, device=str(runtime.device))
    calibration, report = calibrate(judge(model, stuff.questions, PromptRisSettings()))
    for parameter_name, parameter in network.named_parameters():
        parameter.requires_grad_(learns[parameter_name])
    figures = {'step': outcome.step, 'seconds': round(outcome.seconds),
               **{k: round(float(v), 4) for k, v in outcome.figures.items()},
               'calibration': report, 'frozen_sha256': frozen,
               'train_sam': settings.train_sam, 'freeze_clip': settings.freeze_clip}
    return package(out, name, network, base, calibration, figures, store,
                   whole=not args.parts_only)
