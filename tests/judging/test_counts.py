"""Bare counts, as a paper prints them: every number from the statistics of the counts, and each refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vla_eval import stats
from vla_eval.errors import UsageError
from vla_eval.judging.counts import judge_arms, judge_pairs, judge_states
from vla_eval.judging.states_file import read_states
from vla_eval.stats import ClusteredPairs, PairedTable


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


def test_counts_of_states_are_read(tmp_path):
    """Three lists of one length; the largest counts that are believed; all pairs may be discordant."""
    file = tmp_path / "states.json"
    file.write_text(json.dumps({"n": [3, 1_000_000], "won": [1, 0], "lost": [2, 1_000_000]}))
    data = read_states(file)
    assert [data.pairs.tolist(), data.wins.tolist(), data.losses.tolist()] == [
        [3, 1_000_000],
        [1, 0],
        [2, 1_000_000],
    ]
    file.write_text(json.dumps({name: [1] * 2000 for name in ("n", "won")} | {"lost": [0] * 2000}))
    assert len(read_states(file).pairs) == 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"won": None}, "the key 'won' is missing"),
        ({"n": None}, "the key 'n' is missing"),
        ({"lsot": [1, 1]}, "unknown key 'lsot'; did you mean 'lost'"),
        ({"n": 3}, "'n' is not a list"),
        ({"won": [1, True]}, "'won' of state 2 is not a whole number"),
        ({"won": [1, 1.0]}, "'won' of state 2 is not a whole number"),
        ({"lost": [-1, 0]}, "'lost' of state 1 is not in 0 to 1000000"),
        ({"n": [3, 1_000_001]}, "'n' of state 2 is not in 0 to 1000000"),
        ({"n": [3]}, "not n 1, won 2, lost 2"),
        ({"n": [0, 3], "won": [0, 1], "lost": [0, 1]}, "state 1 has no pairs"),
        ({"n": [3, 1]}, "state 2 has 1 pairs won and 1 lost, of 1 pairs"),
        ({"n": [], "won": [], "lost": []}, "0 states; expected 1 to 2000"),
        ({name: [0] * 2001 for name in ("n", "won", "lost")}, "2001 states; expected 1 to 2000"),
    ],
)
def test_counts_of_states_that_cannot_be(tmp_path, change, message):
    """Each fault alone, with the list or the state that has it."""
    content = {"n": [3, 2], "won": [1, 1], "lost": [0, 1]} | change
    file = tmp_path / "states.json"
    file.write_text(
        json.dumps({name: value for name, value in content.items() if value is not None})
    )
    with pytest.raises(UsageError, match=message):
        read_states(file)
