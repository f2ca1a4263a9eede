"""The README's table of parameters, written by a command that needs no ROS."""
from __future__ import annotations

import subprocess
import sys

import pytest

from ris_ros.service.parameters import parameter_table
from ris_ros.studies.parameter_docs import MARKS, main, markdown_table
from ris_ros.types import BadInputError


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


def test_no_ros_is_needed():
    code = ('import sys\nsys.modules["rclpy"] = None\n'
            'from ris_ros.studies.parameter_docs import markdown_table, parameter_table\n'
            'assert markdown_table(parameter_table())\n'
            'assert not [m for m in sys.modules if m.endswith("_msgs") or m.startswith("rcl")'
            ' and sys.modules[m]]')
    subprocess.run([sys.executable, '-c', code], check=True)
