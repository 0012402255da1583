"""Curves, break-even points, recipes and delays of runs that were laid out by hand."""

from __future__ import annotations

import dataclasses

import pytest

from fakes.by_hand import Run
from fakes.by_hand import small_protocol as protocol_of
from fakes.by_hand import write_results as write
from vla_eval import stats
from vla_eval.judging.break_even import bracket
from vla_eval.judging.curves import curves_of, differences_within, moments
from vla_eval.judging.ledger import (
    ArmEpisodes,
)
from vla_eval.judging.recipes import judge_recipes, on_states, task_names
from vla_eval.judging.virtual import VirtualArm
from vla_eval.realtime.record import RealtimeRecord
from vla_eval.realtime.schedule import Tally

REALTIME = {
    "latency": "virtual",
    "realtime": {"mode": "blocking", "arms": {"a": {"total_us": 1}, "b": {"total_us": 2}}},
}


def test_curves_by_hand():
    """Four episodes that end after 10, 20, 30 steps and never, in tasks of 40 and 80 steps."""
    protocol = protocol_of(2, 2, run=REALTIME, max_steps=(40, 80))
    run = Run(protocol)
    for key, steps in zip(run.keys, (10, 20, 30, 80), strict=True):
        run.attempt("a", key, "success" if steps < 80 else "failure", steps=steps)
        run.attempt("b", key, "success", steps=20)
    arms = [ArmEpisodes.of(run.records, arm, run.keys) for arm in "ab"]
    found = curves_of(protocol, arms)
    assert (found.limit_steps, found.control_hz) == (None, None)
    by = dict(zip(found.grid, found.solved["a"], strict=True))
    # T0 (40 steps) took 10 and 30, T1 (80 steps) 20 and never: shares 0.25, 0.75, 0.25.
    assert (by[0.2333], by[0.25], by[0.7333], by[0.75], by[1.0]) == (0, 0.5, 0.5, 0.75, 0.75)
    assert [(each.time, each.solved, each.n) for each in found.within["a"]] == [
        ("25% of the limit", 2, 4),
        ("50% of the limit", 2, 4),
        ("75% of the limit", 3, 4),
        ("100% of the limit", 3, 4),
    ]
    assert found.within["a"][0].interval95 == stats.wilson_interval(2, 4)
    within = differences_within(protocol, run.keys, *arms)
    assert [each.difference for each in within] == [0.0, -0.5, -0.25, -0.25]
    assert within[1].ci95 == stats.tango_interval(0, 2, 4)
    assert within[1].simultaneous95 == stats.tango_interval(0, 2, 4, alpha=0.05 / 4)
    three = differences_within(protocol, run.keys, *arms, comparisons=3)
    assert three[1].simultaneous95 == stats.tango_interval(0, 2, 4, alpha=0.05 / 12)
    assert curves_of(protocol_of(2, 2), arms) is None
    assert curves_of(protocol, []) is None
    declared = protocol_of(1, 4, run=REALTIME, within_steps=[15, 40])
    assert [(each.label, dict(each.steps)) for each in moments(declared)] == [
        ("15 ticks", {("s", "T0"): 15}),
        ("40 ticks", {("s", "T0"): 40}),
    ]
    quarters = moments(protocol_of(1, 4, run=REALTIME))
    assert [each.label for each in quarters] == ["10 ticks", "20 ticks", "30 ticks", "40 ticks"]


def test_a_break_even_by_hand():
    """The reference keeps up without delay and at 2 ticks, and is beaten at 8; at 4 neither is shown."""
    even = {
        "candidate": "fast",
        "reference": "slow",
        "candidate_ticks": 1,
        "reference_ticks": [0, 2, 4, 8],
    }
    protocol = protocol_of(1, 60, break_even=even, margin=0.2, alpha=0.1)
    run = Run(protocol)
    write(run, "fast", "1" * 50 + "0" * 10)
    references = {}
    for ticks, letters in ((0, "1" * 52), (2, "1" * 48), (4, "1" * 44), (8, "1" * 20)):
        at = Run(protocol)
        write(at, "slow", letters + "0" * (60 - len(letters)))
        references[ticks] = ArmEpisodes.of(at.records, "slow", run.keys)
    fast = ArmEpisodes.of(run.records, "fast", run.keys)
    found = bracket(protocol, run.keys, fast, references)
    assert [each.difference for each in found.delays] == pytest.approx(
        [-2 / 60, 2 / 60, 6 / 60, 30 / 60]
    )
    cells = [(0, 2), (2, 0), (6, 0), (30, 0)]
    for each, (won, lost) in zip(found.delays, cells, strict=True):
        assert each.pairs == 60
        assert each.ci95 == stats.tango_interval(won, lost, 60)
        assert each.p_superior == stats.exact_p_above(won, lost, 60, delta=0.0)
        assert each.p_not_worse == stats.exact_p_above(lost, won, 60, delta=-0.2)
    half = 0.05
    kept = [each.ticks for each in found.delays if each.p_not_worse <= half]
    beaten = [each.ticks for each in found.delays if each.p_superior <= half]
    assert kept == [0, 2, 4]
    assert beaten == [4, 8]
    assert (found.not_worse_to, found.superior_from) == (4, 4)
    first, second, third = found.sentences(protocol, 20.0)
    assert first.endswith("up to 4 control steps, above 150 and up to 200 ms")
    assert second.endswith("from 4 control steps on, above 150 and up to 200 ms")
    assert "at most 10 % together" in third
    p = found.delays[2].p_not_worse
    for alpha, shown in ((2 * p * 1.0001, 4), (2 * p * 0.9999, 2)):
        at = protocol_of(1, 60, break_even=even, margin=0.2, alpha=alpha)
        assert bracket(at, run.keys, fast, references).not_worse_to == shown
    for ticks, words in ((0, "no latency"), (1, "above 0 and up to 50 ms")):
        said = dataclasses.replace(found, not_worse_to=ticks).sentences(protocol, 20.0)[0]
        assert said.endswith(f"up to {ticks} control steps, {words}")
    strict = bracket(
        protocol_of(1, 60, break_even=even, margin=0.01, alpha=1e-6), run.keys, fast, references
    )
    assert (strict.not_worse_to, strict.superior_from) == (None, 8)
    assert "at no declared delay from the smallest up" in strict.sentences(protocol, 20.0)[0]
    alike = bracket(protocol, run.keys, fast, dict.fromkeys(references, references[0]))
    assert (alike.not_worse_to, alike.superior_from) == (8, None)
    assert "at no declared delay from the largest down" in alike.sentences(protocol, 20.0)[1]


def test_recipes_by_hand():
    """Two seeds of each recipe on four states of two tasks, with a doubtful episode of each side."""
    recipe = {"candidate": ["c1", "c2"], "reference": ["r1", "r2"], "design": "distilled"}
    protocol = protocol_of(2, 4, recipe=recipe)
    run = Run(protocol)
    letters = {"c1": "11010111", "c2": "1x011101", "r1": "11110010", "r2": "1101010-"}
    for arm, each in letters.items():
        write(run, arm, each)
    ours, theirs = (
        [ArmEpisodes.of(run.records, arm, run.keys) for arm in arms]
        for arms in (("c1", "c2"), ("r1", "r2"))
    )
    assert task_names(run.keys) == ["s/T0", "s/T1"]
    cases = {
        case: on_states(run.keys, ours, theirs, paired=True, case=case)
        for case in ("observed", "worst", "best")
    }

    def outcomes(*arms: str) -> list[list[float]]:
        return [[float(letter) for letter in arm] for arm in arms]

    assert cases["observed"].candidate.tolist() == outcomes("101011", "101110")
    assert cases["observed"].reference.tolist() == outcomes("111001", "101010")
    assert cases["observed"].tasks.tolist() == [0, 0, 1, 0, 1, 0]
    assert cases["worst"].candidate.tolist() == outcomes("11010111", "10011101")
    assert cases["worst"].reference.tolist() == outcomes("11110010", "11010101")
    assert cases["best"].candidate.tolist() == outcomes("11010111", "11011101")
    assert cases["best"].reference.tolist() == outcomes("11110010", "11010100")
    worst, best = cases["worst"], cases["best"]
    found = judge_recipes(worst, best, 0.9, 0.2)
    interval = (worst.interval(0.4)[0], best.interval(0.4)[1])
    guards = stats.Guards.of(worst.p_above, best.p_below, margin=0.9, alpha=0.2)
    assert found == stats.judge(interval, 0.9, guards=guards)


def test_an_arm_in_virtual_time():
    """Means over inferences, ticks and executed actions; the largest of each kind."""
    protocol = protocol_of(1, 2, run=REALTIME)
    run = Run(protocol)
    for key, delays, ages, steps in zip(
        run.keys, ([2, 4], [6]), ({1: 3, 5: 1}, {2: 6}), (10, 30), strict=True
    ):
        tally = Tally(delays=delays, stalled_ticks=steps // 10, late=len(delays))
        tally.ages.update(ages)
        part = RealtimeRecord.of(
            tally, expected_delay=max(delays), discarded=1, jump=0.1 * delays[0]
        )
        run.attempt("a", key, "success", realtime=part, steps=steps)
    records = list(ArmEpisodes.of(run.records, "a", run.keys).finals.values())
    found = VirtualArm.of(records, {"realtime": {"expected_us": 83_000}})
    assert found.to_json() == pytest.approx(
        {
            "latency_us": 83_000,
            "expected_delay": 6,
            "delay_mean": 4.0,
            "delay_max": 6,
            "stalled_share": 4 / 40,
            "late": 3,
            "discarded": 2,
            "age_mean": (3 + 5 + 12) / 10,
            "age_max": 5,
            "switch_jump_max": 0.6,
            "ticks_per_inference": 40 / 3,
        }
    )
    assert found.cells() == ["6", "83.0 ms", "10.0%", "3", "2.0", "5", "0.600"]
    assert VirtualArm.of(records, None).cells()[1] == "-"
    assert VirtualArm.of([], None) is None
