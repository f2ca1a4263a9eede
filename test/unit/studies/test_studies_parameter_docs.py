"""The README's table of parameters, written by a command that needs no ROS."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ris_ros.service.parameters import parameter_table
from ris_ros.studies.parameter_docs import MARKS, commented_yaml, main, markdown_table
from ris_ros.types import BadInputError

ROOT = Path(__file__).resolve().parents[3]


def test_the_table_of_the_readme(tmp_path):
    text = markdown_table(parameter_table())
    assert len(text.splitlines()) == 2 + len(parameter_table())
    assert '| `depth.min_m` | float | `0.1` | 0 to 100 | yes |' in text and ' [m] |' in text
    assert '| `model_dir` | str | (empty) |' in text and '| `warmup` | bool | `true` |' in text
    page = tmp_path / 'README.md'
    page.write_text(f'before\n{MARKS[0]}\noutdated words\n{MARKS[1]}\nafter\n')
    assert main([str(page)]) == 0
    assert text in page.read_text() and 'outdated' not in page.read_text()
    assert page.read_text().startswith('before\n') and page.read_text().endswith('\nafter\n')
    page.write_text('no marks')
    with pytest.raises(BadInputError, match='marks'):
        main([str(page)])


def test_the_parameter_file_holds_every_parameter_with_a_comment(tmp_path):
    yaml = pytest.importorskip('yaml')
    text = commented_yaml(parameter_table())
    assert (ROOT / 'config' / 'ris.yaml').read_text() == text, 'made anew by parameter_docs'
    assert all(len(line) <= 99 for line in text.splitlines())
    given = yaml.safe_load(text)['/**']['ros__parameters']
    flat = {}
    for name, value in given.items():
        flat.update({f'{name}.{inner}': deep for inner, deep in value.items()}
                    if isinstance(value, dict) else {name: value})
    defaults = {spec.name: spec.info.default for spec in parameter_table()}
    assert flat == defaults and list(map(type, flat.values())) == list(
        map(type, defaults.values()))
    lines = text.splitlines()
    for number, line in enumerate(lines[5:], 5):
        if not line.lstrip().startswith('#') and not line.endswith(':'):
            assert lines[number - 1].lstrip().startswith('#'), line


def test_no_ros_is_needed():
    code = ('import sys\nsys.modules["rclpy"] = None\n'
            'from ris_ros.studies.parameter_docs import markdown_table, parameter_table\n'
            'assert markdown_table(parameter_table())\n'
            'assert not [m for m in sys.modules if m.endswith("_msgs") or m.startswith("rcl")'
            ' and sys.modules[m]]')
    subprocess.run([sys.executable, '-c', code], check=True)
