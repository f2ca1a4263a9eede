"""Tests always see the checkout's code, wherever they are started from."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Let reports with broken characters in what was logged pass from process to process."""
    report = (yield).get_result()
    report.sections = [(name, text.encode('utf-8', 'backslashreplace').decode())
                       for name, text in report.sections]
