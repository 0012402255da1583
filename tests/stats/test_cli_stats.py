"""``vlaeval stats`` and ``vlaeval power``: forms that scripts rely on, and mistakes."""

from __future__ import annotations

import json

import pytest

from vla_eval.cli import main

KEYS = {"difference", "ci90", "ci95", "p_noninferior", "p_noninferior_exact", "verdict"}


@pytest.fixture
def cli(capsys):
    def call(*arguments) -> tuple[int, str, str]:
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


def test_paired_has_the_promised_json(cli):
    """SnapFlow's counts with disjoint failures: Tango and the exact guard."""
    code, stdout, _ = cli("stats", "paired", 386, 9, 5, 0, "--json")
    value = json.loads(stdout)
    assert code == 0
    assert set(value) >= KEYS
    assert value["difference"] == pytest.approx(0.01)
    assert value["ci90"] == pytest.approx([-0.005901, 0.027337], abs=1e-6)
    assert value["ci95"] == pytest.approx([-0.009450, 0.031344], abs=1e-6)
    assert 0 < value["p_noninferior"] < value["p_noninferior_exact"] < 1e-5
    assert value["verdict"] == "equivalent"
    assert value["flags"] == ["ceiling"]


def test_independent_has_the_promised_json(cli):
    """Reflex's counts: Miettinen and Nurminen; there is no exact p-value."""
    value = json.loads(cli("stats", "independent", 29, 30, 28, 30, "--json")[1])
    assert set(value) >= KEYS
    assert value["ci95"] == pytest.approx([-0.110654, 0.186773], abs=1e-6)
    assert value["p_noninferior"] == pytest.approx(0.0960, abs=5.1e-5)
    assert value["p_noninferior_exact"] is None
    assert value["verdict"] == "inconclusive"
    assert value["flags"] == ["unpaired"]
    small = json.loads(cli("stats", "independent", 7, 34, 1, 34, "--json")[1])
    assert small["flags"] == ["unpaired", "small-sample"]


def test_margin_and_alpha_reach_the_verdict(cli):
    """At 10 points the claim holds at a one-sided level of 5 %, and not at 2.5 %."""

    def verdict(*options):
        arguments = ("stats", "independent", 29, 30, 28, 30, "--margin", 0.1, *options, "--json")
        return json.loads(cli(*arguments)[1])["verdict"]

    assert verdict() == "non-inferior"
    assert verdict("--alpha", 0.025) == "inconclusive"


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats", "paired", 386, 9, 5, 0],
        ["stats", "paired", 43, 0, 1, 0, "--alpha", 0.01],
        ["stats", "paired", 950, 5, 25, 20],
        ["stats", "independent", 7, 34, 1, 34],
        ["stats", "independent", 400, 400, 400, 400],
    ],
)
def test_people_read_the_verdict_first_and_80_columns(cli, arguments):
    """The first line is the verdict, and no line is wider than a terminal."""
    code, stdout, _ = cli(*arguments)
    lines = stdout.splitlines()
    assert code == 0
    assert lines[0].split()[0] in {"EQUIVALENT", "INCONCLUSIVE", "SUPERIOR", "NON-INFERIOR"}
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paired", 1, 2, 3, -4], "negative"),
        (["paired", 0, 0, 0, 0], "no pairs"),
        (["paired", 5, 1, 1, 0, "--margin", 5], "--margin 5"),
        (["paired", 5, 1, 1, 0, "--alpha", 0.7], "--alpha 0.7"),
        (["independent", 5, 4, 1, 2], "5 successes in 4 episodes"),
        (["independent", 0, 0, 1, 2], "0 successes in 0 episodes"),
    ],
)
def test_impossible_counts_are_one_sentence_and_exit_code_4(cli, arguments, message):
    """What was wrong, on one line."""
    code, stdout, stderr = cli("stats", *arguments)
    assert code == 4
    assert message in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert stdout == ""


@pytest.mark.parametrize("arguments", [[], ["paired", 1, 2], ["paired", 1, 2, 3, "x"], ["pared"]])
def test_what_the_parser_refuses_is_exit_code_4(cli, arguments):
    """Missing, malformed and unknown arguments have the documented exit code."""
    assert cli("stats", *arguments)[0] == 4


def test_power_has_the_promised_json(cli):
    """Numbers of the reference's table, and the floor without discordant pairs."""
    arguments = ("power", "--margin", 0.1, "--p", 0.9, "--episodes", 100, "--json")
    code, stdout, _ = cli(*arguments)
    value = json.loads(stdout)
    assert code == 0
    assert value["minimum_pairs"] == 29
    assert [row["pairs"] for row in value["paired"]] == [118, 91, 64]
    assert [row["pairs_formula"] for row in value["paired"]] == [123, 94, 67]
    assert all(row["pairs_certificate"] >= row["pairs"] for row in value["paired"])
    assert value["independent"]["per_arm"] == 118
    assert value["paired"][0]["power_at_episodes"] == pytest.approx(0.741, abs=5.1e-4)


def test_power_for_people(cli):
    """The answer first, in 80 columns; far too many episodes are given by formula."""
    for arguments in (["--margin", 0.1], ["--margin", 0.005], ["--p", 0.5, "--difference", 0.4]):
        code, stdout, _ = cli("power", *arguments)
        assert code == 0
        assert " pairs certify" in stdout.splitlines()[0]
        assert max(len(line) for line in stdout.splitlines()) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--margin", 0], "--margin 0"),
        (["--p", 1.5], "cannot be"),
        (["--difference", -0.1], "not within"),
        (["--p", 0.5, "--difference", 0.4, "--correlation", 0.9], "too high"),
        (["--episodes", 0], "--episodes 0"),
        (["--power", 2], "--power 2"),
    ],
)
def test_impossible_designs_are_one_sentence_and_exit_code_4(cli, arguments, message):
    """What was wrong, on one line."""
    code, stdout, stderr = cli("power", *arguments)
    assert code == 4
    assert message in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert stdout == ""


@pytest.mark.parametrize("verb", ["stats", "power"])
def test_help_shows_an_example(cli, verb):
    """Both verbs explain themselves with an example."""
    assert f"Example: vlaeval {verb}" in cli(verb, "--help")[1]
