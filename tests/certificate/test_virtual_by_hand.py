"""A certificate in virtual time, from records that were written by hand: who is compared with whom, and words."""

from __future__ import annotations

import pytest

from fakes.by_hand import Run, small_protocol
from vla_eval.certificate import Certificate, Roles
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.virtual import virtual_lines
from vla_eval.certificate.wording import Words
from vla_eval.realtime.record import RealtimeRecord

DELAYS = {"fast": 1, "slow": 9, "as-fast": 2}
LOST = {"fast": 6, "slow": 10, "as-fast": 3}
"""States of 20 that each arm loses, the first ones; the control loses all, without an inference."""


def certified(*, as_fast: str | None = "as-fast", **run) -> Certificate:
    arms = {name: {"total_us": 100_000 * delay} for name, delay in DELAYS.items()}
    settings = {
        "latency": "virtual",
        "realtime": {"mode": "blocking", "arms": arms | {"bad": {"total_us": 1}}},
        **run,
    }
    made = Run(small_protocol(1, 20, run=settings, margin=0.3))
    for key in made.keys:
        for name, delay in DELAYS.items():
            part = RealtimeRecord(
                delays=(delay, delay),
                expected_delay=delay,
                stalled_ticks=2 * delay,
                late=0,
                skipped=0,
                replaced=0,
                discarded=0,
                ages=(4,),
                switches=1,
                switch_jump_max=0.0,
            )
            outcome = "success" if key.init_state >= LOST[name] else "failure"
            made.attempt(name, key, outcome, realtime=part, steps=20)
        made.attempt("bad", key, "failure", inferences=0)
    return issue_from(made.evidence(Roles("fast", "slow", "bad", as_fast=as_fast)))


def test_the_difference_is_split_at_the_arm_of_equal_latency():
    """Candidate minus the reference as fast, and that minus the reference: −3 and +7 of 20 states."""
    issued = certified()
    parts = issued.virtual.decomposition
    assert issued.comparison.difference == pytest.approx(4 / 20)
    assert parts.as_fast == "as-fast"
    assert parts.method.difference == pytest.approx(-3 / 20)
    assert parts.latency.difference == pytest.approx(7 / 20)
    for part in (parts.method, parts.latency):
        assert part.ci95[0] < part.difference < part.ci95[1]
    assert certified(as_fast=None).virtual.decomposition is None


def test_an_arm_without_an_inference_has_no_delays():
    """The control is judged, and has no line of virtual time."""
    found = certified().virtual.arms
    assert {name: arm.expected_delay for name, arm in found.items()} == DELAYS
    assert found["slow"].stalled_share == pytest.approx(18 / 20)


@pytest.mark.parametrize(("given", "words"), [(None, "each policy's own"), (4, "4")])
def test_the_lines_about_virtual_time(given, words):
    """Conditions with the execution horizon, a line for each arm, the two costs; none of a paused run."""
    horizon = {} if given is None else {"n_action_steps": given}
    issued = certified(**horizon)
    first, *arms, costs = virtual_lines(issued.virtual, Words(None))
    assert first.startswith("virtual time: blocking")
    assert first.endswith(f" · execution horizon {words}")
    assert [line.partition(":")[0] for line in arms] == ["fast", "slow", "as-fast"]
    assert "slow: 9 control steps; stalled in 90.0% of the steps" in arms[1]
    assert costs.startswith("of the difference, -15.0 points, 95 % [")
    assert ", and +35.0 points, 95 % [" in costs
    assert list(virtual_lines(None, Words(None))) == []
