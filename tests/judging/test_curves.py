"""Success by time: what counts as solved by then, at which times arms are compared, and the intervals."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from vla_eval.errors import ProtocolError
from vla_eval.judging import ledger
from vla_eval.judging.curves import curves_of, differences_within, moments
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.methods import judging
from vla_eval.plan import expand
from vla_eval.record import EpisodeRecord
from vla_eval.released import load_protocol

VIRTUAL = 'latency = "virtual"\n[run.realtime]\nmode = "async"\nmachine = "a800-pi05"\n'


@pytest.fixture
def protocol(protocol_file):
    def load(*changes, run=VIRTUAL, **options):
        return load_protocol(str(protocol_file(run=run, **options)), overrides=changes)

    return load


def arm(name, protocol, steps):
    """Return an arm whose n-th episode succeeds after so many control steps; None: never."""
    finals = {}
    for episode, taken in zip(expand(protocol), steps, strict=True):
        outcome, limit = ("failure", 40) if taken is None else ("success", taken)
        finals[episode.key] = EpisodeRecord(
            arm=name,
            **asdict(episode.key),
            env_id="fake",
            outcome=outcome,
            steps=limit,
            scene_hash="s",
            protocol_sha256="",
            policy_sha256="",
            timing={"started_at": "2026-11-29T00:00:00+00:00"},
        )
    return ArmEpisodes(name, finals)


def keys(protocol):
    return [episode.key for episode in expand(protocol)]


def test_a_later_success_is_a_failure_by_then(protocol):
    """Arms are shown at the quarters of the limit, and a success counts from its own step on."""
    found = protocol(count=4)
    curves = curves_of(found, [arm("a", found, (10, 11, 40, None))])
    assert [(each.time, each.solved, each.n) for each in curves.within["a"]] == [
        ("10 ticks", 1, 4),
        ("20 ticks", 2, 4),
        ("30 ticks", 2, 4),
        ("40 ticks", 3, 4),
    ]
    assert (curves.limit_steps, curves.control_hz) == (40, None)
    by_time = dict(zip(curves.grid, curves.solved["a"], strict=True))
    assert [by_time[share] for share in (0.0, 0.25, 0.5, 1.0)] == [0, 0.25, 0.5, 0.75]


def test_arms_differ_by_their_pairs_at_each_time(protocol):
    """Counted by hand; the last time is the limit, where the difference is that of successes."""
    found = protocol(count=4)
    ours, theirs = arm("a", found, (5, 10, 15, None)), arm("b", found, (20, 20, 20, 35))
    within = differences_within(found, keys(found), ours, theirs)
    assert [each.difference for each in within] == [0.5, 0.0, 0.0, -0.25]
    method = judging(ledger.pair(keys(found), ours, theirs).outcomes(), found.analysis)
    assert within[-1].ci95 == method.interval(0.05)


def test_simultaneous_intervals_hold_for_all_times_and_pairs(protocol):
    """Each has its share of the 5 %: of four times, and of the pairs that are compared."""
    found = protocol(count=4)
    ours, theirs = arm("a", found, (5, 10, 15, None)), arm("b", found, (20, 20, None, 35))
    method = judging(ledger.pair(keys(found), ours, theirs).outcomes(), found.analysis)
    (*_, alone) = differences_within(found, keys(found), ours, theirs)
    (*_, among) = differences_within(found, keys(found), ours, theirs, comparisons=3)
    assert alone.simultaneous95 == method.interval(0.05 / 4)
    assert among.simultaneous95 == method.interval(0.05 / 12)


def test_a_protocol_declares_the_times(protocol):
    """In control steps; they are part of its hash, and a protocol without them keeps its own."""
    changed = protocol("analysis.within_steps=[12, 40]")
    assert [each.label for each in moments(changed)] == ["12 ticks", "40 ticks"]
    assert "within_steps" in changed.canonical_json()
    assert "within_steps" not in protocol().canonical_json()


def test_known_rates_give_seconds():
    """SO-101 has 30 control steps a second."""
    labels = [each.label for each in moments(load_protocol("so101-real-time"))]
    assert labels == ["3.7 s", "7.5 s", "11.2 s", "15.0 s"]


@pytest.mark.parametrize("times", ["[]", "[20, 10]", "[10, 10]", "[0]"])
def test_times_that_do_not_rise_are_refused(protocol, times):
    """Each would be another table than the reader expects."""
    with pytest.raises(ProtocolError, match="within_steps"):
        protocol(f"analysis.within_steps={times}")


def test_runs_without_virtual_time_or_with_looks_have_no_such_differences(protocol):
    """A paused run has no curves; the intervals of a run with looks are of success at the limit."""
    paused = protocol(run="", count=4)
    one = arm("a", paused, (5, 10, 15, None))
    assert curves_of(paused, [one]) is None
    assert differences_within(paused, keys(paused), one, one) == ()
    looks = protocol("analysis.stopping=obrien-fleming-5", "run.order=round-robin")
    one = arm("a", looks, (5,) * 8)
    assert differences_within(looks, keys(looks), one, one) == ()
    assert curves_of(looks, [ArmEpisodes("a", {})]) is None
