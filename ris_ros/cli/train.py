"""`ris train TARGET`: each trainer is a module of ris_ros.training with the same functions."""
from __future__ import annotations

import argparse
import importlib

# target -> (module, help).  A module offers add_arguments(parser) and run(args) -> int.
TARGETS = {
    'tabletop': ('ris_ros.training.tabletop.command', 'the networks of the tabletop profile'),
    'prompt_ris': ('ris_ros.training.prompt_ris.command',
                   'Prompt-RIS: CLIP and SAM joined by prompts, from masks and sentences'),
    'pcnet': ('ris_ros.training.pcnet.command',
              'PCNet: response maps from pictures with sentences, no masks'),
    'language': ('ris_ros.training.language.command',
                 'the spaCy pipeline that ships with the package'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-parser per trainer."""
    subparsers = parser.add_subparsers(dest='target', required=True, metavar='TARGET')
    for name, (module_name, help_text) in TARGETS.items():
        sub = subparsers.add_parser(name, help=help_text, description=help_text)
        module = importlib.import_module(module_name)
        module.add_arguments(sub)
        sub.set_defaults(run_trainer=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the chosen trainer."""
    return args.run_trainer(args)
