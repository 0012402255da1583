"""Hostile peers: our servers and clients withstand the short form, and what is planted is counted."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("websockets", reason="needs the extra 'remote'")
sys.path.insert(0, str(Path(__file__).parents[3] / "tools" / "torture"))

import clients
import servers


@pytest.mark.parametrize("part", [servers, clients], ids=lambda part: part.__name__)
def test_the_short_form_finds_nothing(part):
    """Some of each kind, in both dialects."""
    for row in part.rows(short=True, seed=7):
        assert row.tried
        assert not row.bad, row.examples


def test_a_server_whose_lie_is_taken_is_counted():
    """A right answer in the place of a lie is taken, which the table calls a difference."""
    assert servers.meet(servers.Server("openpi"))[0] == "difference"


def test_a_server_that_ends_or_lets_others_wait_is_counted(monkeypatch):
    """Stopped for a second, a good client waits; killed, the server is gone."""

    def stop(to, rng):
        time.sleep(0.2)
        to.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        to.process.send_signal(signal.SIGCONT)
        return ""

    monkeypatch.setattr(clients, "_MOST_S", 0.5)
    with clients.serving("openpi", "random?chunk_size=10") as served:
        assert clients.attacked(served, stop, None)[0] == "hang"
        assert clients.attacked(served, lambda to, rng: to.process.kill(), None)[0] == "exit code"
