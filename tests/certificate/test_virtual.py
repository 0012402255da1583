"""Certificates of runs in virtual time: their conditions are in the claim, and their difference is split."""

from __future__ import annotations

import pytest

import vla_eval
from vla_eval.certificate import Roles, gather, issue, verify
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.text import certificate_text
from vla_eval.stats import Flag

pytestmark = pytest.mark.long

TABLE = """
latency = "virtual"
[run.realtime]
mode = "blocking"
arms = { fast = { total_us = 100_000 }, slow = { total_us = 900_000 }, as-fast = { total_us = 100_000 } }
"""
ROLES = """
candidate = "fast"
reference = "slow"
as_fast = "as-fast"
"""
WORKER = "fakes.policies:InWorker?skill=0.9"


@pytest.fixture
def run(tmp_path, protocol_file):
    """Run three arms: a policy at two latencies, and a control of its latency."""
    path = protocol_file(count=6, max_steps=30, run=TABLE)
    path.write_text(path.read_text() + ROLES)
    arms = {"fast": WORKER, "slow": f"{WORKER}&version=2", "as-fast": f"{WORKER}&version=2"}
    vla_eval.run(str(path), arms, tmp_path / "run", workers=1, notify=lambda _: None)
    return tmp_path / "run"


def test_a_certificate_in_virtual_time(run, tmp_path):
    """Mode and limit stand in the claim, delays and stalls with the arms, and the parts add up."""
    roles = Roles("fast", "slow")
    certificate = issue(run, roles)
    assert "virtual time: blocking" in certificate.claim
    assert {Flag.DECLARED_LATENCY, Flag.NO_JITTER} <= set(certificate.flags)
    assert Flag.NAIVE_ASYNC not in certificate.flags
    virtual = certificate.virtual
    delays = {name: arm.expected_delay for name, arm in virtual.arms.items()}
    assert delays == {"fast": 1, "slow": 9, "as-fast": 1}
    assert virtual.arms["slow"].stalled_share > 2 * virtual.arms["fast"].stalled_share
    parts = virtual.decomposition
    total = parts.method.difference + parts.latency.difference
    assert total == pytest.approx(certificate.comparison.difference)
    assert parts.latency.difference > 0
    text = certificate_text(certificate)
    assert "slow: 900 ms = 9 control steps" in text
    assert "are what latency costs the reference" in " ".join(text.split())
    page = html_report(certificate, gather(run, roles), run=run, file=tmp_path / "c.json")
    assert "simulated time goes on" in page
    assert "solved by time" in page, "the curves"
    assert page.count('<td class="name">30 ticks</td>') == 1, "differences at the limit"
    assert verify(certificate, run) == []
