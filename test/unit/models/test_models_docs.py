"""docs/models speaks of every network that there is, and of none that is not."""
import re

import pytest

from ris_ros.methods.registry import MODERN
from ris_ros.models.weights import read_manifest


@pytest.fixture
def pages(request):
    folder = request.config.rootpath / 'docs' / 'models'
    return {path.name: path.read_text() for path in folder.glob('*.md')}


def test_every_network_has_its_page(pages):
    everything = '\n'.join(text for name, text in pages.items() if name != 'README.md')
    for entry in read_manifest().values():
        assert f'`{entry.name}`' in everything, entry.name
        if entry.gated:
            assert entry.source in everything


def test_every_page_is_listed_and_every_method_has_one(pages):
    listed = set(re.findall(r'\]\((\w+\.md)\)', pages['README.md']))
    assert listed == set(pages) - {'README.md'}
    for method in MODERN:
        assert f'--method {method}' in pages[f'{method}.md']


def test_links_between_pages_lead_somewhere(pages):
    for text in pages.values():
        assert set(re.findall(r'\]\((\w+\.md)\)', text)) <= set(pages)


def test_memory_in_the_pages_is_that_of_the_parameters(pages):
    """The first figure with a decimal in the GPU column of rows of one network."""
    checked = 0
    for text in pages.values():
        rows = [line.split('|') for line in text.splitlines() if line.startswith('|')]
        head = next(([c.strip() for c in row] for row in rows if 'GPU' in ''.join(row)), None)
        if head is None or 'network' not in head:
            continue
        for row in rows:
            names = re.findall(r'`([\w.]+)`', row[head.index('network')])
            entry = read_manifest().get(names[0]) if names else None
            said = re.findall(r'[\d.]+', row[head.index('GPU')])
            if entry is None or len(names) > 1 or not entry.parameters or not said:
                continue
            assert float(said[0]) == pytest.approx(entry.gpu_bytes() / 1e9, rel=0.03, abs=0.006)
            checked += 1
    assert checked >= 10
