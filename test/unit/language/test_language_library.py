"""spaCy is imported without its commands, which are there for whoever asks."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest

spacy = pytest.importorskip('spacy')

from ris_ros.language import library

CODE = """
import json, sys, threading
from ris_ros.language.library import require_spacy
{before}
found = []
def work():
    found.append(require_spacy())
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
import spacy
assert all(f is spacy for f in found) and len(found) == 4
quick = 'typer' not in sys.modules and 'spacy.cli' not in sys.modules
{after}
print(json.dumps(quick))
"""


def ran(before: str = '', after: str = '') -> bool:
    done = subprocess.run([sys.executable, '-c', CODE.format(before=before, after=after)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not library._wants_info_alone(), reason='another spaCy')
@pytest.mark.parametrize('after', [
    'assert spacy.info(silent=True)["spacy_version"] == spacy.__version__',
    'assert callable(spacy.cli.download)',
    'import spacy.cli; assert callable(spacy.cli.download)',
    'from spacy.cli.init_config import init_config; assert callable(init_config)',
    'import types; assert not hasattr(spacy, "nothing")',
    'assert spacy.blank("en")("a red mug")[2].text == "mug"'])
def test_the_commands_come_when_they_are_asked_for(after):
    assert ran(after=after)


@pytest.mark.parametrize('before', ['import spacy', 'import spacy.cli',
                                    'import spacy.tokens as whatever'])
def test_a_spacy_that_is_there_already_is_left_as_it_is(before):
    assert not ran(before, 'assert spacy.cli.info.__module__ == "spacy.cli.info"')


def test_another_spacy_is_imported_whole(monkeypatch, tmp_path):
    for text, alone in (('from .cli.info import info  # noqa\n', True),
                        ('from .cli.info import info, more\n', False),
                        ('from .cli.info import info\nfrom . import cli\n', False), ('', False)):
        path = tmp_path / '__init__.py'
        path.write_text(text)

        class Spec:
            origin = str(path)
        monkeypatch.setattr(library.importlib.util, 'find_spec', lambda name: Spec)
        assert library._wants_info_alone() is alone
