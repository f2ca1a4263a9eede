"""Parts of libraries without the rest, and errors that say what to install."""
from __future__ import annotations

import sys

import pytest

from ris_ros.lazy import ALONE, is_a, require, require_part
from ris_ros.types import MissingDependencyError


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library whose __init__ would raise, with a package and a module in it."""
    root = tmp_path / 'heavy_library'
    (root / 'inner').mkdir(parents=True)
    (root / '__init__.py').write_text('raise RuntimeError("the whole library")\n')
    (root / 'inner' / '__init__.py').write_text('from .thing import Thing\n')
    (root / 'inner' / 'thing.py').write_text('class Thing: pass\n')
    (root / 'single.py').write_text('VALUE = 7\n')
    (root / 'broken.py').write_text('import not_there_at_all\n')
    (root / 'above.py').write_text('from . import single\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield root
    for name in [n for n in sys.modules if n.startswith(ALONE + 'heavy_library')]:
        del sys.modules[name]


def test_a_part_comes_without_its_library(library):
    inner = require_part('heavy_library.inner', 'models')
    assert require_part('heavy_library.inner', 'models') is inner
    assert require_part('heavy_library.single', 'models').VALUE == 7
    assert 'heavy_library' not in sys.modules
    assert is_a(inner.Thing(), 'heavy_library.inner.thing', 'Thing')
    assert not is_a(inner.Thing(), 'heavy_library.inner.other', 'Thing')
    assert not is_a(type('Thing', (inner.Thing,), {})(), 'heavy_library.inner.thing', 'Thing')
    with pytest.raises(MissingDependencyError, match='the whole library'):
        require('heavy_library', 'models')


@pytest.mark.parametrize('name', ['heavy_library.broken', 'heavy_library.above',
                                  'heavy_library.nothing', 'no_such_library.part', 'io.part'])
def test_a_part_that_cannot_be_had(library, name):
    for _ in range(2):   # nothing half loaded is left
        with pytest.raises(MissingDependencyError, match=r'pip install "ris_ros\[models\]"'):
            require_part(name, 'models')
    assert not [n for n in sys.modules if n.startswith(ALONE + name)]


def test_the_library_may_be_there_as_well():
    pytest.importorskip('torch')
    whole = pytest.importorskip('segment_anything.modeling')
    alone = require_part('segment_anything.modeling', 'models')
    assert alone.MaskDecoder is not whole.MaskDecoder
    for modeling in (alone, whole):
        thing = modeling.TwoWayTransformer(1, 8, 2, 8)
        assert is_a(thing, 'segment_anything.modeling.transformer', 'TwoWayTransformer')
