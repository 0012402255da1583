"""``vlaeval stats`` and ``vlaeval power``: forms that scripts rely on, and mistakes."""

from __future__ import annotations

import json
import os
from typing import get_args, get_type_hints

import numpy as np
import pytest

from vla_eval import stats
from vla_eval.cli import main
from vla_eval.cli.power import _print_pairs, power
from vla_eval.recipes import Design
from vla_eval.stats import ClusteredPairs, PairedCase

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


@pytest.mark.long
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


@pytest.mark.long
def test_power_for_people(cli):
    """The answer first, in 80 columns; far too many episodes are given by formula."""
    for arguments in (["--margin", 0.1], ["--margin", 0.005], ["--p", 0.5, "--difference", 0.4]):
        code, stdout, _ = cli("power", *arguments)
        assert code == 0
        assert " pairs certify" in stdout.splitlines()[0]
        assert max(len(line) for line in stdout.splitlines()) <= 80


def test_the_table_of_power_has_every_design_of_the_result(capsys):
    """The sentence has the fewest and the most pairs; each row its own numbers, the unpaired one last."""
    paired = [
        {
            "correlation": rho,
            "pairs": n - 4,
            "pairs_certificate": n,
            "pairs_formula": n + 1,
            "power_at_episodes_certificate": power,
        }
        for rho, n, power in ((0.0, 122, 0.731), (0.3, 92, 0.835), (0.6, 65, 0.941))
    ]
    result = {
        "margin": 0.1,
        "alpha": 0.05,
        "power": 0.8,
        "p_reference": 0.9,
        "difference": 0.0,
        "episodes": 100,
        "minimum_pairs": 29,
        "paired": paired,
        "independent": {"per_arm": 118, "power_at_episodes": 0.74},
    }
    _print_pairs(result)
    shown = capsys.readouterr().out
    assert shown.startswith("65 to 122 pairs certify")
    rows = [line.split() for line in shown.splitlines()[-5:]]
    assert rows[0][-3:] == ["power", "at", "100"]
    assert [row[2:] for row in rows[1:4]] == [
        ["0", "118", "122", "123", "73.1%"],
        ["0.3", "88", "92", "93", "83.5%"],
        ["0.6", "61", "65", "66", "94.1%"],
    ]
    assert rows[4][-4:] == ["118", "-", "-", "74.0%"]
    _print_pairs(result | {"paired": paired[:1], "episodes": None})
    alone = capsys.readouterr().out
    assert alone.startswith("122 pairs certify")
    assert "%" not in alone.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--margin", 0], "--margin 0"),
        (["--p", 1.5], "cannot be"),
        (["--difference", -0.1], "not within"),
        (["--p", 0.5, "--difference", 0.4, "--correlation", 0.9], "too high"),
        (["--episodes", 0], "--episodes 0"),
        (["--power", 2], "--power 2"),
        (["--states", 50], "belong together"),
        (["--repeats", 4], "belong together"),
        (["--icc", 0.5], "belong together"),
        (["--states", 0, "--repeats", 4], "--states 0"),
        (["--states", 99999, "--repeats", 4], "--states 99999"),
        (["--states", 50, "--repeats", 0], "--repeats 0"),
        (["--states", 50, "--repeats", 4, "--icc", 1.1], "--icc 1.1"),
        (["--states", 50, "--repeats", 4, "--icc", "nan"], "--icc nan"),
        (["--states", 50, "--repeats", 4, "--episodes", 200], "number of episodes is states"),
        (["--states", 50, "--repeats", 4, "--power", 0.9], "power is the result"),
        (["--run", "runs/a", "--p", 0.9], "describe a plan; leave them out with --run"),
        (["--run", "runs/a", "--episodes", 200], "describe a plan; leave them out with --run"),
        (["--states", 50, "--repeats", 4, "--p", 0.5, "--difference", 0.6], "cannot be"),
        (["--states", 50, "--repeats", 4, "--run", "runs/x"], "a run has its own"),
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
    assert "Example: vlaeval stats clustered" in cli("stats", "clustered", "--help")[1]
    assert "vlaeval power --margin 0.1 --states 50 --repeats 4" in cli("power", "--help")[1]


def states_file(tmp_path, rows):
    """Write the counts (pairs, won, lost) of every state."""
    n, won, lost = (list(column) for column in zip(*rows, strict=True))
    file = tmp_path / "counts.json"
    file.write_text(json.dumps({"n": n, "won": won, "lost": lost}))
    return file


ROWS = [(4, 4, 0)] * 2 + [(4, 0, 1)] + [(4, 1, 0)] * 2 + [(4, 0, 0)] * 45


def test_clustered_has_the_promised_json(cli, tmp_path):
    """Verdict, intervals and the p-values of all three tests are those of the statistics."""
    file = states_file(tmp_path, ROWS)
    data = ClusteredPairs(*np.array(ROWS).T)
    for test, alpha in (("both", 0.05), ("worst-repeat", 0.05), ("bets", 0.02)):
        options = ("--margin", 0.1, "--alpha", alpha, "--test", test, "--json")
        code, stdout, _ = cli("stats", "clustered", file, *options)
        value = json.loads(stdout)
        judgement = stats.judge_clustered(data, margin=0.1, alpha=alpha, test=test)
        assert code == 0
        assert value["verdict"] == judgement.verdict.value
        assert value["also"] == [each.value for each in judgement.also]
        assert value["difference"] == pytest.approx(9 / 200)
        for key, level in (("ci90", 0.10), ("ci95", 0.05), ("ci_of_verdict", 2 * alpha)):
            assert tuple(value[key]) == data.interval(alpha=level, test=test)
        assert value["p_noninferior"] == data.p_noninferior(margin=0.1, test=test)
        assert value["p_worst_repeat"] == data.p_noninferior(margin=0.1, test="worst-repeat")
        assert value["p_bets"] == data.p_noninferior(margin=0.1, test="bets")
        assert (value["states"], value["pairs"], value["vif"]) == (50, 200, data.vif)
        assert (value["margin"], value["alpha"], value["test"]) == (0.1, alpha, test)
        assert value["states_lost_in_any_repeat"] == 1
        assert value["states_won_in_all_repeats"] == 2


def test_clustered_for_people(cli, tmp_path):
    """The verdict first, what decides and what does not, and no line wider than a terminal."""
    file = states_file(tmp_path, ROWS)
    for options in (["--margin", 0.1], ["--margin", 0.02, "--alpha", 0.01], ["--test", "bets"]):
        code, stdout, _ = cli("stats", "clustered", file, *options)
        assert code == 0
        lines = stdout.splitlines()
        assert lines[0].split()[0] in {"EQUIVALENT", "INCONCLUSIVE", "NON-INFERIOR"}
        assert max(len(line) for line in lines) <= 80
        assert "1 lost in any repeat, 2 won in all" in stdout
        assert "it decides nothing" in " ".join(stdout.split())
    assert cli("stats", "clustered", file, "--margin", 0.2)[1].startswith("EQUIVALENT")


def test_unequal_repeats_are_judged_by_bets(cli, tmp_path):
    """With other numbers of repeats the bets decide, and the worst repeat is refused by name."""
    file = states_file(tmp_path, [(4, 0, 0)] * 40 + [(2, 0, 1)])
    value = json.loads(cli("stats", "clustered", file, "--json")[1])
    assert value["p_worst_repeat"] is None
    assert value["p_noninferior"] == value["p_bets"]
    code, stdout, stderr = cli("stats", "clustered", file, "--test", "worst-repeat")
    assert (code, stdout) == (4, "")
    assert "different numbers of repeats" in stderr
    text = cli("stats", "clustered", file)[1]
    assert "bets, as repeats are unequal" in text
    assert "2 to 4 repeats of each" in text


BAD = [
    ('{"n": [4], "won": [0]}', "'lost' is missing"),
    ('{"n": [4], "won": [0], "lost": [0], "wins": [1]}', "unknown key 'wins'"),
    ('{"n": [4, 4], "won": [0], "lost": [0, 0]}', "not n 2, won 1, lost 2"),
    ('{"n": [4], "won": [-1], "lost": [0]}', "'won' of state 1 is not in 0 to"),
    ('{"n": [4, 4.0], "won": [0, 0], "lost": [0, 0]}', "'n' of state 2 is not a whole number"),
    ('{"n": [4], "won": [0], "lost": [true]}', "'lost' of state 1 is not a whole number"),
    ('{"n": [4], "won": [0], "lost": [null]}', "'lost' of state 1 is not a whole number"),
    ('{"n": [4], "won": ["1"], "lost": [0]}', "'won' of state 1 is not a whole number"),
    ('{"n": [NaN], "won": [0], "lost": [0]}', "NaN is no number"),
    ('{"n": [4], "won": [3], "lost": [2]}', "state 1 has 3 pairs won and 2 lost, of 4 pairs"),
    ('{"n": [0], "won": [0], "lost": [0]}', "state 1 has no pairs"),
    ('{"n": [], "won": [], "lost": []}', "0 states; expected 1 to"),
    ('{"n": [4], "n": [5], "won": [0], "lost": [0]}', "the key 'n' is there twice"),
    ('{"n": 4, "won": 0, "lost": 0}', "'n' is not a list"),
    ("[4, 0, 0]", "expected an object"),
    ("n = [4]", "is not plain JSON"),
    ("[" * 100_000, "is not plain JSON"),
    ('{"n": [1' + "0" * 5000 + '], "won": [0], "lost": [0]}', "is not plain JSON"),
    ('{"n": [1000000000000000000000], "won": [0], "lost": [0]}', "'n' of state 1 is not in 0 to"),
    (" " * 1_000_001, "more than 1 MB"),
    (json.dumps({key: [1] * 2001 for key in ("n", "won", "lost")}), "2001 states; expected 1 to"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_counts_are_one_sentence_and_exit_code_4(cli, tmp_path, text, message):
    """What is wrong with the file, and which state; never a traceback."""
    file = tmp_path / "counts.json"
    file.write_text(text)
    code, stdout, stderr = cli("stats", "clustered", file)
    assert (code, stdout) == (4, "")
    assert message in stderr
    assert str(file) in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_what_is_no_file_is_refused_at_once(cli, tmp_path):
    """A missing file, a folder, bytes that are no text, and a pipe that nobody writes into."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    expected = {"none": "no such file", "": "a file is expected", "pipe": "a file is expected"}
    for name, message in {**expected, "bytes": "is not UTF-8"}.items():
        code, stdout, stderr = cli("stats", "clustered", tmp_path / name)
        assert (code, stdout) == (4, "")
        assert message in stderr
        assert len(stderr.strip().splitlines()) == 1


@pytest.mark.long
def test_power_of_repeated_states(cli):
    """Three tests at three dependences, and the same episodes on as many different states."""
    design = ("power", "--margin", 0.1, "--states", 60, "--repeats", 3)
    value = json.loads(cli(*design, "--json")[1])
    case = PairedCase(0.9, 0.0, 0.3)
    assert [row["icc"] for row in value["repeated"]] == [0.0, 0.5, 1.0]
    for row in value["repeated"]:
        found = stats.power_clustered(60, 3, case, icc=row["icc"], margin=0.1)
        assert row["power"] == {test: found.of(test) for test in stats.CLUSTER_TESTS}
        assert row["standard_error"] == found.standard_error
    assert value["without_repeats"] == {
        "states": 180,
        "power": stats.power_paired(180, case, margin=0.1, guard=True),
    }
    assert value["minimum_states"] == {"worst-repeat": 29, "bets": 38, "both": 36}
    assert "power" not in value
    code, stdout, _ = cli(*design, "--icc", 0.25, "--p", 0.95, "--correlation", 0)
    assert code == 0
    assert "60 states, 3 repeats of each: 180 pairs" in stdout
    assert "ICC 0.25" in stdout
    assert "180 different states, each once, without repeats" in stdout
    assert "TOO FEW" not in stdout
    assert max(len(line) for line in stdout.splitlines()) <= 80


@pytest.mark.long
def test_too_few_states_are_said_first(cli):
    """44 states do not show 5 points, however often they are repeated."""
    code, stdout, _ = cli("power", "--states", 44, "--repeats", 20, "--icc", 1)
    assert code == 0
    assert stdout.startswith("TOO FEW STATES: without a discordant pair 44 do not show 5 points")
    assert "worst-repeat takes 59, bets takes 78, both takes 75" in " ".join(stdout.split())
    assert max(len(line) for line in stdout.splitlines()) <= 80
    some = cli("power", "--states", 65, "--repeats", 2, "--icc", 0.5)[1]
    assert "; bets takes 78, both takes 75." in " ".join(some.split())


def test_a_resized_design_shows_expected_and_largest_size(capsys):
    """One row for each possible correlation, and the size for each number of discordant pairs."""
    assert main(["power", "--margin", "0.1", "--resize", "40", "80", "200"]) == 0
    text = capsys.readouterr().out
    assert "at most 200" in text
    assert "expected pairs  largest size" in text
    assert main(["power", "--margin", "0.1", "--resize", "40", "80", "200", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["sizes"][0] == {"discordant": 0, "pairs": 80}
    assert all(80 <= row["expected_pairs"] <= 200 for row in value["expected"])


def test_the_plan_of_a_resized_protocol_shows_its_sizes(capsys):
    """The plan states what the decision reads and what follows from it."""
    assert main(["plan", "so101-resized"]) == 0
    text = capsys.readouterr().out
    assert "discordant of 40" in text
    assert "pairs of the run  80" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resize", "40", "30", "200"], "not in order"),
        (["--resize", "40", "80", "20000"], "at most 2000 pairs"),
        (["--resize", "40", "80", "200", "--episodes", "9"], "sets the number of pairs"),
    ],
)
def test_impossible_resized_designs_are_refused(more, message, capsys):
    """One sentence says what is wrong."""
    assert main(["power", "--margin", "0.1", *more]) == 4
    assert message in capsys.readouterr().err


def test_the_flag_design_has_every_design():
    """The command line names them itself, so that the list of verbs need not load protocols."""
    offered, _none = get_args(get_type_hints(power)["design"])
    assert get_args(offered) == get_args(Design)
