"""How long an inference takes: exact ticks, declared machines, profiles, one random number for all arms."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import PolicyMetadata
from vla_eval.realtime.latency import check_arms, ticks_of, virtual_time
from vla_eval.realtime.machines import shipped_machines
from vla_eval.realtime.settings import Machine, Realtime

KEY = EpisodeKey("fake", "Point", 0, 0, 0)


def metadata(nfe: int | None = 1, **changes) -> PolicyMetadata:
    return PolicyMetadata("toy", "fm", 16, 10, nfe=nfe, **changes)


def quantiles(scale: float = 1.0) -> tuple[int, ...]:
    return tuple(round(scale * (40_000 + 600 * percent)) for percent in range(101))


def profile(**changes) -> dict[str, object]:
    table = {
        "hardware": "a laptop",
        "policy": "flow:x",
        "measured_on": "2026-11-29",
        "sha256": "0" * 64,
        "quantiles_us": quantiles(),
    }
    return table | changes


@pytest.mark.parametrize(
    ("latency_ms", "rate_hz", "ticks"),
    [
        (0, 30, 0),
        (1, 30, 1),
        (83, 30, 3),
        (274, 30, 9),
        (83, 20, 2),
        (274, 20, 6),
        (100, 30, 3),
        # ceil(latency_s * rate) in floating point gives one tick more for these:
        (140, 50, 7),
        (280, 50, 14),
        (560, 50, 28),
        (280, 25, 7),
        (560, 25, 14),
        (80, 12.5, 1),
    ],
)
def test_a_delay_is_the_exact_ceiling(latency_ms, rate_hz, ticks):
    """An action can answer an observation after whole ticks only."""
    assert ticks_of(1000 * latency_ms, rate_hz) == ticks


def test_passes_are_billed_and_not_function_evaluations():
    """Eight samples in one pass cost one pass and seven further samples."""
    machine = Machine(name="m", source="s", prefix_us=100, pass_us=20, sample_us=3, link_us=5)
    settings = Realtime(mode="async", machine=machine.model_dump())
    keystone = metadata(8, options={"passes": 1, "samples": 8})
    for policy, expected in ((metadata(1), 125), (metadata(10), 305), (keystone, 146)):
        assert virtual_time(settings, "a", policy).latency.expected_us == expected


@pytest.mark.parametrize(
    ("name", "nfe", "at_20_hz", "at_30_hz", "at_50_hz"),
    [
        ("a800-pi05", 1, 2, 3, 5),
        ("a800-pi05", 10, 6, 9, 14),
        ("drift-gpu-smolvla", 1, 2, 2, 3),
        ("drift-gpu-smolvla", 10, 5, 7, 12),
        ("lekiwi-laptop-smolvla", 1, 3, 4, 7),
        ("lekiwi-laptop-smolvla", 10, 5, 8, 13),
        ("h100-pi05", 1, 2, 2, 3),
        ("h100-pi05", 10, 4, 6, 9),
        ("a100-pi05", 1, 2, 3, 5),
        ("a100-pi05", 10, 6, 8, 13),
        ("a100-pi05-reproduction", 1, 2, 3, 5),
        ("a800-smolvla", 1, 1, 2, 3),
        ("a800-smolvla", 10, 4, 6, 9),
        ("thesis-smolvla", 10, 9, 13, 21),
    ],
)
def test_the_shipped_machines_have_the_published_ticks(name, nfe, at_20_hz, at_30_hz, at_50_hz):
    """One and ten passes on the machines of the papers."""
    latency = virtual_time(Realtime(mode="async", machine=name), "a", metadata(nfe)).latency
    ticks = [ticks_of(latency.expected_us, rate) for rate in (20, 30, 50)]
    assert ticks == [at_20_hz, at_30_hz, at_50_hz]
    assert shipped_machines()[name]["source"]


@pytest.mark.parametrize(
    ("name", "samples", "milliseconds"),
    [("drift-gpu-smolvla", 8, 53.5), ("lekiwi-laptop-smolvla", 8, 172)],
)
def test_keystone_takes_what_its_authors_measured(name, samples, milliseconds):
    """Eight samples in one pass."""
    policy = metadata(8, options={"passes": 1, "samples": samples})
    latency = virtual_time(Realtime(mode="async", machine=name), "a", policy).latency
    assert latency.expected_us / 1e3 == pytest.approx(milliseconds, abs=0.01)


def test_without_jitter_a_profile_counts_by_its_median():
    """Every inference takes as long."""
    settings = Realtime(mode="async", arms={"a": {"profile": profile()}})
    latency = virtual_time(settings, "a", metadata(None)).latency
    assert {latency.inference_us(KEY, n) for n in range(20)} == {70_000}


def test_jitter_follows_the_profile():
    """Times are drawn by the inverse of the measured distribution."""
    settings = Realtime(mode="async", jitter="profile", arms={"a": {"profile": profile()}})
    latency = virtual_time(settings, "a", metadata(None)).latency
    drawn = np.array([latency.inference_us(KEY, n) for n in range(4000)])
    assert drawn.min() >= 40_000
    assert drawn.max() <= 100_000
    assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx([46_000, 70_000, 94_000], rel=0.03)


def test_a_faster_arm_is_never_slower():
    """Arms share the random number of an inference, so a faster profile wins every time."""
    faster = profile(quantiles_us=quantiles(0.5))
    settings = Realtime(
        mode="async",
        jitter="profile",
        arms={
            "slow": {"profile": profile()},
            "fast": {"profile": faster},
            "same": {"profile": profile()},
        },
    )
    slow, fast, same = (
        virtual_time(settings, name, metadata(None)).latency for name in ("slow", "fast", "same")
    )
    for n in range(50):
        assert fast.inference_us(KEY, n) < slow.inference_us(KEY, n) == same.inference_us(KEY, n)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"mode": "blocking", "merge": "average", "machine": "a800-pi05"}, "mode = 'async'"),
        ({"mode": "async", "old_weight": 0.3, "machine": "a800-pi05"}, "merge = 'average'"),
        ({"mode": "async", "coefficient": 0.1, "machine": "a800-pi05"}, "merge = 'ensemble'"),
        ({"mode": "async"}, "machine is missing"),
        ({"mode": "async", "machine": "a800-pi5"}, "did you mean 'a800-pi05'"),
        ({"mode": "async", "jitter": "profile", "machine": "a800-pi05"}, "an arm with a profile"),
        ({"mode": "async", "arms": {"a": {}}}, "one of the two"),
        ({"mode": "async", "arms": {"a": {"total_us": -1}}}, "greater than or equal to 0"),
        ({"mode": "async", "arms": {"a": {"profile": profile(quantiles_us=[5] * 3)}}}, "101 items"),
        (
            {
                "mode": "async",
                "arms": {"a": {"profile": profile(quantiles_us=[9] * 50 + [8] * 51)}},
            },
            "fall from 9 at 49 % to 8 at 50 %",
        ),
        (
            {"mode": "async", "arms": {"a": {"profile": profile(quantiles_us=[0] * 101)}}},
            "greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_table_is_refused(table, words):
    """One sentence says what is wrong."""
    with pytest.raises(ValidationError, match=words):
        Realtime.model_validate_json(json.dumps(table))


@pytest.mark.parametrize(
    ("policy", "table", "words"),
    [
        (metadata(None), {"machine": "a800-pi05"}, "declares neither passes nor nfe"),
        (metadata(1, privileged=True), {"machine": "a800-pi05"}, "reads the simulator"),
        (metadata(1), {"machine": "thesis-smolvla"}, "the time of 10 passes only, not of 1"),
        (metadata(1), {"arms": {"b": {"total_us": 1}}}, "says nothing of arm 'a'"),
    ],
)
def test_an_arm_without_a_latency_is_refused(policy, table, words):
    """With the option that gives it one."""
    with pytest.raises(UsageError, match=words) as raised:
        virtual_time(Realtime(mode="async", **table), "a", policy)
    assert "--set run.realtime.arms.a.total_us=N" in str(raised.value)


def test_a_latency_of_an_arm_that_does_not_run_is_refused():
    """Most often it is misspelt; the nearest name is suggested. Without virtual time nothing is asked."""
    settings = Realtime(mode="blocking", arms={"student": {"total_us": 7}})
    check_arms(settings, ["teacher", "student"])
    check_arms(None, ["teacher"])
    with pytest.raises(UsageError, match=r"arm 'student', which this run does not have.*'studnt'"):
        check_arms(settings, ["teacher", "studnt"])
