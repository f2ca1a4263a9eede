"""Print what extras of the package require, one requirement a line.

usage: requirements.py [--without NAME,NAME] EXTRA,EXTRA
"""
from __future__ import annotations

import argparse
import os
import re
import runpy
from pathlib import Path

import setuptools


def declared() -> dict:
    """Return the arguments that setup.py gives to setuptools.setup."""
    found: dict = {}
    setuptools.setup = lambda **arguments: found.update(arguments)
    os.chdir(Path(__file__).resolve().parents[1])
    runpy.run_path('setup.py')
    return found


def main() -> None:
    """Print the requirements."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--without', default='')
    parser.add_argument('extras')
    options = parser.parse_args()
    arguments, left_out = declared(), set(options.without.split(','))
    wanted = list(arguments['install_requires'])
    for extra in options.extras.split(','):
        wanted += arguments['extras_require'][extra]
    for requirement in dict.fromkeys(wanted):
        if re.split(r'[^A-Za-z0-9_.-]', requirement)[0] not in left_out:
            print(requirement)


if __name__ == '__main__':
    main()
