"""The command line: forms that scripts rely on, exit codes, one sentence for every mistake."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from vla_eval import stats
from vla_eval.cli import main

WORKER = "fakes.policies:InWorker"


@pytest.fixture
def cli(capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


@pytest.mark.long
def test_run_and_report_have_the_promised_json(cli, tmp_path, protocol_file):
    """`run --json` and `report --json` carry the keys that scripts rely on, and agree."""
    out = tmp_path / "run"
    arms = ["--arm", f"new={WORKER}?skill=0.8", "--arm", f"old={WORKER}"]
    code, stdout, _ = cli("run", protocol_file(), *arms, "--out", out, "--json", "--workers", "1")
    assert code == 0
    value = json.loads(stdout)
    assert {"protocol", "complete", "arms", "pairs"} <= set(value)
    assert value["protocol"]["name"] == "fake"
    assert value["complete"] is True
    for arm in value["arms"].values():
        assert {"n", "successes", "errors", "mean_score", "wilson95"} <= set(arm)
        assert arm["n"] == 8
        low, high = arm["wilson95"]
        assert 0 <= low <= arm["successes"] / 8 <= high <= 1
    (pair,) = value["pairs"]
    assert (pair["candidate"], pair["reference"]) == ("new", "old")
    assert pair["n11"] + pair["n10"] + pair["n01"] + pair["n00"] == 8
    code, stdout, _ = cli("report", out, "--json")
    assert code == 0
    assert json.loads(stdout) == value
    assert json.loads((out / "results.json").read_text()) == value


@pytest.mark.long
def test_policy_is_short_for_one_arm(cli, tmp_path, protocol_file):
    """`--policy SPEC` runs one arm; the text report fits 80 columns."""
    code, stdout, stderr = cli(
        "run", protocol_file(), "--policy", WORKER, "--out", tmp_path / "run", "--workers", "1"
    )
    assert code == 0
    assert "8/8" in stdout
    assert max(len(line) for line in stdout.splitlines()) <= 80
    assert f"run folder: {tmp_path / 'run'}" in stderr


MISTAKES = [
    (["run", "no-such-protocol", "--policy", "hold"], "no shipped protocol is named"),
    (["run", "missing.toml", "--policy", "hold"], "missing.toml: there is no such file"),
    (["run", "so101-quickstart"], "no policy to run"),
    (["run", "so101-quickstart", "--arm", "expert"], "expected NAME=SPEC"),
    (["run", "so101-quickstart", "--arm", "a=hold", "--arm", "a=hold"], "'a' is taken"),
    (["run", "so101-quickstart", "--arm", "a=hold", "--policy", "hold"], "short for one arm"),
    (["run", "so101-quickstart", "--policy", "holt"], "did you mean 'hold'?"),
    (["run", "so101-quickstart", "--policy", "no.module:f"], "there is no kind 'no.module'"),
    (["run", "so101-quickstart", "--policy", "fakes.policies:Nope"], "has no 'Nope'"),
    (["run", "so101-quickstart", "--policy", "fakes.policies:Walker"], "no PolicyFactory"),
    (["run", "so101-quickstart", "--policy", "hold?"], "expected KIND[:TARGET]"),
    (["run", "so101-quickstart", "--policy", "hold?x"], "key=value pairs"),
    (["run", "so101-quickstart", "--policy", "impaired"], "needs a policy to impair"),
    (["run", "so101-quickstart", "--policy", "hold", "--set", "run.x=1"], "unknown key 'run.x'"),
    (["run", "so101-quickstart", "--policy", "hold", "--shard", "3/2"], "expected i/n"),
    (["report"], "which run?"),
    (["report", "nowhere"], "nowhere: is no run folder"),
    (["list", "tasks", "--suite", "so10"], "did you mean 'so101'?"),
    (["plan", "so101-quickstat"], "did you mean 'so101-quickstart'?"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_4(cli, tmp_path, monkeypatch, arguments, message):
    """What was wrong, where, what to do; nothing on stdout, nothing left on disk."""
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = cli(*arguments)
    assert code == 4
    assert message in stderr
    assert stderr.startswith("error: ")
    assert len(stderr.strip().splitlines()) == 1
    assert stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("option", ["hold?chunk=3", "hold?chunk_size=many", "hold:x"])
def test_bad_options_are_found_before_the_first_episode(cli, tmp_path, protocol_file, option):
    """An unknown or badly typed option of a policy is a usage error of the run."""
    command = ["run", protocol_file(), "--policy", option, "--out", tmp_path / "run"]
    code, _, stderr = cli(*command, "--workers", "1")
    assert code == 4
    assert "policy kind 'hold'" in stderr


@pytest.mark.parametrize("arguments", [["run"], ["rum"], ["report", "--jsn"], ["list", "thing"]])
def test_wrong_usage_is_exit_code_4(cli, arguments):
    """What the parser refuses has the documented exit code."""
    assert cli(*arguments)[0] == 4


@pytest.mark.parametrize("verb", ["run", "report", "plan", "list", "doctor"])
def test_help_shows_an_example(cli, verb):
    """Every verb explains itself with an example."""
    code, stdout, _ = cli(verb, "--help")
    assert code == 0
    assert f"Example: vlaeval {verb}" in stdout


@pytest.mark.long
def test_a_damaged_record_file_is_exit_code_4(cli, tmp_path, protocol_file):
    """A record that was cut in the middle is refused with the file, the line and the remedy."""
    out = tmp_path / "run"
    cli("run", protocol_file(), "--policy", WORKER, "--out", out, "--workers", "1")
    (file,) = (out / "episodes").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0][:100] + b"\n", *lines[1:]]))
    code, _, stderr = cli("report", out)
    assert code == 4
    assert f"{file.name}, line 1" in stderr


@pytest.mark.long
def test_missing_episodes_are_exit_code_3(cli, tmp_path, protocol_file):
    """A run with missing episodes is not complete, says so, and tells how to go on."""
    protocol = protocol_file(fault="raise", fault_states="3", limits="retries = 0")
    command = ["run", protocol, "--policy", WORKER, "--out", tmp_path / "run"]
    code, stdout, stderr = cli(*command, "--workers", "1")
    assert code == 3
    assert "NOT COMPLETE" in stdout
    assert "repeat the command" in stderr


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_is_exit_code_2_and_continues(cli, tmp_path, protocol_file, number):
    """Ctrl-C and SIGTERM stop cleanly; the same command goes on."""
    out = tmp_path / "run"
    protocol = protocol_file(count=12, step_s=0.05)
    command = ["run", str(protocol), "--policy", WORKER, "--out", str(out), "--workers", "1"]
    run = subprocess.Popen(
        [sys.executable, "-m", "vlaeval_launcher", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C is ignored by what a shell started in the background, and by its children.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509  one thread
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("episodes/*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(number)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 2, stderr
    assert "repeat the same command to continue" in stderr
    code, stdout, _ = cli("report", out)
    assert code == 0
    assert "NOT COMPLETE" in stdout
    assert cli(*command)[0] == 0


@pytest.mark.long
def test_lists_are_complete(cli):
    """Suites, tasks, protocols and policies, for people and for machines."""
    suites = json.loads(cli("list", "suites", "--json")[1])
    names = {each["suite"] for each in suites}
    assert names >= {"so101", "libero_spatial", "libero_90"}
    tasks = json.loads(cli("list", "tasks", "--json")[1])
    assert sum(each["suite"].startswith("libero") for each in tasks) == 130
    policies = json.loads(cli("list", "policies", "--json")[1])
    assert {"expert", "hold", "random", "impaired"} <= {each["kind"] for each in policies}
    for what in ("suites", "protocols", "policies"):
        _, stdout, _ = cli("list", what)
        assert max(len(line) for line in stdout.splitlines()) <= 80


def test_plan_says_what_and_how_long(cli):
    """The plan counts episodes and bounds the time."""
    value = json.loads(cli("plan", "libero-spatial", "--json", "--workers", "2")[1])
    assert value["episodes_per_arm"] == 500
    assert value["about_s"] > 1000
    code, stdout, _ = cli("plan", "libero-spatial")
    assert code == 0
    assert "500 episodes × 2 arms" in stdout
    assert max(len(line) for line in stdout.splitlines()) <= 80


@pytest.mark.long
def test_plan_says_what_repeats_show(cli):
    """States, repeats, the fewest states, and the power at parity at three dependences."""
    value = json.loads(cli("plan", "so101-one-step-look@1", "--json")[1])["clustered"]
    assert (value["states"], value["repeats"], value["test"]) == (44, 2, "both")
    assert value["minimum_states"] == stats.minimum_states(0.1)
    rows = [(row["p_reference"], row["icc"]) for row in value["at_parity"]]
    assert rows == [(p, icc) for p in (0.9, 0.95) for icc in (0.0, 0.5, 1.0)]
    for row in value["at_parity"]:
        case = stats.PairedCase(row["p_reference"], 0.0, row["correlation"])
        found = stats.power_clustered(44, 2, case, icc=row["icc"], margin=0.1)
        assert row["power"] == found.both
    code, stdout, _ = cli("plan", "so101-one-step-look@1")
    assert code == 0
    assert "44 states, 2 repeats of each" in stdout
    assert "TOO FEW" not in stdout
    assert max(len(line) for line in stdout.splitlines()) <= 80
    changed = cli("plan", "so101-one-step-look@1", "--set", "analysis.margin=0.05")[1]
    assert "TOO FEW STATES: without a discordant pair 44 do not show 5 points" in changed
    assert json.loads(cli("plan", "libero-spatial", "--json")[1])["clustered"] is None


@pytest.mark.slow  # compiles a scene of LIBERO anew
def test_doctor_reports_every_check(cli, monkeypatch):
    """The doctor names what it looked at, with a remedy for what is not well."""
    monkeypatch.delenv("VLA_EVAL_CACHE")  # its checks compile a scene where none is kept
    value = json.loads(cli("doctor", "--json")[1])
    found = {(each["group"], each["name"]) for each in value["checks"]}
    assert {("core", "python"), ("core", "numpy"), ("core", "no collision")} <= found
    assert any(group == "so101" for group, _ in found)
    for check in value["checks"]:
        assert check["ok"] or check["remedy"]


def test_the_version_is_said(cli):
    """On standard output, for bug reports."""
    assert re.fullmatch(r"vlaeval \d+\.\d+\.\d+\n", cli("--version")[1])
