"""The campaigns of benchmarks/node_campaign.py in short form, and that they notice a fault."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip('hypothesis')
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import node_campaign as campaign


def test_malformed_messages_and_commands():
    figures = campaign.attack_malformed(examples=100)
    assert figures['examples'] >= 100
    assert set(figures['outcomes']) >= {'command: INVALID_COMMAND', 'image: INVALID_IMAGE',
                                        'info: UNCALIBRATED', 'bytes: nothing'}


def test_flood():
    figures = campaign.attack_flood(seconds=3.0)
    assert figures['commands'] > 20   # fewer than asked for on a busy machine
    assert set(figures['outcomes']) == {'SUPERSEDED', 'SUCCEEDED'}


def test_lifecycle():
    figures = campaign.attack_lifecycle(cycles=15, warm_up=5)
    assert figures['files'] <= 2 and figures['threads'] <= 1 and figures['rss_mb'] < 5


def test_faults():
    names = [name for name in campaign.fault_names() if name[1] != 'hang']
    figures = campaign.attack_faults([*names, ('segmenter.ground', 'hang')], soon_s=30.0)
    assert figures['faults'] == len(names) + 1
    assert figures['outcomes']['TIMEOUT'] == 1


def test_kill():
    figures = campaign.attack_kill(times=1, load_s=0.2)
    assert figures['respawn_s'] > 2.0


def test_a_broken_promise_is_noticed(monkeypatch):
    """As where malformed commands were taken for good ones."""
    from hypothesis import strategies as st
    monkeypatch.setattr(campaign.malformed, 'commands', lambda: st.just('the red box'))
    with pytest.raises(Exception, match="for 'the red box'"):
        campaign.attack_malformed(examples=5)
