"""Metrics, geometry and the import map show an example of every public function, and it holds."""
import ast
import doctest
import importlib
from pathlib import Path

import pytest

import ris_ros

ROOT = Path(ris_ros.__file__).parent
# Modules of which every public function has an example.
WHOLE = ['evaluation.metrics', *(f'geometry.{p.stem}' for p in sorted((ROOT / 'geometry').glob(
    '*.py')) if p.stem != '__init__')]
OTHERS = ['studies.import_map']


@pytest.mark.parametrize('name', [*WHOLE, *OTHERS])
def test_examples_hold(name):
    module = importlib.import_module(f'ris_ros.{name}')
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.attempted and not found.failed


@pytest.mark.parametrize('name', WHOLE)
def test_every_public_function_has_an_example(name):
    tree = ast.parse((ROOT / f'{name.replace(".", "/")}.py').read_text(encoding='utf-8'))
    lacking = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)
               and not n.name.startswith('_') and '>>>' not in (ast.get_docstring(n) or '')]
    assert not lacking, f'{name}: {lacking}'
