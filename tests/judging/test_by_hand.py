"""Looks, sizes, roles and repeats of runs that were laid out by hand."""

from __future__ import annotations

import hashlib

import pytest

from fakes.by_hand import Run
from fakes.by_hand import small_protocol as protocol_of
from fakes.by_hand import write_results as write
from vla_eval import stats
from vla_eval.errors import RunFolderError, UsageError
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
from vla_eval.judging.resizing import resizing_of, resizing_sentence
from vla_eval.judging.roles import RecipeRoles, Roles, roles_of_recipe, sequential_roles
from vla_eval.keys import EpisodeKey
from vla_eval.stats import Decision

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
