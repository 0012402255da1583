"""Looks, sizes, curves, break-even points and recipes of runs that were laid out by hand."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest

from fakes.by_hand import Run
from vla_eval import stats
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.judging.break_even import bracket
from vla_eval.judging.counts import judge_arms, judge_pairs, judge_states
from vla_eval.judging.curves import curves_of, differences_within, moments
from vla_eval.judging.ledger import (
    ArmEpisodes,
    Outcome,
    all_ended,
    clusters,
    pair,
    seed_of,
    states_by_task,
)
from vla_eval.judging.looks import due_keys, judged_by, look_sentence, looks_of
from vla_eval.judging.recipes import judge_recipes, on_states, task_names
from vla_eval.judging.resizing import resizing_of, resizing_sentence
from vla_eval.judging.roles import RecipeRoles, Roles, roles_of_recipe, sequential_roles
from vla_eval.judging.virtual import VirtualArm
from vla_eval.keys import EpisodeKey
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.realtime.record import RealtimeRecord
from vla_eval.realtime.schedule import Tally
from vla_eval.stats import ClusteredPairs, Decision, PairedTable


def protocol_of(
    tasks: int, states: int, *, run: dict[str, Any] | None = None, max_steps=(40,), **analysis
) -> Protocol:
    limits = [max_steps[index % len(max_steps)] for index in range(tasks)]
    data = {
        "schema_version": 1,
        "protocol": "by-hand",
        "version": 1,
        "title": "t",
        "source": "s",
        "blocks": [
            {
                "suite": "s",
                "env_id": "m:{task}-v0",
                "tasks": [f"T{index}"],
                "init_states": {"count": states},
                "max_steps": limit,
            }
            for index, limit in enumerate(limits)
        ],
        "run": {"order": "round-robin", "limits": {"error_cap": 0.0}, **(run or {})},
        "analysis": {"estimand": "e", "margin": 0.25, "margin_reason": "m", **analysis},
    }
    return parse_protocol(data, "here")


def write(run: Run, arm: str, letters: str, start: int = 0, **changes) -> None:
    """Write results from an episode of the plan on: 1 and 0, and x for an error."""
    for key, letter in zip(run.keys[start:], letters, strict=False):
        if letter == "x":
            run.lost(arm, key, "env_error", 0, 1)
        elif letter != "-":
            run.attempt(arm, key, "success" if letter == "1" else "failure", **changes)


LOOKS = {"stopping": "obrien-fleming-5", "alpha": 0.04}


def test_a_look_needs_every_arm():
    """The third arm's episodes too, although the look does not read them; an error is no result."""
    protocol = protocol_of(2, 25, **LOOKS)
    for last in ("-", "x", "1", "0"):
        run = Run(protocol)
        for arm in ("a", "b"):
            write(run, arm, "1" * 10)
        write(run, "c", "1" * 9 + last)
        looks = looks_of(protocol, ["a", "b", "c"], run.records)
        assert len(looks) == (last in "10")
        assert all_ended(run.records, ["c"], run.keys[:10]) == (last in "10")


def test_the_numbers_of_a_look():
    """Ten pairs at the first look, of which candidate and reference each won one alone."""
    protocol = protocol_of(2, 25, **LOOKS)
    run = Run(protocol)
    write(run, "a", "1111110100")
    write(run, "b", "1111101000")
    (look,) = looks_of(protocol, ["a", "b"], run.records)
    plan = judged_by(protocol)
    assert plan.sizes == (10, 20, 30, 40, 50)
    assert (plan.alpha, plan.margin) == (0.04, 0.25)
    table = (look.n11, look.n10, look.n01, look.n00)
    assert (look.number, look.pairs, table) == (1, 10, (5, 2, 1, 2))
    assert look.z == stats.tango_z(2, 1, 10, -0.25)
    assert look.bound == plan.bound(1)
    assert look.level == plan.level(1)
    assert look.p_exact == stats.exact_p_noninferior(2, 1, 10, margin=0.25)
    assert look.decision is Decision.CONTINUE
    assert due_keys(protocol, ["a", "b"], run.records) == run.keys
    assert look_sentence(look, 5) == (
        f"look 1 of 5, 10 pairs: z {look.z:.2f}, bound {look.bound:.2f}; "
        "neither bound is crossed: the run goes on"
    )


def test_the_run_ends_at_its_look():
    """Hopeless at the second look, not at the first; certified where nothing speaks against it."""
    protocol = protocol_of(2, 25, **LOOKS)
    run = Run(protocol)
    write(run, "a", "0" * 50)
    write(run, "b", "1" * 50)
    looks = looks_of(protocol, ["a", "b"], run.records)
    assert [look.decision for look in looks] == [Decision.CONTINUE, Decision.FUTILE]
    assert due_keys(protocol, ["a", "b"], run.records) == run.keys[:20]
    assert "below the margin: the run stops" in look_sentence(looks[-1], 5)
    swapped = looks_of(protocol, ["b", "a"], run.records)
    assert swapped[-1].decision is Decision.CERTIFY
    assert "is crossed: the run stops, the claim is certified" in look_sentence(swapped[-1], 5)
    assert due_keys(protocol, ["a"], run.records) == run.keys
    other = Run(protocol)
    write(other, "a", "1" * 10, scene_hash="a")
    write(other, "b", "1" * 10, scene_hash="b")
    with pytest.raises(
        RunFolderError, match="look 1 of by-hand@1 cannot be taken: the scenes of 10"
    ):
        looks_of(protocol, ["a", "b"], other.records)


def test_the_exact_test_can_keep_a_look_from_certifying():
    """No pair is discordant: Tango's score crosses the bound before the exact test allows it."""
    protocol = protocol_of(1, 50, margin=0.1, stopping="obrien-fleming-5")
    run = Run(protocol)
    for arm in ("a", "b"):
        write(run, arm, "1" * 50)
    looks = looks_of(protocol, ["a", "b"], run.records)
    kept = [
        look for look in looks if look.z >= look.bound and look.decision is not Decision.CERTIFY
    ]
    for look in kept:
        assert look.p_exact > look.level
        assert (
            f"the exact test says no: p {look.p_exact:.2g}, needs {look.level:.2g}"
            in look_sentence(look, 5)
        )
    assert all((look.p_exact <= look.level) for look in looks if look.decision is Decision.CERTIFY)
    small = protocol_of(1, 25, margin=0.1, stopping="obrien-fleming-5")
    run = Run(small)
    for arm in ("a", "b"):
        write(run, arm, "1" * 25)
    last = looks_of(small, ["a", "b"], run.records)[-1]
    assert (last.number, last.decision) == (5, Decision.EXHAUSTED)
    assert "crosses no bound" in look_sentence(last, 5)


RESIZED = {"resize": {"after": 20, "planned": 30, "at_most": 60, "power": 0.7}, "margin": 0.25}


@pytest.mark.parametrize("swap", [False, True])
def test_the_size_follows_from_the_discordant_pairs(swap):
    """Five of the first twenty, whoever won them; the episodes beyond are not read."""
    protocol = protocol_of(2, 30, **RESIZED)
    run = Run(protocol)
    first, second = ("b", "a") if swap else ("a", "b")
    write(run, first, "1" * 13 + "110" + "0000" + "0" * 9)
    write(run, second, "1" * 13 + "001" + "1100" + "1" * 9)
    found = resizing_of(protocol, ["a", "b"], run.records)
    rule = judged_by(protocol)
    assert (rule.after, rule.planned, rule.at_most, rule.step) == (20, 30, 60, 2)
    assert (rule.margin, rule.alpha, rule.power) == (0.25, 0.05, 0.7)
    assert (found.after, found.discordant) == (20, 5)
    assert (found.planned, found.at_most) == (30, 60)
    assert (found.wanted, found.pairs) == (rule.wanted(5), rule.size(5))
    assert due_keys(protocol, ["a", "b"], run.records) == run.keys[: found.pairs]
    words = resizing_sentence(found)
    assert "after 20 pairs, of which 5 are discordant" in words
    assert ("more than the 60" in words) == (found.wanted > 60)
    more = found.model_copy(update={"wanted": 61})
    assert "61 pairs are wanted, more than the 60 that are allowed" in resizing_sentence(more)
    assert "more than" not in resizing_sentence(found.model_copy(update={"wanted": 60}))


def test_the_size_waits_for_its_pairs():
    """With one result missing, of an arm that is not read, nothing is decided; a fixed run has no size."""
    protocol = protocol_of(2, 30, **RESIZED)
    run = Run(protocol)
    for arm in ("a", "b"):
        write(run, arm, "1" * 20)
    assert resizing_of(protocol, ["a", "b", "c"], run.records) is None
    write(run, "c", "1" * 20)
    assert resizing_of(protocol, ["a", "b", "c"], run.records).discordant == 0
    fixed = protocol_of(2, 30)
    assert (resizing_of(fixed, ["a", "b"], run.records), judged_by(fixed)) == (None, None)
    assert looks_of(fixed, ["a", "b"], run.records) == ()
    other = Run(protocol)
    write(other, "a", "1" * 20, scene_hash="a")
    write(other, "b", "1" * 20, scene_hash="b")
    with pytest.raises(RunFolderError, match="cannot be set"):
        resizing_of(protocol, ["a", "b"], other.records)


@pytest.mark.parametrize(
    ("named", "arms", "roles"),
    [
        ({}, ["x", "y", "z"], ("x", "y")),
        ({"candidate": "y"}, ["x", "y", "z"], ("y", "x")),
        ({"reference": "x"}, ["x", "y", "z"], ("y", "x")),
        ({"reference": "z"}, ["x", "y", "z"], ("x", "z")),
        ({"candidate": "z", "reference": "x"}, ["x", "y", "z"], ("z", "x")),
    ],
)
def test_roles_of_a_run_that_is_stopped_by_two_arms(named, arms, roles):
    """As the protocol names them, the others in the order of the arms."""
    assert sequential_roles(protocol_of(1, 5, **named), arms) == roles


def test_roles_that_cannot_be_filled():
    """One arm, an unknown name in either role, another protocol."""
    with pytest.raises(UsageError, match="give the candidate first"):
        sequential_roles(protocol_of(1, 5), ["x"])
    for role in ("candidate", "reference"):
        with pytest.raises(
            UsageError, match=f"'xx' as its {role}, and there is none; did you mean 'x'"
        ):
            sequential_roles(protocol_of(1, 5, **{role: "xx"}), ["x", "y"])
    with pytest.raises(UsageError, match=r"has no table analysis\.recipe"):
        roles_of_recipe(protocol_of(1, 5), ["x"])
    recipe = {"candidate": ["c1", "c2"], "reference": ["r1", "r2"], "design": "distilled"}
    protocol = protocol_of(1, 5, recipe=recipe, negative_control="bad")
    arms = ["c1", "c2", "r1", "r2", "bad"]
    found = roles_of_recipe(protocol, arms)
    assert found == RecipeRoles(("c1", "c2"), ("r1", "r2"), "bad")
    assert found.names == tuple(arms)
    for missing in arms:
        with pytest.raises(UsageError, match=f"names arm '{missing}'"):
            roles_of_recipe(protocol, [arm for arm in arms if arm != missing])
    assert RecipeRoles(("a",), ("b",)).names == ("a", "b")
    roles = Roles("a", "b", None, ("c",), "d")
    assert (roles.shown, roles.names) == (("a", "b", "d"), ("a", "b", "d", "c"))


def test_repeats_are_counted_by_state():
    """Two seeds of three states: pairs, wins and losses of each, and their mean differences."""
    protocol = protocol_of(1, 3, run={"policy_seeds": [0, 1]}, cluster="initial-state")
    run = Run(protocol)
    write(run, "a", "110" + "100")
    write(run, "b", "100" + "001")
    arms = [ArmEpisodes.of(run.records, arm, run.keys) for arm in "ab"]
    outcomes = pair(run.keys, *arms).outcomes()
    data = clusters(outcomes)
    assert [data.pairs.tolist(), data.wins.tolist(), data.losses.tolist()] == [
        [2] * 3,
        [1, 1, 0],
        [0, 0, 1],
    ]
    assert states_by_task(outcomes)["s/T0"].tolist() == [0.5, 0.5, -0.5]
    rate = arms[0].by_state()
    assert (rate.episodes.tolist(), rate.successes.tolist()) == ([2, 2, 2], [2, 1, 0])


def test_the_seed_of_random_numbers_is_what_it_always_was():
    """The first eight bytes of a hash over keys and results: old certificates are verified with it."""
    outcomes = [
        Outcome(EpisodeKey("s", "t", 3, 1, 2), ours, theirs)
        for ours in (True, False)
        for theirs in (True, False)
    ]
    text = "".join(f"s/t/i3/e1/p2 {cell}\n" for cell in ("11", "10", "01", "00"))
    expected = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    assert seed_of(outcomes) == expected < 2**64


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


def test_bare_counts():
    """Every number of a table of a paper, from the statistics of its four cells."""
    said = judge_pairs(24, 7, 5, 10, margin=0.2, alpha=0.04)
    table = PairedTable(24, 7, 5, 10)
    assert said["difference"] == table.difference
    assert said["ci90"] == list(table.interval(alpha=0.1))
    assert said["ci95"] == list(table.interval(alpha=0.05))
    assert said["ci_of_verdict"] == list(table.interval(alpha=0.08))
    assert said["p_noninferior"] == stats.tango_p_noninferior(7, 5, 46, margin=0.2)
    assert said["p_noninferior_exact"] == stats.exact_p_noninferior(7, 5, 46, margin=0.2)
    judged = stats.judge_paired(table, margin=0.2, alpha=0.04)
    assert (said["verdict"], said["also"]) == (judged.verdict, list(judged.also))
    assert (said["margin"], said["alpha"], said["flags"]) == (0.2, 0.04, [])
    assert said["failure_ratio95"] == list(stats.failure_ratio_paired(table))
    assert judge_pairs(24, 7, 5, 10, margin=0.38)["flags"] == ["ceiling"]
    assert judge_pairs(9, 1, 1, 0)["failure_ratio95"][1] is not None
    assert judge_pairs(9, 0, 1, 0)["failure_ratio95"][1] is None
    said = judge_arms(330, 500, 200, 400, margin=0.2, alpha=0.04)
    assert said["difference"] == pytest.approx(330 / 500 - 0.5)
    assert said["ci90"] == list(stats.miettinen_nurminen_interval(330, 500, 200, 400, alpha=0.1))
    assert said["ci_of_verdict"] == list(
        stats.miettinen_nurminen_interval(330, 500, 200, 400, alpha=0.08)
    )
    expected = stats.miettinen_nurminen_p_noninferior(330, 500, 200, 400, margin=0.2)
    assert said["p_noninferior"] == expected
    assert said["flags"] == ["unpaired"]
    assert judge_arms(330, 500, 200, 400, margin=0.51)["flags"] == ["unpaired", "ceiling"]
    assert "small-sample" in judge_arms(2, 5, 3, 4)["flags"]


@pytest.mark.parametrize(
    "counts",
    [
        (-1, 1, 1, 1),
        (1, -1, 1, 1),
        (1, 1, -1, 1),
        (1, 1, 1, -1),
        (0, 0, 0, 0),
        (100_001, 0, 0, 0),
        (0, 100_001, 0, 0),
        (0, 0, 100_001, 0),
        (0, 0, 0, 100_001),
    ],
)
def test_tables_that_cannot_be(counts):
    """A negative cell, no pair, more pairs than can be judged."""
    with pytest.raises(UsageError, match=r"negative|no pairs|more than 100,000"):
        judge_pairs(*counts)


@pytest.mark.parametrize(
    "counts",
    [(-1, 5, 1, 5), (6, 5, 1, 5), (1, 5, 6, 5), (0, 0, 1, 5), (1, 5, 0, 0), (1, 5, 1, 10**9 + 1)],
)
def test_rates_that_cannot_be(counts):
    """Of either arm; none of none is no rate."""
    with pytest.raises(UsageError, match=r"cannot be|more than the 1,000,000,000"):
        judge_arms(*counts)
    assert judge_arms(0, 1, 1, 1)["difference"] == -1


def test_bare_states():
    """Counts over states, by each test; with unequal numbers of repeats the bets alone judge."""
    data = ClusteredPairs(*np.array([(3, 3, 0), (3, 0, 1), (3, 1, 1), (3, 0, 0), (3, 2, 0)]).T)
    said = judge_states(data, margin=0.3, alpha=0.1)
    facts = {name: said[name] for name in ("states", "pairs", "pairs_won", "pairs_lost", "repeats")}
    assert facts == {"states": 5, "pairs": 15, "pairs_won": 6, "pairs_lost": 2, "repeats": [3, 3]}
    assert (said["states_lost_in_any_repeat"], said["states_won_in_all_repeats"]) == (2, 1)
    assert said["difference"] == pytest.approx(4 / 15)
    assert said["ci90"] == list(data.interval(alpha=0.1))
    assert said["ci95"] == list(data.interval(alpha=0.05))
    assert said["ci_of_verdict"] == list(data.interval(alpha=0.2))
    assert said["p_noninferior"] == data.p_noninferior(margin=0.3)
    assert said["p_worst_repeat"] == data.p_noninferior(margin=0.3, test="worst-repeat")
    assert said["p_bets"] == data.p_noninferior(margin=0.3, test="bets")
    assert (said["vif"], said["test"]) == (data.vif, "both")
    uneven = ClusteredPairs(*np.array([(3, 3, 0), (2, 0, 1)]).T)
    assert judge_states(uneven)["p_worst_repeat"] is None
    assert judge_states(uneven)["repeats"] == [2, 3]
    with pytest.raises(UsageError, match="FILE: the states have different numbers"):
        judge_states(uneven, test="worst-repeat", where="FILE")


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
